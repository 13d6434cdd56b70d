"""Sharing: a pod's lens made of what other pods' lenses hold already.

Ten thousand pods come from a few templates: their specs differ in the name of one volume, which admission made, and
their labels, owners and conditions' words are equal. Decoded alone, each would hold some forty strings of its own. A
spec that is known is not read again. What is shared nobody changes: lenses are for reading. Not here: who keeps them
(cache.py). Vocabulary: a *pattern* is the lens of a spec with the name of that volume and how often it stands there.
"""

import copy
import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from knarr.kinds.lens.container import Container, EphemeralContainer
from knarr.kinds.lens.meta import ObjectMeta, OwnerReference
from knarr.kinds.lens.pod import Pod, PodSpec
from knarr.kinds.lens.pod_status import PodStatus

KNOWN_MAX: Final = 2048
"""Words and sets of labels that are known; past that all are forgotten, and only their pods hold them."""
PATTERNS_MAX: Final = 512
PATTERNS_BYTES_MAX: Final = 1 << 20
"""JSON of all patterns; their lenses take some times that."""
SPEC_BYTES_MAX: Final = 8192
MEMBERS_MAX: Final = 16
"""Labels and conditions of one pod."""
WORD_MAX: Final = 256
"""Characters. Longer words are not looked for."""
LABELS_MAX: Final = 1024
"""Characters of one pod's labels, or of its owner's words. So the words, labels and owners that are known stay below
ten megabytes whatever pods there are: 2048 sets of sixteen labels with so much text take some four kilobytes each."""
NAME: Final = re.compile(rb'"(kube-api-access-[0-9a-z]{5})"')
_BLANK: Final = b"\x00"
"""JSON never has this byte: a key with it is no other spec's text."""
_NO_WORDS: Final[dict[str, str]] = {}
_set = msgspec.structs.force_setattr


class _Parts(msgspec.Struct, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: msgspec.Raw = msgspec.Raw(b"{}")
    status: PodStatus = PodStatus()


class _Pattern(NamedTuple):
    spec: PodSpec
    name: str
    places: int


_parts = msgspec.json.Decoder(_Parts).decode
_spec = msgspec.json.Decoder(PodSpec).decode
_patterns: dict[bytes, _Pattern] = {}
_known: dict[Any, Any] = {}
_one = _known.setdefault
"""The first value that was known by a key."""


def pod(raw: bytes) -> Pod:
    """The lens of a pod's JSON, equal to what decoding it alone gives. Raises msgspec.ValidationError."""
    parts = _parts(raw)
    spec = bytes(parts.spec)
    shared = _shared(spec) if len(spec) <= SPEC_BYTES_MAX else _spec(spec)
    return Pod(metadata=_metadata(parts.metadata), spec=shared, status=_status(parts.status))


def _metadata(metadata: ObjectMeta) -> ObjectMeta:
    if len(_known) >= KNOWN_MAX:
        _known.clear()
    labels, owners = metadata.labels, metadata.owner_references
    _set(metadata, "namespace", _word(metadata.namespace))
    if not metadata.annotations:
        _set(metadata, "annotations", _NO_WORDS)
    if len(labels) <= MEMBERS_MAX and sum(map(len, labels)) + sum(map(len, labels.values())) <= LABELS_MAX:
        _set(metadata, "labels", _one((*labels.items(),), labels))
    if len(owners) == 1 and _short(owners[0]):
        _set(metadata, "owner_references", _one(owners, owners))
    return metadata


def _short(owner: OwnerReference) -> bool:
    return len(owner.api_version) + len(owner.kind) + len(owner.name) + len(owner.uid) <= LABELS_MAX


def _status(status: PodStatus) -> PodStatus:
    _set(status, "phase", _word(status.phase))
    _set(status, "qos_class", _word(status.qos_class))
    if not status.allocated_resources:
        _set(status, "allocated_resources", _NO_WORDS)
    for condition in status.conditions[:MEMBERS_MAX]:
        _set(condition, "type", _word(condition.type))
        _set(condition, "status", _word(condition.status))
        if condition.reason:
            _set(condition, "reason", _word(condition.reason))
        if condition.message:
            _set(condition, "message", _word(condition.message))
    return status


def _word(word: str) -> str:
    return _one(word, word) if len(word) <= WORD_MAX else word


def _shared(raw: bytes) -> PodSpec:
    found = NAME.search(raw)
    name = found[1] if found is not None else b""
    key = raw.replace(b'"%b"' % name, _BLANK) if name else raw
    pattern = _patterns.get(key)
    if pattern is None:
        return _first(raw, key, name)
    if not name:
        return pattern.spec
    # Where the name is more than a volume's, the pattern's would stay there.
    return _named(pattern, name.decode()) if raw.count(name) == pattern.places else _spec(raw)


def _first(raw: bytes, key: bytes, name: bytes) -> PodSpec:
    """The lens of a spec that is not known; it is a pattern when the name is its volume's alone."""
    spec, text = _spec(raw), name.decode()
    places = _places(spec, text)
    if name and raw.count(name) != places:
        return spec
    if len(_patterns) >= PATTERNS_MAX or sum(map(len, _patterns)) + len(key) > PATTERNS_BYTES_MAX:
        _patterns.clear()
    _patterns[key] = _Pattern(spec, text, places)
    return spec


def _places(spec: PodSpec, name: str) -> int:
    """How often the volume's name stands where `_named` puts another."""
    names = [volume.name for volume in spec.volumes]
    kinds: tuple[Sequence[Container | EphemeralContainer], ...]
    kinds = spec.containers, spec.init_containers, spec.ephemeral_containers
    for containers in kinds:
        names += [mount.name for container in containers for mount in container.volume_mounts]
    return names.count(name)


def _named(pattern: _Pattern, name: str) -> PodSpec:
    """The pattern with this name of the volume."""
    spec = copy.copy(pattern.spec)
    for part in ("containers", "init_containers", "ephemeral_containers"):
        containers: Sequence[Container | EphemeralContainer] = getattr(spec, part)
        if containers:
            _set(spec, part, tuple([_mounting(container, pattern.name, name) for container in containers]))
    _set(spec, "volumes", _renamed(spec.volumes, pattern.name, name))
    return spec


def _mounting(container: Any, old: str, name: str) -> Any:  # either kind of container
    if not any(mount.name == old for mount in container.volume_mounts):
        return container
    container = copy.copy(container)
    _set(container, "volume_mounts", _renamed(container.volume_mounts, old, name))
    return container


def _renamed(members: Sequence[Any], old: str, name: str) -> Sequence[Any]:
    made = []
    for member in members:
        if member.name == old:
            member = copy.copy(member)
            _set(member, "name", name)
        made.append(member)
    return tuple(made)
