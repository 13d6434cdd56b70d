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
from knarr.kinds.lens.meta import ObjectMeta
from knarr.kinds.lens.pod import Pod, PodSpec
from knarr.kinds.lens.pod_status import PodStatus

KNOWN_MAX: Final = 2048
"""Words and sets of labels that are known; past that all are forgotten, and only their pods hold them."""
PATTERNS_MAX: Final = 512
SPEC_BYTES_MAX: Final = 8192
MEMBERS_MAX: Final = 16
"""Labels and conditions of one pod."""
WORD_MAX: Final = 256
"""Longer ones are not looked for: what is known stays below a few megabytes whatever pods there are."""
NAME: Final = re.compile(rb'"(kube-api-access-[0-9a-z]{5})"')
_BLANK: Final = b'"kube-api-access-?????"'
"""No volume has such a name."""
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
"""The first value that was known by a key. A function of Python's own would cost twice as much."""


def pod(raw: bytes) -> Pod:
    """The lens of a pod's JSON, equal to what decoding it alone gives. Raises msgspec.ValidationError."""
    parts = _parts(raw)
    spec = bytes(parts.spec)
    shared = _shared(spec) if len(spec) <= SPEC_BYTES_MAX else _spec(spec)
    return Pod(metadata=_metadata(parts.metadata), spec=shared, status=_status(parts.status))


def _metadata(metadata: ObjectMeta) -> ObjectMeta:
    if len(_known) >= KNOWN_MAX:
        _known.clear()
    namespace, labels, owners = metadata.namespace, metadata.labels, metadata.owner_references
    _set(metadata, "namespace", _one(namespace, namespace))
    if not metadata.annotations:
        _set(metadata, "annotations", _NO_WORDS)
    if len(labels) <= MEMBERS_MAX:
        _set(metadata, "labels", _one((*labels.items(),), labels))
    if len(owners) == 1:
        _set(metadata, "owner_references", _one(owners, owners))
    return metadata


def _status(status: PodStatus) -> PodStatus:
    _set(status, "phase", _one(status.phase, status.phase))
    _set(status, "qos_class", _one(status.qos_class, status.qos_class))
    if not status.allocated_resources:
        _set(status, "allocated_resources", _NO_WORDS)
    for condition in status.conditions[:MEMBERS_MAX]:
        name, reason, message = condition.type, condition.reason, condition.message
        _set(condition, "type", _one(name, name))
        _set(condition, "status", _one(condition.status, condition.status))
        if reason:
            _set(condition, "reason", _one(reason, reason))
        if message and len(message) <= WORD_MAX:
            _set(condition, "message", _one(message, message))
    return status


def _shared(raw: bytes) -> PodSpec:
    found = NAME.search(raw)
    name = found[1] if found is not None else b""
    key = raw.replace(b'"%b"' % name, _BLANK) if name else raw
    pattern = _patterns.get(key)
    if pattern is None:
        if len(_patterns) >= PATTERNS_MAX:
            _patterns.clear()
        spec, text = _spec(raw), name.decode()
        _patterns[key] = _Pattern(spec, text, _places(spec, text))
        return spec
    if not name:
        return pattern.spec
    # Where the name is more than a volume's, the pattern's would stay there.
    return _named(pattern, name.decode()) if raw.count(name) == pattern.places else _spec(raw)


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
