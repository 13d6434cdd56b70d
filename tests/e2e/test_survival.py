"""The cluster's own processes die at any moment, also both at once; pods, and their ends, do not suffer.

Rounds are few and bounded; a seed makes the moments the same each time. KNARR_KILL_CYCLES (the issue's soak: 2000) is
how many pods are made and deleted.
"""

import json
import os
import random
import signal
import time
from pathlib import Path

from knarr.criserver import user_namespaces
from tests.e2e import deaths
from tests.e2e.cluster import Cluster
from tests.e2e.inventory import without_processes

PODS = 8
HAS_USERS = user_namespaces.are_possible(Path("/var/lib"))
ROUNDS = int(os.environ.get("KNARR_KILL_CYCLES", "32")) // PODS


def test_control_comes_back_when_it_dies_while_the_node_starts(cluster: Cluster) -> None:
    control, node = deaths.pids(cluster)
    lock = Path(f"/run/knarr/{cluster.name}/node.pid")
    os.kill(node, signal.SIGKILL)
    end = time.monotonic() + 10
    while lock.read_text().strip() in ("", str(node)):
        assert time.monotonic() < end, "the node was not started again"
        time.sleep(0.01)  # an outside view has to look again
    os.kill(control, signal.SIGKILL)
    deaths.wait_for_both(cluster, [control, node])
    cluster.until(" Ready ", "get", "nodes")


def manifest(names: list[str], image: str) -> str:
    def pod(name: str) -> dict[str, object]:
        spec = {
            "terminationGracePeriodSeconds": 1,
            "shareProcessNamespace": name.endswith("0"),
            "hostUsers": not (HAS_USERS and name.endswith(("1", "0"))),
            "volumes": [{"name": "memory", "emptyDir": {"medium": "Memory"}}],
            "containers": [
                {
                    "name": "main",
                    "image": image,
                    "command": ["sleep", "3600"],
                    "volumeMounts": [{"name": "memory", "mountPath": "/memory"}],
                }
            ],
        }
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"in": "chaos"}}, "spec": spec}

    return json.dumps({"apiVersion": "v1", "kind": "List", "items": [pod(name) for name in names]})


def test_nothing_is_left_of_pods_made_and_deleted_while_processes_die(cluster: Cluster, busybox: str) -> None:
    before = without_processes(cluster)
    moments = random.Random(5)
    live: list[str] = []
    for number in range(ROUNDS):
        fresh = [f"chaos-{number}-{index}" for index in range(PODS)]
        cluster.ok(cluster.kubectl("apply", "-f", "-", text=manifest(fresh, busybox)))
        if live:
            forced = ("--grace-period=0", "--force") if number % 2 else ()
            cluster.ok(cluster.kubectl("delete", "pod", "--wait=false", *forced, *live))
        time.sleep(moments.uniform(0, 1.5))  # the moment of the kill is what varies
        killed = moments.choice(deaths.pids(cluster))
        deaths.kill([killed])
        deaths.wait_for_both(cluster, [killed])
        cluster.until("", "get", "--raw", "/readyz")
        ready = ("wait", "--for=condition=Ready", "--timeout=30s", *(f"pod/{name}" for name in fresh))
        cluster.until("condition met", *ready, seconds=60)
        statuses = [s for p in cluster.get("pods", "-l", "in=chaos")["items"] for s in p["status"]["containerStatuses"]]
        assert [status for status in statuses if status["restartCount"]] == []
        live = fresh
    cluster.ok(cluster.kubectl("delete", "pod", "-l", "in=chaos", "--timeout=60s"))
    end = time.monotonic() + 20
    while (left := sorted(set(without_processes(cluster)) - set(before))) and time.monotonic() < end:
        time.sleep(0.2)  # an outside view has to look again
    assert left == []
