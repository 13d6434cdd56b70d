"""Referrers: signatures, SBOMs and other manifests whose subject is an image (OCI distribution 1.1, referrers).

Finds those that are known here, and keeps the fallback tag (`sha256-HEX`, an index) of registries that do not list
referrers themselves. Pushing them is images/push.py's.
"""

import msgspec

from knarr.base.errors import KnarrError
from knarr.images.content import ContentStore, read
from knarr.images.names import Names
from knarr.oci import manifest
from knarr.oci.digest import Digest
from knarr.oci.manifest import OCI_INDEX, Descriptor, Index, Manifest

COUNT_MAX = 256
"""Referrers of one image that are looked at, those of referrers among them."""


def known(content: ContentStore, names: Names, subject: Digest) -> list[tuple[Digest, Manifest | Index]]:
    """Manifests with a name here that refer to the subject, directly or through others; nearest first."""
    by_subject: dict[Digest, dict[Digest, Manifest | Index]] = {}
    for digest in {name.digest for name in names}:
        try:
            parsed = manifest.parse(read(content, digest, manifest.SIZE_MAX))
        except KnarrError:
            continue
        if parsed.subject is not None:
            by_subject.setdefault(parsed.subject.digest, {})[digest] = parsed
    found: dict[Digest, Manifest | Index] = {}
    pending = [subject]
    while pending and len(found) < COUNT_MAX:
        new = {d: parsed for d, parsed in by_subject.pop(pending.pop(0), {}).items() if d not in found}
        found.update(new)
        pending += new
    return list(found.items())


def fallback_tag(subject: Digest) -> str:
    """Where a registry without the referrers API keeps them."""
    return subject.replace(":", "-")[:128]


def entry(digest: Digest, parsed: Manifest | Index, size: int) -> Descriptor:
    """How a list of referrers describes one."""
    kind = parsed.artifact_type or ("" if isinstance(parsed, Index) else parsed.config.media_type)
    return Descriptor(
        media_type=manifest.type_of(parsed),
        digest=digest,
        size=size,
        artifact_type=kind,
        annotations=parsed.annotations,
    )


def with_entry(index: Index | None, added: Descriptor) -> Index:
    """The fallback index with a referrer in it, once."""
    kept = index or Index(schema_version=2, media_type=OCI_INDEX)
    if any(known.digest == added.digest for known in kept.manifests):
        return kept
    return msgspec.structs.replace(kept, manifests=(*kept.manifests, added))
