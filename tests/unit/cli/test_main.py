"""The knarr command as a process: verbs, usage errors, exit codes."""

import subprocess
import sys

import pytest

from knarr.cli import main, printing


def knarr(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "knarr", *words], capture_output=True, text=True, timeout=30, check=False
    )


def test_an_unknown_verb_names_the_nearest_one() -> None:
    answer = knarr("bild")
    assert (answer.returncode, answer.stdout) == (printing.EXIT_USAGE, "")
    assert answer.stderr.splitlines() == [
        "error: knarr has no verb 'bild'",
        "  why: did you mean 'build'?",
        "   do: knarr --help lists them",
    ]


def test_no_verb_shows_the_overview_and_fails_as_usage() -> None:
    answer = knarr()
    assert answer.returncode == printing.EXIT_USAGE
    assert "knarr VERB --help" in answer.stdout


def test_a_cluster_that_was_never_up_is_a_clear_error() -> None:
    answer = knarr("status", "--data-dir", "/nonexistent/knarr")
    assert answer.returncode == printing.EXIT_NOT_RUNNING
    assert answer.stderr.splitlines() == [
        "error: there is no cluster 'knarr'",
        "  why: /nonexistent/knarr holds none",
        "   do: knarr up makes one",
    ]


@pytest.mark.parametrize("name", ["", "UPPER", "a/b", "x" * 40, "nl\n"])
def test_a_name_that_no_path_may_carry_is_refused(name: str) -> None:
    answer = knarr("status", "--name", name)
    assert answer.returncode == printing.EXIT_USAGE
    assert answer.stderr.startswith("error: --name: ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_offers_every_shown_verb(shell: str) -> None:
    script = knarr("completion", shell).stdout
    assert all(verb.word in script for verb in main.VERBS if not verb.is_hidden)
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_every_verb_has_a_module_with_configure_and_run() -> None:
    import importlib

    for verb in main.VERBS:
        module = importlib.import_module(f"knarr.cli.{verb.module}")
        assert callable(module.configure), verb.word
        assert callable(module.run), verb.word
