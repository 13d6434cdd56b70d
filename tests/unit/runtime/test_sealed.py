"""The sealed copy of a program: it runs, nobody writes to it, and it follows the program."""

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from knarr.runtime import sealed
from knarr.runtime.launcher import Command, Launcher
from knarr.runtime.sealed import SealedProgram


@pytest.fixture
def program(tmp_path: Path) -> Iterator[SealedProgram]:
    found = shutil.which("echo")
    assert found is not None
    shutil.copy(os.path.realpath(found), tmp_path / "echo")
    made = SealedProgram(str(tmp_path / "echo"))
    yield made
    made.close()


def said(executable: str) -> bytes:
    return subprocess.run(["echo", "hello"], executable=executable, capture_output=True, check=True).stdout


def test_the_copy_runs_and_is_not_the_program(program: SealedProgram) -> None:
    copy = program.executable()
    assert copy != program.program
    assert said(copy) == b"hello\n"


def test_the_copy_cannot_be_written_to(program: SealedProgram) -> None:
    descriptor = os.open(program.executable(), os.O_RDWR)
    try:
        with pytest.raises(PermissionError):
            os.write(descriptor, b"x")
        with pytest.raises(PermissionError):
            os.truncate(descriptor, 0)
    finally:
        os.close(descriptor)


async def test_the_launcher_starts_the_copy(tmp_path: Path) -> None:
    found = shutil.which("readlink")
    assert found is not None
    program = str(tmp_path / "readlink")
    shutil.copy(os.path.realpath(found), program)
    launcher = Launcher(sealed=SealedProgram(program))
    try:
        code, output = await launcher.run(Command(arguments=(program, "/proc/self/exe")), 10)
    finally:
        launcher.close()
    assert (code, output.split()[0]) == (0, b"/memfd:readlink")


def test_a_program_that_did_not_change_is_copied_once(program: SealedProgram) -> None:
    first = os.stat(program.executable())
    assert os.stat(program.executable()).st_ino == first.st_ino


def test_a_program_that_was_replaced_is_copied_anew(program: SealedProgram, tmp_path: Path) -> None:
    program.executable()
    (tmp_path / "new").write_text("#!/bin/sh\necho new\n")
    (tmp_path / "new").chmod(stat.S_IRWXU)
    (tmp_path / "new").replace(program.program)
    assert said(program.executable()) == b"new\n"


def test_a_large_program_is_started_itself(tmp_path: Path) -> None:
    with open(tmp_path / "large", "wb") as file:
        file.truncate(sealed.BYTES_MAX + 1)
    assert SealedProgram(str(tmp_path / "large")).executable() == str(tmp_path / "large")


def test_where_copies_are_not_executed_the_program_is(program: SealedProgram) -> None:
    program.refuse()
    assert program.executable() == program.program
