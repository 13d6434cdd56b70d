"""`knarr why` on a real cluster: three faults of three kinds, and an object that is sound."""

import json
from typing import Any

import pytest

from tests.e2e.cluster import Cluster

FOREVER = ["sh", "-c", "trap 'exit 0' TERM; while true; do sleep 0.1; done"]


def deployment(name: str, image: str, container: dict[str, Any]) -> dict[str, Any]:
    """A Deployment of one pod with the container `c`."""
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": image, **container}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    }


@pytest.fixture(scope="module")
def faulty(cluster: Cluster, busybox: str) -> str:
    """A namespace with a crashing, an unschedulable and a sound Deployment, and a Service that selects nothing."""
    said = ["sh", "-c", "echo no database at db:5432 >&2; exit 3"]
    objects = [
        deployment("crash", busybox, {"command": said}),
        deployment("big", busybox, {"command": FOREVER, "resources": {"requests": {"cpu": "1000"}}}),
        deployment("sound", busybox, {"command": FOREVER}),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "astray"},
            "spec": {"selector": {"app": "soundd"}, "ports": [{"port": 80}]},
        },
    ]
    cluster.ok(cluster.kubectl("create", "namespace", "why"))
    body = {"apiVersion": "v1", "kind": "List", "items": objects}
    cluster.ok(cluster.kubectl("create", "-n", "why", "-f", "-", text=json.dumps(body)))
    cluster.ok(cluster.kubectl("rollout", "status", "-n", "why", "deployment/sound", "--timeout=30s"))
    return "why"


def why(cluster: Cluster, namespace: str, *words: str) -> str:
    return cluster.ok(cluster.knarr("why", "-n", namespace, *words))


def test_a_crash_is_told_with_exit_code_and_last_words(cluster: Cluster, faulty: str) -> None:
    cluster.until("CrashLoopBackOff", "get", "pods", "-n", faulty, "-l", "app=crash")
    told = why(cluster, faulty, "deployment/crash")
    assert told.startswith("deployment/crash: container c keeps failing with exit code 3 (pod/crash-")
    assert "  seen: log: no database at db:5432\n" in told
    assert "\n  next: mend what its log says: kubectl logs -n why crash-" in told


def test_a_pod_without_a_node_is_told_with_a_verdict_per_node(cluster: Cluster, faulty: str) -> None:
    cluster.until("Insufficient cpu", "get", "events", "-n", faulty)
    findings = json.loads(why(cluster, faulty, "deploy", "big", "-o", "json"))["findings"]
    assert findings[0]["cause"] == "no node has enough free cpu (1000 asked)"
    said, verdict = findings[0]["evidence"]
    assert said.startswith("0/1 nodes are available: 1 Insufficient cpu.")
    assert "cpu: 1000 asked, " in verdict


def test_a_service_astray_is_told_the_labels_that_pods_have(cluster: Cluster, faulty: str) -> None:
    told = why(cluster, faulty, "svc/astray")
    assert told.startswith("service/astray: the Service selects no pods: none has the labels app=soundd\n")
    assert "app=sound,pod-template-hash=" in told.splitlines()[1]


def test_a_sound_deployment_has_nothing_wrong(cluster: Cluster, faulty: str) -> None:
    assert why(cluster, faulty, "deployment/sound").startswith("deployment/sound: nothing is wrong")


def test_what_is_not_there_is_an_error(cluster: Cluster, faulty: str) -> None:
    answer = cluster.knarr("why", "-n", faulty, "pod/nobody")
    assert (answer.code, answer.out) == (6, "")
    assert answer.err.startswith("error: there is no pod 'nobody' in namespace 'why'\n")
