"""Flow schemas and priority levels: the built-in ones are in order, what cannot be followed is refused by field."""

from typing import Any

import pytest

from knarr.apiserver.fairness import configuration
from knarr.kinds.rules import flowcontrol


def faults_of(found: dict[str, Any]) -> list[str]:
    check = flowcontrol.flow_schema if found["kind"] == "FlowSchema" else flowcontrol.priority_level
    return [cause.field for cause in check(found)]


@pytest.mark.parametrize(
    "found", configuration.objects(), ids=lambda each: f"{each['kind']}-{each['metadata']['name']}"
)
def test_what_a_cluster_begins_with_is_valid(found: dict[str, Any]) -> None:
    assert faults_of(found) == []


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"handSize": 100}, "spec.limited.limitResponse.queuing.handSize"),
        ({"handSize": 0}, "spec.limited.limitResponse.queuing.handSize"),
        ({"handSize": 12}, "spec.limited.limitResponse.queuing.handSize"),
        ({"queues": 0, "handSize": 0}, "spec.limited.limitResponse.queuing.queues"),
        ({"queueLengthLimit": 0}, "spec.limited.limitResponse.queuing.queueLengthLimit"),
    ],
)
def test_queues_that_cannot_be_are_refused(changed: dict[str, int], field: str) -> None:
    found = configuration.level("system")
    found["spec"]["limited"]["limitResponse"]["queuing"] |= changed

    assert field in faults_of(found)


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"matchingPrecedence": 1}, "spec.matchingPrecedence"),
        ({"matchingPrecedence": 10_001}, "spec.matchingPrecedence"),
        ({"priorityLevelConfiguration": {}}, "spec.priorityLevelConfiguration.name"),
        ({"rules": [{"subjects": [{"kind": "User"}]}]}, "spec.rules[0].subjects[0].user"),
        ({"rules": [{}]}, "spec.rules[0].subjects"),
    ],
)
def test_schemas_that_cannot_be_are_refused(changed: dict[str, Any], field: str) -> None:
    found = configuration.schema("system-nodes")
    found["spec"] |= changed

    assert field in faults_of(found)


def test_only_exempt_is_exempt() -> None:
    found = configuration.exempt_level()

    assert faults_of({**found, "metadata": {"name": "mine"}}) == ["spec.type"]
