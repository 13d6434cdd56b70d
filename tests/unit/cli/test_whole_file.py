"""Results go into files whole or not at all, and never take the place of what is no file."""

import os
import stat
import threading
from pathlib import Path

import pytest

from knarr.cli import whole_file


def write(target: Path, content: bytes) -> None:
    with whole_file.written(target) as file:
        file.write(content)


def test_a_file_is_replaced_at_the_end_only(tmp_path: Path) -> None:
    target = tmp_path / "f"
    target.write_bytes(b"old")
    with whole_file.written(target) as file:
        file.write(b"new")
        file.flush()
        assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
    assert target.read_bytes() == b"new"


def test_a_failure_leaves_the_old_one_and_no_draft(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"old")

    def fail() -> None:
        with whole_file.written(tmp_path / "f") as file:
            file.write(b"half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("f", b"old")]


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write(pipe, b"through")
    reader.join()
    assert read == [b"through"]
    assert stat.S_ISFIFO(pipe.lstat().st_mode)


@pytest.mark.skipif(os.geteuid() != 0, reason="making a device needs root")
def test_a_device_is_written_to_and_stays_a_device(tmp_path: Path) -> None:
    device = tmp_path / "null"
    os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    write(device, b"gone")
    assert stat.S_ISCHR(device.lstat().st_mode)


def test_a_link_is_followed_and_a_draft_that_is_a_link_is_not(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "victim").write_bytes(b"precious")
    (tmp_path / "way").symlink_to(other / "result")
    (other / "result.part").symlink_to(other / "victim")
    write(tmp_path / "way", b"new")
    assert {path.name: path.read_bytes() for path in other.iterdir()} == {"victim": b"precious", "result": b"new"}
    assert (tmp_path / "way").is_symlink()


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        write(tmp_path, b"x")
