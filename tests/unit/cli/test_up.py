"""`knarr up` on machines where it cannot work: each obstacle has a message of its own and leaves nothing behind."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from knarr.cli import printing, target


def up(state: Path, *words: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "KUBECONFIG": str(state.parent / "kubeconfig"), "PATH": path or os.environ["PATH"]}
    command = [sys.executable, "-m", "knarr", "up", "--name", "unit-test", "--data-dir", str(state), *words]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=environment, stdin=subprocess.DEVNULL
    )


def test_a_port_in_use_is_named_with_the_way_out(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = up(tmp_path / "state", "--api-only", "--port", str(port))
    assert answer.returncode == printing.EXIT_IN_USE
    assert f"port {port} on 127.0.0.1 cannot be used for the API" in answer.stderr
    assert "another program listens there" in answer.stderr
    assert not (tmp_path / "state").exists()


def test_a_foreign_state_directory_is_left_alone(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "thesis.txt").write_text("mine")
    answer = up(state, "--api-only")
    assert answer.returncode == printing.EXIT_FAILED
    assert f"{state} is not a state directory of knarr" in answer.stderr
    assert [entry.name for entry in state.iterdir()] == ["thesis.txt"]


def test_settings_of_the_registry_may_be_there_before_the_first_start(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    for name in ("registry.json", "registries.json"):
        (state / name).write_text("{}")
    with socket.create_server(("127.0.0.1", 0)) as taken:  # which ends the attempt behind the check
        answer = up(state, "--api-only", "--port", str(taken.getsockname()[1]))
    assert answer.returncode == printing.EXIT_IN_USE


def test_a_broken_settings_file_is_named(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "cluster.json").write_text("{")
    answer = up(state, "--api-only")
    assert answer.returncode == printing.EXIT_USAGE
    assert "cluster.json is not knarr's" in answer.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="needs root: without it the question of root comes first")
def test_missing_programs_are_named_with_their_packages(tmp_path: Path) -> None:
    answer = up(tmp_path / "state", path=str(tmp_path))
    assert answer.returncode == printing.EXIT_MISSING
    assert "crun or runc, conmon, nft are not installed" in answer.stderr
    assert "apt-get install crun conmon nftables" in answer.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="needs root: it mounts a small file system to fill")
def test_a_full_disk_is_named(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], check=True)
    try:
        answer = up(small / "state", "--api-only", "--port", "0")
        free = up(small / "state", "--api-only", "--port", "28999")
    finally:
        subprocess.run(["umount", str(small)], check=True)
    assert "0 is not a port" in answer.stderr
    assert f"the disk of {small / 'state'} is full" in free.stderr


def test_without_root_it_says_so() -> None:
    with pytest.raises(printing.Failure) as caught:
        target.need_root("up", uid=1000, has_terminal=False)
    assert (caught.value.what, caught.value.code) == ("knarr up needs root", printing.EXIT_NOT_ALLOWED)


def test_a_place_that_cannot_be_made_is_named_with_the_way_out() -> None:
    answer = up(Path("/proc/knarr"), "--api-only", "--port", "23797")
    assert answer.returncode == printing.EXIT_NOT_ALLOWED
    assert answer.stderr.splitlines() == [
        "error: /proc/knarr cannot be written",
        "  why: No such file or directory",
        "   do: give another place with --data-dir",
    ]
