"""Options: what the query of a request may say, judged before anything is done, in upstream's words.

`check` judges the options that all writes share (dryRun, fieldManager, fieldValidation), `check_list` those of lists
and watches (resourceVersionMatch, sendInitialEvents). Every fault is a 422 that names the options' type.
Not here: what patches alone ask (verbs/patch.py, verbs/apply.py), how a revision is read (reading.py).
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Final

from knarr.apiserver import status
from knarr.apiserver.context import RequestContext, parsed_query
from knarr.base.errors import Cause
from knarr.objects import faults

GROUP: Final = "meta.k8s.io"
MANAGER_MAX: Final = 128
DRY_RUN: Final = ("All",)
FIELD_VALIDATION: Final = ("", "Ignore", "Strict", "Warn")
MATCHES: Final = ("Exact", "NotOlderThan")
# Verb → the type of its options.
TYPES: Final[Mapping[str, str]] = {
    "create": "CreateOptions",
    "update": "UpdateOptions",
    "patch": "PatchOptions",
    "delete": "DeleteOptions",
    "deletecollection": "DeleteOptions",
}


def check(context: RequestContext) -> None:
    """Raises a 422 Refusal for options of a write that cannot be meant."""
    kind, query = TYPES.get(context.route.verb), context.request.query
    if query and kind is not None and (found := _faults(kind, query)):
        refuse(kind, found)


@functools.lru_cache(512)
def _faults(kind: str, text: str) -> tuple[Cause, ...]:
    """The faults of a query; kept, since clients send the same few again and again."""
    query = parsed_query(text)
    found: list[Cause] = []
    if kind != "DeleteOptions":
        found += _manager(query.get("fieldManager", ""))
    found += dry_run([query["dryRun"]] if query.get("dryRun") else [])
    if kind != "DeleteOptions" and (given := query.get("fieldValidation", "")) not in FIELD_VALIDATION:
        found.append(faults.unsupported("fieldValidation", given, FIELD_VALIDATION))
    return tuple(found)


def refuse(kind: str, found: Sequence[Cause]) -> None:
    """Raises a 422 Refusal for faults of an options type, if there are any."""
    if found:
        raise status.invalid(kind, GROUP, "", found)


def dry_run(given: Sequence[str]) -> list[Cause]:
    """What is wrong with the values of dryRun."""
    if all(each in DRY_RUN for each in given):
        return []
    shown = ", ".join(faults.shown(each) for each in given)
    detail = f'Unsupported value: []string{{{shown}}}: supported values: "All"'
    return [Cause("dryRun", "FieldValueNotSupported", detail)]


def _manager(given: str) -> list[Cause]:
    found = []
    if len(given.encode()) > MANAGER_MAX:
        found.append(faults.too_long("fieldManager", MANAGER_MAX))
    if not given.isprintable():
        found.append(faults.invalid("fieldManager", given, "should only contain printable characters"))
    return found


def check_list(context: RequestContext) -> None:
    """Raises a 422 Refusal for options of a list or watch that contradict each other."""
    query = context.query
    if "resourceVersionMatch" in query or "sendInitialEvents" in query:
        refuse("ListOptions", _of_watch(query) if context.route.verb == "watch" else _of_list(query))


def _of_list(query: Mapping[str, str]) -> list[Cause]:
    match, field = query.get("resourceVersionMatch", ""), "resourceVersionMatch"
    found = []
    if match:
        if not query.get("resourceVersion"):
            found.append(faults.forbidden(field, f"{field} is forbidden unless resourceVersion is provided"))
        if query.get("continue"):
            found.append(faults.forbidden(field, f"{field} is forbidden when continue is provided"))
        if match not in MATCHES:
            found.append(faults.unsupported(field, match, (*MATCHES, "")))
        if match == "Exact" and query.get("resourceVersion") == "0":
            found.append(faults.forbidden(field, f'{field} "exact" is forbidden for resourceVersion "0"'))
    if "sendInitialEvents" in query:
        found.append(faults.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    return found


def _of_watch(query: Mapping[str, str]) -> list[Cause]:
    match, field = query.get("resourceVersionMatch", ""), "resourceVersionMatch"
    wants_state = "sendInitialEvents" in query
    found = []
    if wants_state and match != "NotOlderThan":
        found.append(faults.forbidden(field, f"sendInitialEvents requires setting {field} to NotOlderThan"))
    if match:
        if not wants_state:
            found.append(
                faults.forbidden(field, f"{field} is forbidden for watch unless sendInitialEvents is provided")
            )
        if match != "NotOlderThan":
            found.append(faults.unsupported(field, match, ("NotOlderThan",)))
        if query.get("continue"):
            found.append(faults.forbidden(field, f"{field} is forbidden when continue is provided"))
    return found
