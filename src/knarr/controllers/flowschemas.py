"""Flow schemas: each says by the condition Dangling whether its priority level exists (`kubectl get flowschemas`).

What a schema does to requests is apiserver/fairness's. Spec: "API Priority and Fairness".
"""

from collections.abc import Sequence

from knarr.base.clock import Instant, rfc3339
from knarr.client.view import View
from knarr.controllers.controller import Controller, Key, Plan
from knarr.kinds.flowcontrol import FLOWSCHEMA, PRIORITYLEVELCONFIGURATION
from knarr.kinds.lens.flowcontrol import FlowSchema, PriorityLevelConfiguration


def plan(schema: FlowSchema, view: View, now: Instant) -> Plan:
    """Say whether the level is there; what is said already stays with its time."""
    name = schema.spec.priority_level_configuration.name
    is_there = view.get(PriorityLevelConfiguration, "", name) is not None
    wanted = ("False", "Found") if is_there else ("True", "NotFound")
    told = next((each for each in schema.status.conditions if each.type == "Dangling"), None)
    if told is not None and (told.status, told.reason) == wanted:
        return Plan()
    end = "and it exists" if is_there else "but there is no such object"
    message = f'This FlowSchema references the PriorityLevelConfiguration object named "{name}" {end}'
    status, reason = wanted
    condition = {
        "type": "Dangling", "status": status, "reason": reason, "message": message, "lastTransitionTime": rfc3339(now),
    }  # fmt: skip
    return Plan(status={"conditions": [condition]})


def schemas_of(level: PriorityLevelConfiguration, view: View) -> Sequence[Key]:
    """The schemas that name a level which came or went."""
    name = level.metadata.name
    found = view.list(FlowSchema)
    return [("", each.metadata.name) for each in found if each.spec.priority_level_configuration.name == name]


CONTROLLER = Controller(
    "flowschema-controller",
    kind=FLOWSCHEMA,
    plan=plan,
    watches={PRIORITYLEVELCONFIGURATION: schemas_of},
    writes=(FLOWSCHEMA,),
)
