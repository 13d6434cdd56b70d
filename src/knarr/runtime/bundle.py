"""What the runtime keeps on disk for one container: the OCI bundle, its record, pids and exit code.

A bundle is a directory `containers/ID` below the runtime directory (/run, so a reboot forgets it) with config.json,
`record.json`, conmon's `ctl` and `attach`; conmon writes the exit code to `exits/ID`. A pid counts as the recorded
process only with the recorded start time, since numbers come round.
"""

import os
import select
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from knarr.base import lines
from knarr.base.clock import Instant
from knarr.base.ids import ContainerId

RECORD = "record.json"


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Facts of a container that no one else can tell after a restart of knarr."""

    id: ContainerId
    cgroup_path: str
    log_path: str
    has_terminal: bool
    pid: int
    pid_started: int
    monitor: int
    monitor_started: int
    started_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class Exit:
    code: int
    at: Instant


def write_atomically(path: Path, content: bytes) -> None:
    """Replace the file in one step, so that a reader sees the old or the new."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(content)
    temporary.rename(path)


def write_record(bundle: Path, record: Record) -> None:
    lines.append(bundle / RECORD, msgspec.json.encode(record))


def read_record(bundle: Path) -> Record | None:
    """The record; None for a bundle whose creation never ended."""
    for line in lines.latest(bundle / RECORD):
        try:
            return msgspec.json.decode(line, type=Record)
        except msgspec.DecodeError:
            continue
    return None


def read_exit(path: Path) -> Exit | None:
    """The exit code that conmon left, and when; None while there is none."""
    try:
        text = path.read_text().strip()
        at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except FileNotFoundError:
        return None
    return Exit(int(text), at) if text.removeprefix("-").isdigit() else None


def start_time(pid: int) -> int:
    """When the process started, in clock ticks since boot; 0 if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    # Field 22, counted behind the command's closing bracket, which may hold spaces and brackets itself.
    return int(stat.rpartition(")")[2].split()[19])


def open_process(pid: int, started: int) -> int | None:
    """A pidfd of that very process; None if it has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return None
    # A process that nobody has reaped yet still has its number and its start time.
    if started and start_time(pid) == started and not has_ended(descriptor):
        return descriptor
    os.close(descriptor)
    return None


def has_ended(process: int) -> bool:
    """Whether the process of a pidfd has ended, reaped or not."""
    poll = select.poll()
    poll.register(process, select.POLLIN)
    return bool(poll.poll(0))
