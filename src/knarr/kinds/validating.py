"""Validating: all the faults of one object of a kind, on creation and on change. Pure; the facade over the walks.

Order: metadata, what the schema says, rules across fields (kinds/rules), immutability. The object is decoded and
defaulted, and its server fields are set. Names are judged by the kind's own format (a table below).
"""

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, Final

from knarr.base.errors import Cause
from knarr.kinds import immutability, schemas
from knarr.kinds.registry import Kind
from knarr.kinds.rules import addresses, table
from knarr.objects import metadata, names, validation

Json = dict[str, Any]
NAMES: Final[Mapping[tuple[str, str], Callable[[str], list[str]]]] = {
    ("", "Event"): names.path_segment,
    ("", "Namespace"): names.dns_label,
    ("", "Service"): names.dns_1035_label,
    # Its pods have the name as a host name.
    ("apps", "StatefulSet"): names.dns_label,
    ("rbac.authorization.k8s.io", "Role"): names.path_segment,
    ("rbac.authorization.k8s.io", "ClusterRole"): names.path_segment,
    ("rbac.authorization.k8s.io", "RoleBinding"): names.path_segment,
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): names.path_segment,
    ("apiregistration.k8s.io", "APIService"): names.path_segment,
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"): names.dns_subdomain,
    ("networking.k8s.io", "IPAddress"): addresses.name,
    # A bundle's name depends on its signer (kinds/rules/certificates.py).
    ("certificates.k8s.io", "ClusterTrustBundle"): names.path_segment,
    ("certificates.k8s.io", "CertificateSigningRequest"): names.path_segment,
}
NAMED_ONCE: Final = frozenset((("apps", "StatefulSet"),))
"""Whose name is judged on creation alone: it could be worse once, and what has such a name must be able to go."""
UNEXPLAINED: Final = ("FieldValueRequired", "FieldValueNotSupported", "FieldValueInvalid")
TOLD_MAX: Final = 1000
"""Faults that one rule tells: each entry of a long list may have its own, and a Status names fewer."""
UNJUDGED: Final = frozenset(("authentication.k8s.io", "authorization.k8s.io"))


def create_faults(kind: Kind, obj: Json, asked: Kind | None = None) -> list[Cause]:
    """What is wrong with a new object; `asked` is the version that the client speaks, where that is another."""
    if kind.group in UNJUDGED:
        return []
    asked = asked or kind
    judge = NAMES.get((asked.group, asked.kind), names.dns_subdomain)
    causes = metadata.found(obj["metadata"], judge) + _judged(kind, obj)
    for check in table.creates(asked.group, asked.kind):
        causes += islice(check(obj), TOLD_MAX)
    return _distinct(causes)


def _judged(kind: Kind, obj: Json) -> list[Cause]:
    """What the schema and the kind's own rules say. A rule that names a field says why, so it is heard alone."""
    plain = validation.found(schemas.of(kind), obj)
    told: list[Cause] = []
    for rule in table.checks(kind.group, kind.kind):
        told += islice(rule(obj), TOLD_MAX)
    if plain and told:
        fields = {cause.field for cause in told}
        plain = [cause for cause in plain if cause.reason not in UNEXPLAINED or not _is_told(cause.field, fields)]
    return plain + told


def _is_told(field: str, fields: set[str]) -> bool:
    """Is the field told of, or the list whose entry it is?"""
    return field in fields or (field.endswith("]") and field.rpartition("[")[0] in fields)


def update_faults(kind: Kind, new: Json, old: Json, subresource: str = "", asked: Kind | None = None) -> list[Cause]:
    """What is wrong with a change of an object. Of a status only what its kind's rules name is judged."""
    asked = asked or kind
    causes = metadata.changed(new["metadata"], old["metadata"])
    is_annotated = False
    if _differ(new["metadata"], old["metadata"], metadata.JUDGED):
        name = asked.group, asked.kind
        judge = _any_name if name in NAMED_ONCE else NAMES.get(name, names.dns_subdomain)
        causes += metadata.found(new["metadata"], judge)
        if new["metadata"].get("annotations") != old["metadata"].get("annotations"):
            is_annotated = (kind.group, kind.kind) in table.ANNOTATED
            for change in table.of_annotations(kind.group, kind.kind):
                causes += islice(change(new, old), TOLD_MAX)
    if subresource:
        for change in table.of_subresource(subresource, kind.group, kind.kind):
            causes += islice(change(new, old), TOLD_MAX)
        if subresource == "status":
            return _distinct(causes)
    if not is_annotated and not _has_other_content(new, old):
        return _distinct(causes)
    causes += _judged(kind, new)
    for change in table.changes(asked.group, asked.kind):
        causes += islice(change(new, old), TOLD_MAX)
    causes += immutability.found(kind, new, old, subresource)
    return _distinct(causes)


def _any_name(_: str) -> list[str]:
    return []


def _differ(new: Json, old: Json, keys: tuple[str, ...]) -> bool:
    # Without a loop of its own: every write comes here.
    return [*map(new.get, keys)] != [*map(old.get, keys)]


def _has_other_content(new: Json, old: Json) -> bool:
    """Whether two objects differ in more than metadata and status; null is the same as absent."""
    for key, value in new.items():  # a loop: every write comes here, and sets of the keys cost three times as much
        if key != "metadata" and key != "status" and value != old.get(key):
            return True
    return any(old[key] is not None for key in old.keys() - new.keys() - {"metadata", "status"})


def _distinct(causes: list[Cause]) -> list[Cause]:
    return list(dict.fromkeys(causes)) if causes else causes
