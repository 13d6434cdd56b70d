"""Builds over node.sock: the context comes as a list; content is asked for only when a step needs it.

A build that lacks content says `need` with digests and its id; the CLI posts them to /builds/ID/content as frames
(`DIGEST SIZE\\n` and the bytes) on another connection. The build waits for that, with a deadline.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from knarr.base import tasks
from knarr.base.errors import BadRequest, Invalid, NotFound
from knarr.base.ids import hex_id
from knarr.builder import request as requests
from knarr.builder.cache_exchange import Found
from knarr.builder.context_store import ContextStore
from knarr.builder.progress import Event, Output, StepEnded, StepStarted, Warned
from knarr.builder.request import ENTITLEMENTS, BuildRequest, Built, Publication, RunSettings
from knarr.builder.solve import Builder
from knarr.builder.trees import ContextTree, Entry
from knarr.images.credentials import from_docker_config
from knarr.images.image_store import Image
from knarr.images.pull import Puller
from knarr.nodeapi import cache_source
from knarr.nodeapi.messages import BuildBody, ContextEntry
from knarr.nodeapi.streams import Say
from knarr.oci import reference as references
from knarr.oci.platform import Platform
from knarr.oci.reference import Reference

CONTENT_SECONDS = 600.0
_HEAD_MAX = 128
_HOSTNAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,62}[A-Za-z0-9])?")
_KINDS = {"f": "file", "d": "directory", "l": "link"}


class Builds:
    """The builds that run now, by id."""

    def __init__(self, builder: Builder, puller: Puller) -> None:
        self._builder = builder
        self._images = builder.tools.images
        self._puller = puller
        self._running: dict[str, Content] = {}

    async def build(self, body: BuildBody, say: Say) -> dict[str, Any]:
        identifier = hex_id()[:16]
        contexts = self._builder.tools.contexts
        content = self._running[identifier] = Content(contexts, identifier, say)

        async def fetch(reference: Reference, wanted: Platform) -> Image:
            credentials = from_docker_config({"auths": body.auths}, reference.domain)
            return await self._puller.of(wanted).pull(reference, credentials)

        async def imports(reference: Reference) -> Found:
            credentials = from_docker_config({"auths": body.auths}, reference.domain)
            return await cache_source.find(self._puller, self._images, reference, credentials)

        try:
            request = await asyncio.to_thread(_request, body, contexts)
            built = await self._builder.build(request, lambda event: _say(say, event), content.need, fetch, imports)
        finally:
            del self._running[identifier]
        return _result(built)

    async def receive(self, identifier: str, chunks: AsyncIterator[bytes] | bytes) -> int:
        """Store frames that a waiting build asked for; how many came."""
        content = self._running.get(identifier)
        if content is None:
            raise NotFound(f"build {identifier[:40]!r} does not run")
        return await content.receive(chunks)


class Content:
    """What one build waits for."""

    def __init__(self, store: ContextStore, identifier: str, say: Say) -> None:
        self._store = store
        self._identifier = identifier
        self._say = say
        self._asked: set[str] = set()
        self._arrived = asyncio.Condition()

    async def need(self, digests: list[str]) -> None:
        missing = self._store.missing(digests)
        if not missing:
            return
        new = [digest for digest in missing if digest not in self._asked]
        self._asked.update(new)
        if new:
            self._say(need=new, build=self._identifier)

        async def wait() -> None:
            async with self._arrived:
                await self._arrived.wait_for(lambda: not self._store.missing(missing))

        await tasks.deadline(wait(), CONTENT_SECONDS, "the build context's content")

    async def receive(self, chunks: AsyncIterator[bytes] | bytes) -> int:
        reader = _Reader(chunks)
        count = 0
        while head := await reader.until_newline():
            digest, _, size = head.decode("ascii", "replace").partition(" ")
            if not (size.isascii() and size.isdigit()) or digest not in self._asked:
                raise BadRequest(f"content frame {head[:100]!r} was not asked for")
            await self._store_one(reader, digest, int(size))
            count += 1
        async with self._arrived:
            self._arrived.notify_all()
        return count

    async def _store_one(self, reader: "_Reader", digest: str, size: int) -> None:
        writer = self._store.writer()
        try:
            async for piece in reader.take(size):
                if len(piece) > 1 << 16:
                    await tasks.in_thread(writer.write, piece)
                else:
                    writer.write(piece)
            writer.commit(digest)
        finally:
            writer.abort()


class _Reader:
    """Frames out of chunks of any size."""

    def __init__(self, chunks: AsyncIterator[bytes] | bytes) -> None:
        self._chunks = chunks
        self._buffer = bytearray(chunks if isinstance(chunks, bytes) else b"")

    async def _more(self) -> bool:
        if isinstance(self._chunks, bytes):
            return False
        chunk = await anext(self._chunks, b"")
        self._buffer += chunk
        return bool(chunk)

    async def until_newline(self) -> bytes:
        """The next line without its end; b"" at the end of everything."""
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > _HEAD_MAX:
                raise BadRequest("a content frame has no head")
            if not await self._more():
                if self._buffer:
                    raise BadRequest("the content is cut short")
                return b""
        head = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return head

    async def take(self, size: int) -> AsyncIterator[bytes]:
        while size:
            if not self._buffer and not await self._more():
                raise BadRequest("the content is cut short")
            piece = bytes(self._buffer[:size])
            del self._buffer[: len(piece)]
            size -= len(piece)
            yield piece


def _request(body: BuildBody, contexts: ContextStore) -> BuildRequest:
    named: dict[str, ContextTree | str] = {name: _tree(rows, contexts) for name, rows in body.contexts.items()}
    return BuildRequest(
        dockerfile=body.dockerfile,
        context=_tree(body.context, contexts),
        file=body.file,
        ignored=body.ignored,
        names=tuple(references.parse(name) for name in body.names),
        arguments=body.arguments,
        labels=body.labels,
        secrets=body.secrets,
        ssh={name: Path(path) for name, path in body.ssh.items()},
        contexts={**named, **body.images},
        run=_run_settings(body),
        publication=Publication(
            annotations=body.annotations,
            index_annotations=body.index_annotations,
            is_docker=body.is_docker,
            provenance=body.provenance,
            has_inline_cache=body.has_inline_cache,
            is_index=body.arguments.get(requests.INDEX_ARGUMENT, "").lower() in ("1", "true"),
        ),
        target=body.target,
        platforms=tuple(body.platforms),
        uses_cache=body.uses_cache,
        uncached=tuple(body.uncached),
        pulls=body.pulls,
        epoch=body.epoch,
        sets_times=body.sets_times,
        cache_from=tuple(references.parse(text) for text in body.cache_from),
        cache_to=tuple((references.parse(target.reference), target.is_max) for target in body.cache_to),
    )


def _tree(rows: list[ContextEntry], contexts: ContextStore) -> ContextTree:
    return ContextTree(dict(map(entry, rows)), contexts)


def _run_settings(body: BuildBody) -> RunSettings:
    for name in body.allows:
        if name not in ENTITLEMENTS:
            raise Invalid(f"--allow {name}: it is none of {', '.join(ENTITLEMENTS)}")
    hostname = body.arguments.get(requests.HOSTNAME_ARGUMENT) or requests.HOSTNAME
    if not _HOSTNAME.fullmatch(hostname):
        raise Invalid(f"--build-arg {requests.HOSTNAME_ARGUMENT}: {hostname[:80]!r} is not a host name")
    return RunSettings(
        hosts=tuple(body.hosts),
        shm_bytes=body.shm_bytes,
        ulimits=body.ulimits,
        network=body.network,
        allows=frozenset(body.allows),
        hostname=hostname,
        cache_namespace=body.arguments.get(requests.CACHE_NAMESPACE_ARGUMENT, ""),
    )


def entry(sent: ContextEntry) -> tuple[str, Entry]:
    """One path of the context as the builder sees it. Raises Invalid for a path that leaves the context."""
    parts = sent.path.split("/")
    if sent.kind not in _KINDS or "\0" in sent.path or any(part in ("", ".", "..") for part in parts):
        raise Invalid(f"context: {sent.path[:200]!r} is not a path inside it")
    kind, mode = _KINDS[sent.kind], sent.mode & 0o7777
    if kind == "link":
        return sent.path, Entry("link", mode, mtime=sent.mtime, link=sent.content)
    if kind == "directory":
        return sent.path, Entry("directory", mode, mtime=sent.mtime)
    return sent.path, Entry("file", mode, sent.size, sent.mtime, content=sent.content)


def _say(say: Say, event: Event) -> None:
    match event:
        case StepStarted():
            say(step=event.number, title=event.title)
        case StepEnded():
            say(step=event.number, outcome=event.outcome, seconds=round(event.seconds, 3))
        case Output():
            say(step=event.number, stream=event.stream, output=event.text)
        case Warned():
            say(warning=event.text)


def _result(built: Built) -> dict[str, Any]:
    return {"digest": built.digest, "id": built.id, "names": [name.familiar for name in built.names]}
