"""Server-side apply: an applied configuration merged into the live object by the owners of its fields. Pure.

The applier comes to own what it names; what it named before and no longer does goes, unless somebody else owns it;
a field that another manager owns with another value is a conflict, or changes hands when forced.
Spec: Server-Side Apply; texts are upstream's. Not here: sets of fields (fields.py), other writes (managed.py).
"""

from collections import Counter, deque
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from knarr.base import errors
from knarr.base.errors import BadRequest, Cause
from knarr.objects import decoding, faults, fields, managed
from knarr.objects import metadata as carried
from knarr.objects.fields import Fields
from knarr.objects.managed import Entry, Writer
from knarr.objects.schema import Schema
from knarr.wire import strict_json

Json = dict[str, Any]
LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
KUBECTL: Final = "kubectl"
_MAP_OR_NULL: Final = (dict, type(None))
_LIST_OR_NULL: Final = (list, type(None))
_GONE: Final = object()
_NAMED: Final[Fields] = {"f:metadata": {"f:name": fields.LEAF}}  # no field of metadata that goes takes the rest along


class Conflicts(errors.Conflict):
    """Fields that others own; `causes` names each with its owner."""

    def __init__(self, found: Sequence[tuple[Entry, str]]) -> None:
        super().__init__(_message(found))
        self.found = found
        self.causes = tuple(Cause(path, "FieldManagerConflict", f"conflict with {_named(e)}") for e, path in found)


def _named(entry: Entry) -> str:
    text = f'"{entry.writer.manager}"'
    if entry.writer.subresource:
        text += f' with subresource "{entry.writer.subresource}"'
    if entry.operation == "Update":
        text += f" using {entry.writer.api_version}"
    return text


def _message(found: Sequence[tuple[Entry, str]]) -> str:
    if len(found) == 1:
        return f"Apply failed with 1 conflict: conflict with {_named(found[0][0])}: {found[0][1]}"
    owners: dict[str, bytes] = {}
    of_owner: dict[str, list[str]] = {}
    for entry, path in found:
        owner = _named(entry)
        owners[owner] = _identifier(entry)
        of_owner.setdefault(owner, []).append(f"- {path}")
    lines: list[str] = []
    for owner in sorted(owners, key=owners.__getitem__):
        lines += [f"conflicts with {owner}:", *of_owner[owner]]
    return f"Apply failed with {len(found)} conflicts: " + "\n".join(lines)


def _identifier(entry: Entry) -> bytes:
    """What upstream tells managers apart by, and sorts them by: the entry without its fields and time as JSON."""
    writer = entry.writer
    named = {"manager": writer.manager, "operation": entry.operation}
    if entry.operation == "Update":
        named["apiVersion"] = writer.api_version
    return msgspec.json.encode({**named, "subresource": writer.subresource} if writer.subresource else named)


class Applied(NamedTuple):
    """What an apply asks: the configuration, who applies it, by force or not, and when."""

    config: Json
    writer: Writer
    is_forced: bool
    now: str


def merged(schema: Schema, live: Json | None, applied: Applied) -> Json:
    """The live object (None: there is none) with the configuration applied and its managedFields. Raises Conflicts."""
    if live is None:
        blank: Json = {"apiVersion": applied.config.get("apiVersion"), "kind": applied.config.get("kind")}
        return _merged(schema, {**blank, "metadata": {}}, [], applied)
    held = managed.parsed(live["metadata"].get("managedFields"))
    if not held:
        held = [_before_first_apply(schema, live, applied)]
    try:
        made = _merged(schema, live, held, applied)
    except Conflicts as conflicts:
        if applied.writer.manager != KUBECTL:
            raise
        _check_migrated(schema, live, conflicts)
        made = _merged(schema, live, held, applied._replace(is_forced=True))
    return _with_last_applied(made, live, applied)


def _merged(schema: Schema, live: Json, held: list[Entry], applied: Applied) -> Json:
    part = _part(applied.config, applied.writer.subresource)
    held_now = managed.without_managed(live)
    # Compared is the configuration as it was sent: a zero that Go does not write is a value there.
    target: Json = combined(schema, held_now, part)
    version = str(applied.config.get("apiVersion", "")).rpartition("/")[2]
    made = decoding.redecoded(schema, (str(applied.config.get("kind", "")), version), target, held_now)
    config = managed.without_stripped(part)
    _check_typed(schema, config, applied)
    mine = fields.of(schema, config)
    was, others = _parted(held, applied.writer)
    is_mine_as_before = was is not None and was.fields == mine
    if was is not None and not is_mine_as_before:  # who names the same fields as before takes nothing away
        owned = fields.union_all([mine, _NAMED, *(entry.fields for entry in others)])
        left = pruned(schema, target, was.fields, owned)
        if left is not target:
            target, made = left, decoding.redecoded(schema, ("", ""), left, held_now)
    changed, removed = fields.compare(schema, held_now, target)  # what nobody owns is the same in both
    has_changed = bool(changed or removed) or target != held_now  # also by no more than an order
    if is_mine_as_before and not has_changed:
        return {**made, "metadata": {**made["metadata"], "managedFields": live["metadata"]["managedFields"]}}
    if changed and not applied.is_forced:
        _check_conflicts(others, changed)
    kept = [_less(entry, changed, removed) for entry in others]
    # As upstream: an entry has no time until its manager changes something.
    time = applied.now if has_changed else was.time if was else ""
    kept.append(Entry(applied.writer, "Apply", time, mine))
    metadata, entries = {**made["metadata"]}, managed.encoded(kept)
    if entries:
        metadata["managedFields"] = entries
    for key in ("name", "namespace"):
        if applied.config.get("metadata", {}).get(key) and key not in metadata:
            metadata[key] = applied.config["metadata"][key]
    return {**made, "metadata": metadata}


def _before_first_apply(schema: Schema, live: Json, applied: Applied) -> Entry:
    """What an object held before anybody's fields were tracked, as far as this way of writing reaches."""
    everything, _ = fields.compare(schema, managed.empty(schema), managed.without_stripped(live))
    reached = ("f:metadata", "f:status") if applied.writer.subresource == "status" else everything.keys() - {"f:status"}
    writer = applied.writer._replace(manager=managed.BEFORE_FIRST_APPLY)
    return Entry(writer, "Update", applied.now, {key: everything[key] for key in reached if key in everything})


def _part(config: Json, subresource: str) -> Json:
    """What of a configuration counts: through status only the status and metadata, else everything but the status of
    a whole."""
    if subresource != "status":
        return config
    part = {key: value for key, value in config.items() if key in ("apiVersion", "kind", "metadata", "status")}
    left = carried.NOT_CARRIED.get(str(config.get("kind")), ())
    if left and isinstance(part.get("metadata"), dict):
        part["metadata"] = {key: value for key, value in part["metadata"].items() if key not in left}
    return part


def _parted(held: list[Entry], writer: Writer) -> tuple[Entry | None, list[Entry]]:
    """The entry of the applier, if there is one, and those of the others."""
    for index, entry in enumerate(held):
        if entry.operation == "Apply":
            manager, _, subresource = entry.writer
            if manager == writer.manager and subresource == writer.subresource:
                return entry, held[:index] + held[index + 1 :]
    return None, held


def _less(entry: Entry, changed: Fields, removed: Fields) -> Entry:
    left = fields.difference(fields.difference(entry.fields, changed), removed)
    return entry if left is entry.fields else Entry(entry.writer, entry.operation, entry.time, left)


def _check_conflicts(others: Sequence[Entry], changed: Fields) -> None:
    found = [(entry, path) for entry in others for path in fields.paths(fields.intersection(entry.fields, changed))]
    if found:
        raise Conflicts(found)


def _check_migrated(schema: Schema, live: Json, conflicts: Conflicts) -> None:
    """Raises those Conflicts of an apply by kubectl that are about more than what its client applied last."""
    allowed = frozenset(fields.paths(_last_applied(schema, live)))
    left = [(entry, path) for entry, path in conflicts.found if path not in allowed]
    if left:
        raise Conflicts(left)


def _last_applied(schema: Schema, live: Json) -> Fields:
    """The fields of kubectl's annotation that still have the values it gave them."""
    text = (live["metadata"].get("annotations") or {}).get(LAST_APPLIED, "")
    try:
        last = msgspec.json.decode(text)
        if last.get("apiVersion") != live.get("apiVersion"):
            return {}
        last = managed.without_stripped(last)
        changed, removed = fields.compare(schema, last, managed.without_stripped(live))
        return fields.difference(fields.difference(fields.of(schema, last), changed), removed)
    except (*strict_json.UNREADABLE, AttributeError, TypeError):  # an annotation is anybody's to write
        return {}


def _with_last_applied(made: Json, live: Json, applied: Applied) -> Json:
    """kubectl's annotation follows a server-side apply by kubectl, so that both ways stay in step."""
    annotations = live["metadata"].get("annotations") or {}
    if applied.writer.manager != KUBECTL or LAST_APPLIED not in annotations or applied.writer.subresource:
        return made
    text = msgspec.json.encode(applied.config, order="sorted").decode() + "\n"
    held = {**(made["metadata"].get("annotations") or {}), LAST_APPLIED: text}
    return {**made, "metadata": {**made["metadata"], "annotations": held}}


def _check_typed(schema: Schema, config: Json, applied: Applied) -> None:
    try:
        check_keys(schema, config, "")
    except BadRequest as error:
        whole = applied.config
        metadata, version = whole.get("metadata") or {}, str(whole.get("apiVersion") or "")
        place = f"{metadata.get('namespace', '')}/{metadata.get('name', '')}"
        kind = f"{version if '/' in version else f'/{version}'}, Kind={whole.get('kind', '')}"
        raise BadRequest(f"failed to create typed patch object ({place}; {kind}): {error}") from error


def check_keys(schema: Schema, value: Any, path: str) -> None:
    """Raises BadRequest where a list-map's entry cannot be named, or two have one name."""
    if schema.form in ("struct", "map") and isinstance(value, dict) and not schema.is_atomic:
        if schema.form == "map" and schema.element.is_scalar:
            return
        for key, item in value.items():
            place = fields.below(schema, key)
            if place is None:
                raise BadRequest(f"{path}.{key}: field not declared in schema")
            if item is not None and place.form in ("struct", "map", "list"):
                check_keys(place, item, f"{path}.{key}")
    elif schema.form == "list" and isinstance(value, list) and not schema.is_atomic:
        _check_entries(schema, value, path)


def _check_entries(schema: Schema, items: list[Any], path: str) -> None:
    defaults = fields.key_defaults(schema.element.type) if schema.element.form == "struct" else {}
    seen: set[str] = set()
    for index, item in enumerate(items):
        if schema.list_type == "map" and not isinstance(item, dict):
            raise BadRequest(f"{path}: element {index}: expected map, got {faults.shown(item)}")
        if schema.list_type == "set" and item is None:
            raise BadRequest(f"{path}: element {index}: a set may not contain null")
        if schema.list_type == "map":
            missing = [key for key in schema.keys if key not in item and key not in defaults]
            if len(missing) == len(schema.keys):
                raise BadRequest(
                    f"{path}: element {index}: associative list with keys has an "
                    f'element that omits key field "{missing[0]}" (and doesn\'t have default value)'
                )
        named = next(iter(fields.entries(schema, [item]) or ()), "")
        if named in seen:
            raise BadRequest(f"{path}: duplicate entries for key {fields.element_text(named)}")
        seen.add(named)
        check_keys(schema.element, item, path + fields.element_text(named))


def combined(schema: Schema, live: Any, config: Any) -> Any:
    """The live value with the configuration's values: structs and maps merge, list-maps and sets by entry. It shares
    with both."""
    if schema.is_atomic or (not live and not config):
        return config
    if schema.form in ("struct", "map") and isinstance(config, _MAP_OR_NULL) and isinstance(live, _MAP_OR_NULL):
        return _combined_fields(schema, live or {}, config or {})
    if schema.form == "list" and isinstance(config, _LIST_OR_NULL) and isinstance(live, _LIST_OR_NULL):
        return _combined_list(schema, live or [], config or [])
    return config  # also of a wrong type, which decoding refuses


def _combined_fields(schema: Schema, live: Json, config: Json) -> Json:
    if schema.form == "map" and schema.element.is_scalar:
        return {**live, **config}
    made = live  # while nothing differs: who shares it need not be looked at
    for key, value in config.items():
        place = fields.below(schema, key)
        if place is None:
            continue
        had = live.get(key)
        if place.is_scalar:
            item = value
            is_same = had == value and had.__class__ is value.__class__
        else:
            item = combined(place, had, value)
            is_same = item is had
        if not is_same or item is None:
            if made is live:
                made = {**live}
            made[key] = item
    return made


def _combined_list(schema: Schema, live: list[Any], config: list[Any]) -> list[Any]:
    had, given = fields.elements(schema, live), fields.entries(schema, config)
    if had is None or given is None:
        return config
    unique = fields.entries(schema, live) or _without_duplicates(had)
    return [
        combined(schema.element, unique.get(key), given[key]) if at is None else live[at]
        for key, at in _order([key for key, _ in had], list(given))
    ]


def _without_duplicates(had: list[tuple[str, Any]]) -> Json:
    """Entries that are alone with their name; others, which an update may have left, merge with nothing."""
    count = Counter(key for key, _ in had)
    return {key: item for key, item in had if count[key] == 1}


def _order(had: list[str], given: list[str]) -> list[tuple[str, int | None]]:
    """The entries of both lists: those that only the live list has, with their index, stay where they are, the others
    come in the applied order. A shared entry that stands at another place of the live list than its turn is passed
    over there."""
    live = frozenset(had)
    shared = deque(key for key in given if key in live)
    left, right, known = deque(enumerate(had)), deque(given), frozenset(given)
    made: list[tuple[str, int | None]] = []
    taken: set[str] = set()

    def take() -> None:
        key = right.popleft()
        made.append((key, None))
        taken.add(key)
        if shared and shared[0] == key:
            shared.popleft()

    while left or right:
        at, key = left[0] if left else (0, "")
        if left and right and key == right[0]:
            left.popleft()
            take()
        elif left and right and key in known and shared and shared[0] != key:
            left.popleft()
        elif left and key not in known:
            left.popleft()
            made.append((key, at))
        else:
            if left and key in taken:
                left.popleft()
            if right:
                take()
    return made


def pruned(schema: Schema, value: Any, last: Fields, owned: Fields, *, is_free: bool = False) -> Any:
    """The value without what the applier owned last and nobody owns now: the same one if that is nothing.

    A struct's field counts as owned when something below it is, an entry or a map's key only when it is itself; what
    is below an entry that nobody owns (`is_free`) goes with it. What is emptied becomes null."""
    if isinstance(value, dict):
        is_struct = schema.form == "struct"
        places = ((key, f"f:{key}", each, fields.below(schema, key)) for key, each in value.items())
        kept = {
            key: left
            for key, element, each, place in places
            if (left := _left(place, (element, each), (last, owned), is_struct=is_struct, is_free=is_free)) is not _GONE
        }
        is_same = len(kept) == len(value) and all(kept[key] is value[key] for key in kept)
        return value if is_same else kept or None
    named = fields.elements(schema, value) if isinstance(value, list) else None
    if named is None:
        return value
    entries = [_left(schema.element, pair, (last, owned), is_struct=False, is_free=is_free) for pair in named]
    is_same = all(left is each for left, each in zip(entries, value, strict=True))
    return value if is_same else [each for each in entries if each is not _GONE] or None


def _left(
    place: Schema | None, pair: tuple[str, Any], sets: tuple[Fields, Fields], *, is_struct: bool, is_free: bool
) -> Any:
    """What is left at one place, or _GONE. `sets` are what the applier owned last and what is owned now, one above."""
    element, each = pair
    last, owned = sets[0].get(element), sets[1].get(element)
    if place is None or last is None:
        return each
    is_free = is_free or not (owned is not None if is_struct else fields.has(owned))
    if is_free and (is_struct or fields.has(last)):
        return _GONE
    return each if place.is_atomic or not last else pruned(place, each, last, owned or {}, is_free=is_free)
