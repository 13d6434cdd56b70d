"""A control plane without controllers as a process of its own: `python -m tests.conformance.control_plane DIR PORT`."""

import asyncio
import sys
from pathlib import Path

from knarr.assembly import control, pki
from knarr.assembly.settings import Settings
from knarr.base.clock import SystemClock
from knarr.wire import tls
from knarr.wire.http_server import Server


def settings_of(directory: Path, port: int) -> Settings:
    return Settings(name="t", data_dir=directory, run_dir=directory / "run", port=port, api_only=True, node_name="t")


async def main(directory: Path, port: int) -> None:
    settings, clock = settings_of(directory, port), SystemClock()
    made = pki.ensure(settings, clock.now())
    async with control.opened(settings, made, clock) as running:
        server = Server(running.pipeline.handle)
        context = tls.server_context(made / "apiserver.crt", made / "apiserver.key", client_authority=made / "ca.crt")
        await server.listen_tcp("127.0.0.1", port, tls=context)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
