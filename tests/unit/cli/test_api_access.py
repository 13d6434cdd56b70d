"""Which cluster a reading verb asks when there is no state directory: kubectl's current one."""

import argparse
from pathlib import Path

import pytest

from knarr.cli import api_access
from knarr.cli.printing import Failure

CONFIG = {
    "current-context": "work",
    "contexts": [{"name": "home", "context": {}}, {"name": "work", "context": {"cluster": "c", "user": "u"}}],
    "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
    "users": [{"name": "u", "user": {"token": "t"}}],
}


def test_the_current_context_names_cluster_and_user() -> None:
    assert api_access.current(CONFIG) == ({"server": "https://127.0.0.1:1"}, {"token": "t"})


@pytest.mark.parametrize("context", ["", "elsewhere", "home"])
def test_without_a_whole_context_there_is_no_way(context: str) -> None:
    assert api_access.current({**CONFIG, "current-context": context}) is None


def test_where_neither_state_nor_kubeconfig_is_there_the_state_is_missed(tmp_path: Path) -> None:
    arguments = argparse.Namespace(name="nowhere", data_dir=tmp_path / "state")
    with (
        pytest.raises(Failure, match="there is no cluster 'nowhere'"),
        api_access.connected(arguments, tmp_path / "none"),
    ):
        raise AssertionError("nothing can be reached")
