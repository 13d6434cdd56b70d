"""Cells that many kinds share: a path, lists joined, labels, counts, names.

A cell is a function (object, now) → value. Pure.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from knarr.apiserver.tables import durations
from knarr.base.clock import Instant

Json = dict[str, Any]
Cell = Callable[[Json, Instant], Any]
NONE: Final = "<none>"
_STEP = re.compile(r"\.([A-Za-z0-9_]+)|\[(\d+)\]|\[\*\]|\[\?\(@\.(\w+)==\"(\w+)\"\)\]", re.ASCII)


def reader(path: str) -> Callable[[Any], Any]:
    """What reads a path (`.a.b[0]`, `.a[*].b`, `.a[?(@.type=="X")].b`); None when something is missing."""
    steps: list[Callable[[Any], Any]] = []
    for found in _STEP.finditer(path):
        name, index, key, wanted = found.groups()
        if name:
            steps.append(_field(name))
        elif index:
            steps.append(_entry(int(index)))
        elif key:
            steps.append(_first(key, wanted))
        else:
            steps.append(_every(reader(path[found.end() :])))
            break
    if len(steps) == 1:
        return steps[0]
    if len(steps) == 2:
        first, second = steps
        return lambda value: None if (inner := first(value)) is None else second(inner)

    def read(value: Any) -> Any:
        for step in steps:
            value = step(value)
            if value is None:
                return None
        return value

    return read


def _every(rest: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: [rest(entry) for entry in value] if isinstance(value, list) else None


def _field(name: str) -> Callable[[Any], Any]:
    return lambda value: value.get(name) if isinstance(value, dict) else None


def _entry(index: int) -> Callable[[Any], Any]:
    return lambda value: value[index] if isinstance(value, list) and len(value) > index else None


def _first(key: str, wanted: str) -> Callable[[Any], Any]:
    return lambda value: next((entry for entry in value or () if str(entry.get(key)) == wanted), None)


def from_path(path: str, missing: Any) -> Cell:
    read = reader(path)

    def cell(obj: Json, now: Instant) -> Any:
        value = read(obj)
        if value is None or value == "":
            return missing
        return value

    return cell


def age(obj: Json, now: Instant) -> str:
    return durations.since(obj["metadata"].get("creationTimestamp"), now)


def since(path: str) -> Cell:
    read = reader(path)
    return lambda obj, now: durations.since(read(obj), now) if read(obj) else ""


def duration(path: str) -> Cell:
    read = reader(path)
    return lambda obj, now: "" if read(obj) is None else durations.human(read(obj))


def ratio(pair: str) -> Cell:
    first, second = (reader(path.strip()) for path in pair.split(","))
    return lambda obj, now: f"{first(obj) or 0}/{second(obj) or 0}"


def count(paths: str) -> Cell:
    readers = [reader(path.strip()) for path in paths.split(",")]
    return lambda obj, now: sum(len(read(obj) or ()) for read in readers)


def names(path: str) -> Cell:
    read = reader(path)
    return lambda obj, now: ",".join(entry.get("name", "") for entry in read(obj) or ())


def images(path: str) -> Cell:
    read = reader(path)
    return lambda obj, now: ",".join(entry.get("image", "") for entry in read(obj) or ())


def join(path: str) -> Cell:
    read = reader(path)
    return lambda obj, now: ",".join(str(entry) for entry in read(obj) or ())


def trim(path: str) -> Cell:
    read = reader(path)
    return lambda obj, now: (read(obj) or obj.get("note") or "").strip()


def true_false(path: str) -> Cell:
    read = reader(path)
    return lambda obj, now: "" if read(obj) is None else str(bool(read(obj)))


def labels(path: str) -> Cell:
    read = reader(path)
    return lambda obj, now: labels_text(read(obj))


def labels_text(given: Mapping[str, str] | None) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(given.items())) if given else NONE


def label_selector(path: str) -> Cell:
    read = reader(path)
    return lambda obj, now: selector_text(read(obj))


def selector_text(selector: Mapping[str, Any] | None) -> str:
    """A LabelSelector as Go prints it."""
    if selector is None:
        return NONE
    terms = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for expression in selector.get("matchExpressions") or ():
        key, values = expression.get("key", ""), ",".join(sorted(expression.get("values") or ()))
        match expression.get("operator"):
            case "In":
                terms.append(f"{key} in ({values})")
            case "NotIn":
                terms.append(f"{key} notin ({values})")
            case "Exists":
                terms.append(key)
            case _:
                terms.append(f"!{key}")
    return ",".join(sorted(terms)) or NONE


def kind_name(path: str) -> Cell:
    read = reader(path)

    def cell(obj: Json, now: Instant) -> str:
        reference = read(obj) or {}
        return f"{reference.get('kind', '')}/{reference.get('name', '')}"

    return cell


def namespace_name(path: str) -> Cell:
    read = reader(path)

    def cell(obj: Json, now: Instant) -> str:
        reference = read(obj)
        return f"{reference.get('namespace', '')}/{reference.get('name', '')}" if reference else ""

    return cell


def api_version_kind(path: str) -> Cell:
    read = reader(path)

    def cell(obj: Json, now: Instant) -> str:
        reference = read(obj)
        return f"{reference.get('apiVersion', '')}/{reference.get('kind', '')}" if reference else ""

    return cell


def subjects(kind: str) -> Cell:
    def cell(obj: Json, now: Instant) -> str:
        found = (subject for subject in obj.get("subjects") or () if subject.get("kind") == kind)
        if kind == "ServiceAccount":
            return ", ".join(f"{subject.get('namespace', '')}/{subject['name']}" for subject in found)
        return ", ".join(subject["name"] for subject in found)

    return cell


ACCESS_MODES: Final = {
    "ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP",
}  # fmt: skip


def access_modes(path: str) -> Cell:
    read = reader(path)

    def cell(obj: Json, now: Instant) -> str:
        given = set(read(obj) or ())
        return ",".join(short for mode, short in ACCESS_MODES.items() if mode in given)

    return cell


def if_bound(inner: str) -> Cell:
    shown = access_modes(inner[13:-1]) if inner.startswith("access-modes(") else from_path(inner, "")
    return lambda obj, now: shown(obj, now) if (obj.get("spec") or {}).get("volumeName") else ""


def first_3(values: Iterable[str], missing: str = "") -> str:
    """The first three, then how many more."""
    found = list(values)
    if not found:
        return missing
    return ",".join(found[:3]) + (f" + {len(found) - 3} more..." if len(found) > 3 else "")
