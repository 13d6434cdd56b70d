"""Fetch one blob from a registry into the content store: resumed where it broke off, bounded, verified.

The caller decides what is fetched and who may watch (images/pull.py, registry/pull_through.py). What came so far can be
read from `ingest` while the rest is on its way; the blob is visible only when its digest and size are right.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable

from knarr.base import tasks
from knarr.base.errors import Invalid, TooLarge, Unavailable
from knarr.images.content import ContentStore, Ingest
from knarr.images.ingestion import copy_in
from knarr.images.pipe import Pipe, PipedIngest
from knarr.images.remote import Remote
from knarr.oci.manifest import Descriptor
from knarr.wire.http_client import ClientResponse

_ATTEMPTS = 5
_STALL_SECONDS = 60.0
_DELAY_SECONDS = 0.2


class Fetch:
    """One blob on its way. `ingest` is another one after a registry would not resume."""

    def __init__(self, remote: Remote, part: Descriptor, content: ContentStore, pipe: Pipe | None = None) -> None:
        self._remote = remote
        self._part = part
        self._content = content
        self._pipe = pipe
        fresh = content.ingest()
        self.ingest: Ingest = fresh if pipe is None else PipedIngest(fresh, pipe.put)

    async def run(self, advance: Callable[[int], None]) -> None:
        """Until the blob is in the store; `advance` is told how many bytes are here.

        Raises Unavailable after attempts without progress, Invalid or TooLarge for what is not the blob.
        """
        part = self._part
        try:
            await self._download(advance)
            if self.ingest.size != part.size:
                raise Invalid(f"blob {part.digest}: {self.ingest.size} bytes came, the manifest says {part.size}")
            if self._pipe is not None:
                await asyncio.to_thread(self._pipe.end)
            await tasks.in_thread(self.ingest.commit, part.digest)
        finally:
            self.ingest.abort()

    async def _download(self, advance: Callable[[int], None]) -> None:
        failures = furthest = 0
        while True:
            try:
                return await self._attempt(advance)
            except (Unavailable, TimeoutError) as error:
                failures = failures + 1 if self.ingest.size <= furthest else 1
                furthest = max(furthest, self.ingest.size)
                if failures == _ATTEMPTS:
                    place = f"{self._remote.domain}/{self._remote.path}"
                    raise Unavailable(f"blob {self._part.digest} of {place}: {error}") from error
                await asyncio.sleep(_DELAY_SECONDS * failures)

    async def _attempt(self, advance: Callable[[int], None]) -> None:
        """Fetch what is missing."""
        start = self.ingest.size
        if start and start == self._part.size:
            return
        headers = (("range", f"bytes={start}-"),) if start else ()
        response = await self._remote.request("GET", f"blobs/{self._part.digest}", headers=headers)
        if start and not _goes_on(response, start):
            self._begin_again()
            start = 0
            if response.status == 206:  # another piece than the one asked for
                response.close()
                raise Unavailable(f"it resumes with {response.header('content-range')[:80]!r}")
        async with contextlib.aclosing(_bounded(response, self._part, start)) as chunks:
            await copy_in(chunks, self.ingest, progress=lambda done: advance(start + done))

    def _begin_again(self) -> None:
        self.ingest.abort()
        self.ingest = self._content.ingest()
        if self._pipe is not None:
            self._pipe.cut()


def _goes_on(response: ClientResponse, start: int) -> bool:
    """Whether the registry sends what is missing, from there on."""
    return response.status == 206 and response.header("content-range").startswith(f"bytes {start}-")


async def _bounded(response: ClientResponse, part: Descriptor, start: int) -> AsyncGenerator[bytes, None]:
    """The chunks of a body, no more than the manifest promised, and none awaited for ever."""
    size = start
    chunks = response.chunks()
    try:
        while True:
            async with asyncio.timeout(_STALL_SECONDS):
                try:
                    chunk = await anext(chunks)
                except StopAsyncIteration:
                    return
            size += len(chunk)
            if size > part.size:
                raise TooLarge(f"blob {part.digest}: more than the {part.size} bytes that the manifest says")
            yield chunk
    finally:
        if size != part.size:
            response.close()
