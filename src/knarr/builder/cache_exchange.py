"""The build cache in registries: written as a manifest whose layers are steps' layers, read back record by record.

An exported cache is an OCI manifest with a configuration of its own type that lists the records; an inline cache is
the same list as an annotation of the image's manifest. An imported record counts only if its layer can be fetched;
that happens when a step wants it. Nothing of a secret is in a record (cache_keys.py).
"""

import base64
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from knarr.base.errors import Invalid, KnarrError
from knarr.builder.cache import Record
from knarr.builder.progress import Report, Warned
from knarr.images.content import add
from knarr.images.image_store import ImageStore
from knarr.oci import digest as digests
from knarr.oci.digest import Digest
from knarr.oci.manifest import (
    DOCKER_LAYER_GZIP,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    OCI_MANIFEST,
    Descriptor,
    Manifest,
)
from knarr.oci.reference import Reference

CONFIG_TYPE = "application/vnd.knarr.buildcache.config.v1+json"
INLINE = "dev.knarr.buildcache.v1"
"""The annotation of an inline cache: base64 of the list."""
LIST_MAX = 4 << 20
_LAYER_TYPES = (OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, DOCKER_LAYER_GZIP)
_KEY = re.compile(r"[0-9a-f]{64}")
_TIME = re.compile(r"(?:[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?Z)?")


@dataclass(frozen=True, slots=True)
class Found:
    """A manifest with a cache: the list of records, and how to fetch a layer of it."""

    listed: bytes
    fetch: Callable[[Descriptor], Awaitable[None]]


Import = Callable[[Reference], Awaitable[Found]]
"""Finds an exported or inline cache. Raises NotFound, Invalid, Unavailable and so on."""


@dataclass(slots=True)
class Imported:
    """Records by key with where their layers come from."""

    records: dict[str, tuple[Record, Found]] = field(default_factory=dict)

    async def find(self, key: str) -> Record | None:
        """The record, its layer here by now; None where there is none or its layer cannot be had."""
        record, found = self.records.get(key, (None, None))
        if record is None or found is None:
            return None
        if record.layer is not None:
            try:
                await found.fetch(record.layer)
            except KnarrError:
                return None
        return record


async def imported(references: Iterable[Reference], imports: Import | None, report: Report) -> Imported:
    """What the caches hold; one that cannot be had costs a warning, as a first build has none."""
    merged = Imported()
    for reference in references:
        try:
            if imports is None:
                continue
            found = await imports(reference)
            records = decode(found.listed)
        except KnarrError as error:
            report(Warned(f"--cache-from {reference.familiar}: {error}"))
            continue
        merged.records.update({record.key: (record, found) for record in records})
    return merged


def encode(records: Sequence[Record]) -> bytes:
    """Records without what only this machine knows."""
    unique = {record.key: msgspec.structs.replace(record, used=0.0) for record in records}
    return msgspec.json.encode(list(unique.values()))


def decode(listed: bytes) -> list[Record]:
    """The records of a list that somebody else may have written; a list that is none holds nothing.

    They are kept here and go into images: one that says anything odd is left out.
    """
    try:
        records = msgspec.json.decode(listed, type=list[Record])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return []
    return [msgspec.structs.replace(record, used=0.0) for record in records if _is_sound(record)]


def _is_sound(record: Record) -> bool:
    if not (_KEY.fullmatch(record.key) and _TIME.fullmatch(record.created)):
        return False
    if record.layer is None:
        return _KEY.fullmatch(record.content or record.key) is not None
    try:
        digests.parse(record.diff_id)
        digests.parse(record.layer.digest)
    except Invalid:
        return False
    return record.layer.size >= 0 and record.layer.media_type in _LAYER_TYPES


def annotation(records: Sequence[Record]) -> str:
    return base64.b64encode(encode(records)).decode()


def of_annotation(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""


def put(images: ImageStore, reference: Reference, records: Sequence[Record]) -> Digest:
    """Store and name the manifest of an exported cache; pushing it is the caller's."""
    config = add(images.content, encode(records))
    layers = {record.layer.digest: record.layer for record in records if record.layer is not None}
    digest = images.put(
        Manifest(
            schema_version=2,
            media_type=OCI_MANIFEST,
            config=Descriptor(media_type=CONFIG_TYPE, digest=config.digest, size=config.size),
            layers=tuple(layers.values()),
        )
    )
    images.add(reference, digest, "built")
    return digest
