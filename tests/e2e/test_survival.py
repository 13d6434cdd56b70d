"""The cluster's own processes die at any moment, also both at once; pods, and their ends, do not suffer.

Rounds are few and bounded; a seed makes the moments the same each time.
"""

import json
import os
import random
import signal
import time
from pathlib import Path

from tests.e2e.cluster import Cluster
from tests.e2e.inventory import inventory

ROUNDS, PODS = 4, 8


def pids(cluster: Cluster) -> list[int]:
    """Of control and node, of those that live."""
    return [int(pid) for pid in cluster.ok(cluster.knarr("status", "--pids")).split()]


def wait_for_both(cluster: Cluster, killed: list[int], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while len(found := pids(cluster)) < 2 or set(found) & set(killed):
        assert time.monotonic() < end, f"{killed} were killed and there are {found}"
        time.sleep(0.1)  # an outside view has to look again


def test_control_comes_back_when_it_dies_while_the_node_starts(cluster: Cluster) -> None:
    control, node = pids(cluster)
    lock = Path(f"/run/knarr/{cluster.name}/node.pid")
    os.kill(node, signal.SIGKILL)
    end = time.monotonic() + 10
    while lock.read_text().strip() in ("", str(node)):
        assert time.monotonic() < end, "the node was not started again"
        time.sleep(0.01)  # an outside view has to look again
    os.kill(control, signal.SIGKILL)
    wait_for_both(cluster, [control, node])
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
        killed = moments.choice(pids(cluster))
        os.kill(killed, signal.SIGKILL)
        wait_for_both(cluster, [killed])
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
