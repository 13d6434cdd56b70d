"""What a Job's status may say of its pods and indexes: each once, and none as both done and failed."""

from typing import Any

import pytest

from knarr.kinds.rules import job_policies
from tests.unit.kinds.judging import refused_change

Json = dict[str, Any]


def job(status: Json) -> Json:
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "x"}]}
    spec = {"completions": 9, "completionMode": "Indexed", "backoffLimitPerIndex": 1, "template": {"spec": pod}}
    return {"spec": spec, "status": status}


def true(*kinds: str) -> Json:
    return {"conditions": [{"type": kind, "status": "True"} for kind in kinds]}


COMPLETE = {"startTime": "2030-01-01T00:00:00Z", "completionTime": "2030-01-01T00:01:00Z"}
CASES: list[tuple[Json, Json, list[str]]] = [
    ({}, {"completedIndexes": "0,2-4", "failedIndexes": "1,5-6"}, []),
    ({}, {"completedIndexes": "0,2-4", "failedIndexes": "1,4-6"}, [
        'status.failedIndexes: Invalid value: "1,4-6": failedIndexes and completedIndexes overlap at index: 4']),
    ({}, {"uncountedTerminatedPods": {"succeeded": ["a", ""], "failed": ["a"]}}, [
        'status.uncountedTerminatedPods.succeeded[1]: Invalid value: "": must not be empty',
        'status.uncountedTerminatedPods.failed[0]: Duplicate value: "a"']),
    ({**true("Complete"), **COMPLETE}, {**true("Complete", "SuccessCriteriaMet"), **COMPLETE}, [
        "status.conditions: Invalid value: cannot set SuccessCriteriaMet=True for Job already has Complete=true "
        "conditions"]),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "found"), CASES)
def test_a_status_names_everything_once(old: Json, new: Json, found: list[str]) -> None:
    assert refused_change("Job", job(old), job(new), "status") == found


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("", "1", None),
        ("0-3", "4-5", None),
        ("0,5", "1-4,6", None),
        ("0,5-7", "1-4,6", 6),
        ("2-3", "0-8", 2),
        ("x", "1", None),
    ],
)
def test_the_first_shared_index_is_found(one: str, other: str, shared: int | None) -> None:
    assert job_policies.overlap(one, other, 9) == shared
