"""The low-level runtime: makes, starts, signals and removes one container from an OCI bundle's worth of settings.

`Runtime` is implemented by runtime/oci_runtime.py (conmon with crun or runc) and in memory for tests. Containers
outlive the caller: conmon holds their output and exit code, and `recover` finds them again.
It knows nothing of pods, images or CRI; the criserver and the builder use it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from knarr.base.clock import Instant
from knarr.base.ids import ContainerId

Status = Literal["created", "running", "stopped"]


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """What to create. `oci` is the OCI runtime configuration (config.json); the root file system is mounted already.

    `log_path` receives stdout and stderr in the CRI log format; `has_terminal` merges them through a pty;
    `keeps_stdin` keeps standard input open for attach, until the first client leaves if `closes_stdin_once`.
    `cgroup_path` is below the cgroup root (`/knarr-x/…`).
    """

    id: ContainerId
    oci: Mapping[str, Any]
    log_path: Path
    cgroup_path: str
    has_terminal: bool = False
    keeps_stdin: bool = False
    closes_stdin_once: bool = False
    log_size_max: int = 0


@dataclass(frozen=True, slots=True)
class ContainerState:
    """`exit_code` and `finished_at` are set when stopped; `was_oom_killed` when the kernel's OOM killer ended it."""

    status: Status
    pid: int
    started_at: Instant | None
    exit_code: int | None
    finished_at: Instant | None
    was_oom_killed: bool = False


@dataclass(frozen=True, slots=True)
class ExecSpec:
    """A process to run inside a running container. `env` entries are KEY=VALUE; `cwd` "" is the container's own.

    `console_size` is the terminal's first (columns, rows), so that the command never sees another."""

    arguments: Sequence[str]
    env: Sequence[str] = ()
    cwd: str = ""
    user: str = ""
    has_terminal: bool = False
    console_size: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class ExecResult:
    """Output is cut at the limit given; the process goes on to its end."""

    exit_code: int
    stdout: bytes
    stderr: bytes


class ExecProcess(Protocol):
    """A running exec with its streams: raw file descriptors owned by the caller (None where not asked for)."""

    @property
    def stdin_fd(self) -> int | None: ...

    @property
    def stdout_fd(self) -> int | None: ...

    @property
    def stderr_fd(self) -> int | None: ...

    async def wait(self) -> int:
        """The exit code; 128 + n when signal n ended it."""
        ...

    def resize(self, columns: int, rows: int) -> None: ...

    def kill(self) -> None: ...


class Runtime(Protocol):
    async def create(self, spec: ContainerSpec) -> None:
        """Create the container, not started. Raises Invalid with the runtime's own message."""
        ...

    async def start(self, container: ContainerId) -> None: ...

    async def signal(self, container: ContainerId, signal: int) -> None:
        """Send a signal to the container's first process; a stopped container is no error."""
        ...

    async def delete(self, container: ContainerId) -> None:
        """Remove a container, killing it if it runs; deleting the absent succeeds."""
        ...

    async def state(self, container: ContainerId) -> ContainerState:
        """Raises NotFound."""
        ...

    async def wait(self, container: ContainerId) -> ContainerState:
        """The state once the container has stopped (by an event, never by polling)."""
        ...

    async def exec(
        self, container: ContainerId, spec: ExecSpec, *, stdin: bool, stdout: bool, stderr: bool
    ) -> ExecProcess: ...


class Attachment(Protocol):
    """A client's connection to the standard streams of a container."""

    async def read(self) -> tuple[Literal[1, 2], bytes] | None:
        """The next output as (1 for stdout or 2 for stderr, bytes); None once the container's streams are closed."""
        ...

    async def write(self, content: bytes) -> None:
        """Bytes for the container's standard input. Raises ConnectionError when nobody reads."""
        ...

    def close_stdin(self) -> None: ...

    def resize(self, columns: int, rows: int) -> None: ...

    def close(self) -> None: ...


class Monitor(Protocol):
    """What can be asked of a container's running monitor (conmon) beside its state."""

    async def attach(self, container: ContainerId) -> Attachment:
        """Raises NotFound, or Unavailable when the container does not run."""
        ...

    async def reopen_log(self, container: ContainerId) -> None:
        """Write to the log path anew, after a rotation."""
        ...
