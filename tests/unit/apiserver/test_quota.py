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


def test_a_pod_uses_what_it_takes_at_most_and_its_overhead() -> None:
    sidecar, spec = container("1", restartPolicy="Always"), {"containers": [container("1"), container("2")]}
    overhead = {"overhead": {"cpu": "500m", "memory": "1"}}

    found = used("pods", {**spec, **overhead, "initContainers": [sidecar, container("10"), sidecar]})

    # The largest init container runs beside the sidecar before it.
    assert (found["cpu"], found["requests.cpu"], found["limits.cpu"]) == ("23/2", "23/2", "23/2")
    assert (found["memory"], found["pods"], found["count/pods"]) == ("1", "1", "1")
    assert "limits.memory" not in found
    assert used("pods", {**spec, "initContainers": [container("4"), sidecar, sidecar]})["cpu"] == "5"
    assert used("pods", {**spec, "initContainers": [container("6"), sidecar]})["cpu"] == "6"


def test_a_pod_that_says_what_it_takes_as_a_whole_uses_that() -> None:
    spec = {"containers": [container("1")], "resources": {"requests": {"cpu": "4"}, "limits": {"cpu": "8"}}}

    found = used("pods", spec)

    assert (found["requests.cpu"], found["limits.cpu"]) == ("4", "8")


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


@pytest.mark.parametrize(
    ("operator", "values", "classes", "holds"),
    [
        ("Exists", [], {}, False),
        ("Exists", [], {"spec": {"volumeAttributesClassName": "gold"}}, True),
        ("DoesNotExist", [], {"spec": {"volumeAttributesClassName": ""}}, True),
        ("In", ["gold"], {"status": {"currentVolumeAttributesClassName": "gold"}}, True),
        ("In", ["gold"], {"spec": {"volumeAttributesClassName": "silver"}}, False),
        ("In", ["gold"], {"status": {"modifyVolumeStatus": {"targetVolumeAttributesClassName": "gold"}}}, True),
        ("NotIn", ["gold"], {}, True),
        ("NotIn", ["gold"], {"spec": {"volumeAttributesClassName": "gold"}}, False),
    ],
)
def test_a_scope_chooses_claims_by_their_class(operator: str, values: list[str], classes: Any, holds: bool) -> None:
    scope = {"scopeName": "VolumeAttributesClass", "operator": operator, "values": values}
    wanted = {"scopeSelector": {"matchExpressions": [scope]}}

    assert quota.in_scope(wanted, {"kind": "PersistentVolumeClaim", **classes}) is holds
    assert not quota.in_scope(wanted, {"kind": "Pod"})


async def test_claims_of_an_attributes_class_are_counted_against_the_quota_of_their_scope(ask: Asker) -> None:
    scope = {"scopeName": "VolumeAttributesClass", "operator": "In", "values": ["gold"]}
    spec = {"hard": {"requests.storage": "3"}, "scopeSelector": {"matchExpressions": [scope]}}
    await ask("POST", QUOTAS, {"metadata": {"name": "q"}, "spec": spec})
    claims = QUOTAS.replace("resourcequotas", "persistentvolumeclaims")

    def claim(name: str, of: str) -> dict[str, Any]:
        resources = {"requests": {"storage": "2"}}
        asked = {"accessModes": ["ReadWriteOnce"], "resources": resources, "volumeAttributesClassName": of}
        return {"metadata": {"name": name}, "spec": asked}

    first, other = await ask("POST", claims, claim("a", "gold")), await ask("POST", claims, claim("b", "silver"))
    second = await ask("POST", claims, claim("c", "gold"))

    assert (first["kind"], other["kind"]) == ("PersistentVolumeClaim", "PersistentVolumeClaim"), (first, other)
    assert "exceeded quota: q, requested: requests.storage=2, used: requests.storage=2" in second["message"]
