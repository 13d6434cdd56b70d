"""ExecSync: run a command to its end, with a time limit and a bound on what it prints.

Output past the bound is dropped, not kept waiting; the command goes on. A command out of time is killed.
"""

import asyncio
import os
from typing import Final

from knarr.base.errors import DeadlineExceeded
from knarr.cri.messages.container import ExecSyncRequest, ExecSyncResponse
from knarr.criserver.node import Node
from knarr.runtime.runtime import ExecProcess, ExecSpec

OUTPUT_MAX: Final = 16 << 20
DRAIN_SECONDS: Final = 2.0
"""What a daemon that the command left behind may hold its output open."""
_SECONDS_MAX: Final = 24 * 3600.0


async def exec_sync(node: Node, request: ExecSyncRequest) -> ExecSyncResponse:
    record = node.get_container(request.container_id)
    spec = ExecSpec(arguments=request.cmd)
    running = await node.runtime.exec(record.id, spec, stdin=False, stdout=True, stderr=True)
    stdout, stderr = _Output(running.stdout_fd), _Output(running.stderr_fd)
    try:
        code = await _code(running, float(request.timeout) or _SECONDS_MAX)
        await asyncio.wait({stdout.closed, stderr.closed}, timeout=DRAIN_SECONDS)
    finally:
        stdout.close()
        stderr.close()
    return ExecSyncResponse(stdout=bytes(stdout.content), stderr=bytes(stderr.content), exit_code=code)


async def _code(running: ExecProcess, seconds: float) -> int:
    try:
        async with asyncio.timeout(seconds):
            return await running.wait()
    except TimeoutError as error:
        running.kill()
        await running.wait()
        raise DeadlineExceeded(
            f"failed to exec in container: timeout {seconds:g}s exceeded: context deadline exceeded"
        ) from error
    except asyncio.CancelledError:
        running.kill()
        raise


class _Output:
    """Reads one pipe as it fills, keeping the first OUTPUT_MAX bytes."""

    def __init__(self, descriptor: int | None) -> None:
        assert descriptor is not None
        self.content = bytearray()
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self.closed = self._loop.create_future()
        os.set_blocking(descriptor, False)
        self._loop.add_reader(descriptor, self._read)

    def _read(self) -> None:
        try:
            chunk = os.read(self._descriptor, 1 << 16)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if chunk:
            self.content += chunk[: OUTPUT_MAX - len(self.content)]
        else:
            self._loop.remove_reader(self._descriptor)
            if not self.closed.done():
                self.closed.set_result(None)

    def close(self) -> None:
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
        if not self.closed.done():
            self.closed.cancel()
