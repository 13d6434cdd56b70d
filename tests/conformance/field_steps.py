"""Steps of server-side apply and update as plain values, knarr's answer to one, and both answers made comparable."""

import copy
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from knarr.base.errors import BadRequest
from knarr.kinds import registry, schemas, walks
from knarr.kinds.registry import Kind
from knarr.objects import apply, managed
from knarr.objects.apply import Applied, Conflicts
from knarr.objects.managed import Writer
from tests.conformance.drawn_objects import Dice

Json = dict[str, Any]
NOW = "2026-10-01T00:00:00Z"
MANAGERS = ("a", "b", "c", "kubectl")


@dataclass(frozen=True, slots=True)
class Step:
    """One write: `given` is the configuration of an apply or the new object of an update."""

    apply: bool
    live: Json | None
    given: Json
    manager: str
    force: bool
    subresource: str = ""
    reset: tuple[str, ...] = ()

    def json(self) -> Json:
        return asdict(self)


def steps(seed: int, kind: Kind) -> Iterator[Step]:
    """A sequence of writes by several managers; what knarr makes of one is the live object of the next."""
    dice = Dice(seed)
    live: Json | None = None
    configurations: dict[str, Json] = {}
    for index in range(dice.random.randint(2, 7)):
        step = _step(dice, kind, live, configurations)
        try:
            walks.decoded(kind, copy.deepcopy(step.given))
        except BadRequest:
            continue
        yield step
        made = answer(kind, step).get("object")
        if made is None:
            continue
        if step.apply:
            configurations[step.manager] = step.given
        live = (walks.defaulted if dice.random.random() < 0.7 else walks.decoded)(kind, made)
        for entry in live["metadata"].get("managedFields") or ():
            if entry.get("time") == NOW:
                entry["time"] = f"2026-01-01T00:00:{index + 1:02d}Z"


def _step(dice: Dice, kind: Kind, live: Json | None, configurations: dict[str, Json]) -> Step:
    schema, manager = schemas.of(kind), dice.random.choice(MANAGERS)
    is_apply = live is None or not live["metadata"].get("managedFields") or dice.random.random() < 0.7
    if live is not None and not is_apply:
        given = dice.near(schema, live)
    elif configurations and dice.random.random() < 0.7:
        given = dice.near(schema, configurations.get(manager) or dice.random.choice(list(configurations.values())))
    else:
        given = dice.drawn(schema)
    given = {key: each for key, each in given.items() if key != "status"}
    metadata = {key: each for key, each in (given.get("metadata") or {}).items() if key != "managedFields"}
    given |= {"apiVersion": kind.api_version, "kind": kind.kind,
              "metadata": {**metadata, "name": "x", "namespace": "d"}}  # fmt: skip
    if live is not None and not is_apply:
        given["metadata"]["managedFields"] = live["metadata"]["managedFields"]
        given = walks.decoded(kind, {**given, **({"status": live["status"]} if "status" in live else {})})
    reset = ("status",) if "status" in schema.type.fields else ()
    return Step(is_apply, live, given, manager, dice.random.random() < 0.5, "", reset)


def answer(kind: Kind, step: Step) -> Json:
    """What knarr makes of a step: `object`, or `error` and the causes of conflicts."""
    schema, writer = schemas.of(kind), Writer(step.manager, kind.api_version, step.subresource)
    live, given = copy.deepcopy(step.live), copy.deepcopy(step.given)
    try:
        if step.apply:
            made = apply.merged(schema, live, Applied(given, writer, is_forced=step.force, now=NOW))
        else:
            made = managed.tracked(schema, walks.decoded(kind, given), live, writer, NOW)
    except Conflicts as conflicts:
        causes = [[cause.field, cause.reason, cause.message] for cause in conflicts.causes]
        return {"error": str(conflicts), "causes": causes}
    except BadRequest as error:
        return {"error": str(error)}
    return {"object": made}


def comparable(kind: Kind, step: Step, answered: Json) -> Json:
    """An answer without what says nothing: the form of a zero, the order of causes, the moment of a new entry."""
    if "object" not in answered:
        return {**answered, "causes": sorted(answered.get("causes") or ())}
    made = walks.decoded(kind, copy.deepcopy(answered["object"]))
    known = {entry.get("time") for entry in ((step.live or {}).get("metadata") or {}).get("managedFields") or ()}
    for entry in made["metadata"].get("managedFields") or ():
        if entry.get("time") and entry["time"] not in known:
            entry["time"] = "new"
    made["metadata"].pop("creationTimestamp", None)
    return {"object": made}


def kind_of(step: Step) -> Kind:
    named = (step.given["apiVersion"], step.given["kind"])
    return next(kind for kind in registry.builtin() if (kind.api_version, kind.kind) == named)
