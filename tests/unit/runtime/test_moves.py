"""Announced moves between control groups: a thread writes its own number where it is already."""

import threading
from pathlib import Path

import pytest

from knarr.runtime.cgroups import Cgroups
from knarr.runtime.moves import Moves

V1 = "9:name=systemd:/init\n7:blkio:/\n4:memory:/some/group\n3:cpu,cpuacct:/\n0::/unified\n"


def test_a_thread_stays_in_the_first_hierarchy_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    assert Cgroups(tmp_path).threads_file(V1) == tmp_path / "memory/some/group/tasks"


def test_a_thread_stays_in_the_one_group_of_version_two(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("")
    assert Cgroups(tmp_path).threads_file(V1) == tmp_path / "unified/cgroup.threads"


def test_where_no_hierarchy_is_seen_no_thread_moves(tmp_path: Path) -> None:
    moves = Moves(Cgroups(tmp_path))
    moves.announce()
    moves.close()
    assert list(tmp_path.iterdir()) == []


def test_announcing_writes_a_thread_that_is_not_the_caller(tmp_path: Path) -> None:
    own = next((line for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")), None)
    if own is None:
        pytest.skip("this machine has no version 2")
    (tmp_path / "cgroup.controllers").write_text("")
    file = tmp_path / own.removeprefix("0::").strip("/") / "cgroup.threads"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    moves = Moves(Cgroups(tmp_path))
    moves.announce()
    moves.close()
    assert int(file.read_text()) not in (0, threading.get_native_id())
