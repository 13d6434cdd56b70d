"""Pull an image: manifest for this platform, configuration, layers in parallel, unpacking while others still arrive.

What is here already is not fetched; a download that breaks off goes on where it stood. A blob counts only with the
digest and size that the manifest says. The name is set last, so that an image that has a name is whole.
"""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from knarr.base import logs
from knarr.base.errors import (
    DeadlineExceeded,
    Forbidden,
    Invalid,
    NotFound,
    TooLarge,
    TooMany,
    Unauthenticated,
    Unavailable,
)
from knarr.base.tasks import deadline
from knarr.images.content import add
from knarr.images.credentials import Credentials
from knarr.images.fetch import Fetch
from knarr.images.image_store import Image, ImageStore
from knarr.images.keyed_locks import KeyedLocks
from knarr.images.pipe import Pipe
from knarr.images.progress import Progress, Report, silent
from knarr.images.registries import RemoteSettings
from knarr.images.remote import Remote
from knarr.oci import digest as digests
from knarr.oci import image_config, manifest
from knarr.oci.digest import Digest
from knarr.oci.manifest import Descriptor, Index, Manifest
from knarr.oci.platform import Platform
from knarr.oci.reference import Reference
from knarr.wire.http_client import Client, ClientResponse

Fetched = TypeVar("Fetched")
_log = logs.log("images")
_PARALLEL = 4
_UNPACK_PARALLEL = 2
_ARRIVING_SIZE_MIN = 1 << 20
"""Smaller layers are unpacked from disk: a thread would cost more than it saves."""
_PULL_SECONDS = 3600.0
_PASSED_OVER = (NotFound, Unavailable, DeadlineExceeded, Unauthenticated, Forbidden, TooMany, Invalid, TooLarge)
"""A mirror that fails in any of these ways, or serves what is no image, keeps nobody from the registry itself."""


class Puller:
    """Pulls into one image store. Two pulls of one image, or of images that share layers, fetch each blob once."""

    def __init__(self, store: ImageStore, client: Client, settings: RemoteSettings | None = None) -> None:
        self._store = store
        self._client = client
        self._settings = settings or RemoteSettings()
        self._blob_locks = KeyedLocks()
        self._slots = asyncio.Semaphore(_PARALLEL)
        self._arriving = ThreadPoolExecutor(_UNPACK_PARALLEL, thread_name_prefix="unpack")
        self._unpack_slots = asyncio.Semaphore(_UNPACK_PARALLEL)

    async def pull(
        self, reference: Reference, credentials: Credentials | None = None, report: Report = silent
    ) -> Image:
        """The image, whole, named and unpacked. Raises NotFound, Unauthenticated, Forbidden, Unavailable, Invalid."""
        act = partial(self._pull, reference=reference, report=report)
        digest = await self.from_any(reference, credentials, act)
        self._store.add(reference, digest, "pulled")
        return self._store.image(digest)

    def of(self, wanted: Platform) -> "Puller":
        """A puller of images for another platform into the same content."""
        if wanted == self._store.platform:
            return self
        store = ImageStore(self._store.content, self._store.names, self._store.snapshots, wanted)
        return Puller(store, self._client, self._settings)

    async def manifest_of(self, reference: Reference, credentials: Credentials | None = None) -> Manifest:
        """The manifest alone, for this platform; it gets no name."""
        remote = self._origin(reference, credentials)
        _, parsed = await self.manifest(remote, reference.digest or reference.tag)
        if isinstance(parsed, Index):
            _, parsed = await self.manifest(remote, manifest.select(parsed, self._store.platform).digest)
        if isinstance(parsed, Index):
            raise Invalid(f"{reference.familiar}: an index inside an index")
        return parsed

    async def part(self, reference: Reference, part: Descriptor, credentials: Credentials | None = None) -> None:
        """One blob of that repository."""
        await self.blob(self._origin(reference, credentials), part, silent)

    def _origin(self, reference: Reference, credentials: Credentials | None) -> Remote:
        origin = self._settings.places(reference.domain)[-1]
        return Remote(self._client, origin, reference.path, credentials=credentials, settings=self._settings)

    async def from_any(
        self,
        reference: Reference,
        credentials: Credentials | None,
        act: Callable[[Remote], Coroutine[Any, Any, Fetched]],
    ) -> Fetched:
        """What `act` fetches from the first mirror that has it, or the registry itself, which alone gets the
        credentials."""
        *mirrors, _ = self._settings.places(reference.domain)
        what = f"pull {reference.familiar}"
        for domain in mirrors:
            remote = Remote(self._client, domain, reference.path, settings=self._settings)
            try:
                return await deadline(act(remote), _PULL_SECONDS, what)
            except _PASSED_OVER as error:
                _log.info("mirror passed over %s", logs.fields(image=reference, mirror=domain, reason=str(error)))
        return await deadline(act(self._origin(reference, credentials)), _PULL_SECONDS, what)

    async def _pull(self, remote: Remote, *, reference: Reference, report: Report) -> Digest:
        top_digest, parsed = await self.manifest(remote, reference.digest or reference.tag)
        if isinstance(parsed, Index):
            chosen = manifest.select(parsed, self._store.platform)
            _, parsed = await self.manifest(remote, chosen.digest)
        if isinstance(parsed, Index):
            raise Invalid(f"image {reference.familiar}: an index inside an index")
        try:
            await self._parts(remote, parsed, report)
        except ExceptionGroup as group:
            raise _first(group) from group
        return top_digest

    async def manifest(self, remote: Remote, wanted: str) -> tuple[Digest, Manifest | Index]:
        """The manifest of a tag or digest, in the store now. Raises Invalid if it is not what was asked for."""
        accept = tuple(("accept", kind) for kind in manifest.ACCEPTED)
        response = await remote.request("GET", f"manifests/{wanted}", headers=accept)
        body = await response.read(manifest.SIZE_MAX)
        parsed = manifest.parse(body, response.header("content-type"))
        expected = Digest(wanted) if ":" in wanted else _said(response)
        try:
            blob = await asyncio.to_thread(add, self._store.content, body, expected)
        except Invalid as error:
            raise Invalid(f"manifest {wanted} of {remote.domain}/{remote.path}: {error}") from error
        return blob.digest, parsed

    async def _parts(self, remote: Remote, parsed: Manifest, report: Report) -> None:
        """Configuration first, then the layers at once; each is unpacked as soon as it and those below are there."""
        if parsed.config.size > image_config.SIZE_MAX:
            raise TooLarge(f"image configuration {parsed.config.digest}: {parsed.config.size} bytes")
        await self.blob(remote, parsed.config, report)
        config = image_config.parse(self._store.content.path(parsed.config.digest).read_bytes())
        diff_ids = config.rootfs.diff_ids
        if len(diff_ids) != len(parsed.layers):
            raise Invalid(f"image {parsed.config.digest}: {len(parsed.layers)} layers, {len(diff_ids)} diffIDs")
        async with asyncio.TaskGroup() as group:
            fetches = [
                group.create_task(self.blob(remote, layer, report, diff_ids[:number]), name=f"fetch {layer.digest}")
                for number, layer in enumerate(parsed.layers, start=1)
            ]
            for number, (layer, fetch) in enumerate(zip(parsed.layers, fetches, strict=True), start=1):
                await asyncio.wait({fetch})
                if fetch.cancelled() or fetch.exception() is not None:
                    break
                report(Progress(layer.digest, "unpacking", 0, layer.size))
                await self._store.unpack(parsed.layers[:number], diff_ids[:number])
                report(Progress(layer.digest, "done", layer.size, layer.size))

    async def blob(self, remote: Remote, part: Descriptor, report: Report, diff_ids: tuple[Digest, ...] = ()) -> None:
        """Fetch a blob that is not here. `diff_ids`, of a layer, are its own and those below it."""
        async with self._blob_locks.hold(part.digest):
            if self._store.content.touch(part.digest):
                report(Progress(part.digest, "exists", part.size, part.size))
                return
            async with self._slots:
                can_unpack = diff_ids and part.size >= _ARRIVING_SIZE_MIN and self._store.is_unpacked(diff_ids[:-1])
                if can_unpack and not self._unpack_slots.locked():
                    async with self._unpack_slots:
                        await self._download_unpacking(remote, part, report, diff_ids)
                else:
                    await self._download(remote, part, report, None)

    async def _download_unpacking(
        self, remote: Remote, part: Descriptor, report: Report, diff_ids: tuple[Digest, ...]
    ) -> None:
        pipe = Pipe()
        async with asyncio.TaskGroup() as group:
            arriving = self._store.unpack_arriving(pipe, diff_ids, self._arriving)
            group.create_task(arriving, name=f"unpack {part.digest}")
            try:
                await self._download(remote, part, report, pipe)
            except BaseException:
                pipe.cut()
                raise

    async def _download(self, remote: Remote, part: Descriptor, report: Report, pipe: Pipe | None) -> None:
        def advance(done: int) -> None:
            report(Progress(part.digest, "downloading", done, part.size))

        await Fetch(remote, part, self._store.content, pipe).run(advance)


def _said(response: ClientResponse) -> Digest | None:
    """The digest that the registry says a tag has now."""
    said = response.header("docker-content-digest")
    return digests.parse(said) if said.startswith("sha256:") else None


def _first(group: ExceptionGroup) -> Exception:
    """The first failure of parallel parts; the others were cancelled for it."""
    failure = group.exceptions[0]
    return _first(failure) if isinstance(failure, ExceptionGroup) else failure
