"""Flow schemas say whether their priority level exists."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from knarr.base.ids import Revision
from knarr.client.cache import Cache
from knarr.controllers import flowschemas
from knarr.kinds.flowcontrol import FLOWSCHEMA, PRIORITYLEVELCONFIGURATION
from knarr.kinds.lens.flowcontrol import FlowSchema

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def view(level: str, *conditions: dict[str, Any]) -> tuple[FlowSchema, Cache]:
    cache = Cache([FLOWSCHEMA, PRIORITYLEVELCONFIGURATION])
    spec = {"priorityLevelConfiguration": {"name": "low"}}
    schema = {"metadata": {"name": "s"}, "spec": spec, "status": {"conditions": list(conditions)}}
    cache.replace(FLOWSCHEMA, [msgspec.json.encode(schema)], Revision(1))
    found = msgspec.json.encode({"metadata": {"name": level}})
    cache.replace(PRIORITYLEVELCONFIGURATION, [found], Revision(1))
    one = cache.get(FlowSchema, "", "s")
    assert one is not None
    return one, cache


def condition(status: str, reason: str, end: str) -> dict[str, str]:
    message = f'This FlowSchema references the PriorityLevelConfiguration object named "low" {end}'
    return {"type": "Dangling", "status": status, "reason": reason, "message": message,
            "lastTransitionTime": "2030-01-01T00:00:00Z"}  # fmt: skip


def test_a_schema_whose_level_exists_does_not_dangle() -> None:
    assert flowschemas.plan(*view("low"), NOW).status == {"conditions": [condition("False", "Found", "and it exists")]}


def test_a_schema_without_its_level_dangles() -> None:
    told = condition("False", "Found", "and it exists")
    assert flowschemas.plan(*view("high", told), NOW).status == {
        "conditions": [condition("True", "NotFound", "but there is no such object")]
    }


def test_what_is_said_already_is_not_said_again() -> None:
    assert flowschemas.plan(*view("low", condition("False", "Found", "and it exists")), NOW).status is None
