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


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("build", "-t", "x"), "the following arguments are required: CONTEXT"),
        (("logs", "--tail", "-3"), "argument --tail: '-3' is not a number of lines"),
        (("up", "--bogus"), "unrecognized arguments: --bogus"),
    ],
)
def test_wrong_words_are_said_in_three_lines(words: tuple[str, ...], why: str) -> None:
    answer = knarr(*words)
    assert (answer.returncode, answer.stdout) == (printing.EXIT_USAGE, "")
    assert answer.stderr.splitlines() == [
        f"error: knarr {words[0]} cannot tell what is meant",
        f"  why: {why}",
        f"   do: knarr {words[0]} --help shows how",
    ]


def test_a_node_that_is_not_there_is_named_with_the_way_to_it() -> None:
    answer = knarr("images", "--name", "never-was")
    what, why, todo = answer.stderr.splitlines()
    assert (answer.returncode, what) == (printing.EXIT_NOT_RUNNING, "error: the cluster never-was is not running")
    assert why.startswith("  why: nothing answers on ")
    assert todo.startswith("   do: knarr up --name never-was, or say which cluster with --name")


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("/nonexistent",), "/nonexistent is not a directory"),
        (("-f", "/tmp", "/tmp"), "/tmp is not a Dockerfile"),
        (("-f", "/nonexistent", "/tmp"), "there is no /nonexistent"),
    ],
)
def test_a_build_without_its_files_says_which(words: tuple[str, ...], what: str) -> None:
    answer = knarr("build", *words)
    assert answer.returncode == printing.EXIT_USAGE
    assert [line[:7] for line in answer.stderr.splitlines()] == ["error: ", "  why: ", "   do: "]
    assert answer.stderr.startswith(f"error: {what}")


def test_bash_completes_verbs_and_flags() -> None:
    script = knarr("completion", "bash").stdout
    ask = 'COMP_WORDS=(knarr {}); COMP_CWORD={}; _knarr; echo "${{COMPREPLY[*]}}"\n'
    asked = script + ask.format("bu", 1) + ask.format("build --ta", 2) + ask.format("build D", 2)
    answer = subprocess.run(["bash"], input=asked, text=True, capture_output=True, check=True)
    assert answer.stdout.splitlines() == ["build", "--tag --target", ""]


def test_output_that_cannot_be_written_is_no_traceback() -> None:
    with open("/dev/full", "w") as full:
        answer = subprocess.run(
            [sys.executable, "-m", "knarr", "version"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (answer.returncode, answer.stderr.splitlines()) == (
        printing.EXIT_FAILED,
        ["error: the output cannot be used", "  why: No space left on device"],
    )
