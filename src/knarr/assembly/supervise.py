"""The two long-lived processes, control and node: started apart from any terminal, one of each, watching each other.

A role holds a lock on RUN_DIR/ROLE.pid as long as it lives, so "is it running?" is a question to the kernel. When one
of the two dies, the other starts it again (pidfd, no polling); the file RUN_DIR/stopping says that this is wanted.
What the processes do is assembly/control.py and assembly/node.py.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from knarr.assembly.settings import Settings
from knarr.base.errors import AlreadyExists
from knarr.base.logs import fields, log

Role = Literal["control", "node"]
LOG_BYTES_MAX = 10 * 1024 * 1024
"""A role's log is set aside (ROLE.log.1) at the start when it is larger."""
RESTART_PAUSE = 0.5
"""Seconds before a died sibling is started again: well within the promised 3 s, and no spinning when it cannot live."""

FIRST_PAUSE = 5.0
"""Seconds that a guard gives a sibling that nobody has seen yet: `knarr up` starts both, and may be about to."""


@dataclass(frozen=True, slots=True)
class Started:
    """A process on its way up: its pid and the read end of the pipe on which it reports."""

    role: Role
    pid: int
    report: int


def roles(settings: Settings) -> tuple[Role, ...]:
    return ("control",) if settings.api_only else ("control", "node")


def pid_file(settings: Settings, role: Role) -> Path:
    return settings.run_dir / f"{role}.pid"


def running_pid(settings: Settings, role: Role) -> int | None:
    """The pid of the role's process, or None: nobody holds its lock."""
    try:
        with pid_file(settings, role).open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                text = file.read().strip()
                return int(text) if text.isascii() and text.isdigit() else None
    except FileNotFoundError:
        return None
    return None


def hold_lock(settings: Settings, role: Role) -> int:
    """Become the one process of that role: the lock's descriptor. Raises AlreadyExists if there is another."""
    settings.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(pid_file(settings, role), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise AlreadyExists(f"another knarr {role} process holds {pid_file(settings, role)}") from error
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor


def start(settings: Settings, role: Role) -> Started:
    """Start the role's process in a session of its own, its output going to its log."""
    settings.log_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    report, child_end = os.pipe()
    command = [sys.executable, "-m", "knarr", role, "--name", settings.name, "--data-dir", str(settings.data_dir)]
    with _log_file(settings, role) as output:
        process = subprocess.Popen(
            [*command, "--report-fd", str(child_end)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            start_new_session=True,
            pass_fds=(child_end,),
        )
    os.close(child_end)
    return Started(role, process.pid, report)


def _log_file(settings: Settings, role: Role) -> BinaryIO:
    path = settings.log_dir / f"{role}.log"
    if path.exists() and path.stat().st_size > LOG_BYTES_MAX:
        path.replace(path.with_suffix(".log.1"))
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")


def report(descriptor: int | None, **answer: str) -> None:
    """Tell who started this process how it went (`state="ready"` or `error=…`); once, and to nobody if nobody waits."""
    if descriptor is None:
        return
    try:
        os.write(descriptor, json.dumps(answer).encode() + b"\n")
        os.close(descriptor)
    except OSError:
        log("supervise").debug("%s", fields(report="dropped", reason="nobody waits"))


def await_report(started: Started, seconds: float) -> dict[str, str]:
    """What the process reported; {"error": …} when it died or took longer."""
    buffer, end = b"", time.monotonic() + seconds
    try:
        while not buffer.endswith(b"\n"):
            readable, _, _ = select.select([started.report], [], [], max(0.0, end - time.monotonic()))
            if not readable:
                return {"error": f"knarr {started.role} was not ready within {seconds:g} s"}
            chunk = os.read(started.report, 65536)
            if not chunk:
                return {"error": f"knarr {started.role} ended while starting"}
            buffer += chunk
    finally:
        os.close(started.report)
    answer: dict[str, str] = json.loads(buffer.splitlines()[-1])
    return answer


def stopping_file(settings: Settings) -> Path:
    return settings.run_dir / "stopping"


def stop(settings: Settings, which: Sequence[Role], seconds: float = 10.0) -> None:
    """End the processes: SIGTERM, and SIGKILL after that many seconds. The absent are no error."""
    settings.run_dir.mkdir(mode=0o711, parents=True, exist_ok=True)  # a reboot, or half a delete, took it
    stopping_file(settings).touch(mode=0o600)
    descriptors = []
    for role in which:
        pid = running_pid(settings, role)
        if pid is None:
            continue
        try:
            descriptors.append(os.pidfd_open(pid))
            signal.pidfd_send_signal(descriptors[-1], signal.SIGTERM)
        except ProcessLookupError:
            continue
    end = time.monotonic() + seconds
    for descriptor in descriptors:
        if not select.select([descriptor], [], [], max(0.0, end - time.monotonic()))[0]:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            select.select([descriptor], [], [], 5.0)
        os.close(descriptor)


async def guard(settings: Settings, sibling: Role) -> None:
    """Start the sibling again whenever it dies, until cancelled or the cluster is being stopped.

    It begins before this process is ready: the node cannot be while the control process is dead.
    """
    if running_pid(settings, sibling) is None:
        await asyncio.sleep(FIRST_PAUSE)
    while True:
        pid = running_pid(settings, sibling)
        if pid is not None:
            await _end_of(pid)
        await asyncio.sleep(RESTART_PAUSE)
        if stopping_file(settings).exists():
            return
        if running_pid(settings, sibling) is None:
            log("supervise").warning("%s", fields(role=sibling, event="restarted", reason="it was not running"))
            started = start(settings, sibling)
            answer = await asyncio.to_thread(await_report, started, 30.0)
            if "error" in answer:
                log("supervise").error("%s", fields(role=sibling, error=answer["error"]))


async def _end_of(pid: int) -> None:
    """Returns when the process has ended; a child of ours is reaped."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    # When another process started it, its parent or init reaps it.
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # noqa: ASYNC222  WNOHANG does not wait
