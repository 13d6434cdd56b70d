"""Pull-through cache: what a client asks for and the registry lacks is fetched from the registries it stands for.

Manifests and blobs are kept, verified, under the upstream's own names (`docker.io/library/nginx:1`), so that they can
run on the node, too. A tag is believed for a while, then asked about again with HEAD; an upstream that does not answer
is excused as long as there is an older answer. A blob goes to its first reader while it arrives, and one download
serves all who ask. Clients say with `?ns=` which upstream they mean (as containerd does); else the first is asked.
"""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

from knarr.base import logs
from knarr.base.errors import DeadlineExceeded, Forbidden, Invalid, NotFound, TooMany, Unauthenticated, Unavailable
from knarr.images.content import ContentStore, add
from knarr.images.credentials import Credentials
from knarr.images.fetch import Fetch
from knarr.images.keyed_locks import KeyedLocks
from knarr.images.names import Name, Names
from knarr.images.registries import RemoteSettings
from knarr.images.remote import Remote
from knarr.oci import digest as digests
from knarr.oci import manifest
from knarr.oci.digest import Digest
from knarr.oci.manifest import Descriptor, Index
from knarr.oci.reference import Reference, is_tag
from knarr.registry.errors import Failure
from knarr.wire.http import Headers
from knarr.wire.http_client import Client, ClientResponse

_log = logs.log("registry")
TTL_SECONDS = 300.0
_PIECE = 1 << 20
_FRESH_MAX = 10_000
_REMOTES_MAX = 256
"""Repositories whose tokens are kept, so that not every request asks for one."""
_TAGS_MAX = 8 << 20
_EXCUSED = (Unavailable, DeadlineExceeded, TooMany)


@dataclass(frozen=True, slots=True)
class Upstream:
    """One registry that is stood for."""

    domain: str
    credentials: Credentials | None = None


class PullThrough:
    """The cache in front of `upstreams`; the first is the default."""

    def __init__(
        self,
        content: ContentStore,
        names: Names,
        client: Client,
        upstreams: tuple[Upstream, ...],
        *,
        settings: RemoteSettings | None = None,
        ttl_seconds: float = TTL_SECONDS,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._content = content
        self._names = names
        self._client = client
        self._upstreams: Mapping[str, Upstream] = {upstream.domain: upstream for upstream in upstreams}
        self._default = upstreams[0]
        self._settings = settings or RemoteSettings()
        self._ttl_seconds = ttl_seconds
        self._now = now
        self._checked_at: dict[str, float] = {}
        self._locks = KeyedLocks()
        self._arriving: dict[Digest, Arrival] = {}
        self._remotes: dict[tuple[str, str], Remote] = {}

    async def manifest(self, path: str, ns: str, *, tag: str, digest: Digest | None) -> Name:
        """The name of a manifest that is in the store now. Raises Failure, Unavailable."""
        remote = self._remote(path, ns)
        reference = Reference(remote.domain, path, tag=tag, digest=digest)
        async with self._locks.hold(str(reference)):
            known = self._names.find(reference)
            if known is not None and self._is_fresh(reference):
                return known
            try:
                return await self._ask(remote, reference, known)
            except _EXCUSED as error:
                if known is None:
                    raise
                _log.warning("served an older answer %s", logs.fields(image=known.reference, upstream_said=str(error)))
                return known
            except NotFound as error:
                self._names.untag(reference)
                raise Failure("MANIFEST_UNKNOWN", str(error)) from error

    def arriving(self) -> int:
        """Bytes that are on their way in, or will be."""
        return sum(arrival.size for arrival in self._arriving.values())

    async def size(self, path: str, ns: str, digest: Digest) -> int:
        """How large a blob is that is not here. Raises Failure."""
        arriving = self._arriving.get(digest)
        return arriving.size if arriving is not None else await self._size(self._remote(path, ns), digest)

    async def blob(self, path: str, ns: str, digest: Digest, check: Callable[[int], None]) -> "Arrival":
        """A blob that is not here: on its way from now on, for everybody who asks. Raises Failure, and what `check`
        raises of its size; from then on it counts as arriving, so that those asked for together count together."""
        async with self._locks.hold(digest):
            if digest not in self._arriving:
                remote = self._remote(path, ns)
                part = Descriptor(media_type="", digest=digest, size=await self._size(remote, digest))
                check(part.size)
                arrival = Arrival(Fetch(remote, part, self._content), self._content, part)
                self._arriving[digest] = arrival
                arrival.start(lambda: self._arriving.pop(digest, None))
            return self._arriving[digest]

    async def tags(self, path: str, ns: str) -> list[str]:
        """The first page of the tags that upstream lists. Raises Failure."""
        try:
            response = await _request(self._remote(path, ns), "GET", "tags/list")
        except NotFound as error:
            raise Failure("NAME_UNKNOWN", str(error)) from error
        return _tags(await response.read(_TAGS_MAX))

    async def referrers(self, path: str, ns: str, subject: Digest) -> tuple[Descriptor, ...]:
        """The first page of what upstream lists under a subject; nothing if it has no such list, or none for us."""
        remote = self._remote(path, ns)
        try:
            response = await _request(remote, "GET", f"referrers/{subject}")
            parsed = manifest.parse(await response.read(manifest.SIZE_MAX), manifest.OCI_INDEX)
        except (NotFound, Invalid, Failure, *_EXCUSED) as error:
            _log.info("upstream lists no referrers %s", logs.fields(subject=subject, upstream_said=str(error)))
            return ()
        return parsed.manifests if isinstance(parsed, Index) else ()

    async def close(self) -> None:
        """Give up what is on its way."""
        for arrival in list(self._arriving.values()):
            await arrival.cancel()
        await self._client.close()

    async def _ask(self, remote: Remote, reference: Reference, known: Name | None) -> Name:
        """What upstream says of a reference now, fetched if it is another manifest than the known one."""
        wanted = reference.digest or reference.tag
        accept = tuple(("accept", kind) for kind in manifest.ACCEPTED)
        if known is not None:
            response = await _request(remote, "HEAD", f"manifests/{wanted}", accept)
            response.close()
            if response.header("docker-content-digest") == known.digest:
                self._check(reference)
                return known
        response = await _request(remote, "GET", f"manifests/{wanted}", accept)
        body = await response.read(manifest.SIZE_MAX)
        served = response.header("content-type").partition(";")[0].strip()
        media_type = manifest.type_of(manifest.parse(body, served), served)
        digest = reference.digest or digests.of(body)
        add(self._content, body, digest)
        name = self._names.tag(reference, digest, media_type=media_type, size=len(body), origin="pulled")
        self._check(reference)
        return name

    async def _size(self, remote: Remote, digest: Digest) -> int:
        try:
            response = await _request(remote, "HEAD", f"blobs/{digest}")
        except NotFound as error:
            raise Failure("BLOB_UNKNOWN", str(error)) from error
        length = response.header("content-length")
        response.close()
        if not (length.isascii() and length.isdigit()):
            raise Unavailable(f"{remote.domain}: does not say how large blob {digest} is")
        return int(length)

    def _remote(self, path: str, ns: str) -> Remote:
        upstream = self._upstreams.get(ns) if ns else self._default
        if upstream is None:
            raise Failure("NAME_UNKNOWN", f"this registry does not stand for {ns[:120]!r}")
        key = (upstream.domain, path)
        if key not in self._remotes:
            if len(self._remotes) >= _REMOTES_MAX:
                self._remotes.clear()
            self._remotes[key] = Remote(
                self._client, upstream.domain, path, credentials=upstream.credentials, settings=self._settings
            )
        return self._remotes[key]

    def _is_fresh(self, reference: Reference) -> bool:
        """A digest means the same for ever; a tag for its time."""
        if reference.digest is not None:
            return True
        checked_at = self._checked_at.get(str(reference))
        return checked_at is not None and self._now() - checked_at < self._ttl_seconds

    def _check(self, reference: Reference) -> None:
        if len(self._checked_at) >= _FRESH_MAX:
            self._checked_at.clear()
        self._checked_at[str(reference)] = self._now()


class Arrival:
    """One blob on its way in, and those who read it meanwhile. Its last byte is given out once all is verified."""

    def __init__(self, fetch: Fetch, content: ContentStore, part: Descriptor) -> None:
        self._fetch = fetch
        self._content = content
        self._part = part
        self._moved = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def size(self) -> int:
        return self._part.size

    def start(self, ended: Callable[[], object]) -> None:
        """Fetch in a task that outlives the reader who began it."""
        self._task = asyncio.create_task(self._run(), name=f"fetch {self._part.digest}")
        self._task.add_done_callback(lambda _: ended())
        self._task.add_done_callback(_seen)

    async def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def read(self, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes from `start` to `end`, as they come. Raises what the download raises."""
        assert self._task is not None
        while start < end:
            moved = self._moved
            if self._task.done():
                self._task.result()
                async for piece in _stored(self._content, self._part.digest, start, end):
                    yield piece
                return
            here = min(self._fetch.ingest.size, end, self.size - 1)
            if start < here:
                piece = await asyncio.to_thread(self._fetch.ingest.peek, start, min(_PIECE, here - start))
                start += len(piece)
                yield piece
                if piece:
                    continue
            await moved.wait()

    async def _run(self) -> None:
        try:
            await self._fetch.run(lambda _: self._move())
        finally:
            self._move()

    def _move(self) -> None:
        """Wake all who wait, each once."""
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()


def _seen(ended: asyncio.Task[None]) -> None:
    """A failure that nobody reads about any more is none of the event loop's."""
    if not ended.cancelled():
        ended.exception()


async def _request(remote: Remote, method: str, path: str, headers: Headers = ()) -> ClientResponse:
    """Upstream's refusal of this cache is not the client's: it must not be told to authenticate here."""
    try:
        return await remote.request(method, path, headers=headers)
    except (Unauthenticated, Forbidden) as error:
        raise Failure("DENIED", f"upstream: {error}") from error


def _tags(body: bytes) -> list[str]:
    try:
        tags = json.loads(body)["tags"] or []
        return sorted(tag for tag in tags if isinstance(tag, str) and is_tag(tag))
    except (ValueError, LookupError, TypeError) as error:
        raise Unavailable("upstream's list of tags is not understood") from error


async def _stored(content: ContentStore, digest: Digest, start: int, end: int) -> AsyncIterator[bytes]:
    descriptor = os.open(content.path(digest), os.O_RDONLY | os.O_CLOEXEC)
    try:
        while start < end:
            piece = await asyncio.to_thread(os.pread, descriptor, min(_PIECE, end - start), start)
            start += len(piece)
            yield piece
    finally:
        os.close(descriptor)
