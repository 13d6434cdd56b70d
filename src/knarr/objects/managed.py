"""Managed fields: the list in metadata that says who set what, kept with every write. Pure.

`tracked` is what a write that is no apply leaves: its manager owns what it changed, everybody else loses that.
Not here: applying (apply.py), sets of fields (fields.py). Spec: Server-Side Apply.
"""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from knarr.objects import decoding, fields
from knarr.objects.fields import Fields
from knarr.objects.schema import Schema

Json = dict[str, Any]
UPDATE_MANAGERS_MAX: Final = 10
ANCIENT: Final = "ancient-changes"
BEFORE_FIRST_APPLY: Final = "before-first-apply"
# Fields that nobody owns: identity and what the server counts.
STRIPPED: Final = frozenset(
    ("name", "namespace", "creationTimestamp", "selfLink", "uid", "generation", "managedFields", "resourceVersion")
)


RESET: Final[list[Json]] = [{}]
"""The list of a client that wants it forgotten, as an empty one also does."""


class Writer(NamedTuple):
    """Who writes: a manager, in a version of the API, through a subresource ("" = the object itself).

    A tuple, as Entry: every write makes and compares some, and a frozen dataclass costs three times as much."""

    manager: str
    api_version: str
    subresource: str = ""


class Entry(NamedTuple):
    """One entry of managedFields; `time` is its text, "" when unknown."""

    writer: Writer
    operation: str
    time: str
    fields: Fields

    def json(self) -> Json:
        return _json(self.writer, self.operation, self.time, self.fields)


def _json(writer: Writer, operation: str, time: str, held: Fields) -> Json:
    manager, api_version, subresource = writer
    entry: Json = {
        "manager": manager, "operation": operation, "apiVersion": api_version,
        "time": time, "fieldsType": "FieldsV1", "fieldsV1": held,
    }  # fmt: skip
    if not time:
        del entry["time"]
    if subresource:
        entry["subresource"] = subresource
    return entry


def parsed(entries: Any) -> list[Entry]:
    """The entries of an object's managedFields; what is not well formed is left out."""
    found = []
    for entry in entries or ():
        if isinstance(entry, dict) and entry.get("operation") in ("Apply", "Update"):
            writer = Writer(entry.get("manager", ""), entry.get("apiVersion", ""), entry.get("subresource", ""))
            held = entry.get("fieldsV1")
            if isinstance(held, dict):
                found.append(Entry(writer, entry["operation"], entry.get("time", ""), held))
    return found


def encoded(entries: Iterable[Entry]) -> list[Json]:
    """The entries as stored: applied ones first, then by time and name; at most UPDATE_MANAGERS_MAX updates."""
    kept = [entry for entry in entries if entry.fields]
    if len(kept) > UPDATE_MANAGERS_MAX:
        kept = _capped(kept)
    if len(kept) > 1:
        kept.sort(key=lambda entry: (entry.operation, entry.time, entry.writer))
    return [entry.json() for entry in kept]


def _capped(entries: list[Entry]) -> list[Entry]:
    updates = sorted((entry for entry in entries if entry.operation == "Update"), key=lambda entry: entry.time)
    excess = len(updates) - UPDATE_MANAGERS_MAX
    if excess <= 0:
        return entries
    # One more than the excess goes, because the merged one takes a place itself.
    gone: dict[str, list[Entry]] = {}
    for entry in updates[: excess + 1]:
        gone.setdefault(entry.writer.api_version, []).append(entry)
    merged = [
        Entry(Writer(ANCIENT, version), "Update", old[-1].time, fields.union_all([entry.fields for entry in old]))
        for version, old in gone.items()
    ]
    return [entry for entry in entries if entry.operation != "Update"] + updates[excess + 1 :] + merged


def tracked(schema: Schema, new: Json, old: Json | None, writer: Writer, now: str) -> Json:
    """The new object with the managedFields that this write leaves. `old` is None for a creation."""
    if old is None:
        return _first(schema, new, writer, now)
    live = old["metadata"].get("managedFields")
    # As upstream: who writes a part of the object writes no list.
    given = live if writer.subresource else new["metadata"].get("managedFields")
    if not live and not given:
        return new  # tracking begins with the first apply
    if given is not None and _is_reset(given):
        return _with(new, [])
    if given != live and not _is_well_formed(given):
        given = live
    changed, removed = fields.compare(schema, without_stripped(old), without_stripped(new))
    if not changed and not removed:
        return _with(new, given if given else live)
    entries: list[Entry] = []
    mine: Fields | None = None
    for entry in parsed(given if given else live):
        if not changed or not _is_same(entry, writer):  # who only takes away is told of by nothing but what is gone
            entries.append(_reduced(entry, changed, removed))
        elif mine is None:
            mine = entry.fields
    if changed:
        mine = fields.union(fields.difference(mine or {}, removed), changed)
        entries.append(Entry(writer, "Update", now, mine))
    return _with(new, encoded(entries))


def without_unchanged(new: Json, old: Json) -> Json:
    """The new object without a managedFields list that is the live one's: absent means the same to `tracked`, and
    nobody has to read, check and copy it."""
    metadata = new["metadata"]
    given = metadata.get("managedFields")
    if given is None or given != old["metadata"].get("managedFields"):
        return new
    return {**new, "metadata": {key: value for key, value in metadata.items() if key != "managedFields"}}


def without_managed(obj: Json) -> Json:
    """The object without its managedFields list."""
    metadata = obj.get("metadata") or {}
    if "managedFields" not in metadata:
        return obj
    metadata = {**metadata}
    del metadata["managedFields"]
    return {**obj, "metadata": metadata}


def _first(schema: Schema, new: Json, writer: Writer, now: str) -> Json:
    """A new object: its creator owns all that is set."""
    mine, _ = fields.compare(schema, empty(schema), without_stripped(new))
    return _with(new, [_json(writer, "Update", now, mine)] if mine else [])


def _is_reset(given: Any) -> bool:
    """`[]` or `[{}]`: the client wants the list forgotten."""
    return given in ([], RESET)


def _is_well_formed(given: Any) -> bool:
    """Whether a client's list can be kept; if not, the live one counts, as upstream."""
    return isinstance(given, list) and all(
        isinstance(entry, dict) and fields.is_well_formed(entry.get("fieldsV1", {})) for entry in given
    )


def _is_same(entry: Entry, writer: Writer) -> bool:
    return entry.operation == "Update" and entry.writer == writer


def _reduced(entry: Entry, changed: Fields, removed: Fields) -> Entry:
    left = fields.difference(fields.difference(entry.fields, changed), removed)
    return entry if left is entry.fields else Entry(entry.writer, entry.operation, entry.time, left)


def _with(new: Json, entries: Any) -> Json:
    metadata = {**new["metadata"]}
    metadata.pop("managedFields", None)
    if entries:
        metadata["managedFields"] = entries
    return {**new, "metadata": metadata}


_EMPTY: dict[str, Json] = {}


def empty(schema: Schema) -> Json:
    """An object of the type in which nothing is set, without what nobody owns."""
    found = _EMPTY.get(schema.type_name)
    if found is None:
        found = _EMPTY[schema.type_name] = without_stripped(decoding.decoded(schema, "", "", {}))
    return found


def without_stripped(obj: Json) -> Json:
    """The object without what nobody owns."""
    kept = {key: value for key, value in obj.items() if key not in ("apiVersion", "kind", "metadata")}
    owned = {key: value for key, value in (obj.get("metadata") or {}).items() if key not in STRIPPED}
    return {"metadata": owned, **kept} if owned else kept
