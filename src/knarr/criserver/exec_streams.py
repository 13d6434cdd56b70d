"""Exec and attach: a process's descriptors, or conmon's attach socket, joined to a client's streams until one ends.

The result of an exec is a metav1.Status: Success, NonZeroExitCode with the code among its causes, or InternalError.
A command whose client leaves is killed: nobody would ever read or end it.
"""

import asyncio
import contextlib
import os
from collections.abc import Awaitable
from dataclasses import replace
from typing import Any, Final, Literal

import msgspec

from knarr.base.errors import KnarrError
from knarr.base.ids import ContainerId
from knarr.criserver import descriptors
from knarr.runtime.runtime import Attachment, ExecProcess, ExecSpec, Monitor, Runtime
from knarr.wire.channels import Streams

DRAIN_SECONDS: Final = 1.0
"""How long output may stay silent after the command's end while a child it left behind holds it open."""
OPENING_SECONDS: Final = 0.1
"""How long a terminal's first input waits for the command's first output. What is typed before the command has opened
its terminal would be echoed in front of everything it says; containerd, too, joins input only after the start."""
SIZE_SECONDS: Final = 0.1
SUCCESS: Final = msgspec.json.encode({"metadata": {}, "status": "Success"})


def exit_status(code: int) -> bytes:
    """The Status of a command that ended."""
    if code == 0:
        return SUCCESS
    return msgspec.json.encode(
        {
            "metadata": {},
            "status": "Failure",
            "message": f"command terminated with non-zero exit code: exit status {code}",
            "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
        }
    )


def failure_status(message: str) -> bytes:
    """The Status of a stream that could not be set up."""
    text = f"Internal error occurred: {message}"
    status: dict[str, Any] = {"metadata": {}, "status": "Failure", "message": text, "reason": "InternalError"}
    status |= {"details": {"causes": [{"message": message}]}, "code": 500}
    return msgspec.json.encode(status)


async def run_exec(runtime: Runtime, container: ContainerId, spec: ExecSpec, streams: Streams) -> None:
    """Run the command with the client's streams; `finish`es them."""
    wanted = streams.wanted
    size = await _first_size(streams) if wanted.tty else None
    spec = replace(spec, console_size=size)
    try:
        process = await runtime.exec(
            container, spec, stdin=wanted.stdin, stdout=wanted.stdout, stderr=wanted.stderr and not wanted.tty
        )
    except KnarrError as error:
        await streams.finish(failure_status(f"error executing command in container: {error}"))
        return
    if size is not None:  # a runtime may not know the size's place in the specification
        process.resize(*size)
    code = await _Joined(process, streams).run()
    with contextlib.suppress(ConnectionError):
        await streams.finish(exit_status(code))


class _Joined:
    """A process and a client, while both are there."""

    def __init__(self, process: ExecProcess, streams: Streams) -> None:
        self._process = process
        self._streams = streams
        self._moved = 0
        self._spoke = asyncio.Event()

    async def run(self) -> int:
        process = self._process
        owned = [fd for fd in (process.stdin_fd, process.stdout_fd, process.stderr_fd) if fd is not None]
        for descriptor in owned:
            os.set_blocking(descriptor, False)
        inputs = [asyncio.create_task(self._input(), name="exec stdin")]
        inputs.append(asyncio.create_task(self._resizes(), name="exec resize"))
        outputs = [
            asyncio.create_task(self._output(descriptor, channel), name="exec output")
            for descriptor, channel in _outputs(process)
            if descriptor is not None
        ]
        ended = asyncio.create_task(process.wait(), name="exec wait")
        try:
            await _until_one(ended, asyncio.ensure_future(self._streams.gone()))
            if not ended.done():
                process.kill()
            else:
                await self._drain(outputs)
            return await ended
        except BaseException:
            process.kill()
            await asyncio.shield(ended)
            raise
        finally:
            try:
                await _cancel([*inputs, *outputs])
            finally:  # the server may end while the client's end is being tidied up
                for descriptor in owned:
                    os.close(descriptor)

    async def _output(self, descriptor: int, channel: Literal[1, 2]) -> None:
        with contextlib.suppress(ConnectionError):
            while content := await descriptors.read(descriptor):
                self._moved += 1
                self._spoke.set()
                await self._streams.write(channel, content)

    async def _input(self) -> None:
        descriptor = self._process.stdin_fd
        if descriptor is None:
            return
        if self._streams.wanted.tty:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(OPENING_SECONDS):
                    await self._spoke.wait()
        try:
            while content := await self._streams.read_stdin():
                await descriptors.write(descriptor, content)
        except BrokenPipeError:  # the command reads no more: take and drop, so that the client may go on
            while await self._streams.read_stdin():
                pass
            return
        if not self._streams.wanted.tty:
            # A pipe's end is the command's end of input. The number may be used again by the time run() ends, so
            # the pipe is replaced in place and not closed.
            _replace_with_null(descriptor)

    async def _resizes(self) -> None:
        while (size := await self._streams.next_resize()) is not None:
            self._process.resize(*size)

    async def _drain(self, outputs: list["asyncio.Task[None]"]) -> None:
        """Wait for the end of the output; for as long as something still comes."""
        pending = set(outputs)
        seen = -1
        while pending and seen != self._moved:
            seen = self._moved
            _, pending = await asyncio.wait(pending, timeout=DRAIN_SECONDS)


async def _first_size(streams: Streams) -> tuple[int, int] | None:
    """The size that a client with a terminal sends at once; None for one that sends none."""
    try:
        async with asyncio.timeout(SIZE_SECONDS):
            return await streams.next_resize()
    except TimeoutError:
        return None


async def run_attach(monitor: Monitor, container: ContainerId, streams: Streams, *, closes_stdin: bool) -> None:
    """Join the container's own streams to the client until either ends.

    `closes_stdin` passes the end of input on, and the container says the rest. Where it cannot be told (it keeps its
    input open for the next client, or has a terminal), the end of input is the client's end, as with containerd."""
    try:
        attachment = await monitor.attach(container)
    except KnarrError as error:
        await streams.finish(failure_status(f"error attaching to container: {error}"))
        return
    output = asyncio.create_task(_attached_output(attachment, streams), name="attach output")
    inputs = [asyncio.create_task(_attached_resizes(attachment, streams), name="attach resize")]
    ends: list[asyncio.Future[None]] = [output, asyncio.ensure_future(streams.gone())]
    if streams.wanted.stdin:
        closes_stdin = closes_stdin and not streams.wanted.tty
        stdin = asyncio.create_task(_attached_input(attachment, streams, closes_stdin), name="attach stdin")
        inputs.append(stdin)
        if not closes_stdin:
            ends.append(stdin)
    try:
        await _until_one(*ends)
    finally:
        try:
            await _cancel([output, *inputs])
        finally:
            attachment.close()
    with contextlib.suppress(ConnectionError):
        await streams.finish(SUCCESS)


async def _attached_output(attachment: Attachment, streams: Streams) -> None:
    wanted = streams.wanted
    with contextlib.suppress(ConnectionError):
        while (piece := await attachment.read()) is not None:
            channel, content = piece
            if (wanted.stdout if channel == 1 else wanted.stderr) or wanted.tty:
                await streams.write(1 if wanted.tty else channel, content)


async def _attached_input(attachment: Attachment, streams: Streams, closes_stdin: bool) -> None:
    with contextlib.suppress(ConnectionError):
        while content := await streams.read_stdin():
            await attachment.write(content)
        if closes_stdin:
            attachment.close_stdin()


async def _attached_resizes(attachment: Attachment, streams: Streams) -> None:
    while (size := await streams.next_resize()) is not None:
        with contextlib.suppress(KnarrError):  # a container that ends meanwhile
            attachment.resize(*size)


def _outputs(process: ExecProcess) -> tuple[tuple[int | None, Literal[1]], tuple[int | None, Literal[2]]]:
    return (process.stdout_fd, 1), (process.stderr_fd, 2)


def _replace_with_null(descriptor: int) -> None:
    null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.dup2(null, descriptor, inheritable=False)
    finally:
        os.close(null)


async def _until_one(task: "asyncio.Future[Any]", *others: "asyncio.Future[Any]") -> None:
    try:
        await asyncio.wait({task, *others}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for other in others:
            other.cancel()


async def _cancel(tasks: "list[asyncio.Task[None]]") -> None:
    for task in tasks:
        task.cancel()
    waits: list[Awaitable[Any]] = [*tasks]
    await asyncio.gather(*waits, return_exceptions=True)
