"""Killing a cluster's own processes from outside, and waiting until they are there again."""

import json
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.e2e.cluster import Cluster

BACK_SECONDS = 30.0


def pids(cluster: Cluster) -> list[int]:
    """Of control and node, of those that live."""
    return [int(pid) for pid in cluster.ok(cluster.knarr("status", "--pids")).split()]


def kill(victims: Sequence[int]) -> None:
    for pid in victims:
        os.kill(pid, signal.SIGKILL)


def wait_for_both(cluster: Cluster, killed: Sequence[int], seconds: float = BACK_SECONDS) -> None:
    end = time.monotonic() + seconds
    while len(found := pids(cluster)) < 2 or set(found) & set(killed):
        assert time.monotonic() < end, f"{killed} were killed and there are {found}"
        time.sleep(0.1)  # an outside view has to look again


def running(argument: str) -> list[int]:
    """The pids of the processes that were started with that argument."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and argument.encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def started(argument: str, seconds: float = 10) -> list[int]:
    """The same, once there is one: a container that was started may not have come to its own program yet."""
    end = time.monotonic() + seconds
    while not (found := running(argument)) and time.monotonic() < end:
        time.sleep(0.01)  # an outside view has to look again
    return found


def monitors(cluster: Cluster) -> dict[int, list[str]]:
    """The command lines of this cluster's conmons by pid."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            words = (
                (entry / "cmdline").read_bytes().decode(errors="replace").split("\0") if entry.name.isdigit() else []
            )
        except OSError:
            continue
        if words and words[0].endswith("conmon") and any(f"/run/knarr/{cluster.name}/" in word for word in words):
            found[int(entry.name)] = words
    return found


def pod(name: str, image: str, command: Sequence[str], **spec: Any) -> dict[str, Any]:
    """One pod of a group that `labels` tell apart by the name's first word."""
    containers = [{"name": "c", "image": image, "command": list(command)}]
    metadata = {"name": name, "labels": {"of": name.rpartition("-")[0]}}
    body = {"terminationGracePeriodSeconds": 0, "containers": containers, **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": body}


def apply(cluster: Cluster, pods: Sequence[dict[str, Any]]) -> None:
    body = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(pods)})
    cluster.ok(cluster.kubectl("apply", "-f", "-", text=body))


def containers(cluster: Cluster, label: str) -> dict[str, tuple[str, int, bool]]:
    """(id, restarts, ready) of each labelled pod's container."""
    found = {}
    for each in cluster.get("pods", "-l", label)["items"]:
        for status in each["status"].get("containerStatuses", ()):
            identity = str(status.get("containerID", ""))
            found[each["metadata"]["name"]] = (identity, int(status["restartCount"]), bool(status["ready"]))
    return found
