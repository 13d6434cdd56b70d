"""A server as a process of its own that says what is left in it: `python -m tests.conformance.hostile_server KIND DIR`.

KIND `api`: the control plane over TLS on the product's event loop; `streams`: the stage of streams_stage.py. It prints
its port. For each line on its standard input it collects garbage and prints how many tasks it runs.
"""

import asyncio
import gc
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import uvloop

from knarr.assembly import control, pki
from knarr.base.clock import SystemClock
from knarr.wire import tls
from knarr.wire.http_server import Server
from tests.conformance import streams_stage
from tests.conformance.control_plane import settings_of


@asynccontextmanager
async def api(directory: Path) -> AsyncIterator[int]:
    """The port of an API server without controllers."""
    settings, clock = settings_of(directory, 0), SystemClock()
    made = pki.ensure(settings, clock.now())
    async with control.opened(settings, made, clock) as running:
        server = Server(running.pipeline.handle)
        context = tls.server_context(made / "apiserver.crt", made / "apiserver.key", client_authority=made / "ca.crt")
        yield await server.listen_tcp("127.0.0.1", 0, tls=context)


@asynccontextmanager
async def streams(directory: Path) -> AsyncIterator[int]:
    """The port of an API server that reaches a kubelet with one pod; plain HTTP, everybody is an administrator."""
    async with streams_stage.stage(directory, is_in_process=True) as stage:
        yield int(stage.url.rpartition(":")[2])


KINDS: dict[str, Callable[[Path], AbstractAsyncContextManager[int]]] = {"api": api, "streams": streams}


async def main(kind: str, directory: Path) -> None:
    asked = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(asked), sys.stdin)
    async with KINDS[kind](directory) as port:
        print(port, flush=True)
        while await asked.readline():
            gc.collect()
            print(len(asyncio.all_tasks()), flush=True)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(sys.argv[1], Path(sys.argv[2])))
