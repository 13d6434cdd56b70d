"""Pipes and terminals without a thread: read and write a raw descriptor when it is ready.

The descriptor must be this process's own open file (a pipe end, a terminal's controlling side): it is made
non-blocking. Whoever owns it closes it, after the reader and writer have ended.
"""

import asyncio
import errno
import os
from collections.abc import Callable
from typing import Final

PIECE: Final = 64 * 1024


async def read(descriptor: int) -> bytes:
    """What is there, waiting for something; b"" at the end (for a terminal: when its last user is gone)."""
    while True:
        try:
            return os.read(descriptor, PIECE)
        except BlockingIOError:
            loop = asyncio.get_running_loop()
            await _ready(descriptor, loop.add_reader, loop.remove_reader)
        except OSError as error:
            if error.errno == errno.EIO:
                return b""
            raise


async def write(descriptor: int, content: bytes) -> None:
    """All of it. Raises BrokenPipeError when nobody can read it any more."""
    view = memoryview(content)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            loop = asyncio.get_running_loop()
            await _ready(descriptor, loop.add_writer, loop.remove_writer)
        except OSError as error:
            if error.errno == errno.EIO:
                raise BrokenPipeError("the terminal is gone") from error
            raise


async def _ready(
    descriptor: int, add: Callable[[int, Callable[[], None]], object], remove: Callable[[int], object]
) -> None:
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    add(descriptor, wake)
    try:
        await ready
    finally:
        remove(descriptor)
