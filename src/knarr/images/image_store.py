"""Images as the rest of knarr asks for them: by name, digest or id → configuration, layers and a snapshot to run on.

`ImageStore` joins the content store, the names and the snapshots; it decides what a text means here and when an image
is whole. It fetches nothing (images/pull.py) and removes only names; images/gc.py removes what nothing needs.
"""

import asyncio
import re
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

from knarr.base import logs
from knarr.base.errors import Conflict, Invalid, KnarrError, NotFound
from knarr.images import gc, referrers, unpack
from knarr.images.content import ContentStore, DurableSnapshotter, read
from knarr.images.keyed_locks import KeyedLocks
from knarr.images.names import Name, Names, Origin
from knarr.images.pipe import Pipe
from knarr.oci import image_config, manifest, platform
from knarr.oci import reference as references
from knarr.oci.digest import Digest
from knarr.oci.image_config import ImageConfig
from knarr.oci.manifest import Descriptor, Index, Manifest
from knarr.oci.platform import Platform
from knarr.oci.reference import Reference

_SETTLE_SECONDS = 5.0
_CACHED_MAX = 1024
"""Parsed images kept in memory, a few kilobytes each; a developer's builds would pile up without a bound."""
_log = logs.log("images")
_ID = re.compile(r"(?:sha256:)?([a-f0-9]{4,64})")

Roots = tuple[Iterable[Digest], Iterable[str]]
"""Digests of manifests or blobs, and keys of committed snapshots, that somebody needs."""


@dataclass(frozen=True, slots=True)
class Image:
    """One image for one platform. `id` is its configuration's digest, `digest` the manifest's, `name_digest` what the
    name means (an index's digest, if it is one); `size` adds up the compressed layers and the configuration."""

    id: Digest
    digest: Digest
    name_digest: Digest
    manifest: Manifest
    config: ImageConfig
    chain_id: str
    size: int


class ImageStore:
    """The images of one node. Its methods read small files and return at once, but for `unpacked`."""

    def __init__(
        self, content: ContentStore, names: Names, snapshots: DurableSnapshotter, wanted: Platform | None = None
    ) -> None:
        self.content = content
        self.names = names
        self.snapshots = snapshots
        self.platform = wanted or platform.host()
        self._settling: asyncio.TimerHandle | None = None
        self._has_settled = False
        self._holders: list[Callable[[], Roots]] = []
        self._images: dict[Digest, Image] = {}
        self._locks = KeyedLocks()

    def resolve(self, text: str) -> Image:
        """The image that a reference, a digest or an id means here. Raises NotFound, Invalid."""
        image = self.find(text)
        if image is None:
            raise NotFound(f"image {text} is not here")
        return image

    def find(self, text: str) -> Image | None:
        """Like `resolve`, None for an image that is not here or not whole."""
        digest = self._digest_of(text)
        return None if digest is None else self.whole(digest)

    def find_name(self, text: str) -> Name | None:
        """The name that a reference is kept under here, and so how it came."""
        return self.names.find(references.parse(text))

    def image(self, digest: Digest) -> Image:
        """The image whose manifest or index has this digest. Raises NotFound for any part that is missing."""
        if digest not in self._images:
            if len(self._images) >= _CACHED_MAX:
                self._images.clear()
            self._images[digest] = self._load(digest)
        return self._images[digest]

    def whole(self, digest: Digest) -> Image | None:
        """The image, if all of its blobs are here (or its file system is unpacked already)."""
        try:
            image = self.image(digest)
            if not self.snapshots.has(image.chain_id):
                for layer in image.manifest.layers:
                    self.content.info(layer.digest)
        except NotFound:
            self._images.pop(digest, None)
            return None
        return image

    async def unpacked(self, image: Image) -> str:
        """The key of the committed snapshot with the image's file system, unpacking what is missing; "" is empty."""
        if not image.chain_id or self.snapshots.has(image.chain_id):
            if not self._has_settled:
                self._has_settled = True
                self.settle_soon()
            return image.chain_id
        layers, diff_ids = image.manifest.layers, image.config.rootfs.diff_ids
        if len(layers) != len(diff_ids):
            raise Invalid(f"image {image.id}: {len(layers)} layers but {len(diff_ids)} diffIDs")
        for number in range(1, len(layers) + 1):
            await self.unpack(layers[:number], diff_ids[:number])
        return image.chain_id

    async def unpack(self, layers: tuple[Descriptor, ...], diff_ids: tuple[Digest, ...]) -> str:
        """Unpack layers whose blobs are here, on a worker thread, each once whoever asks; returns their chain id."""
        chain = image_config.chain_id(diff_ids)
        async with self._locks.hold(chain):
            if not self.snapshots.has(chain):
                await asyncio.to_thread(unpack.unpack_layers, self.content, self.snapshots, layers, diff_ids)
                self.settle_soon()
        return chain

    async def unpack_arriving(self, pipe: Pipe, diff_ids: tuple[Digest, ...], executor: Executor) -> None:
        """Unpack the last of these layers while it arrives, if those below are unpacked. A failure leaves nothing
        and is nobody's: `unpack` then does the work from the blob."""
        chain, parent = image_config.chain_id(diff_ids), image_config.chain_id(diff_ids[:-1])
        try:
            below = range(len(diff_ids) - 1, 0, -1)
            lowers = [self.snapshots.upper(image_config.chain_id(diff_ids[:number])) for number in below]
            act = partial(
                unpack.unpack_as, self.snapshots, pipe, diff_ids[-1], chain=chain, parent=parent, lowers=lowers
            )
            async with self._locks.hold(chain):
                if not self.snapshots.has(chain):
                    await asyncio.get_running_loop().run_in_executor(executor, act)
                    self.settle_soon()
        except KnarrError as error:
            _log.info("did not unpack on arrival %s", logs.fields(layer=diff_ids[-1], reason=str(error)))
        finally:
            pipe.close()

    def is_unpacked(self, diff_ids: tuple[Digest, ...]) -> bool:
        """Whether the file system of these layers is here; that of none always is."""
        return not diff_ids or self.snapshots.has(image_config.chain_id(diff_ids))

    def settle_soon(self) -> None:
        """Put new snapshots on the disk in a while; nobody waits for it. Until then a power loss undoes them."""
        if self._settling is None:
            self._settling = asyncio.get_running_loop().call_later(_SETTLE_SECONDS, self._settle)

    def _settle(self) -> None:
        self._settling = None
        settled = asyncio.get_running_loop().run_in_executor(None, self.snapshots.settle)
        settled.add_done_callback(_log_failure)

    def add(self, reference: Reference, digest: Digest, origin: Origin) -> Name:
        """Give a manifest that is in the content store a name. Raises NotFound, Invalid."""
        body = read(self.content, digest, manifest.SIZE_MAX)
        media_type = manifest.type_of(manifest.parse(body))
        return self.names.tag(reference, digest, media_type=media_type, size=len(body), origin=origin)

    def put(self, parsed: Manifest | Index) -> Digest:
        """Store a manifest made here."""
        ingest = self.content.ingest()
        ingest.write(manifest.encode(parsed))
        return ingest.commit().digest

    def tag(self, source: str, target: str) -> Name:
        """Let `target` mean what `source` means. Raises NotFound."""
        digest = self._digest_of(source)
        if digest is None:
            raise NotFound(f"image {source} is not here")
        return self.add(references.parse(target), digest, "tagged")

    def all_images(self) -> list[tuple[Name, Image]]:
        """Every name with its image; names whose image is not for this machine or not whole are left out."""
        found = []
        for name in self.names:
            try:
                image = self.whole(name.digest)
            except KnarrError:
                continue
            if image is not None:
                found.append((name, image))
        return found

    def remove(self, text: str, *, all_names: bool = False) -> tuple[Reference, ...]:
        """Forget one name, or by id all names of an image; returns what was forgotten.

        Raises NotFound, and Conflict for an id with several names unless `all_names`. Blobs and snapshots stay until
        garbage is collected.
        """
        name = self._name_of(text)
        if name is not None and not all_names:
            doomed = [name.parsed]
            doomed += self._digest_names(name)
        else:
            digest = name.digest if name is not None else self._digest_of(text)
            if digest is None:
                raise NotFound(f"image {text} is not here")
            identity = self.image(digest).id
            doomed = [other.parsed for other, image in self.all_images() if image.id == identity]
            tags = [reference for reference in doomed if reference.tag]
            if len(tags) > 1 and not all_names:
                raise Conflict(f"image {text} has {len(tags)} names: {', '.join(t.familiar for t in tags)}")
        digests = {n.digest for n in map(self.names.find, doomed) if n is not None}
        for reference in doomed:
            self.names.untag(reference)
        for digest in digests - {name.digest for name in self.names}:
            doomed += self._forget_referrers(digest)
        return tuple(doomed)

    def _forget_referrers(self, digest: Digest) -> list[Reference]:
        """Signatures of an image that has no name any more go with it, or they would stay for ever."""
        try:
            doomed = [name.parsed for name in referrers.orphans(self.content, self.names, digest)]
        except KnarrError:
            return []
        for reference in doomed:
            self.names.untag(reference)
        return doomed

    def hold(self, roots: Callable[[], Roots]) -> None:
        """Let garbage collection ask `roots` what else is needed: the build cache's manifests and snapshots."""
        self._holders.append(roots)

    async def collect(self, tree: gc.SnapshotTree, grace_seconds: float = gc.GRACE_SECONDS) -> gc.Collected:
        """Remove blobs and snapshots that no name, container or holder needs, on a worker thread."""
        held = [roots() for roots in self._holders]
        manifests = [digest for digests, _ in held for digest in digests]
        chains = [chain for _, chains in held for chain in chains]
        return await asyncio.to_thread(
            gc.collect,
            self.content,
            self.names,
            tree,
            extra_manifests=manifests,
            extra_chains=chains,
            grace_seconds=grace_seconds,
        )

    def _digest_names(self, removed: Name) -> list[Reference]:
        """Names by digest that a tag brought along go with the last tag of its repository."""
        same = [n for n in self.names.repository(removed.parsed.repository) if n.digest == removed.digest]
        if any(name.parsed.tag and name.reference != removed.reference for name in same):
            return []
        return [name.parsed for name in same if not name.parsed.tag and name.reference != removed.reference]

    def _name_of(self, text: str) -> Name | None:
        try:
            return self.names.find(references.parse(text))
        except Invalid:
            return None

    def _digest_of(self, text: str) -> Digest | None:
        """A name first; then a manifest's digest or an image id, or the start of one."""
        name = self._name_of(text)
        if name is not None:
            return name.digest
        match = _ID.fullmatch(text)
        if match is None:
            references.parse(text)
            return None
        start = "sha256:" + match[1]
        digests = {name.digest for name in self.names if name.digest.startswith(start)}
        digests |= {image.name_digest for _, image in self.all_images() if image.id.startswith(start)}
        if len(digests) > 1 and len({self.image(digest).id for digest in digests}) > 1:
            raise Invalid(f"image id {text} is the start of several")
        return min(digests, default=None)

    def _load(self, name_digest: Digest) -> Image:
        digest, parsed = name_digest, self._manifest(name_digest)
        if isinstance(parsed, Index):
            digest = manifest.select(parsed, self.platform).digest
            parsed = self._manifest(digest)
            if isinstance(parsed, Index):
                raise Invalid(f"image {name_digest}: an index inside an index")
        if parsed.artifact_type or parsed.config.media_type not in (manifest.OCI_CONFIG, manifest.DOCKER_CONFIG):
            raise Invalid(f"{name_digest} is an artifact, not an image")
        config = image_config.parse(read(self.content, parsed.config.digest, image_config.SIZE_MAX))
        return Image(
            id=parsed.config.digest,
            digest=digest,
            name_digest=name_digest,
            manifest=parsed,
            config=config,
            chain_id=image_config.chain_id(config.rootfs.diff_ids),
            size=parsed.config.size + sum(layer.size for layer in parsed.layers),
        )

    def _manifest(self, digest: Digest) -> Manifest | Index:
        return manifest.parse(read(self.content, digest, manifest.SIZE_MAX))


def _log_failure(settled: "asyncio.Future[None]") -> None:
    if not settled.cancelled() and settled.exception() is not None:
        _log.warning("failed to settle snapshots %s", logs.fields(reason=str(settled.exception())))
