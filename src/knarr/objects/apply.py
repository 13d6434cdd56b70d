"""Server-side apply: an applied configuration merged into the live object by the owners of its fields. Pure.

The applier comes to own what it names; what it named before and no longer does goes, unless somebody else owns it;
a field that another manager owns with another value is a conflict, or changes hands when forced.
Spec: Server-Side Apply; texts are upstream's. Not here: sets of fields (fields.py), other writes (managed.py).
"""

import functools
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from knarr.base import errors
from knarr.base.errors import BadRequest, Cause
from knarr.objects import decoding, defaults, faults, fields, managed
from knarr.objects.fields import Fields
from knarr.objects.managed import Entry, Writer
from knarr.objects.schema import Schema
from knarr.wire import strict_json

Json = dict[str, Any]
LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
KUBECTL: Final = "kubectl"
_CONTAINERS: Final = (dict, list)


class Conflicts(errors.Conflict):
    """Fields that others own; `causes` names each with its owner."""

    def __init__(self, found: Sequence[tuple[Entry, str]]) -> None:
        super().__init__(_message(found))
        self.causes = tuple(Cause(path, "FieldManagerConflict", f"conflict with {_named(e)}") for e, path in found)


def _named(entry: Entry) -> str:
    text = f'"{entry.writer.manager}"'
    if entry.writer.subresource:
        text += f' with subresource "{entry.writer.subresource}"'
    if entry.operation == "Update":
        text += f" using {entry.writer.api_version}" + (f" at {entry.time}" if entry.time else "")
    return text


def _message(found: Sequence[tuple[Entry, str]]) -> str:
    if len(found) == 1:
        return f"Apply failed with 1 conflict: conflict with {_named(found[0][0])}: {found[0][1]}"
    lines: list[str] = []
    for owner in sorted({_named(entry) for entry, _ in found}):
        lines.append(f"conflicts with {owner}:")
        lines += [f"- {path}" for entry, path in found if _named(entry) == owner]
    return f"Apply failed with {len(found)} conflicts: " + "\n".join(lines)


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
        everything = fields.of(schema, managed.without_stripped(live))
        writer = Writer(managed.BEFORE_FIRST_APPLY, applied.writer.api_version)
        held = [Entry(writer, "Update", applied.now, everything)]
    try:
        made = _merged(schema, live, held, applied)
    except Conflicts:
        if applied.writer.manager != KUBECTL or applied.is_forced:
            raise
        made = _migrated(schema, live, held, applied)
    return _with_last_applied(made, live, applied)


def _merged(schema: Schema, live: Json, held: list[Entry], applied: Applied) -> Json:
    part = _part(applied.config, applied.writer.subresource)
    version = str(applied.config.get("apiVersion", "")).rpartition("/")[2]
    decoded = decoding.decoded(schema, str(applied.config.get("kind", "")), version, part)
    config = managed.without_stripped(part)
    _check_typed(schema, config, applied)
    mine = fields.of(schema, config)
    was = next((entry for entry in held if _is_applier(entry, applied.writer)), None)
    others = [entry for entry in held if entry is not was]
    held_now = managed.without_managed(live)
    target: Json = combined(schema, held_now, config, decoded)
    is_mine_as_before = was is not None and was.fields == mine
    if was is not None and not is_mine_as_before:  # who names the same fields as before takes nothing away
        target = _without_given_up(schema, target, was.fields, [mine, *(entry.fields for entry in others)])
    changed, removed = fields.compare(schema, held_now, target)  # what nobody owns is the same in both
    if is_mine_as_before and not changed and not removed:
        return {**target, "metadata": {**target["metadata"], "managedFields": live["metadata"]["managedFields"]}}
    if not applied.is_forced:
        _check_conflicts(others, changed)
    kept = [_less(entry, changed, removed) for entry in others]
    kept.append(Entry(applied.writer, "Apply", applied.now, mine))
    metadata, entries = {**target["metadata"]}, managed.encoded(kept)
    if entries:
        metadata["managedFields"] = entries
    for key in ("name", "namespace"):
        if key in applied.config.get("metadata", {}) and key not in metadata:
            metadata[key] = applied.config["metadata"][key]
    return {**target, "metadata": metadata}


def _without_given_up(schema: Schema, target: Json, was: Fields, owned_now: list[Fields]) -> Json:
    """The target without what the applier owned and nobody owns any more."""
    owned = functools.reduce(fields.union, owned_now)
    gone = fields.difference(was, owned)
    if not gone:
        return target
    # Decoded again: what Go always writes comes back where it went.
    return decoding.decoded(schema, "", "", pruned(schema, target, gone, owned))


def _part(config: Json, subresource: str) -> Json:
    """What of a configuration counts: through status only the status, else everything but the status of a whole."""
    if subresource == "status":
        return {key: value for key, value in config.items() if key in ("apiVersion", "kind", "status")}
    return config


def _is_applier(entry: Entry, writer: Writer) -> bool:
    held = entry.writer
    return entry.operation == "Apply" and (held.manager, held.subresource) == (writer.manager, writer.subresource)


def _less(entry: Entry, changed: Fields, removed: Fields) -> Entry:
    left = fields.difference(fields.difference(entry.fields, changed), removed)
    return Entry(entry.writer, entry.operation, entry.time, left)


def _check_conflicts(others: Sequence[Entry], changed: Fields) -> None:
    found = [(entry, path) for entry in others for path in fields.paths(fields.intersection(entry.fields, changed))]
    if found:
        raise Conflicts(found)


def _migrated(schema: Schema, live: Json, held: list[Entry], applied: Applied) -> Json:
    """Apply by kubectl over its own client-side apply: what that applied last is no conflict. Raises Conflicts."""
    text = (live["metadata"].get("annotations") or {}).get(LAST_APPLIED, "")
    try:
        last = msgspec.json.decode(text)
        allowed = fields.of(schema, managed.without_stripped(last))
    except (*strict_json.UNREADABLE, AttributeError):
        allowed = {}
    eased = [Entry(e.writer, e.operation, e.time, fields.difference(e.fields, allowed)) for e in held]
    return _merged(schema, live, [entry for entry in eased if entry.fields], applied)


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


def combined(schema: Schema, live: Any, config: Any, decoded: Any) -> Any:
    """The live value with the configuration's values: structs and maps merge, list-maps and sets by entry.

    `decoded` is the configuration as decoding.py gives it: its values are the ones taken, so that the result is decoded
    where the live value is. Nothing of the live value is shared that may get defaults, which are filled in in place."""
    if schema.is_atomic or config is None:
        return decoded
    if schema.form in ("struct", "map") and isinstance(config, dict) and isinstance(live, dict):
        return _combined_fields(schema, live, config, decoded)
    if schema.form == "list" and isinstance(config, list) and isinstance(live, list):
        return _combined_list(schema, live, config, decoded)
    return decoded


def _combined_fields(schema: Schema, live: Json, config: Json, decoded: Json) -> Json:
    if schema.form == "map" and schema.element.is_scalar and len(decoded) == len(config):
        return {**live, **decoded}
    is_shared = schema.form == "struct" and defaults.plan(schema.type).is_empty
    made = (
        {**live}
        if is_shared
        else {
            key: value if key in config or value.__class__ not in _CONTAINERS else _copied(value)
            for key, value in live.items()
        }
    )
    for key, value in config.items():
        place = fields.below(schema, key)
        if place is not None and key in decoded:
            made[key] = combined(place, made.get(key), value, decoded[key])
        elif place is None or place.is_atomic or value.__class__ not in _CONTAINERS:
            made.pop(key, None)  # null, or a zero that Go does not write
        elif key in made and not is_shared:
            made[key] = _copied(made[key])  # an empty list or map adds nothing to what is there
    return made


def _copied(value: Any) -> Any:
    if value.__class__ is dict:
        return {key: _copied(each) if each.__class__ in _CONTAINERS else each for key, each in value.items()}
    if value.__class__ is list:
        return [_copied(each) if each.__class__ in _CONTAINERS else each for each in value]
    return value


def _combined_list(schema: Schema, live: list[Any], config: list[Any], decoded: list[Any]) -> list[Any]:
    """Entries of both: those that only the live list has stay where they are, the others in the applied order."""
    had, given = fields.entries(schema, live), fields.entries(schema, config)
    if had is None or given is None:
        return decoded
    wanted = dict(zip(given, decoded, strict=True))  # check_keys has found no two entries of one name
    waiting = list(given)
    result: list[Any] = []

    def take(key: str) -> None:
        waiting.remove(key)
        result.append(combined(schema.element, had.get(key), given[key], wanted[key]))

    for key, item in had.items():
        if key not in given:
            result.append(_copied(item))
        else:
            while key in waiting:
                take(waiting[0])
    while waiting:
        take(waiting[0])
    return result


def pruned(schema: Schema, value: Any, gone: Fields, owned: Fields) -> Any:
    """The value without what is in `gone`. A field in which nobody owns anything any more goes as a whole, with the
    defaults that came with it; `owned` is what everybody, the applier too, owns now."""
    if isinstance(value, list):
        return _pruned_list(schema, value, gone, owned)
    if not isinstance(value, dict):
        return value
    made = dict(value)
    for element, node in gone.items():
        key = element[2:]
        place = fields.below(schema, key)
        if element[:2] != "f:" or place is None or key not in made:
            continue
        if element not in owned:
            del made[key]
        elif node and not place.is_atomic:
            made[key] = pruned(place, made[key], node, owned[element])
    return made


def _pruned_list(place: Schema, value: list[Any], gone: Fields, owned: Fields) -> list[Any]:
    named = fields.entries(place, value)
    if named is None:
        return value
    kept = []
    for key, entry in named.items():
        if key not in gone:
            kept.append(entry)
        elif key in owned:
            left = {name: node for name, node in gone[key].items() if name[2:] not in place.keys}
            kept.append(pruned(place.element, entry, left, owned[key]))
    return kept
