"""Push an image: blobs that the registry lacks, in parallel, then manifests, the tag, and what refers to the image.

A blob is mounted from another repository of the registry where this node knows one that has it. Nothing is sent to the
node's own registry: it serves the same content store, so what has a name there is pushed already.
"""

import asyncio

from knarr.base.errors import KnarrError, NotFound
from knarr.base.tasks import deadline
from knarr.images import referrers
from knarr.images.content import read
from knarr.images.credentials import Credentials
from knarr.images.image_store import ImageStore
from knarr.images.progress import Progress, Report, silent
from knarr.images.registries import RemoteSettings
from knarr.images.remote import UPLOAD_SECONDS, Remote
from knarr.images.send import Send
from knarr.oci import manifest
from knarr.oci.digest import Digest
from knarr.oci.manifest import Descriptor, Index, Manifest
from knarr.oci.reference import Reference
from knarr.wire.http_client import Client

_PARALLEL = 4
_PUSH_SECONDS = 3600.0


class Pusher:
    """Pushes out of one image store. `own_domain` is the node's own registry, `localhost:PORT`."""

    def __init__(
        self, store: ImageStore, client: Client, settings: RemoteSettings | None = None, own_domain: str = ""
    ) -> None:
        self._store = store
        self._client = client
        self._settings = settings or RemoteSettings()
        self._own_domain = own_domain

    async def push(
        self, reference: Reference, credentials: Credentials | None = None, report: Report = silent
    ) -> Digest:
        """Push what the reference means here; returns the digest under which the registry has it now."""
        name = self._store.names.find(reference)
        if name is None:
            raise NotFound(f"image {reference.familiar} is not here")
        digest, parsed = self._whole(name.digest)
        if reference.domain == self._own_domain:
            self._store.add(reference, name.digest, "pushed")
            report(Progress(name.digest, "exists", name.size, name.size))
            return name.digest
        remote = Remote(
            self._client,
            reference.domain,
            reference.path,
            credentials=credentials,
            actions="pull,push",
            settings=self._settings,
        )
        tag = reference.tag or digest
        await deadline(self._all(remote, digest, parsed, tag, report), _PUSH_SECONDS, f"push {reference.familiar}")
        return digest

    async def _all(self, remote: Remote, digest: Digest, parsed: Manifest | Index, tag: str, report: Report) -> None:
        await self._push(remote, digest, parsed, tag, report)
        for referrer, its in referrers.known(self._store.content, self._store.names, digest):
            listed = await self._push(remote, referrer, its, referrer, report)
            if not listed and its.subject is not None:
                await self._list(remote, its.subject.digest, referrer, its)
        for its_tag, tagged in referrers.tagged(self._store.content, self._store.names, digest):
            await self._push(remote, tagged, self._parse(tagged), its_tag, report)

    async def _list(self, remote: Remote, subject: Digest, referrer: Digest, parsed: Manifest | Index) -> None:
        """Keep the list that a registry does not keep: an index under the subject's fallback tag."""
        tag = referrers.fallback_tag(subject)
        index = None
        try:
            response = await remote.request("GET", f"manifests/{tag}", headers=(("accept", manifest.OCI_INDEX),))
            index = manifest.parse(await response.read(manifest.SIZE_MAX))
        except NotFound:
            pass
        size = self._store.content.info(referrer).size
        added = referrers.with_entry(
            index if isinstance(index, Index) else None, referrers.entry(referrer, parsed, size)
        )
        kind = (("content-type", manifest.OCI_INDEX),)
        response = await remote.request("PUT", f"manifests/{tag}", headers=kind, body=manifest.encode(added))
        response.close()

    def _whole(self, digest: Digest) -> tuple[Digest, Manifest | Index]:
        """The manifest to push: an index only if all its entries are here, else this platform's image."""
        parsed = self._parse(digest)
        if isinstance(parsed, Index):
            try:
                for entry in parsed.manifests:
                    self._parse(entry.digest)
            except NotFound:
                image = self._store.image(digest)
                return image.digest, image.manifest
        return digest, parsed

    async def _push(self, remote: Remote, digest: Digest, parsed: Manifest | Index, tag: str, report: Report) -> bool:
        """Push one manifest with what it needs; whether the registry lists it under its subject."""
        if isinstance(parsed, Index):
            for entry in parsed.manifests:
                await self._push(remote, entry.digest, self._parse(entry.digest), entry.digest, report)
        else:
            await self._blobs(remote, parsed, report)
        body = read(self._store.content, digest, manifest.SIZE_MAX)
        kind = (("content-type", manifest.type_of(parsed)),)
        response = await remote.request("PUT", f"manifests/{tag}", headers=kind, body=body)
        response.close()
        return bool(response.header("oci-subject"))

    async def _blobs(self, remote: Remote, parsed: Manifest, report: Report) -> None:
        slots = asyncio.Semaphore(_PARALLEL)

        async def push_one(part: Descriptor) -> None:
            async with slots:
                await deadline(self._blob(remote, part, report), UPLOAD_SECONDS, f"push {part.digest}")

        unique = {part.digest: part for part in (parsed.config, *parsed.layers) if not part.urls}
        try:
            async with asyncio.TaskGroup() as group:
                for part in unique.values():
                    group.create_task(push_one(part), name=f"push {part.digest}")
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures

    async def _blob(self, remote: Remote, part: Descriptor, report: Report) -> None:
        if await _has(remote, part.digest):
            report(Progress(part.digest, "exists", part.size, part.size))
            return
        source = self._mountable(remote, part.digest)
        await Send(remote, part, self._store.content.path(part.digest), report, source).run()
        report(Progress(part.digest, "done", part.size, part.size))

    def _mountable(self, remote: Remote, digest: Digest) -> str:
        """Another repository of the same registry, pulled from or pushed to here, that has the blob; "" for none."""
        for name in self._store.names:
            reference = name.parsed
            if reference.domain != remote.domain or reference.path == remote.path:
                continue
            try:
                layers = self._store.image(name.digest).manifest.layers
            except KnarrError:
                continue
            if any(layer.digest == digest for layer in layers):
                return reference.path
        return ""

    def _parse(self, digest: Digest) -> Manifest | Index:
        return manifest.parse(read(self._store.content, digest, manifest.SIZE_MAX))


async def _has(remote: Remote, digest: Digest) -> bool:
    try:
        response = await remote.request("HEAD", f"blobs/{digest}")
    except NotFound:
        return False
    response.close()
    return response.status == 200
