"""Seeded faults and the answer each must get; sound objects; what is read of logs."""

import pytest

from knarr.diagnosis import diagnose
from knarr.diagnosis.scene import Scene
from tests.unit.diagnosis import faults, workload_faults
from tests.unit.diagnosis.faults import Fault
from tests.unit.diagnosis.scenery import (
    LONG_AGO,
    RUNNING,
    condition,
    crashed,
    deployment,
    event,
    made,
    node,
    pod,
    scene,
    terminated,
    waiting,
)  # fmt: skip

ALL = (
    *faults.PULLS, *faults.CONFIGURATION, *faults.ENDINGS, *faults.PROBES, *faults.PLACES, *workload_faults.CREATION,
    *workload_faults.WORKLOADS, *workload_faults.JOBS, *workload_faults.SERVICES, *workload_faults.CLUSTER,
)  # fmt: skip
healthy = deployment(status={"readyReplicas": 2, "replicas": 2, "updatedReplicas": 2})
done = made("Job", spec={}, status={"conditions": [condition("Complete")]})
SOUND = {
    "a ready pod": scene(pod(RUNNING, ready=True), node()),
    "a pod that crashed long ago": scene(pod(RUNNING, terminated(1, finished=LONG_AGO), ready=True)),
    "a pod that has done its work": scene(pod(terminated(0, "Completed"), phase="Succeeded")),
    "a Deployment at its end": scene(healthy, pod(RUNNING, ready=True, owner=healthy)),
    "a Deployment that once was refused": scene(healthy, event(healthy, "FailedCreate", "exceeded quota: few")),
    "a Deployment beside an evicted pod": scene(
        healthy,
        pod(RUNNING, ready=True, owner=healthy),
        pod(phase="Failed", name="old", owner=healthy, status={"reason": "Evicted"}),
    ),
    "a complete Job that failed once": scene(done, crashed(1, owner=done)),
    "a ConfigMap": scene(made("ConfigMap")),
    "a ready node": scene(node()),
}


def rules(given: Scene) -> list[str]:
    return [finding.rule for finding in diagnose.diagnose(given).findings]


@pytest.mark.parametrize("fault", ALL, ids=lambda fault: str(fault.name).replace(" ", "-"))
def test_a_fault_gets_the_right_answer_first(fault: Fault) -> None:
    findings = diagnose.diagnose(fault.scene).findings
    assert findings, "nothing was found"
    first = findings[0]
    assert first.rule == fault.rule, [(each.rule, each.cause) for each in findings]
    assert fault.cause in first.cause
    assert fault.evidence in "\n".join(first.evidence)
    assert first.next_step
    assert first.about


@pytest.mark.parametrize("given", SOUND.values(), ids=[name.replace(" ", "-") for name in SOUND])
def test_a_sound_object_has_nothing_wrong(given: Scene) -> None:
    diagnosis = diagnose.diagnose(given)
    assert diagnosis.findings == ()
    assert diagnosis.looked_at


def test_every_fault_has_its_own_name() -> None:
    assert len({fault.name for fault in ALL}) == len(ALL) >= 30


def test_an_ordered_set_tells_the_pod_s_fault_and_who_waits_for_it() -> None:
    assert rules(workload_faults.ORDERED) == ["not_yet_ready", "ordinal"]
    assert diagnose.diagnose(workload_faults.ORDERED).findings[1].cause.startswith("web-1 waits until web-0")


def test_a_failed_job_tells_how_its_pods_failed_then_its_limit() -> None:
    assert rules(workload_faults.CRASHING_JOB) == ["crashing", "failed"]


def test_pods_with_one_cause_make_one_finding() -> None:
    owner = made("ReplicaSet", spec={"replicas": 2}, status={"replicas": 2})
    given = scene(owner, *(crashed(3, name=name, owner=owner) for name in ("web-1", "web-2")))
    (finding,) = diagnose.diagnose(given).findings
    assert (finding.rule, finding.about) == ("crashing", ("pod/web-1", "pod/web-2"))


def test_the_last_event_counts_not_the_first() -> None:
    subject = pod(waiting("ContainerCreating"))
    early = event(subject, "FailedMount", 'volume "v" : secret "old" not found', at="2030-01-01T11:00:00Z")
    late = event(subject, "FailedMount", 'volume "v" : secret "new" not found', at="2030-01-01T11:30:00Z")
    assert "'new'" in diagnose.diagnose(scene(subject, late, early)).findings[0].cause


def test_events_of_a_namesake_that_is_gone_do_not_count() -> None:
    subject = pod(waiting("ContainerCreating"))
    old = event({**subject, "metadata": {**subject["metadata"], "uid": "other"}}, "FailedMount", 'secret "s" not found')
    assert rules(scene(subject, old)) == ["waiting"]


def test_logs_are_asked_of_containers_that_ended_badly_but_not_of_those_that_never_ran() -> None:
    asked = diagnose.logs_wanted(scene(crashed(3)))
    assert asked == [diagnose.LogWanted("shop", "web", "c", is_previous=False)]
    again = diagnose.logs_wanted(scene(pod(RUNNING, terminated(3))))
    assert again == [diagnose.LogWanted("shop", "web", "c", is_previous=True)]
    assert diagnose.logs_wanted(scene(crashed(128, "StartError"))) == []
    assert diagnose.logs_wanted(scene(pod(RUNNING, ready=True))) == []


def test_an_object_with_nothing_in_it_is_no_error() -> None:
    for kind in (
        "Pod",
        "Deployment",
        "StatefulSet",
        "DaemonSet",
        "Job",
        "CronJob",
        "Service",
        "Ingress",
        "Node",
        "Widget",
    ):
        diagnose.diagnose(Scene({"kind": kind, "metadata": {"name": "x"}}))
        diagnose.diagnose(Scene({"kind": kind, "metadata": {"name": "x"}, "spec": None, "status": None}))


@pytest.mark.parametrize("status", ["x", 1, [], {"conditions": "x"}, {"conditions": ["x"]}], ids=repr)
def test_a_custom_resource_of_another_shape_is_no_error(status: object) -> None:
    assert rules(Scene({"kind": "Widget", "metadata": {"name": "x"}, "spec": "y", "status": status})) == []
