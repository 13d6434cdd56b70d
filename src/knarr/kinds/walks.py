"""Walks: what the API server asks about one object of a kind, as one function each. Pure; the facade over objects/.

`decoded` (prune, types, canonical values), `defaulted` (decoded plus defaults), `unknown_fields`, and for patches the
kind's schema. Validation is in validating.py beside this file.
"""

from typing import Any

from knarr.kinds import schemas
from knarr.kinds.registry import Kind
from knarr.objects import decoding, defaults

Json = dict[str, Any]


def decoded(kind: Kind, obj: Json) -> Json:
    """The object as Go would write it: a new tree. Raises BadRequest for a value of the wrong type."""
    return decoding.decoded(schemas.of(kind), kind.kind, kind.version, obj)


def defaulted(kind: Kind, obj: Json) -> Json:
    """The object decoded and with its defaults: a new tree. Raises BadRequest."""
    return filled(kind, decoding.decoded(schemas.of(kind), kind.kind, kind.version, obj))


def filled(kind: Kind, obj: Json) -> Json:
    """A decoded object of the caller's own with its defaults: the same one."""
    schema = schemas.of(kind)
    made = obj if defaults.plan(schema.type).is_empty else defaults.default(schema, obj)
    if kind.kind == "StatefulSet":
        _name_claims(made)
    return made


def _name_claims(made: Json) -> None:
    """Upstream's conversion writes the type of each claim template, on every write."""
    for claim in (made.get("spec") or {}).get("volumeClaimTemplates") or ():
        claim["apiVersion"], claim["kind"] = "v1", "PersistentVolumeClaim"


def unknown_fields(kind: Kind, obj: Json) -> list[str]:
    """`unknown field "spec.replicaz"` for each field that the kind does not have."""
    return decoding.unknown_fields(schemas.of(kind), obj)
