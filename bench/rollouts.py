"""Deployments with real containers on one node: scale to 0 and back, rolling update and undo of 10, 50 replicas.

Needs root; makes a cluster of its own (`bench-rollouts`) and deletes it. Upstream's figures are those of a tuned
control plane, kubelet and containerd on a machine of this size: the README's table.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parent))

import outside
import stage
from stage import ENDS_AT_ONCE, Stage

DEPLOYMENTS: Final = "/apis/apps/v1/namespaces/default/deployments"
MERGE: Final = "application/merge-patch+json"
ROUNDS: Final = 3


def deployment(image: str, name: str, replicas: int, version: str) -> dict[str, Any]:
    container = {"name": "c", "image": image, "command": ENDS_AT_ONCE, "env": [{"name": "V", "value": version}]}
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 5, "containers": [container]},
    }
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def rolled_out(api: outside.Api, made: dict[str, Any]) -> None:
    """Return once the Deployment, in the version that was written, is as `kubectl rollout status` wants it."""
    name, since = made["metadata"]["name"], made["metadata"]["resourceVersion"]
    wanted, generation = made["spec"]["replicas"], made["metadata"]["generation"]
    counts = ("replicas", "updatedReplicas", "availableReplicas")
    for _, event in api.watch(f"{DEPLOYMENTS}?watch=true&resourceVersion={since}&fieldSelector=metadata.name={name}"):
        status = event["object"].get("status", {})
        is_seen = status.get("observedGeneration", 0) >= generation
        if is_seen and all(status.get(count, 0) == wanted for count in counts):
            return


def timed(api: outside.Api, method: str, path: str, body: object) -> float:
    """Seconds from a write until it is rolled out."""
    began = time.monotonic()
    rolled_out(api, api.call(method, path, body, MERGE if method == "PATCH" else "application/json"))
    return time.monotonic() - began


def emptied(held: Stage, path: str) -> float:
    """Seconds from scaling to 0 until no pod is left."""
    replicas = held.api.call("GET", path)["spec"]["replicas"]
    held.pods.when(lambda now: len(now) == replicas)  # The watch of pods may be behind that of the Deployment.
    began = time.monotonic()
    made = held.api.call("PATCH", path, {"spec": {"replicas": 0}}, MERGE)
    seconds = held.pods.when(lambda now: not now) - began
    rolled_out(held.api, made)  # So that what follows does not take the old counts for its own.
    return seconds


def rounds_of_ten(held: Stage) -> None:
    api, path = held.api, f"{DEPLOYMENTS}/ten"
    begin, end, back, update, used, undo = [], [], [], [], [], []
    pids = held.pids()
    for _ in range(ROUNDS):
        begin.append(timed(api, "POST", DEPLOYMENTS, deployment(held.image, "ten", 10, "1")))
        end.append(emptied(held, path))
        back.append(timed(api, "PATCH", path, {"spec": {"replicas": 10}}))
        before = outside.cpu_seconds(pids, with_children=True)
        update.append(timed(api, "PATCH", path, {"spec": deployment(held.image, "ten", 10, "2")["spec"]}))
        used.append(outside.cpu_seconds(pids, with_children=True) - before)
        # What `kubectl rollout undo` sends: the template of the revision before.
        undo.append(timed(api, "PATCH", path, {"spec": deployment(held.image, "ten", 10, "1")["spec"]}))
        api.call("DELETE", path)
        held.pods.when(lambda now: not now)
    outside.line("Deployment of 10 available", begin, "s", "≤ 0.6", "2.4 s tuned")
    outside.line("10 → 0, all gone", end, "s", "≤ 0.8", "9.9 s tuned")
    outside.line("0 → 10 available", back, "s", "≤ 0.6", "2.4 s tuned")
    outside.line("rolling update of 10", update, "s", "≤ 0.8", "2.3 s tuned")
    outside.line("CPU of knarr and its programs for that", used, "s", "–", "–")
    outside.line("undo of 10", undo, "s", "≤ 0.8", "3.6 s tuned")


def fifty(held: Stage) -> None:
    path = f"{DEPLOYMENTS}/fifty"
    begin = timed(held.api, "POST", DEPLOYMENTS, deployment(held.image, "fifty", 50, "1"))
    end = emptied(held, path)
    back = timed(held.api, "PATCH", path, {"spec": {"replicas": 50}})
    outside.line("Deployment of 50 available", [begin], "s", "≤ 2.6", "7.8 s tuned")
    outside.line("50 → 0, all gone", [end], "s", "–", "–")
    outside.line("0 → 50 available", [back], "s", "≤ 2.6", "7.8 s tuned")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=17460, help="the API's; the two behind it are taken as well")
    parser.add_argument("--pod-network", default="10.246.0.0/16")
    given = parser.parse_args()
    with stage.opened("bench-rollouts", given.port, given.pod_network) as held:
        rounds_of_ten(held)
        fifty(held)


if __name__ == "__main__":
    main()
