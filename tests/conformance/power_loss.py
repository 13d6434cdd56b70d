"""A disk on paper: what is left of a directory when the power goes, from a trace of the system calls that wrote it.

`read_trace` reads strace's output. A `Disk` follows it call by call and knows what is durable: a file's bytes after
fsync of the file, a name after fsync of its directory. `after_power_loss` draws what may be found of the rest: nothing,
all of it, or a part, torn in sectors. Directories count as durable; a file system keeps them with the first file in
them.
"""

import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pytest

SECTOR = 512
TRACED = "openat,write,pwrite64,ftruncate,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat"
STRACE = ["strace", "-f", "-y", "-xx", "-s", "1000000", "-e", f"trace={TRACED}", "-e", "signal=none"]
_LINE = re.compile(r"\d+ +(\w+)\((.*)\)\s+= (-?\d+)")
_UNFINISHED = re.compile(r"(\d+) +(.*) <unfinished \.\.\.>")
_RESUMED = re.compile(r"(\d+) +<\.\.\. \w+ resumed>(.*)")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_OPENED = re.compile(r"(\d+)<((?:\\x[0-9a-f]{2})*)>")


@dataclass(frozen=True, slots=True)
class Act:
    """One call that succeeded. `paths` are its names, or what its descriptor is open on; `body` what it wrote."""

    call: str
    paths: tuple[str, ...]
    body: bytes = b""
    flags: str = ""
    descriptor: int = -1
    offset: int = 0
    """Where pwrite64 writes; the new length of an ftruncate."""


@dataclass
class Recorded:
    """What a program did to the files below `root`."""

    root: str
    acts: list[Act]


def record(trace: Path, root: Path, program: str, argument: Path) -> Recorded:
    """Run a Python program under strace; skip the test where nothing may be traced."""
    done = subprocess.run(
        [*STRACE, "-o", str(trace), sys.executable, "-c", program, str(argument)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    if "PTRACE" in done.stderr or "ptrace" in done.stderr:
        pytest.skip(f"strace may not trace here: {done.stderr[:200]}")
    assert done.returncode == 0, done.stderr
    return Recorded(str(root), list(read_trace(trace)))


@dataclass(slots=True)
class _File:
    durable: bytes = b""
    content: bytes = b""


@dataclass(slots=True)
class Disk:
    """What lies below `root`. `pending` are changes of names that no fsync of their directory has followed."""

    root: str
    files: list[_File] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=dict)
    durable: dict[str, int] = field(default_factory=dict)
    pending: list[dict[str, int | None]] = field(default_factory=list)

    def apply(self, act: Act) -> None:
        if not all(f"{path}/".startswith(f"{self.root}/") for path in act.paths):
            return
        match act.call:
            case "openat" if "O_CREAT" in act.flags or "O_TRUNC" in act.flags:
                self._open(act.paths[0], act.flags)
            case "write":
                self.files[self.names[act.paths[0]]].content += act.body
            case "pwrite64":
                file = self.files[self.names[act.paths[0]]]
                before = file.content[: act.offset].ljust(act.offset, b"\0")
                file.content = before + act.body + file.content[act.offset + len(act.body) :]
            case "ftruncate":
                file = self.files[self.names[act.paths[0]]]
                file.content = file.content[: act.offset].ljust(act.offset, b"\0")
            case "rename":
                inode = self.names[act.paths[0]]
                self._rename({act.paths[0]: None, act.paths[1]: inode})
            case "unlink":
                self._rename({act.paths[0]: None})
            case "fsync":
                self._sync(act.paths[0])
            case "openat":
                pass
            case _:
                raise AssertionError(f"{act.call} is not modelled")

    def after_power_loss(self, chance: random.Random) -> dict[str, bytes]:
        """Files by path, as they may be found."""
        names = dict(self.durable)
        likely = chance.choice((0.0, 0.5, 1.0))
        for change in self.pending:
            if chance.random() < likely:
                _change(names, change)
        return {path: _found(self.files[inode], chance) for path, inode in names.items()}

    def _open(self, path: str, flags: str) -> None:
        if path not in self.names:
            self.files.append(_File())
            self._rename({path: len(self.files) - 1})
        elif "O_TRUNC" in flags:
            self.files[self.names[path]].content = b""

    def _rename(self, change: dict[str, int | None]) -> None:
        _change(self.names, change)
        self.pending.append(change)

    def _sync(self, path: str) -> None:
        if path in self.names:
            synced = self.files[self.names[path]]
            synced.durable = synced.content
            return
        left = []
        for change in self.pending:
            if any(str(PurePosixPath(name).parent) == path for name in change):
                _change(self.durable, change)
            else:
                left.append(change)
        self.pending = left


def read_trace(path: Path) -> Iterator[Act]:
    """The calls of all threads that succeeded, in the order in which they ended."""
    begun: dict[str, str] = {}
    for line in path.read_text("ascii").splitlines():
        if cut := _UNFINISHED.fullmatch(line):
            begun[cut[1]] = cut[2]
            continue
        if resumed := _RESUMED.fullmatch(line):
            line = f"{resumed[1]} {begun.pop(resumed[1])}{resumed[2]}"
        if (done := _LINE.match(line)) and int(done[3]) >= 0:
            yield _act(done[1], done[2], int(done[3]))


def _act(call: str, arguments: str, result: int) -> Act:
    texts = [_decoded(text) for text in _TEXT.findall(arguments)]
    opened = _OPENED.match(arguments)
    if call in ("write", "pwrite64", "ftruncate", "fsync", "fdatasync"):
        assert opened is not None
        body = texts[0][:result] if texts else b""
        name = "fsync" if call == "fdatasync" else call
        last = arguments.rpartition(", ")[2]
        offset = int(last) if call in ("pwrite64", "ftruncate") else 0
        return Act(name, (_decoded(opened[2]).decode(),), body, descriptor=int(opened[1]), offset=offset)
    name = {"renameat": "rename", "renameat2": "rename", "unlinkat": "unlink"}.get(call, call)
    return Act(name, tuple(text.decode() for text in texts), flags=arguments.rpartition('"')[2])


def _decoded(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _change(names: dict[str, int], change: dict[str, int | None]) -> None:
    for path, inode in change.items():
        if inode is None:
            names.pop(path, None)
        else:
            names[path] = inode


def _found(file: _File, chance: random.Random) -> bytes:
    """A file's bytes after the power went: what was synced, what was written, or something between."""
    if file.content == file.durable:
        return file.durable
    least = min(len(file.durable), len(file.content))  # Only what was cut off since may be missing of the durable.
    size = chance.choice((least, len(file.content), chance.randint(least, len(file.content))))
    torn = bytearray(file.content[:size])
    for start in range(0, size, SECTOR):
        if chance.random() < 0.5:
            old = file.durable[start : start + SECTOR].ljust(len(torn[start : start + SECTOR]), b"\0")
            torn[start : start + SECTOR] = old[: len(torn[start : start + SECTOR])]
    return chance.choice((file.durable, file.content, bytes(torn)))
