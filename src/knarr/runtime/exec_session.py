"""One command inside a running container, by `crun exec` or `runc exec`.

Without a terminal the command's streams are pipes; with one crun sends the terminal's controlling end over a console
socket. runc does so only if it does not wait for the end, so it is *lent* a terminal of ours as its own, and passes on
what comes and goes and the size. The runtime's own process is the exec's parent here: its exit code is the command's.
Not here: timeouts and output limits (the caller's), WebSocket and SPDY (criserver/streaming.py).
"""

import array
import asyncio
import contextlib
import fcntl
import os
import signal
import socket
import struct
import subprocess
import termios
import tty
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from knarr.base import tasks
from knarr.base.errors import Unavailable
from knarr.runtime.launcher import Child, Command, Launcher, readable
from knarr.runtime.runtime import ExecSpec

CONSOLE_SECONDS = 10.0


def specification(process: dict[str, Any], spec: ExecSpec) -> dict[str, Any]:
    """The OCI process of an exec: the container's own with the exec's words in it. Pure."""
    merged = dict(process)
    merged.pop("consoleSize", None)
    merged.update(args=list(spec.arguments), terminal=spec.has_terminal)
    if spec.has_terminal and spec.console_size is not None:
        columns, rows = spec.console_size
        merged["consoleSize"] = {"height": rows, "width": columns}
    added = {entry.partition("=")[0]: entry for entry in spec.env}
    kept = [entry for entry in process.get("env", []) if entry.partition("=")[0] not in added]
    if spec.has_terminal and "TERM" not in added and not any(entry.startswith("TERM=") for entry in kept):
        kept.append("TERM=xterm")
    merged["env"] = [*kept, *added.values()]
    if spec.cwd:
        merged["cwd"] = spec.cwd
    return merged


@dataclass(slots=True)
class _Process:
    """A running exec. Descriptors belong to whoever asked for it, and are None where not asked for."""

    child: Child
    pid_file: Path
    stdin_fd: int | None = None
    stdout_fd: int | None = None
    stderr_fd: int | None = None
    terminal: int | None = None

    async def wait(self) -> int:
        return await self.child.wait()

    def resize(self, columns: int, rows: int) -> None:
        if self.terminal is not None:
            _resize(self.terminal, columns, rows)

    def kill(self) -> None:
        """Kill the command itself; the runtime's process then ends with its exit code."""
        try:
            os.kill(int(self.pid_file.read_text()), signal.SIGKILL)
        except (FileNotFoundError, ValueError, ProcessLookupError):
            self.child.kill()


class Session:
    """The files and descriptors of one exec, named `name` in the container's bundle."""

    def __init__(self, bundle: Path, name: str, spec: ExecSpec, *, is_lent: bool) -> None:
        self._is_lent = is_lent
        self._bundle = bundle
        self._spec = spec
        self._settings = bundle / f"{name}.json"
        self._pid_file = bundle / f"{name}.pid"
        self._console = bundle / f"{name}.sock"

    def arguments(self) -> list[str]:
        words = ["--process", str(self._settings), "--pid-file", str(self._pid_file)]
        has_socket = self._spec.has_terminal and not self._is_lent
        return [*words, "--console-socket", str(self._console)] if has_socket else words

    async def start(
        self, launcher: Launcher, arguments: Sequence[str], hides_unified: bool, *, wants: tuple[bool, bool, bool]
    ) -> _Process:
        config = msgspec.json.decode((self._bundle / "config.json").read_bytes())
        self._settings.write_bytes(msgspec.json.encode(specification(config["process"], self._spec)))
        if self._spec.has_terminal and self._is_lent:
            return await self._start_on_lent_terminal(launcher, arguments, hides_unified)
        if self._spec.has_terminal:
            return await self._start_on_terminal(launcher, arguments, hides_unified)
        return await self._start_on_pipes(launcher, arguments, hides_unified, wants)

    async def _start_on_pipes(
        self, launcher: Launcher, arguments: Sequence[str], hides_unified: bool, wants: tuple[bool, bool, bool]
    ) -> _Process:
        ours: list[int | None] = [None, None, None]
        theirs = [subprocess.DEVNULL] * 3
        for index, is_wanted in enumerate(wants):
            if is_wanted:
                read_end, write_end = os.pipe2(os.O_CLOEXEC)
                ours[index], theirs[index] = (write_end, read_end) if index == 0 else (read_end, write_end)
        files = (theirs[0], theirs[1], theirs[2])
        try:
            child = await launcher.start(Command(arguments=arguments, files=files, hides_unified=hides_unified))
        except BaseException:
            _close(ours)
            self._clean()
            raise
        finally:
            _close(theirs)
        child.when_ended(self._clean)
        return _Process(child, self._pid_file, ours[0], ours[1], ours[2])

    async def _start_on_lent_terminal(
        self, launcher: Launcher, arguments: Sequence[str], hides_unified: bool
    ) -> _Process:
        terminal, lent = os.openpty()
        tty.setraw(lent)  # what is typed is echoed once, by the container's own terminal
        if self._spec.console_size is not None:
            _resize(terminal, *self._spec.console_size)
        # The first terminal that the leader of a session opens is the session's: a new size is told by a signal then.
        opened = ["/bin/sh", "-c", 'exec "$@" <>"$0" >&0 2>&0', os.ttyname(lent)]
        command = Command(arguments=[*opened, *arguments], files=(lent, lent, lent), hides_unified=hides_unified)
        try:
            child = await launcher.start(command)
        except BaseException:
            os.close(terminal)
            self._clean()
            raise
        finally:
            os.close(lent)
        child.when_ended(self._clean)
        output = os.dup(terminal)
        return _Process(child, self._pid_file, terminal, output, None, output)

    async def _start_on_terminal(self, launcher: Launcher, arguments: Sequence[str], hides_unified: bool) -> _Process:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.setblocking(False)
            directory = os.open(self._bundle, os.O_PATH | os.O_CLOEXEC)
            try:
                # A socket's address has 107 bytes; the descriptor's path is short whatever the bundle's is.
                listener.bind(f"/proc/self/fd/{directory}/{self._console.name}")
            finally:
                os.close(directory)
            listener.listen(1)
            error_read, error_write = os.pipe2(os.O_CLOEXEC)
            files = (subprocess.DEVNULL, error_write, error_write)
            try:
                child = await launcher.start(Command(arguments=arguments, files=files, hides_unified=hides_unified))
            except BaseException:
                os.close(error_read)
                self._clean()
                raise
            finally:
                os.close(error_write)
            child.when_ended(self._clean)
            try:
                terminal = await _terminal_or_end(listener, child, error_read)
            except BaseException:
                _Process(child, self._pid_file).kill()  # nobody would ever read or end it
                raise
            finally:
                os.close(error_read)
        output = os.dup(terminal)
        return _Process(child, self._pid_file, terminal, output, None, output)

    def _clean(self) -> None:
        for path in (self._settings, self._pid_file, self._console):
            path.unlink(missing_ok=True)


async def _terminal_or_end(listener: socket.socket, child: Child, errors: int) -> int:
    """The terminal that the runtime sends; Unavailable with its words if it ends before."""
    received = asyncio.ensure_future(_receive_terminal(listener))
    ended = asyncio.ensure_future(child.wait())
    try:
        await tasks.deadline(
            asyncio.wait({received, ended}, return_when=asyncio.FIRST_COMPLETED), CONSOLE_SECONDS, "exec: terminal"
        )
        if received.done():
            return received.result()
        os.set_blocking(errors, False)
        with contextlib.suppress(BlockingIOError):
            raise Unavailable(os.read(errors, 4096).decode(errors="replace").strip() or "exec: no terminal came")
        raise Unavailable("exec: no terminal came")
    except asyncio.CancelledError:
        if received.done() and received.exception() is None:
            os.close(received.result())
        raise
    finally:
        received.cancel()
        ended.cancel()


async def _receive_terminal(listener: socket.socket) -> int:
    loop = asyncio.get_running_loop()
    connection, _ = await loop.sock_accept(listener)
    with connection:
        await readable(connection.fileno())
        _, ancillary, _, _ = connection.recvmsg(4096, socket.CMSG_SPACE(4))
    descriptors = array.array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
    if not descriptors:
        raise Unavailable("exec: the runtime sent no terminal")
    return descriptors[0]


def _resize(terminal: int, columns: int, rows: int) -> None:
    with contextlib.suppress(OSError):
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def _close(descriptors: Sequence[int | None]) -> None:
    for descriptor in descriptors:
        if descriptor is not None and descriptor >= 0:
            os.close(descriptor)
