"""Resources: a Kind as the server works with it: its key in the store and the form of its stored bytes.

Stored bytes are the object's JSON beginning with `{"apiVersion":…,"kind":…,"metadata":{`, without resourceVersion.
Serving an object is a copy with the resourceVersion spliced in behind that head: nothing is encoded again.
Not here: conversions between versions of one kind (conversions.py), the rows themselves (kinds/).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from knarr.base.ids import Revision
from knarr.kinds import warnings
from knarr.kinds.registry import Kind
from knarr.store.store import Entry

Json = dict[str, Any]
ROOT = "/registry/"
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_GO_ESCAPES = (("&", rb"\u0026"), ("<", rb"\u003c"), (">", rb"\u003e"), ("\u2028", rb"\u2028"), ("\u2029", rb"\u2029"))


@dataclass(frozen=True, slots=True, eq=False)
class Resource:
    """`stored` is the kind whose version the store holds; `head` opens the stored bytes, `served_head` the answers."""

    kind: Kind
    stored: Kind
    prefix: str
    head: bytes = field(repr=False)
    served_head: bytes = field(repr=False)
    deprecation: str = ""
    """What every answer about the resource warns of."""

    @property
    def plural(self) -> str:
        return self.kind.plural

    @property
    def group(self) -> str:
        return self.kind.group

    @property
    def qualified(self) -> str:
        """`deployments.apps`, as messages name a resource."""
        return f"{self.kind.plural}.{self.kind.group}" if self.kind.group else self.kind.plural

    @property
    def is_converted(self) -> bool:
        return self.kind is not self.stored

    def key(self, namespace: str, name: str) -> str:
        return f"{self.prefix}{namespace}/{name}" if self.kind.is_namespaced else self.prefix + name

    def list_prefix(self, namespace: str) -> str:
        return f"{self.prefix}{namespace}/" if namespace and self.kind.is_namespaced else self.prefix

    def encode(self, obj: Json) -> bytes:
        """Stored bytes of an object of the stored version; its resourceVersion is left out."""
        metadata = {**obj["metadata"]}
        metadata.pop("resourceVersion", None)
        ordered: Json = {"apiVersion": "", "kind": "", "metadata": metadata, **obj}  # a key stays where it came first
        ordered["apiVersion"], ordered["kind"], ordered["metadata"] = (
            self.stored.api_version,
            self.stored.kind,
            metadata,
        )
        value = _encode(ordered)
        return _as_go_writes(value) if self.stored.kind == "ControllerRevision" else value

    def splice(self, value: bytes, revision: Revision | int) -> bytes:
        """The object's JSON as answered: `value` is stored bytes."""
        return b'%b"resourceVersion":"%d",%b' % (self.head, revision, value[len(self.head) :])

    def decode(self, value: bytes, revision: Revision | int) -> Json:
        """The object of stored bytes, resourceVersion included."""
        obj = _decode(value)
        obj["metadata"]["resourceVersion"] = str(revision)
        return obj

    def decode_entry(self, entry: Entry) -> Json:
        return self.decode(entry.value, entry.modified)


def _as_go_writes(value: bytes) -> bytes:
    """The same JSON with the escapes that Go writes: kubectl compares the text of a revision's data with its own."""
    for character, escape in _GO_ESCAPES:
        value = value.replace(character.encode(), escape)
    return value


def head(kind: Kind) -> bytes:
    return b'{"apiVersion":"%b","kind":"%b","metadata":{' % (kind.api_version.encode(), kind.kind.encode())


class Resources:
    """All served kinds: by (group, version, plural) for routes and by (group, version, kind) for bodies."""

    def __init__(self, kinds: Iterable[Kind]) -> None:
        stored: dict[tuple[str, str], Kind] = {}
        self.by_path: dict[tuple[str, str, str], Resource] = {}
        self.by_kind: dict[tuple[str, str, str], Resource] = {}
        self.versions: dict[str, list[str]] = {}
        self.matched: dict[tuple[str, str, bool], Any] = {}
        """Answers of routes.match; to be cleared by whoever changes what is served."""
        for kind in kinds:
            storage: Mapping[str, Any] = kind.facts.get("storage") or {}
            owner = stored.setdefault((storage.get("group", kind.group), kind.storage_prefix), kind)
            deprecation = warnings.DEPRECATED.get((kind.group, kind.version, kind.kind), "")
            prefix = f"{ROOT}{kind.storage_prefix}/"
            resource = Resource(kind, owner, prefix, head(owner), head(kind), deprecation)
            self.by_path[kind.group, kind.version, kind.plural] = resource
            self.by_kind[kind.group, kind.version, kind.kind] = resource
            versions = self.versions.setdefault(kind.group, [])
            if kind.version not in versions:
                versions.append(kind.version)

    def __iter__(self) -> Iterator[Resource]:
        return iter(self.by_path.values())

    def of(self, group: str, version: str, plural: str) -> Resource:
        return self.by_path[group, version, plural]
