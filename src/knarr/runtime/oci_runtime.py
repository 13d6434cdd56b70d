"""The Runtime over conmon and crun or runc: containers that outlive knarr.

`create` starts a conmon, which starts the OCI runtime and stays as the container's parent; its end (a pidfd) says that
the container stopped, the exit file says how. State is on disk (bundle.py), so `recover` finds everything after a
kill -9. A conmon that is killed itself leaves no exit code: its container is killed too and reported with 137.
Not here: conmon's words (conmon.py), exec (exec_session.py), attach (attachment.py), who starts programs (launcher.py).
"""

import asyncio
import contextlib
import os
import shutil
import signal as signals
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from knarr.base import logs, tasks
from knarr.base.errors import AlreadyExists, Invalid, NotFound, Unavailable
from knarr.base.failpoints import failpoint
from knarr.base.ids import ContainerId
from knarr.runtime import attachment, bundle, conmon, exec_session, host
from knarr.runtime.cgroups import Cgroups
from knarr.runtime.launcher import Command, Launcher, readable
from knarr.runtime.moves import Moves
from knarr.runtime.runtime import Attachment, ContainerSpec, ContainerState, ExecProcess, ExecSpec
from knarr.runtime.sealed import SealedProgram

CREATE_SECONDS: Final = 60.0
START_SECONDS: Final = 30.0
KILL_SECONDS: Final = 30.0
RECOVERY_SECONDS: Final = 2.0
"""How long the start waits for containers that it has to kill: one that cannot die must not hold up the others."""
_LOST_EXIT_CODE: Final = 137
_log = logs.log("runtime")


@dataclass(slots=True)
class _Live:
    """One container: its record, pidfds of its first process and of its conmon, and its end."""

    record: bundle.Record
    process: int | None = None
    monitor: int | None = None
    ended: bundle.Exit | None = None
    was_oom_killed: bool = False
    is_killed: bool = False
    """Its monitor is gone, so it was killed; `ended` follows as soon as it is dead."""
    stopped: asyncio.Event = field(default_factory=asyncio.Event)


class OciRuntime:
    """Give it a directory below /run, the cgroup for its monitors, programs, and the directories in which every mount
    is a pod's; call `recover` once in a loop."""

    def __init__(
        self,
        directory: Path,
        programs: conmon.Programs,
        cgroups: Cgroups,
        monitors_cgroup: str,
        pods: Sequence[Path] = (),
    ) -> None:
        self._directory = directory
        self._programs = programs
        self._cgroups = cgroups
        self._monitors_cgroup = monitors_cgroup
        self._live: dict[ContainerId, _Live] = {}
        self._execs = 0
        self._limits = host.read()
        # crun alone refuses hybrid mounts.
        self._hides_unified = cgroups.is_hybrid and Path(programs.runtime).name == "crun"
        self._moves = Moves(cgroups)
        for part in ("containers", "exits"):
            (directory / part).mkdir(parents=True, exist_ok=True, mode=0o700)
        cgroups.create(monitors_cgroup)
        tasks_files = () if cgroups.is_v2 else cgroups.task_files(monitors_cgroup)
        sealed = SealedProgram(programs.runtime)
        self._launcher = Launcher(tasks_files, (directory, programs.runtime_root), sealed, pods)

    async def recover(self) -> list[ContainerId]:
        """Take over the containers that an earlier knarr left; half-created ones are removed."""
        for directory in sorted((self._directory / "containers").iterdir()):
            record = bundle.read_record(directory)
            if record is None:
                await self._discard(ContainerId(directory.name))
                continue
            live = self._live[record.id] = _Live(record)
            self._watch(live)
        # Those that lost their monitor were killed: what is told of them is to be true from the first question on.
        ends = [asyncio.ensure_future(live.stopped.wait()) for live in self._live.values() if live.is_killed]
        if ends:
            await asyncio.wait(ends, timeout=RECOVERY_SECONDS)
            for end in ends:
                end.cancel()
        return list(self._live)

    async def create(self, spec: ContainerSpec) -> None:
        # Half a container has no owner: who gives up waiting gets a whole one, or none, all the same.
        await tasks.whole(self._create(spec), f"create {spec.id[:12]}")

    async def _create(self, spec: ContainerSpec) -> None:
        if spec.id in self._live:
            raise AlreadyExists(f"container {spec.id} exists")
        self._moves.announce()
        directory = self._bundle(spec.id)
        directory.mkdir(mode=0o700)
        try:
            (directory / "config.json").write_bytes(msgspec.json.encode(host.clamp(spec.oci, self._limits)))
            failpoint("runtime.before_create")
            pid, monitor = await tasks.deadline(
                self._start_monitor(spec, directory), CREATE_SECONDS, f"container {spec.id}: create"
            )
            failpoint("runtime.after_create")
            record = bundle.Record(
                id=spec.id,
                cgroup_path=spec.cgroup_path,
                log_path=str(spec.log_path),
                has_terminal=spec.has_terminal,
                pid=pid,
                pid_started=bundle.start_time(pid),
                monitor=monitor,
                monitor_started=bundle.start_time(monitor),
            )
            bundle.write_record(directory, record)
        except BaseException:
            await self._discard(spec.id)
            raise
        live = self._live[spec.id] = _Live(record)
        self._watch(live)

    async def start(self, container: ContainerId) -> None:
        live = self._get(container)
        if live.ended is not None:
            raise Invalid(f"container {container} has stopped and cannot be started")
        if live.record.started_at is not None:
            raise Invalid(f"container {container} is started already")
        started_at = datetime.now(UTC)
        code, output = await self._run("start", container, START_SECONDS)
        if code != 0:
            raise Invalid(output.decode(errors="replace").strip() or f"container {container}: start failed")
        live.record = msgspec.structs.replace(live.record, started_at=started_at)
        bundle.write_record(self._bundle(container), live.record)

    async def signal(self, container: ContainerId, signal: int) -> None:
        live = self._get(container)
        if live.process is not None:
            with contextlib.suppress(ProcessLookupError):
                signals.pidfd_send_signal(live.process, signal)

    async def delete(self, container: ContainerId) -> None:
        await tasks.whole(self._delete(container), f"delete {container[:12]}")

    async def _delete(self, container: ContainerId) -> None:
        live = self._live.get(container)
        if live is None:
            return
        if live.ended is None:
            await self.signal(container, signals.SIGKILL)
            self._cgroups.kill(live.record.cgroup_path)
            await tasks.deadline(live.stopped.wait(), KILL_SECONDS, f"container {container}: kill")
        failpoint("runtime.before_delete")
        await self._discard(container)
        self._live.pop(container, None)

    async def state(self, container: ContainerId) -> ContainerState:
        return self._state(self._get(container))

    async def wait(self, container: ContainerId) -> ContainerState:
        live = self._get(container)
        await live.stopped.wait()
        return self._state(live)

    async def exec(
        self, container: ContainerId, spec: ExecSpec, *, stdin: bool, stdout: bool, stderr: bool
    ) -> ExecProcess:
        live = self._get(container)
        if live.record.started_at is None or live.ended is not None:
            raise Invalid(f"container {container} is not running")
        self._moves.announce()
        self._execs += 1
        directory = self._bundle(container)
        name, is_runc = f"exec-{os.getpid()}-{self._execs}", Path(self._programs.runtime).name == "runc"
        session = exec_session.Session(directory, name, spec, is_lent=is_runc)
        command = [*self._runtime(), "exec", *session.arguments(), container]
        return await session.start(self._launcher, command, self._hides_unified, wants=(stdin, stdout, stderr))

    async def attach(self, container: ContainerId) -> Attachment:
        live = self._get(container)
        if live.ended is None:
            try:
                return await attachment.connect(self._bundle(container))
            except Unavailable:  # as a rule it has ended this moment, and its end is still to be read
                if self.is_alive(container):
                    raise
        raise Unavailable(f"container {container} is not running")

    async def reopen_log(self, container: ContainerId) -> None:
        live = self._get(container)
        if live.ended is not None:
            raise Invalid(f"container {container} is not running")
        attachment.control(self._bundle(container), conmon.REOPEN_LOG)

    def is_alive(self, container: ContainerId) -> bool:
        """Whether its first process runs, by the kernel's word: its exit code is known a moment later."""
        live = self._live.get(container)
        return live is not None and live.process is not None and not bundle.has_ended(live.process)

    def pid(self, container: ContainerId) -> int:
        """The container's first process. Raises NotFound."""
        return self._get(container).record.pid

    def close(self) -> None:
        """Let go of descriptors and the launcher; containers go on."""
        for live in self._live.values():
            self._release(live)
        self._launcher.close()
        self._moves.close()

    def _state(self, live: _Live) -> ContainerState:
        record, ended = live.record, live.ended
        if ended is not None:
            return ContainerState(
                "stopped", record.pid, record.started_at, ended.code, ended.at, was_oom_killed=live.was_oom_killed
            )
        return ContainerState(
            "created" if record.started_at is None else "running", record.pid, record.started_at, None, None
        )

    def _get(self, container: ContainerId) -> _Live:
        live = self._live.get(container)
        if live is None:
            raise NotFound(f"container {container} is not there")
        return live

    def _bundle(self, container: ContainerId) -> Path:
        return self._directory / "containers" / container

    def _exit(self, container: ContainerId) -> Path:
        return self._directory / "exits" / container

    def _runtime(self) -> list[str]:
        return [self._programs.runtime, f"--root={self._programs.runtime_root}"]

    async def _run(self, verb: str, container: ContainerId, seconds: float, *more: str) -> tuple[int, bytes]:
        arguments = [*self._runtime(), verb, *more, container]
        return await self._launcher.run(Command(arguments=arguments, hides_unified=self._hides_unified), seconds)

    async def _start_monitor(self, spec: ContainerSpec, directory: Path) -> tuple[int, int]:
        """The pids of the container's first process and of its conmon."""
        if not self._hides_unified:
            return await self._run_monitor(spec, directory, self._runtime())
        async with self._launcher.hidden_namespace() as hidden:
            step_inside = ["/usr/bin/nsenter", f"--mount=/proc/{os.getpid()}/fd/{hidden}", "--"]
            return await self._run_monitor(spec, directory, [*step_inside, *self._runtime()])

    async def _run_monitor(self, spec: ContainerSpec, directory: Path, runtime: list[str]) -> tuple[int, int]:
        exits = self._directory / "exits"
        arguments = conmon.arguments(spec, directory, exits, runtime, self._programs.conmon)
        sync_read, sync_write = os.pipe2(os.O_CLOEXEC)
        start_read, start_write = os.pipe2(os.O_CLOEXEC)
        environment = {"_OCI_SYNCPIPE": str(sync_write), "_OCI_STARTPIPE": str(start_read)}
        try:
            command = Command(arguments=arguments, kept=(sync_write, start_read), environment=environment)
            child = await self._launcher.start(command)
            os.close(sync_write)
            sync_write = -1
            self._place(child.pid)
            os.write(start_write, b"x")
            answer = await _read_line(sync_read)
            await child.wait()
        finally:
            _close(sync_read, sync_write, start_read, start_write)
        return conmon.created_pid(answer), int((directory / "conmon.pid").read_text())

    def _place(self, monitor: int) -> None:
        """Put a conmon into the monitors' group; on v1 the launcher's thread is there already."""
        if self._cgroups.is_v2:
            procs = self._cgroups.root / self._monitors_cgroup.strip("/") / "cgroup.procs"
            procs.write_text(str(monitor))

    def _watch(self, live: _Live) -> None:
        record = live.record
        live.process = bundle.open_process(record.pid, record.pid_started)
        live.monitor = bundle.open_process(record.monitor, record.monitor_started)
        if live.monitor is None:
            self._monitor_ended(live)
        else:
            asyncio.get_running_loop().add_reader(live.monitor, self._monitor_ended, live)

    def _monitor_ended(self, live: _Live) -> None:
        """The monitor is gone: with the container, or before it."""
        ended = bundle.read_exit(self._exit(live.record.id))
        if ended is not None:
            self._ended(live, ended)
            return
        _log.error("lost the monitor of a container %s", logs.fields(container=live.record.id))
        live.is_killed = True
        self._cgroups.kill(live.record.cgroup_path)
        if live.monitor is not None:
            asyncio.get_running_loop().remove_reader(live.monitor)
        if live.process is None:
            self._ended_unseen(live)
            return
        with contextlib.suppress(ProcessLookupError):
            signals.pidfd_send_signal(live.process, signals.SIGKILL)
        asyncio.get_running_loop().add_reader(live.process, self._ended_unseen, live)

    def _ended_unseen(self, live: _Live) -> None:
        """The container is gone, and nobody was there to see its exit code."""
        path = self._exit(live.record.id)
        bundle.write_atomically(path, str(_LOST_EXIT_CODE).encode())
        ended = bundle.read_exit(path)
        assert ended is not None
        self._ended(live, ended)

    def _ended(self, live: _Live, ended: bundle.Exit) -> None:
        # The time is a file's, some milliseconds coarse.
        live.ended = bundle.Exit(ended.code, max(ended.at, live.record.started_at or ended.at))
        live.was_oom_killed = ended.code != 0 and self._cgroups.oom_kills(live.record.cgroup_path) > 0
        self._release(live)
        live.stopped.set()

    def _release(self, live: _Live) -> None:
        for descriptor in (live.monitor, live.process):
            if descriptor is not None:
                asyncio.get_running_loop().remove_reader(descriptor)
                os.close(descriptor)
        live.monitor = live.process = None

    async def _discard(self, container: ContainerId) -> None:
        """Remove whatever there is of a container; what a half-made one left, too."""
        directory = self._bundle(container)
        await self._end_monitor(directory)
        await self._run("delete", container, KILL_SECONDS, "--force")
        live = self._live.get(container)
        await asyncio.to_thread(self._remove_files, container, live.record.cgroup_path if live else None)

    def _remove_files(self, container: ContainerId, cgroup: str | None) -> None:
        if cgroup is not None and not self._cgroups.remove(cgroup):
            self._cgroups.kill(cgroup)
        shutil.rmtree(self._bundle(container), ignore_errors=True)
        self._exit(container).unlink(missing_ok=True)

    async def _end_monitor(self, directory: Path) -> None:
        """End a conmon that has no record yet (creation was cut short)."""
        with contextlib.suppress(FileNotFoundError, ValueError, OSError):
            if bundle.read_record(directory) is None:
                monitor = os.pidfd_open(int((directory / "conmon.pid").read_text()))
                try:
                    signals.pidfd_send_signal(monitor, signals.SIGKILL)
                    async with asyncio.timeout(KILL_SECONDS):
                        await readable(monitor)
                finally:
                    os.close(monitor)


async def _read_line(descriptor: int) -> bytes:
    os.set_blocking(descriptor, False)
    answer = b""
    while not answer.endswith(b"\n"):
        await readable(descriptor)
        chunk = os.read(descriptor, 65536)
        if not chunk:
            break
        answer += chunk
    return answer


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        if descriptor >= 0:
            os.close(descriptor)


def find_programs(directory: Path, preferred: Sequence[str] = ("crun", "runc")) -> conmon.Programs:
    """conmon and the first runtime found. Raises Unavailable naming what to install."""
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    monitor = shutil.which("conmon", path=path)
    runtime = next((found for name in preferred if (found := shutil.which(name, path=path))), None)
    if monitor is None or runtime is None:
        missing = "conmon" if monitor is None else " or ".join(preferred)
        raise Unavailable(f"{missing} is not installed; on Debian: apt-get install conmon crun")
    return conmon.Programs(monitor, runtime, directory / "oci")
