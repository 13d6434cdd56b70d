"""The contract of runtime.Runtime: in memory, and real with every runtime that is installed."""

import asyncio
import contextlib
import os
import select
import shutil
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from knarr.base.clock import SystemClock
from knarr.base.errors import AlreadyExists, Invalid, NotFound, Unavailable
from knarr.base.ids import ContainerId
from knarr.runtime import spec
from knarr.runtime.cgroups import Cgroups
from knarr.runtime.memory import MemoryRuntime
from knarr.runtime.oci_runtime import OciRuntime, find_programs
from knarr.runtime.runtime import ContainerSpec, ExecResult, ExecSpec, Runtime
from tests.contracts import real_node

SECONDS = 20.0
ONE = ContainerId("one")


@dataclass(frozen=True)
class Subject:
    runtime: Runtime
    directory: Path

    def spec(self, script: str = "sleep 60", identity: ContainerId = ONE) -> ContainerSpec:
        cgroup = f"/{real_node.NAME}/{identity}"
        settings = spec.ContainerSettings(
            rootfs=self.directory / "root", arguments=("/bin/sh", "-c", script), cgroup_path=cgroup, env=("PATH=/bin",)
        )
        log = self.directory / f"{identity}.log"
        return ContainerSpec(id=identity, oci=spec.render(settings), log_path=log, cgroup_path=cgroup)


@pytest.fixture(params=["memory", "crun", "runc"])
async def subject(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Subject]:
    if request.param == "memory":
        yield Subject(MemoryRuntime(SystemClock(), lambda _id, _words: ExecResult(5, b"out\n", b"err\n")), tmp_path)
        return
    if real_node.missing() or shutil.which(request.param) is None:
        pytest.skip(f"needs {real_node.missing() or request.param}")
    real_node.busybox_root(tmp_path / "root")
    programs = find_programs(tmp_path, (request.param,))
    runtime = OciRuntime(tmp_path, programs, Cgroups(), f"/{real_node.NAME}/monitors")
    await runtime.recover()
    yield Subject(runtime, tmp_path)
    for directory in (tmp_path / "containers").iterdir():
        await runtime.delete(ContainerId(directory.name))
    runtime.close()
    Cgroups().remove(f"/{real_node.NAME}")


async def test_a_container_is_created_runs_and_is_stopped_by_a_signal(subject: Subject) -> None:
    runtime = subject.runtime
    await runtime.create(subject.spec("exec sleep 60"))
    states = [(await runtime.state(ONE)).status]
    await runtime.start(ONE)
    states.append((await runtime.state(ONE)).status)
    await runtime.signal(ONE, signal.SIGKILL)
    ended = await asyncio.wait_for(runtime.wait(ONE), SECONDS)
    assert [*states, ended.status] == ["created", "running", "stopped"]
    assert ended.exit_code == 137
    assert ended.started_at is not None
    assert ended.finished_at is not None
    assert ended.started_at <= ended.finished_at


async def test_what_has_stopped_takes_signals_and_cannot_be_started(subject: Subject) -> None:
    runtime = subject.runtime
    await runtime.create(subject.spec())
    await runtime.start(ONE)
    with pytest.raises(Invalid):
        await runtime.start(ONE)
    await runtime.signal(ONE, signal.SIGKILL)
    await asyncio.wait_for(runtime.wait(ONE), SECONDS)
    await runtime.signal(ONE, signal.SIGTERM)
    with pytest.raises(Invalid):
        await runtime.start(ONE)
    with pytest.raises(Invalid):
        await runtime.exec(ONE, ExecSpec(arguments=("true",)), stdin=False, stdout=False, stderr=False)


async def test_a_name_is_taken_until_it_is_deleted_and_the_absent_is_deleted(subject: Subject) -> None:
    runtime = subject.runtime
    await runtime.create(subject.spec())
    with pytest.raises(AlreadyExists):
        await runtime.create(subject.spec())
    for _ in range(2):
        await runtime.delete(ONE)
    with pytest.raises(NotFound):
        await runtime.state(ONE)
    await runtime.create(subject.spec())


async def test_a_running_container_is_killed_by_its_deletion(subject: Subject) -> None:
    runtime = subject.runtime
    await runtime.create(subject.spec("trap '' TERM; while :; do sleep 1; done"))
    await runtime.start(ONE)
    await asyncio.wait_for(runtime.delete(ONE), SECONDS)
    with pytest.raises(NotFound):
        await runtime.wait(ONE)


async def test_an_exec_has_streams_and_a_code(subject: Subject) -> None:
    runtime = subject.runtime
    await runtime.create(subject.spec())
    await runtime.start(ONE)
    wanted = ExecSpec(arguments=("/bin/sh", "-c", "echo out; echo err >&2; exit 5"))
    running = await runtime.exec(ONE, wanted, stdin=True, stdout=True, stderr=True)
    assert await asyncio.wait_for(running.wait(), SECONDS) == 5
    assert running.stdin_fd is not None
    assert running.stdout_fd is not None
    assert running.stderr_fd is not None
    assert (os.read(running.stdout_fd, 99), os.read(running.stderr_fd, 99)) == (b"out\n", b"err\n")
    for descriptor in (running.stdin_fd, running.stdout_fd, running.stderr_fd):
        os.close(descriptor)


async def test_an_exec_on_a_terminal_whose_caller_gives_up_ends(subject: Subject) -> None:
    if isinstance(subject.runtime, MemoryRuntime):
        pytest.skip("an exec in memory is over before anybody gives up")
    await subject.runtime.create(subject.spec())
    await subject.runtime.start(ONE)
    before = len(os.listdir("/proc/self/fd"))
    for milliseconds in range(0, 60, 5):
        words = ExecSpec(("sleep", "4242"), has_terminal=True)
        starting = asyncio.ensure_future(subject.runtime.exec(ONE, words, stdin=True, stdout=True, stderr=False))
        await asyncio.wait({starting}, timeout=milliseconds / 1000)
        starting.cancel()
        (came,) = await asyncio.gather(starting, return_exceptions=True)
        if not isinstance(came, BaseException):
            came.kill()
            for descriptor in (came.stdin_fd, came.stdout_fd):
                os.close(descriptor or -1)
    async with asyncio.timeout(SECONDS):
        while list((subject.directory / "containers" / ONE).glob("exec-*")):
            await asyncio.sleep(0.05)  # each is removed when its program has ended, which nobody is told
        while len(Cgroups().members(f"/{real_node.NAME}/{ONE}")) > 1:
            await asyncio.sleep(0.05)  # as are its processes
    assert len(os.listdir("/proc/self/fd")) == before


async def test_many_containers_start_at_once(subject: Subject) -> None:
    names = [ContainerId(f"c{number}") for number in range(10)]

    async def run(name: ContainerId) -> int | None:
        await subject.runtime.create(subject.spec("exec sleep 60", name))
        await subject.runtime.start(name)
        await subject.runtime.signal(name, signal.SIGKILL)
        ended = await asyncio.wait_for(subject.runtime.wait(name), SECONDS)
        await subject.runtime.delete(name)
        return ended.exit_code

    assert await asyncio.gather(*(run(name) for name in names)) == [137] * len(names)


async def test_an_exec_on_a_terminal_has_its_size_its_echo_and_its_code(subject: Subject) -> None:
    runtime = subject.runtime
    if isinstance(runtime, MemoryRuntime):
        pytest.skip("no terminals in memory")
    await runtime.create(subject.spec())
    await runtime.start(ONE)
    wait = 'read go; until [ "$(stty size)" = "33 101" ]; do sleep 0.05; done; tty; exit 3'
    wanted = ExecSpec(arguments=("/bin/sh", "-c", f"stty size; {wait}"), has_terminal=True, console_size=(99, 31))
    running = await runtime.exec(ONE, wanted, stdin=True, stdout=True, stderr=False)
    assert running.stdin_fd is not None
    assert running.stdout_fd is not None
    text = b""
    while b"\n" not in text:
        text += await asyncio.to_thread(os.read, running.stdout_fd, 4096)
    running.resize(101, 33)
    os.write(running.stdin_fd, b"go\n")
    assert await asyncio.wait_for(running.wait(), SECONDS) == 3
    with contextlib.suppress(OSError):  # EIO ends a terminal
        while chunk := os.read(running.stdout_fd, 4096):
            text += chunk
    for descriptor in (running.stdin_fd, running.stdout_fd):
        os.close(descriptor)
    assert text == b"31 99\r\ngo\r\n/dev/pts/0\r\n"


async def test_to_attach_to_what_ended_this_moment_says_that_it_does_not_run(subject: Subject) -> None:
    runtime = subject.runtime
    if not isinstance(runtime, OciRuntime):
        pytest.skip("has no monitor")
    await runtime.create(subject.spec())
    await runtime.start(ONE)
    monitor = os.pidfd_open(int((subject.directory / "containers" / ONE / "conmon.pid").read_text()))
    os.kill(runtime.pid(ONE), signal.SIGKILL)
    assert select.select([monitor], [], [], SECONDS)[0]  # without the loop, so that nobody hears of it
    os.close(monitor)
    with pytest.raises(Unavailable, match="container one is not running"):
        await runtime.attach(ONE)
