"""Rules of Jobs and CronJobs: policies, indexes, schedules, and what may change. In upstream's words."""

from typing import Any

import pytest

from knarr.base.errors import Invalid
from knarr.kinds.rules import job_policies
from tests.unit.kinds.judging import refused, refused_change

Json = dict[str, Any]
POD = {"containers": [{"name": "c", "image": "x:1"}], "restartPolicy": "Never"}


def job(**spec: Any) -> Json:
    return {"spec": {"template": {"spec": POD}, **spec}}


def indexed(**spec: Any) -> Json:
    return job(completionMode="Indexed", completions=5, **spec)


def failures(**rule: Any) -> Json:
    return job(podFailurePolicy={"rules": [rule]})


def codes(**wanted: Any) -> Json:
    return failures(action="Ignore", onExitCodes={"operator": "In", "values": [1], **wanted})


def success(**rule: Any) -> Json:
    return indexed(successPolicy={"rules": [rule]})


def cron(**spec: Any) -> Json:
    return {"spec": {"schedule": "* * * * *", "jobTemplate": job(), **spec}}


RULE = "spec.podFailurePolicy.rules[0]"
SUCCESS = "spec.successPolicy.rules[0]"
CASES: list[tuple[str, Json, str]] = [
    ("Job", job(maxFailedIndexes=1), "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified"),
    ("Job", job(backoffLimitPerIndex=1), "backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"),
    ("Job", job(successPolicy={"rules": []}), "requires indexed completion mode"),
    ("Job", job(completionMode="Indexed", parallelism=2), "completions: Required value: when completion mode is"),
    ("Job", indexed(maxFailedIndexes=9, backoffLimitPerIndex=1), "must be less than or equal to completions"),
    ("Job", indexed(parallelism=100_001), "must be less than or equal to 100000 when completion mode is Indexed"),
    ("Job", {**indexed(), "metadata": {"name": "x" * 62}}, "will not able to create pod with invalid DNS label: xxx"),
    ("Job", job(completionMode="Indexed", completions=200_000, backoffLimitPerIndex=1),
     "spec.maxFailedIndexes: Required value: must be specified when completions is above 100000"),
    ("Job", job(managedBy="me"), 'spec.managedBy: Invalid value: "me": must be a domain-prefixed path'),
    ("Job", job(selector={"matchLabels": {"a": "b"}}), "spec.template.metadata.labels: Invalid value: null: "),
    ("Job", failures(action="Retry", onPodConditions=[{"type": "A", "status": "True"}]),
     f'{RULE}.action: Unsupported value: "Retry": supported values: "Count", "FailIndex", "FailJob", "Ignore"'),
    ("Job", failures(action="Ignore"), f"{RULE}: Invalid value: specifying one of OnExitCodes and OnPodConditions is"),
    ("Job", failures(action="FailIndex"), "requires the backoffLimitPerIndex to be set"),
    ("Job", codes(values=[0]), f"{RULE}.onExitCodes.values[0]: Invalid value: 0: must not be 0 for the In operator"),
    ("Job", codes(values=[]), f"{RULE}.onExitCodes.values: Invalid value: []: at least one value is required"),
    ("Job", codes(values=[3, 1]), f"{RULE}.onExitCodes.values: Invalid value: [3,1]: must be ordered"),
    ("Job", codes(values=[1, 1]), f"{RULE}.onExitCodes.values[1]: Duplicate value: 1"),
    ("Job", codes(containerName="d"), "must be one of the container or initContainer names in the pod template"),
    ("Job", failures(action="Ignore", onPodConditions=[{"type": "A", "status": "Maybe"}]),
     f'{RULE}.onPodConditions[0].status: Unsupported value: "Maybe"'),
    ("Job", {"spec": {"template": {"spec": {**POD, "restartPolicy": "OnFailure"}}, "podFailurePolicy": {"rules": []}}},
     'Invalid value: "OnFailure": only "Never" is supported when podFailurePolicy is specified'),
    ("Job", job(podFailurePolicy={"rules": []}, podReplacementPolicy="TerminatingOrFailed"),
     'spec.podReplacementPolicy: Unsupported value: "TerminatingOrFailed": supported values: "Failed"'),
    ("Job", indexed(successPolicy={"rules": []}), "spec.successPolicy.rules: Required value: at least one rules must"),
    ("Job", success(), f"{SUCCESS}: Required value: at least one of succeededCount or succeededIndexes must be"),
    ("Job", success(succeededCount=6), f"{SUCCESS}.succeededCount: Invalid value: 6: must be less than or equal to 5 "
     "(the number of specified completions)"),
    ("Job", success(succeededIndexes="0-9"), 'error parsing succeededIndexes: too large index: "9"'),
    ("Job", success(succeededIndexes="0-1", succeededCount=3), "must be less than or equal to 2 (the number of"),
    ("CronJob", cron(schedule="TZ=UTC * * * * *"), "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"),
    ("CronJob", cron(timeZone=""), "timeZone must be nil or non-empty string"),
    ("CronJob", cron(timeZone="Local"), "timeZone must be an explicit time zone as defined in"),
    ("CronJob", cron(timeZone="../etc"), 'spec.timeZone: Invalid value: "../etc": unknown time zone ../etc'),
    ("CronJob", cron(jobTemplate=job(selector={"matchLabels": {"a": "b"}})), "`selector` will be auto-generated"),
    ("CronJob", cron(jobTemplate=job(manualSelector=True)),
     'spec.jobTemplate.spec.manualSelector: Unsupported value: true: supported values: "false", "nil"'),
    ("CronJob", {**cron(), "metadata": {"name": "x" * 53}}, "metadata.name: Invalid value"),
    ("CronJob", cron(schedule="* * * * 7"), "end of range (7) above maximum (6): 7"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "obj", "text"), CASES, ids=[f"{case[0]}: {case[2][:50]}" for case in CASES])
def test_a_fault_is_told_in_upstreams_words(name: str, obj: Json, text: str) -> None:
    found = refused(name, obj)
    assert any(text in each for each in found), found


GOOD: list[tuple[str, Json]] = [
    ("Job", indexed(backoffLimitPerIndex=1, maxFailedIndexes=5)),
    ("Job", codes(values=[1, 3, 137])),
    ("Job", success(succeededIndexes="0,2-4", succeededCount=4)),
    ("CronJob", cron(timeZone="Europe/Berlin")),
    ("CronJob", cron(schedule="@every 1h30m")),
]


@pytest.mark.parametrize(("name", "obj"), GOOD, ids=[each[0] for each in GOOD])
def test_what_upstream_accepts_is_accepted(name: str, obj: Json) -> None:
    assert refused(name, obj) == []


def test_completions_of_an_indexed_job_change_with_its_parallelism() -> None:
    old = indexed(parallelism=5)
    assert refused_change("Job", old, job(completionMode="Indexed", completions=3, parallelism=3)) == []
    assert refused_change("Job", old, job(completionMode="Indexed", completions=3, parallelism=5)) == [
        "spec.completions: Invalid value: 3: can only be modified in tandem with spec.parallelism"
    ]
    assert refused_change("Job", job(completions=1), job(completions=2)) == [
        "spec.completions: Invalid value: 2: field is immutable"
    ]


def test_a_cron_job_that_has_a_long_name_or_a_zone_in_its_schedule_still_changes() -> None:
    name = {"metadata": {"name": "x" * 60}}
    old = {**cron(schedule="TZ=UTC 1 * * * *"), **name}
    assert refused_change("CronJob", old, {**cron(schedule="TZ=UTC 2 * * * *"), **name}) == []


@pytest.mark.parametrize(("text", "count"), [("", 0), ("3", 1), ("0-4", 5), ("0,2-3", 3)])
def test_indexes_are_counted(text: str, count: int) -> None:
    assert job_policies.how_many(text, 5) == count


@pytest.mark.parametrize("text", ["a", "5", "1-1", "2-1", "1,1", "3,0-1", "1-2-3", "-1", "٣", ","])
def test_what_is_no_list_of_indexes_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        job_policies.how_many(text, 5)


def test_a_selector_that_the_server_makes_selects_nothing_else() -> None:
    labels = {"batch.kubernetes.io/controller-uid": "u", "a": "b"}
    template = {"metadata": {"labels": labels}, "spec": POD}
    identity = {"metadata": {"name": "x", "uid": "u"}}
    own = {"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}}
    assert refused("Job", {**identity, "spec": {"template": template, "selector": own}}) == []
    more = {"matchLabels": labels}
    assert "`selector` not auto-generated" in refused(
        "Job", {**identity, "spec": {"template": template, "selector": more}}
    )[0]  # fmt: skip
    manual = {"template": template, "selector": more, "manualSelector": True}
    assert refused("Job", {**identity, "spec": manual}) == []


def true(*names: str) -> Json:
    return {"conditions": [{"type": name, "status": "True"} for name in names]}


START, END = {"startTime": "2030-01-01T00:00:00Z"}, {"completionTime": "2030-01-01T00:01:00Z"}
COMPLETE = {**true("SuccessCriteriaMet", "Complete"), **START, **END}
EARLIER = "2030-01-01T01:00:00+02:00"  # though its text is after that of the start
STATUSES: list[tuple[Json, Json, list[str]]] = [
    ({}, COMPLETE, []),
    (START, {**START, **true("FailureTarget", "Failed")}, []),
    (COMPLETE, {**COMPLETE, "succeeded": 1}, []),
    ({}, {"active": -1}, ["status.active: Invalid value: -1: must be greater than or equal to 0"]),
    ({}, {**COMPLETE, "active": 1}, ["status.active: Invalid value: 1: active>0 is invalid for finished job"]),
    ({}, {"ready": 2, "active": 1}, ["status.ready: Invalid value: 2: cannot set more ready pods than active"]),
    ({}, {**START, **true("Failed")}, [
        "status.conditions: Invalid value: cannot set Failed=True condition without the FailureTarget=true condition"]),
    ({}, {**true("SuccessCriteriaMet", "Complete"), **START}, [
        "status.completionTime: Required value: completionTime is required for Complete jobs"]),
    ({}, {**COMPLETE, "completionTime": "2030-01-01T00:00:00.5Z"}, []),  # though its text is before that of the start
    ({}, {**COMPLETE, "completionTime": EARLIER}, [
        'status.completionTime: Invalid value: "2029-12-31T23:00:00Z": completionTime cannot be set before startTime']),
    ({}, {**START, **END}, [
        'status.completionTime: Invalid value: "2030-01-01T00:01:00Z": cannot set completionTime when there is no '
        "Complete=True condition"]),
    ({}, true("FailureTarget", "Failed"), ["status.startTime: Required value: startTime is required for finished job"]),
    ({"failed": 2}, {"failed": 1}, ["status.failed: Invalid value: 1: cannot decrease the failed counter"]),
    ({**START, **true("FailureTarget")}, START, [
        "status.conditions: Invalid value: cannot disable the terminal FailureTarget=True condition"]),
    (START, {}, ["status.startTime: Required value: startTime cannot be removed for unsuspended job"]),
    ({}, {"completedIndexes": "0"}, [
        'status.completedIndexes: Invalid value: "0": cannot set non-empty completedIndexes when non-indexed '
        "completion mode"]),
    ({}, {"uncountedTerminatedPods": {"succeeded": ["u"]}, **COMPLETE}, [
        'status.uncountedTerminatedPods: Invalid value: {"succeeded":["u"]}: uncountedTerminatedPods needs to be empty '
        "for finished job"]),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "found"), STATUSES)
def test_a_status_does_not_contradict_itself_or_the_one_before(old: Json, new: Json, found: list[str]) -> None:
    before, after = ({**job(completions=3), "status": status} for status in (old, new))
    assert refused_change("Job", before, after, "status") == found
