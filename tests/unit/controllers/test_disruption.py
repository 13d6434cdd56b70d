"""PodDisruptionBudget: how many pods are expected, by whom, and what is told where nobody knows."""

from datetime import UTC, datetime

import msgspec

from knarr.base.ids import Revision
from knarr.client.cache import Cache
from knarr.client.client import Json
from knarr.controllers import disruption
from knarr.controllers.controller import Plan
from knarr.kinds.apps import DEPLOYMENT, REPLICASET, REPLICATIONCONTROLLER, STATEFULSET
from knarr.kinds.core_pod import POD
from knarr.kinds.lens.policy import PodDisruptionBudget
from knarr.kinds.policy import PODDISRUPTIONBUDGET

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def owned(name: str, kind: str, owner: str, api_version: str = "apps/v1", **spec: object) -> Json:
    reference = {"apiVersion": api_version, "kind": kind, "name": owner, "uid": owner, "controller": True}
    metadata = {"name": name, "namespace": "a", "uid": name, "labels": {"app": "web"}}
    return {"metadata": metadata | ({"ownerReferences": [reference]} if kind else {}), "spec": spec}


def ready(one: Json) -> Json:
    return one | {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}


def planned(pods: list[Json], sets: list[Json] | None = None) -> Plan:
    selector = {"matchLabels": {"app": "web"}}
    budget = {
        "metadata": {"name": "web", "namespace": "a", "generation": 3},
        "spec": {"maxUnavailable": 1, "selector": selector},
    }
    deployment = {"metadata": {"name": "web", "namespace": "a", "uid": "web"}, "spec": {"replicas": 2}}
    cache = Cache([PODDISRUPTIONBUDGET, POD, DEPLOYMENT, REPLICASET, REPLICATIONCONTROLLER, STATEFULSET])
    content = {PODDISRUPTIONBUDGET: [budget], POD: pods, DEPLOYMENT: [deployment], REPLICASET: sets or []}
    for kind in cache.kinds:
        cache.replace(kind, [msgspec.json.encode(one) for one in content.get(kind, [])], Revision(1))
    found = cache.get(PodDisruptionBudget, "a", "web")
    assert found is not None
    return disruption.plan(found, cache, NOW)


def test_in_a_rollout_the_deployment_says_how_many_pods_are_expected() -> None:
    sets = [owned(name, "Deployment", "web", replicas=size) for name, size in (("old", 2), ("new", 1))]
    pods = [ready(owned(f"p{number}", "ReplicaSet", name)) for number, name in enumerate(("old", "old", "new"))]
    status = planned(pods, sets).status
    assert status is not None
    assert (status["expectedPods"], status["desiredHealthy"], status["disruptionsAllowed"]) == (2, 1, 2)


def test_pods_that_nobody_scales_let_nothing_go_and_it_is_said_why() -> None:
    plan = planned([ready(owned("p", "Job", "work", "batch/v1"))])
    assert plan.status is not None
    assert plan.status["disruptionsAllowed"] == 0
    (condition,) = plan.status["conditions"]
    said = "jobs.batch does not implement the scale subresource"
    assert (condition["status"], condition["reason"], condition["message"]) == ("False", "SyncFailed", said)
    assert [(note.reason, note.message) for note in plan.events] == [
        ("CalculateExpectedPodCountFailed", f"Failed to calculate the number of expected pods: {said}")
    ]


def test_pods_without_a_controller_are_told_of() -> None:
    plan = planned([ready(owned("p", "", ""))])
    assert [note.reason for note in plan.events] == ["UnmanagedPods"]
    assert "(selector: app=web)" in plan.events[0].message
