"""The Runtime in memory: containers that run nothing, for tests and the simulation.

A container stays running until it is signalled with SIGTERM or SIGKILL, or a test calls `exit`. An exec answers with
what `on_exec` says, through real pipes.
"""

import asyncio
import os
import signal as signals
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from knarr.base.clock import Clock, Instant
from knarr.base.errors import AlreadyExists, Invalid, NotFound
from knarr.base.ids import ContainerId
from knarr.runtime.runtime import ContainerSpec, ContainerState, ExecProcess, ExecResult, ExecSpec, Status

OnExec = Callable[[ContainerId, Sequence[str]], ExecResult]


@dataclass(slots=True)
class _Container:
    spec: ContainerSpec
    started_at: Instant | None = None
    exit_code: int | None = None
    finished_at: Instant | None = None
    stopped: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class _Answered:
    """An exec that has ended already; what it wrote waits in its pipes."""

    exit_code: int
    stdin_fd: int | None = None
    stdout_fd: int | None = None
    stderr_fd: int | None = None

    async def wait(self) -> int:
        return self.exit_code

    def resize(self, columns: int, rows: int) -> None:
        return None

    def kill(self) -> None:
        return None


class MemoryRuntime:
    """Runtime without processes."""

    def __init__(self, clock: Clock, on_exec: OnExec | None = None) -> None:
        self._clock = clock
        self._on_exec = on_exec or (lambda _container, _arguments: ExecResult(0, b"", b""))
        self._containers: dict[ContainerId, _Container] = {}

    async def create(self, spec: ContainerSpec) -> None:
        if spec.id in self._containers:
            raise AlreadyExists(f"container {spec.id} exists")
        self._containers[spec.id] = _Container(spec)

    async def start(self, container: ContainerId) -> None:
        found = self._get(container)
        if found.exit_code is not None:
            raise Invalid(f"container {container} has stopped and cannot be started")
        if found.started_at is not None:
            raise Invalid(f"container {container} is started already")
        found.started_at = self._clock.now()

    async def signal(self, container: ContainerId, signal: int) -> None:
        if self._get(container).exit_code is None and signal in (signals.SIGTERM, signals.SIGKILL):
            self.exit(container, 128 + signal)

    async def delete(self, container: ContainerId) -> None:
        found = self._containers.pop(container, None)
        if found is not None:
            found.stopped.set()

    async def state(self, container: ContainerId) -> ContainerState:
        return self._state(self._get(container))

    async def wait(self, container: ContainerId) -> ContainerState:
        found = self._get(container)
        await found.stopped.wait()
        return self._state(found)

    async def exec(
        self, container: ContainerId, spec: ExecSpec, *, stdin: bool, stdout: bool, stderr: bool
    ) -> ExecProcess:
        found = self._get(container)
        if found.started_at is None or found.exit_code is not None:
            raise Invalid(f"container {container} is not running")
        result = self._on_exec(container, spec.arguments)
        return _Answered(
            result.exit_code,
            os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC) if stdin else None,
            _filled(result.stdout) if stdout else None,
            _filled(result.stderr) if stderr else None,
        )

    def is_alive(self, container: ContainerId) -> bool:
        found = self._containers.get(container)
        return found is not None and found.exit_code is None

    def exit(self, container: ContainerId, code: int) -> None:
        """End a container, as a test wants it."""
        found = self._get(container)
        found.exit_code, found.finished_at = code, self._clock.now()
        found.stopped.set()

    def _get(self, container: ContainerId) -> _Container:
        found = self._containers.get(container)
        if found is None:
            raise NotFound(f"container {container} is not there")
        return found

    def _state(self, found: _Container) -> ContainerState:
        status: Status = "stopped" if found.exit_code is not None else "running" if found.started_at else "created"
        pid = 0 if status == "stopped" else 1
        return ContainerState(status, pid, found.started_at, found.exit_code, found.finished_at)


def _filled(content: bytes) -> int:
    """The reading end of a pipe that holds the bytes (at most a pipe's 64 KiB) and is closed behind them."""
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    try:
        os.write(write_end, content[:65536])
    finally:
        os.close(write_end)
    return read_end
