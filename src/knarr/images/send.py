"""Send one blob to a registry: mounted where it has it already, else whole, going on where it broke off.

One request opens the upload and one sends it (OCI distribution specification, pushing blobs). After a failure the
registry is asked how much came; the rest follows as a chunk. The caller decides what is sent (images/push.py).
"""

import asyncio
import re
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

from knarr.base.errors import KnarrError, Unavailable
from knarr.images.ingestion import file_chunks
from knarr.images.progress import Progress, Report
from knarr.images.remote import Body, Remote
from knarr.oci.manifest import Descriptor
from knarr.wire.http import Headers

_ATTEMPTS = 3
"""In a row without a byte more."""
_DELAY_SECONDS = 0.5
_RANGE = re.compile(r"(?:bytes=)?0-([0-9]{1,18})")
_ANSWER_MAX = 64 << 10


class Send:
    """One blob on its way out. `source` is another repository of the registry that has it, or ""."""

    def __init__(self, remote: Remote, part: Descriptor, path: Path, report: Report, source: str = "") -> None:
        self._remote = remote
        self._part = part
        self._path = path
        self._report = report
        self._source = source
        self._location = ""

    async def run(self) -> None:
        """Until the registry has the blob. Raises Unavailable after attempts without progress."""
        failures = furthest = 0
        while True:
            try:
                start = await self._start()
                if start is not None:
                    failures = 0 if start > furthest else failures
                    furthest = max(furthest, start)
                    await self._rest(start)
                return
            except Unavailable:
                failures += 1
                if failures == _ATTEMPTS:
                    raise
                await asyncio.sleep(_DELAY_SECONDS * failures)

    async def _start(self) -> int | None:
        """The byte to go on with, of an upload that is open; None if the registry mounted the blob."""
        if self._location:
            came = await self._came()
            if came is not None:
                return came
        query = urlencode({"mount": self._part.digest, "from": self._source}) if self._source else ""
        opened = await self._remote.request("POST", "blobs/uploads/", query=query)
        self._location = opened.header("location")
        await opened.read(_ANSWER_MAX)
        if opened.status == 201:
            return None
        if opened.status != 202 or not self._location:
            raise Unavailable(f"{self._remote.domain}: opens no upload (status {opened.status})")
        return 0

    async def _came(self) -> int | None:
        """How much of the blob the open upload holds; None if the registry gave it up, or does not say."""
        try:
            response = await self._remote.request("GET", self._location)
        except KnarrError:
            return None
        response.close()
        match = _RANGE.fullmatch(response.header("range"))
        self._location = response.header("location") or self._location
        if response.status != 204 or match is None or int(match[1]) >= self._part.size:
            return None
        return int(match[1]) + 1 if int(match[1]) else None  # 0-0 is said of nothing, too

    async def _rest(self, start: int) -> None:
        """Everything in the request that ends the upload, or what is left in a chunk before it, if any is."""
        if 0 < start < self._part.size:
            await self._request("PATCH", start, (("content-range", f"{start}-{self._part.size - 1}"),), "")
            start = self._part.size
        await self._request("PUT", start, (), urlencode({"digest": self._part.digest}))

    async def _request(self, method: str, start: int, headers: Headers, query: str) -> None:
        """One request with the bytes from `start` on."""
        size = self._part.size - start
        fields: Headers = (
            ("content-type", "application/octet-stream"),
            ("content-length", str(size)),
            *headers,
        )
        body: Body = partial(self._chunks, start) if size else b""
        answered = await self._remote.request(
            method, self._location, query=query, headers=fields, body=body, attempts=1
        )
        self._location = answered.header("location") or self._location
        await answered.read(_ANSWER_MAX)

    async def _chunks(self, start: int) -> AsyncIterator[bytes]:
        done = start
        async for chunk in file_chunks(self._path, start):
            yield chunk
            done += len(chunk)
            self._report(Progress(self._part.digest, "uploading", done, self._part.size))
