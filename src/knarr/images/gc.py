"""Garbage of images: which blobs and snapshots nothing needs, and taking them away.

Roots are the names, the snapshots that containers hold, and everything younger than the grace period: a blob that a
push or pull brought, or asked about, is safe until its manifest had time to come. Decides in `needed` and `garbage`;
`collect` acts. When to collect is the caller's matter (`knarr prune`, the kubelet's disk pressure).
"""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from knarr.base.errors import Conflict, KnarrError, NotFound
from knarr.images.content import ContentStore, read
from knarr.images.names import Names
from knarr.oci import image_config, manifest
from knarr.oci.digest import Digest
from knarr.oci.manifest import Index, Manifest

GRACE_SECONDS = 3600.0


class SnapshotTree(Protocol):
    """What garbage collection needs to know of snapshots beyond the Snapshotter."""

    def keys(self) -> tuple[str, ...]:
        """All snapshots, children after their parents."""
        ...

    def parent(self, key: str) -> str: ...

    def is_committed(self, key: str) -> bool: ...

    def age(self, key: str) -> float:
        """Seconds since the snapshot was committed."""
        ...

    def usage(self, key: str) -> tuple[int, int]: ...

    def remove(self, key: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Collected:
    """What went: blobs with their bytes, snapshots with theirs."""

    blobs: int
    snapshots: int
    freed_bytes: int


def needed(content: ContentStore, names: Names, extra: Iterable[Digest] = ()) -> set[Digest]:
    """All blobs that the names (and `extra` manifests) lead to."""
    return reached(content, {name.digest for name in names} | set(extra))


def reached(content: ContentStore, roots: Iterable[Digest]) -> set[Digest]:
    """The roots and all blobs that the manifests among them lead to."""
    found = set(roots)
    for digest, parsed in _manifests(content, found):
        found.add(digest)
        if isinstance(parsed, Manifest):
            found.update(part.digest for part in (parsed.config, *parsed.layers))
        else:
            found.update(entry.digest for entry in parsed.manifests)
    return found


def chains(content: ContentStore, names: Names, extra: Iterable[Digest] = ()) -> set[str]:
    """The chain ids of all images that the names lead to."""
    found: set[str] = set()
    for _, parsed in _manifests(content, {name.digest for name in names} | set(extra)):
        if isinstance(parsed, Index):
            continue
        with contextlib.suppress(KnarrError):
            config = image_config.parse(read(content, parsed.config.digest, image_config.SIZE_MAX))
            found.add(image_config.chain_id(config.rootfs.diff_ids))
    return found


def _manifests(content: ContentStore, roots: Iterable[Digest]) -> Iterator[tuple[Digest, Manifest | Index]]:
    """The roots and the entries of indexes among them, each once; what cannot be read is left out."""
    pending, seen = list(roots), set[Digest]()
    while pending:
        digest = pending.pop()
        if digest in seen:
            continue
        seen.add(digest)
        try:
            parsed = manifest.parse(read(content, digest, manifest.SIZE_MAX))
        except KnarrError:
            continue
        if isinstance(parsed, Index):
            pending += [entry.digest for entry in parsed.manifests]
        yield digest, parsed


def unneeded_snapshots(snapshots: SnapshotTree, roots: set[str], grace_seconds: float) -> list[str]:
    """Old committed snapshots that no root, no young and no active snapshot stands on, children first."""
    doomed: list[str] = []
    supports: set[str] = set()
    for key in reversed(snapshots.keys()):
        is_young = snapshots.age(key) < grace_seconds
        with contextlib.suppress(NotFound):  # gone since the keys were read
            if key in roots or key in supports or is_young or not snapshots.is_committed(key):
                supports.add(snapshots.parent(key))
            else:
                doomed.append(key)
    return doomed


def collect(
    content: ContentStore,
    names: Names,
    snapshots: SnapshotTree,
    *,
    extra_manifests: Iterable[Digest] = (),
    extra_chains: Iterable[str] = (),
    grace_seconds: float = GRACE_SECONDS,
) -> Collected:
    """Remove what nothing needs. `extra_*` are the build cache's roots."""
    manifests = list(extra_manifests)
    keep = needed(content, names, manifests)
    freed = blobs = removed = 0
    roots = chains(content, names, manifests) | set(extra_chains)
    for key in unneeded_snapshots(snapshots, roots, grace_seconds):
        try:
            size = snapshots.usage(key)[0]
            snapshots.remove(key)
        except (Conflict, NotFound):  # somebody began to stand on it just now
            continue
        removed, freed = removed + 1, freed + size
    for blob in list(content.walk()):
        if blob.digest not in keep and content.expire(blob.digest, grace_seconds):
            blobs, freed = blobs + 1, freed + blob.size
    return Collected(blobs, removed, freed)
