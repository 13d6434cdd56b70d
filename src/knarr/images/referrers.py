"""Referrers: signatures, SBOMs and other manifests whose subject is an image (OCI distribution 1.1, referrers).

Finds those that are known here, also cosign's under its tags, and keeps the fallback tag (`sha256-HEX`, an index) of
registries that do not list referrers themselves. Fetching them is images/companions.py's, pushing images/push.py's.
"""

import contextlib
import re

import msgspec

from knarr.base.errors import KnarrError, NotFound
from knarr.images.content import ContentStore, read
from knarr.images.names import Name, Names
from knarr.oci import manifest
from knarr.oci.digest import Digest
from knarr.oci.manifest import OCI_INDEX, Descriptor, Index, Manifest

_COSIGN = ("sig", "att", "sbom")
COUNT_MAX = 256
"""Referrers of one image that are looked at, those of referrers among them."""


def subjects(content: ContentStore, digest: Digest) -> list[Digest]:
    """What may be referred to of an image: its manifest, and those that its index lists and that are here."""
    parsed = manifest.parse(read(content, digest, manifest.SIZE_MAX))
    entries = parsed.manifests if isinstance(parsed, Index) else ()
    return [digest, *(entry.digest for entry in entries if _is_here(content, entry.digest))]


def known(content: ContentStore, names: Names, digest: Digest) -> list[tuple[Digest, Manifest | Index]]:
    """Manifests with a name here that refer to the image, directly or through others; nearest first."""
    by_subject: dict[Digest, dict[Digest, Manifest | Index]] = {}
    for named in {name.digest for name in names}:
        try:
            parsed = manifest.parse(read(content, named, manifest.SIZE_MAX))
        except KnarrError:
            continue
        if parsed.subject is not None:
            by_subject.setdefault(parsed.subject.digest, {})[named] = parsed
    found: dict[Digest, Manifest | Index] = {}
    pending = subjects(content, digest)
    while pending and len(found) < COUNT_MAX:
        new = {d: parsed for d, parsed in by_subject.pop(pending.pop(0), {}).items() if d not in found}
        found.update(new)
        pending += new
    return list(found.items())


def cosign_tags(subject: Digest) -> tuple[str, ...]:
    """Where cosign keeps signatures, attestations and SBOMs of an image unless it is told to use the referrers API."""
    return tuple(f"{fallback_tag(subject)}.{kind}" for kind in _COSIGN)


def is_cosign_tag(tag: str) -> bool:
    return re.fullmatch(rf"sha256-[0-9a-f]{{64}}\.(?:{'|'.join(_COSIGN)})", tag) is not None


def tagged(content: ContentStore, names: Names, digest: Digest) -> list[tuple[str, Digest]]:
    """(tag, manifest) of what is known here under cosign's tags for the image."""
    wanted = {tag for subject in subjects(content, digest) for tag in cosign_tags(subject)}
    found = {name.parsed.tag: name.digest for name in names if name.parsed.tag in wanted}
    return sorted(found.items())


def orphans(content: ContentStore, names: Names, digest: Digest) -> list[Name]:
    """Names of what is known about an image that has no name any more, but for what is about a manifest that another
    name keeps: an index and the image for one platform share it."""
    about = known(content, names, digest)
    tags = {tag: subject for subject in subjects(content, digest) for tag in cosign_tags(subject)}
    doomed = {referrer for referrer, _ in about}
    others = [n for n in names if n.parsed.tag not in tags and (n.parsed.tag or n.digest not in doomed)]
    kept: set[Digest] = set()
    for other in {name.digest for name in others}:
        with contextlib.suppress(KnarrError):
            kept.update(subjects(content, other))
    for referrer, parsed in about:  # the nearest come first, so that a signature's own signature stays with it
        if parsed.subject is not None and parsed.subject.digest in kept:
            kept.add(referrer)
    gone = {tag for tag, subject in tags.items() if subject not in kept}
    return [n for n in names if n.parsed.tag in gone or (n.digest in doomed - kept and not n.parsed.tag)]


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


def _is_here(content: ContentStore, digest: Digest) -> bool:
    try:
        content.info(digest)
    except NotFound:
        return False
    return True
