"""Merging into a kubeconfig keeps what is not knarr's."""

import os
from pathlib import Path

import pytest

from knarr.cli import kubeconfig
from knarr.cli.printing import Failure

CREDENTIALS = kubeconfig.Credentials("https://127.0.0.1:6443", b"ca", b"cert", b"key")
OTHER = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "work", "cluster": {"server": "https://work"}}],
    "users": [{"name": "work", "user": {}}],
    "contexts": [{"name": "work", "context": {"cluster": "work", "user": "work"}}],
    "current-context": "work",
    "extensions": [{"name": "kept"}],
}


def test_merging_adds_and_switches_and_keeps_others() -> None:
    config = kubeconfig.merged(OTHER, "knarr", CREDENTIALS)
    assert [entry["name"] for entry in config["clusters"]] == ["work", "knarr"]
    assert config["current-context"] == "knarr"
    assert config["extensions"] == [{"name": "kept"}]


def test_merging_twice_is_merging_once() -> None:
    once = kubeconfig.merged(OTHER, "knarr", CREDENTIALS)
    assert kubeconfig.merged(once, "knarr", CREDENTIALS) == once


def test_taking_out_leaves_the_others() -> None:
    config = kubeconfig.without(kubeconfig.merged(OTHER, "knarr", CREDENTIALS), "knarr")
    assert [entry["name"] for entry in config["clusters"]] == ["work"]
    assert config["current-context"] == ""


def test_the_file_is_private_and_comes_back_whole(tmp_path: Path) -> None:
    file = tmp_path / "new" / "config"
    config = kubeconfig.merged({}, "knarr", CREDENTIALS)
    kubeconfig.write(file, config, (os.getuid(), os.getgid()))
    assert kubeconfig.read(file) == config
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [", "just words"])
def test_what_is_no_kubeconfig_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config"
    file.write_text(text)
    with pytest.raises(Failure):
        kubeconfig.read(file)
    assert file.read_text() == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{current-context: knarr, contexts: [{name: knarr}]}", "knarr"),
        (
            "{current-context: work, contexts: [{name: knarr}, {name: work}]}",
            "knarr; kubectl uses work: kubectl config use-context knarr",
        ),
        ("{contexts: [{name: knarr}]}", "knarr; kubectl uses none: kubectl config use-context knarr"),
        ("{contexts: null}", "knarr, which FILE does not have: knarr up writes it there"),
        ("{{{", "knarr; kubectl cannot: FILE is not YAML"),
    ],
)
def test_status_says_what_keeps_kubectl_from_the_cluster(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "config"
    file.write_text(text)
    assert kubeconfig.use(file, "knarr") == said.replace("FILE", str(file))


def test_a_kubeconfig_that_is_not_there_has_no_context(tmp_path: Path) -> None:
    assert "does not have" in kubeconfig.use(tmp_path / "none", "knarr")
