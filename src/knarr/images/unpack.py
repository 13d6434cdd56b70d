"""Unpack an image's layers into snapshots: each layer once, named by chain id, checked against its diffID.

A layer becomes a committed snapshot only when its archive was whole and its digest right; on any failure the draft is
removed. Calls block for as long as the disk takes: run them on a worker thread. The extractor is images/extract.py.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from knarr.base.errors import AlreadyExists, Invalid
from knarr.base.failpoints import failpoint
from knarr.images.compression import PlainReader, Source
from knarr.images.content import DRAFT_PREFIX, ContentStore, Snapshotter
from knarr.images.extract import Extractor
from knarr.images.tar_reader import TarReader
from knarr.oci.digest import Digest
from knarr.oci.image_config import chain_id
from knarr.oci.manifest import Descriptor


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What a layer's archive turned out to be: the digest and size of its plain bytes."""

    diff_id: Digest
    size: int


def unpack(blob: Path, upper: Path, lowers: Sequence[Path] = ()) -> Unpacked:
    """Apply one layer file to the directory `upper`; `lowers` are the layers below, nearest first.

    Raises Invalid or TooLarge naming the entry; `upper` is then to be thrown away.
    """
    with open(blob, "rb", buffering=0) as source:
        return unpack_from(source, upper, lowers)


def unpack_from(source: Source, upper: Path, lowers: Sequence[Path] = ()) -> Unpacked:
    """Like `unpack`, from anything that can be read to its end."""
    plain = PlainReader(source)
    extractor = Extractor(str(upper), [str(lower) for lower in lowers])
    try:
        extractor.apply(TarReader(plain.read))
    finally:
        extractor.close()
    return Unpacked(plain.diff_id(), plain.plain_size)


def unpack_layers(
    content: ContentStore, snapshots: Snapshotter, layers: Sequence[Descriptor], diff_ids: Sequence[Digest]
) -> str:
    """The chain id of the layers, each unpacked where it was not; "" for no layers."""
    if len(layers) != len(diff_ids):
        raise Invalid(f"image: {len(layers)} layers but {len(diff_ids)} diffIDs in rootfs.diff_ids")
    chain = ""
    lowers: list[Path] = []
    for number, (layer, diff_id) in enumerate(zip(layers, diff_ids, strict=True), start=1):
        parent, chain = chain, chain_id(diff_ids[:number])
        if not snapshots.has(chain):
            _unpack_one(content, snapshots, layer, diff_id, chain=chain, parent=parent, lowers=lowers)
        lowers.insert(0, snapshots.upper(chain))
    return chain


def _unpack_one(
    content: ContentStore,
    snapshots: Snapshotter,
    layer: Descriptor,
    diff_id: Digest,
    *,
    chain: str,
    parent: str,
    lowers: Sequence[Path],
) -> None:
    size = content.info(layer.digest).size
    if size != layer.size:
        raise Invalid(f"layer {layer.digest}: it has {size} bytes, the manifest says {layer.size}")
    with open(content.path(layer.digest), "rb", buffering=0) as source:
        unpack_as(snapshots, source, diff_id, chain=chain, parent=parent, lowers=lowers)


def unpack_as(
    snapshots: Snapshotter, source: Source, diff_id: Digest, *, chain: str, parent: str, lowers: Sequence[Path]
) -> None:
    """Unpack one layer on `parent` and commit it as `chain`; on any failure nothing is left."""
    draft = DRAFT_PREFIX + secrets.token_hex(8)
    snapshots.prepare(draft, parent)
    try:
        unpacked = unpack_from(source, snapshots.upper(draft), lowers)
        if unpacked.diff_id != diff_id:
            raise Invalid(f"layer: it unpacks to {unpacked.diff_id}, the configuration says {diff_id}")
        failpoint("images.before_snapshot_commit")
        snapshots.commit(draft, chain)
    except AlreadyExists:
        snapshots.remove(draft)
    except BaseException:
        snapshots.remove(draft)
        raise
