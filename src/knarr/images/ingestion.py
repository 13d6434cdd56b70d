"""Stream bytes from the network into the content store, and out of it, without ever holding the event loop.

Pieces are gathered to a megabyte and written and hashed on a worker thread while the next ones arrive; memory stays
flat however large the blob. The size and the digest are checked by the caller's commit.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from knarr.base import tasks
from knarr.images.content import Ingest

_BATCH = 1 << 20
_PIECE = 1 << 20


async def copy_in(
    chunks: AsyncIterator[bytes] | bytes, ingest: Ingest, *, progress: Callable[[int], None] | None = None
) -> int:
    """Write all chunks into the ingest; returns how many bytes came. What came before a failure is written too."""
    if isinstance(chunks, bytes):
        if chunks:
            await tasks.in_thread(ingest.write, chunks)
        return len(chunks)
    pending: asyncio.Future[None] | None = None
    batch, batch_size, total = [], 0, 0
    loop = asyncio.get_running_loop()
    try:
        async for chunk in chunks:
            batch.append(chunk)
            batch_size += len(chunk)
            total += len(chunk)
            if batch_size < _BATCH:
                continue
            if pending is not None:
                # Cancelling the future would not stop its thread, and the next piece would come before this one.
                await asyncio.shield(pending)
            pending = loop.run_in_executor(None, _write_all, ingest, batch)
            batch, batch_size = [], 0
            if progress is not None:
                progress(total)
    finally:
        if pending is not None:
            await asyncio.wait({pending})
        # After a piece that could not be written comes none: there would be a hole.
        if batch and (pending is None or pending.exception() is None):
            await tasks.in_thread(_write_all, ingest, batch)
    if pending is not None:
        pending.result()
    if progress is not None:
        progress(total)
    return total


def _write_all(ingest: Ingest, batch: list[bytes]) -> None:
    for chunk in batch:
        ingest.write(chunk)


async def file_chunks(path: Path, start: int = 0, size: int | None = None) -> AsyncIterator[bytes]:
    """The bytes of a file from `start` on, the next piece read ahead while one is sent."""
    descriptor = os.open(path, os.O_RDONLY)
    loop = asyncio.get_running_loop()
    ahead: asyncio.Future[bytes] | None = None
    try:
        end = os.fstat(descriptor).st_size if size is None else start + size
        while start < end:
            ahead = ahead or loop.run_in_executor(None, os.pread, descriptor, min(_PIECE, end - start), start)
            piece = await asyncio.shield(ahead)
            ahead = None
            if not piece:
                return
            start += len(piece)
            if start < end:
                ahead = loop.run_in_executor(None, os.pread, descriptor, min(_PIECE, end - start), start)
            yield piece
    finally:
        if ahead is not None:
            await asyncio.wait({ahead})
        os.close(descriptor)
