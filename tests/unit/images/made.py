"""Images made by hand in a store, small enough to read."""

import gzip
from dataclasses import dataclass
from pathlib import Path

from knarr.base.clock import parse_rfc3339
from knarr.images.content import add
from knarr.images.image_store import ImageStore
from knarr.images.memory_content import MemoryContent
from knarr.images.names import Name, Names, Origin
from knarr.images.overlay import OverlaySnapshots
from knarr.oci import digest as digests
from knarr.oci import image_config, manifest
from knarr.oci import reference as references
from knarr.oci.digest import Digest
from knarr.oci.image_config import ContainerConfig, ImageConfig, RootFs
from knarr.oci.manifest import Descriptor, Index, Manifest
from knarr.oci.platform import Platform
from tests.unit.images.archive import archive, entry

AMD64 = Platform(architecture="amd64")


class StoppedClock:
    def now(self):  # type: ignore[no-untyped-def]
        return parse_rfc3339("2026-01-01T00:00:00Z")


@dataclass
class Made:
    """A store in memory (snapshots below a directory), and images put into it."""

    store: ImageStore
    content: MemoryContent
    names: Names
    snapshots: OverlaySnapshots

    def blob(self, body: bytes, media_type: str) -> Descriptor:
        found = add(self.content, body)
        return Descriptor(media_type=media_type, digest=found.digest, size=found.size)

    def layer(self, text: str) -> tuple[Descriptor, Digest]:
        body = archive(entry(text, text.encode()))
        return self.blob(gzip.compress(body, mtime=0), manifest.OCI_LAYER_GZIP), digests.of(body)

    def manifest(self, *layers: str, user: str = "", architecture: str = "amd64") -> Digest:
        parts = [self.layer(text) for text in layers]
        config = ImageConfig(
            architecture=architecture,
            config=ContainerConfig(user=user, cmd=("x",)),
            rootfs=RootFs(diff_ids=tuple(diff_id for _, diff_id in parts)),
        )
        described = self.blob(image_config.encode(config), manifest.OCI_CONFIG)
        return self.store.put(
            Manifest(
                schema_version=2,
                media_type=manifest.OCI_MANIFEST,
                config=described,
                layers=tuple(layer for layer, _ in parts),
            )
        )

    def index(self, **manifests: Digest) -> Digest:
        entries = tuple(
            Descriptor(
                media_type=manifest.OCI_MANIFEST,
                digest=digest,
                size=self.content.info(digest).size,
                platform=Platform(architecture=architecture),
            )
            for architecture, digest in manifests.items()
        )
        return self.store.put(Index(schema_version=2, media_type=manifest.OCI_INDEX, manifests=entries))

    def signature(self, subject: Digest | None) -> Digest:
        """An artifact about a manifest that is here; about none, it is one of cosign's, which a tag says what of."""
        size = self.content.info(subject).size if subject else 0
        return self.store.put(
            Manifest(
                schema_version=2,
                media_type=manifest.OCI_MANIFEST,
                artifact_type="application/vnd.example.signature",
                config=self.blob(b"{}", manifest.OCI_EMPTY),
                subject=Descriptor(media_type=manifest.OCI_MANIFEST, digest=subject, size=size) if subject else None,
            )
        )

    def image(self, name: str, *layers: str, origin: Origin = "built", user: str = "") -> Name:
        return self.store.add(references.parse(name), self.manifest(*layers, user=user), origin)


def made(directory: Path) -> Made:
    content, names = MemoryContent(), Names(clock=StoppedClock())
    snapshots = OverlaySnapshots(directory / "snapshots")
    return Made(ImageStore(content, names, snapshots, AMD64), content, names, snapshots)
