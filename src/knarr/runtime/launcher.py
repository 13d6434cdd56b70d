"""Starts the runtime's own programs (conmon, crun, runc) from one thread kept for that.

The thread stands in the cgroups where monitors belong, so knarr's end does not touch them, and can step into a
mount namespace of its own for one start: crun refuses hybrid cgroup v1 mounts (a cgroup2 mount at
/sys/fs/cgroup/unified), and runs where that mount is not seen. To create a container it gets a fresh copy, so that
volumes mounted a moment ago are in it; it is gone with the program. For everything else one *lean* copy is kept,
without the mounts of pods, which it would hold on to. Nothing of the host's mounts changes.
Workaround to let go: when crun of the oldest supported distribution accepts hybrid mounts.
Not here: what the programs are told (conmon.py, oci_runtime.py).
"""

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from knarr.base import linux
from knarr.runtime.sealed import SealedProgram

CGROUPS: Final = Path("/sys/fs/cgroup")
UNIFIED: Final = CGROUPS / "unified"
_ALWAYS_NEEDED: Final = ("/sys/fs/cgroup", "/proc", "/dev", "/run", "/usr", "/bin", "/sbin", "/lib")
_POD_MOUNTS: Final = ("overlay", "nsfs", "tmpfs")
ENVIRONMENT: Final = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One program to start. `files` are (stdin, stdout, stderr) descriptors; `kept` stay open in the child."""

    arguments: Sequence[str]
    files: tuple[int, int, int] = (subprocess.DEVNULL, subprocess.DEVNULL, subprocess.DEVNULL)
    kept: Sequence[int] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    hides_unified: bool = False
    """Start inside the private mount namespace (for crun); without it in the host's (for conmon)."""


class Child:
    """A started program. It is reaped when it ends (its pidfd says so), whether somebody waits for it or not."""

    def __init__(self, popen: "subprocess.Popen[bytes]") -> None:
        self._popen = popen
        self._ended = asyncio.Event()
        self._acts: list[Callable[[], None]] = []
        self._pidfd = os.pidfd_open(popen.pid)

    @property
    def pid(self) -> int:
        return self._popen.pid

    async def wait(self) -> int:
        """The exit code; 128 + n when signal n ended it."""
        await self._ended.wait()
        code = self._popen.returncode
        return code if code >= 0 else 128 - code

    def kill(self) -> None:
        self._popen.kill()

    def when_ended(self, act: Callable[[], None]) -> None:
        """Call `act` once the program has ended."""
        self._acts.append(act)

    def watch(self) -> None:
        """Begin to wait for the end, in the running loop."""
        asyncio.get_running_loop().add_reader(self._pidfd, self._reap)

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._popen.wait()
        self._ended.set()
        for act in self._acts:
            act()


async def readable(descriptor: int) -> None:
    """Return once the descriptor can be read (a pidfd: once its process has ended)."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(descriptor, wake)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


class Launcher:
    """Owns the thread. `cgroup_tasks` are `tasks` files of cgroup v1 that the thread enters once; `needed` are the
    directories that the runtime works in; `pods` those below which every mount is a pod's; `sealed` is the program that
    is started from its copy."""

    def __init__(
        self,
        cgroup_tasks: Sequence[Path] = (),
        needed: Sequence[Path] = (),
        sealed: SealedProgram | None = None,
        pods: Sequence[Path] = (),
    ) -> None:
        self._pods = tuple(map(str, pods))
        self._sealed = sealed
        self._needed = (*map(str, needed), *_ALWAYS_NEEDED)
        self._lean: int | None = None
        self._host = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        self._is_inside = False
        self._is_placed = False
        self._cgroup_tasks = tuple(cgroup_tasks)
        self._thread = ThreadPoolExecutor(1, "launcher")

    async def start(self, command: Command) -> Child:
        """Start the program and return at once; OSError when it is not there. Given up, it is killed."""
        starting = asyncio.get_running_loop().run_in_executor(self._thread, self._start, command)
        try:
            child = await asyncio.shield(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(_abandon)
            raise
        child.watch()
        return child

    async def run(self, command: Command, seconds: float) -> tuple[int, bytes]:
        """Run the program to its end: exit code and the first 64 KiB of its output and errors."""
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        try:
            child = await self.start(
                Command(
                    arguments=command.arguments,
                    files=(subprocess.DEVNULL, write_end, write_end),
                    kept=command.kept,
                    environment=command.environment,
                    hides_unified=command.hides_unified,
                )
            )
        except BaseException:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        try:
            async with asyncio.timeout(seconds):
                code = await child.wait()
        except TimeoutError:
            child.kill()
            await child.wait()
            code = 124
        finally:
            os.set_blocking(read_end, False)
            output = b""
            with contextlib.suppress(BlockingIOError):
                output = os.read(read_end, 65536)
            os.close(read_end)
        return code, output

    @contextlib.asynccontextmanager
    async def hidden_namespace(self) -> AsyncIterator[int]:
        """A descriptor of a fresh mount namespace without the unified cgroup mount."""
        loop = asyncio.get_running_loop()
        descriptor = await loop.run_in_executor(self._thread, self._open_hidden)
        try:
            yield descriptor
        finally:
            # The last close takes the namespace apart, mount by mount: not on the loop, and nobody waits.
            loop.run_in_executor(self._thread, os.close, descriptor)

    def close(self) -> None:
        # A thread that has ended counts as a member a moment longer, and the group could not be removed.
        self._thread.submit(self._leave_cgroups).result()
        self._thread.shutdown()
        if self._sealed is not None:
            self._sealed.close()
        for descriptor in (self._host, self._lean):
            if descriptor is not None:
                os.close(descriptor)

    def _start(self, command: Command) -> Child:
        self._enter_cgroups()
        if command.hides_unified:
            self._step_into_lean()
        else:
            self._step_outside()
        sealed = self._sealed
        if sealed is None or command.arguments[0] != sealed.program:
            return Child(_spawn(command, command.arguments[0]))
        try:
            return Child(_spawn(command, sealed.executable()))
        except PermissionError:  # a security module that executes nothing from memory
            sealed.refuse()
            return Child(_spawn(command, sealed.program))

    def _open_hidden(self) -> int:
        self._step_into_copy("/sys/fs/cgroup")
        descriptor = _own_namespace()
        self._step_outside()
        return descriptor

    def _step_into_lean(self) -> None:
        if self._lean is not None:
            linux.setns(self._lean, linux.CLONE_NEWNS)
            self._is_inside = True
            return
        self._step_into_copy("/")
        for target in pod_mounts(Path("/proc/thread-self/mountinfo").read_text(), self._needed, self._pods):
            linux.umount(target)
        self._lean = _own_namespace()

    def _step_into_copy(self, private: str) -> None:
        """A copy of the host's mounts; what is done below `private` in it stays in it."""
        self._step_outside()
        linux.unshare(linux.CLONE_FS | linux.CLONE_NEWNS)
        self._is_inside = True
        linux.mount("", private, None, linux.MS_REC | linux.MS_PRIVATE)
        linux.umount(UNIFIED)

    def _step_outside(self) -> None:
        if self._is_inside:
            linux.setns(self._host, linux.CLONE_NEWNS)
            self._is_inside = False

    def _enter_cgroups(self) -> None:
        if not self._is_placed:
            for tasks in self._cgroup_tasks:
                tasks.write_text("0")
            self._is_placed = True

    def _leave_cgroups(self) -> None:
        for tasks in self._cgroup_tasks if self._is_placed else ():
            top = CGROUPS / tasks.relative_to(CGROUPS).parts[0] / "tasks"
            top.write_text("0")


def _spawn(command: Command, executable: str) -> "subprocess.Popen[bytes]":
    stdin, stdout, stderr = command.files
    return subprocess.Popen(
        list(command.arguments),
        executable=executable,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        pass_fds=command.kept,
        env={**ENVIRONMENT, **command.environment},
        cwd="/",
        start_new_session=True,
    )


def _abandon(starting: "asyncio.Future[Child]") -> None:
    if starting.exception() is None:
        starting.result().watch()
        starting.result().kill()


def pod_mounts(mountinfo: str, needed: Sequence[str], pods: Sequence[str] = ()) -> list[str]:
    """Targets of the mounts that may be a pod's: below a directory of pods, whatever they are (a volume's file system),
    or of the types that pods have, and none that a needed directory lies in. Pure."""
    found = []
    for line in mountinfo.splitlines():
        own, _, rest = line.partition(" - ")
        target = own.split(" ")[4].encode().decode("unicode_escape")
        is_pods = any(target != directory and _is_within(target, directory) for directory in pods)
        may_be = rest.split(" ")[0] in _POD_MOUNTS and not any(_is_within(path, target) for path in needed)
        if is_pods or may_be:
            found.append(target)
    return found


def _is_within(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def _own_namespace() -> int:
    return os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
