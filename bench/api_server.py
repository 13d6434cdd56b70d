"""The server that bench/api.py measures: store and API over TLS in a process of its own, as `knarr control` runs them.

    python -m bench.api_server DIRECTORY [parts]
With `parts` the controllers and the scheduler run too. It prints its port when it is ready and ends on SIGTERM. The
loop and the garbage collector are set as assembly/role.py sets them.
"""

import asyncio
import contextlib
import gc
import signal
import sys
from pathlib import Path

import uvloop

from knarr.assembly import control, pki, role
from knarr.assembly.settings import Settings
from knarr.base.clock import SystemClock
from knarr.wire import tls
from knarr.wire.http_server import Server


async def main(directory: Path, *, with_parts: bool) -> None:
    settings = Settings(name="bench", data_dir=directory, run_dir=directory / "run", node_name="bench", api_only=True)
    made = pki.ensure(settings, SystemClock().now())
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    gc.set_threshold(*role.GC_THRESHOLDS)
    async with control.opened(settings, made, SystemClock()) as running:
        server = Server(running.pipeline.handle)
        context = tls.server_context(made / "apiserver.crt", made / "apiserver.key", client_authority=made / "ca.crt")
        port = await server.listen_tcp("127.0.0.1", 0, tls=context)

        def ready() -> None:
            gc.collect()
            gc.freeze()
            print(port, flush=True)

        try:
            if with_parts:
                await control._run_parts(running, settings, made, ready)
            else:
                ready()
            await asyncio.Event().wait()
        finally:
            await server.close(0)


if __name__ == "__main__":
    with (
        contextlib.suppress(asyncio.CancelledError, KeyboardInterrupt),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(main(Path(sys.argv[1]), with_parts="parts" in sys.argv[2:]))
