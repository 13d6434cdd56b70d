"""What a ResourceQuota counts beyond plain numbers: storage by class, sidecars and overhead, scopes, services."""

from typing import Any

import pytest

from knarr.apiserver.admission import quota
from knarr.apiserver.resources import Resources
from knarr.apiserver.server import served_kinds
from tests.unit.apiserver.conftest import Asker

RESOURCES = Resources(served_kinds())
QUOTAS = "/api/v1/namespaces/default/resourcequotas"
PODS = "/api/v1/namespaces/default/pods"


def container(cpu: str, **more: Any) -> dict[str, Any]:
    return {"name": "c", "image": "x", "resources": {"requests": {"cpu": cpu}, "limits": {"cpu": cpu}}, **more}


def used(plural: str, spec: dict[str, Any]) -> dict[str, str]:
    resource = RESOURCES.of("", "v1", plural)
    return {
        name: str(value) for name, value in quota.usage(resource, {"kind": resource.kind.kind, "spec": spec}).items()
    }


def test_a_pod_uses_its_containers_and_sidecars_or_its_largest_init_container_and_its_overhead() -> None:
    spec = {
        "containers": [container("1"), container("2")],
        "initContainers": [container("1", restartPolicy="Always"), container("10")],
        "overhead": {"cpu": "500m", "memory": "1"},
    }

    found = used("pods", spec)

    assert (found["cpu"], found["requests.cpu"], found["limits.cpu"]) == ("21/2", "21/2", "21/2")
    assert (found["memory"], found["pods"], found["count/pods"]) == ("1", "1", "1")
    assert "limits.memory" not in found


def test_a_claim_counts_by_its_class_too() -> None:
    found = used("persistentvolumeclaims", {"storageClassName": "gold", "resources": {"requests": {"storage": "2"}}})

    assert found == {
        "count/persistentvolumeclaims": "1",
        "persistentvolumeclaims": "1",
        "requests.storage": "2",
        "gold.storageclass.storage.k8s.io/persistentvolumeclaims": "1",
        "gold.storageclass.storage.k8s.io/requests.storage": "2",
    }


def test_a_load_balancer_uses_its_node_ports() -> None:
    spec = {"type": "LoadBalancer", "ports": [{"port": 80, "nodePort": 30000}, {"port": 81, "nodePort": 30001}]}

    found = used("services", spec)

    assert (found["services.nodeports"], found["services.loadbalancers"]) == ("2", "1")


TERM = {"topologyKey": "zone", "namespaceSelector": {}}


@pytest.mark.parametrize(
    ("scope", "spec", "holds"),
    [
        ({"scopeName": "CrossNamespacePodAffinity", "operator": "Exists"}, {}, False),
        (
            {"scopeName": "CrossNamespacePodAffinity", "operator": "Exists"},
            {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [TERM]}}},
            True,
        ),
        ({"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}, {"priorityClassName": "high"}, True),
        ({"scopeName": "PriorityClass", "operator": "NotIn", "values": ["high"]}, {"priorityClassName": "high"}, False),
        ({"scopeName": "Terminating", "operator": "Exists"}, {"activeDeadlineSeconds": 5}, True),
        ({"scopeName": "BestEffort", "operator": "Exists"}, {"containers": [container("1")]}, False),
    ],
)
def test_a_scope_chooses_pods(scope: dict[str, Any], spec: dict[str, Any], holds: bool) -> None:
    wanted = {"scopeSelector": {"matchExpressions": [scope]}}

    assert quota.in_scope(wanted, {"kind": "Pod", "spec": spec}) is holds


async def test_pods_of_another_namespaces_affinity_are_refused_by_a_quota_of_none(ask: Asker) -> None:
    scope = {"scopeName": "CrossNamespacePodAffinity", "operator": "Exists"}
    spec = {"hard": {"pods": "0"}, "scopeSelector": {"matchExpressions": [scope]}}
    await ask("POST", QUOTAS, {"metadata": {"name": "q"}, "spec": spec})
    affinity = {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 1, "podAffinityTerm": {"topologyKey": "zone", "namespaces": ["other"]}}]}}  # fmt: skip

    plain = await ask("POST", PODS, {"metadata": {"name": "a"}, "spec": {"containers": [container("1")]}})
    crossing = await ask(
        "POST", PODS, {"metadata": {"name": "b"}, "spec": {"containers": [container("1")], "affinity": affinity}}
    )

    assert plain["kind"] == "Pod", plain
    assert "exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0" in crossing["message"]


async def test_claims_of_a_class_are_counted_against_their_quota(ask: Asker) -> None:
    name = "gold.storageclass.storage.k8s.io/requests.storage"
    await ask("POST", QUOTAS, {"metadata": {"name": "q"}, "spec": {"hard": {name: "3Gi"}}})
    path = "/api/v1/namespaces/default/persistentvolumeclaims"

    def claim(of_class: str) -> dict[str, Any]:
        spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": of_class,
                "resources": {"requests": {"storage": "2Gi"}}}  # fmt: skip
        return {"metadata": {"generateName": "c-"}, "spec": spec}

    answers = [await ask("POST", path, claim(each)) for each in ("gold", "tin", "tin", "gold")]

    assert [each["kind"] for each in answers[:3]] == ["PersistentVolumeClaim"] * 3
    assert f"requested: {name}=2Gi, used: {name}=2Gi, limited: {name}=3Gi" in answers[3]["message"]
