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

from tests.e2e import deaths
from tests.e2e.cluster import Cluster
from tests.e2e.inventory import inventory

PODS = 8
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
    before = _without_processes(cluster)
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
        restarts = cluster.get("pods", "-l", "in=chaos")["items"]
        assert sum(s["restartCount"] for p in restarts for s in p["status"].get("containerStatuses", ())) == 0
        live = fresh
    cluster.ok(cluster.kubectl("delete", "pod", "-l", "in=chaos", "--timeout=60s"))
    end = time.monotonic() + 20
    while (left := sorted(set(_without_processes(cluster)) - set(before))) and time.monotonic() < end:
        time.sleep(0.2)  # an outside view has to look again
    assert left == []


def _without_processes(cluster: Cluster) -> list[str]:
    """The inventory but for knarr's own two processes, whose numbers change, and a folder that the first pod makes."""
    pins = f"file /run/knarr/{cluster.name}/ns"
    lines = [line for line in inventory(cluster.name) if line != pins]
    return [line for line in lines if not line.startswith("process") or "conmon" in line]
