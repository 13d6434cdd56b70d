"""Cold start, memory, idle CPU, pod start, Deployments: the README's figures of a whole cluster, beside upstream's.

Needs root; makes a cluster of its own (`bench`) and deletes it. Peer figures are upstream's control plane, kubelet and
containerd measured on a machine of this size (2 cores), in the words of the README's table.
"""

import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import outside

NAME, PORTS = "bench", ("--port", "17443", "--registry-port", "17000", "--kubelet-port", "17250")
NETWORK = ("--pod-network", "10.247.0.0/16")
IMAGE = "localhost:17000/bench/busybox:1"
PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


def image() -> None:
    with tempfile.TemporaryDirectory() as context:
        busybox = shutil.which("busybox")
        assert busybox, "needs the package busybox-static"
        shutil.copy(busybox, context)
        Path(context, "Dockerfile").write_text(
            'FROM scratch\nCOPY busybox /bin/busybox\nRUN ["/bin/busybox", "--install", "-s", "/bin"]\nENV PATH=/bin\n'
        )
        outside.knarr("build", "--name", NAME, "-t", IMAGE, context)


def pod(name: str, **container: Any) -> dict[str, Any]:
    body = {"name": "c", "image": IMAGE, "command": ["sleep", "1000"], "imagePullPolicy": "IfNotPresent", **container}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [body]},
    }


def is_ready(body: dict[str, Any]) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in body["status"].get("conditions", ()))


def cold_start(kubeconfig: Path, rounds: int) -> outside.Api:
    outside.knarr("up", "--name", NAME, *PORTS, *NETWORK)
    image()
    api_ready, node_ready, first_running = [], [], []
    for attempt in range(rounds):
        outside.knarr("down", "--name", NAME)
        began = time.monotonic()
        steps = outside.knarr_talk("up", "--name", NAME)
        node_ready.append(time.monotonic() - began)
        told = re.search(r"API server answers.*\(([0-9.]+) s\)", steps)
        assert told is not None, steps
        api_ready.append(float(told[1]))
        api = outside.Api(kubeconfig)
        since = api.call("GET", PODS)["metadata"]["resourceVersion"]
        api.call("POST", PODS, pod(f"first-{attempt}"))
        for arrived, event in api.watch(f"{PODS}?watch=true&resourceVersion={since}"):
            if (
                event["object"]["metadata"]["name"] == f"first-{attempt}"
                and event["object"]["status"]["phase"] == "Running"
            ):
                first_running.append(arrived - began)
                break
        api.call("DELETE", f"{PODS}/first-{attempt}")
    outside.line("knarr up → API answers (the step's own time)", api_ready, "s", "≤ 0.5", "3.9 s")
    outside.line("knarr up → node Ready (command returns)", node_ready, "s", "≤ 1.0", "16.1 s (7.1 tuned)")
    outside.line("knarr up → first pod Running", first_running, "s", "≤ 1.5", "22.1 s (11.0 tuned)")
    return api


def idle(seconds: float = 20) -> None:
    pids = [int(pid) for pid in outside.knarr("status", "--name", NAME, "--pids").split()]
    time.sleep(3)  # what start-up left to do
    began, before = time.monotonic(), outside.cpu_seconds(pids)
    time.sleep(seconds)
    used = 100 * (outside.cpu_seconds(pids) - before) / (time.monotonic() - began)
    outside.line(
        "idle memory, both processes (PSS)", [outside.proportional_kib(pids) / 1024], "MiB", "≤ 120", "581 MiB"
    )
    outside.line("idle CPU", [used], "%", "≤ 1", "4.9 %")


def pod_start(api: outside.Api, count: int) -> None:
    running, ready, gone = [], [], []
    for number in range(count):
        name = f"start-{number}"
        probe = {"readinessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 1}}
        since = api.call("GET", PODS)["metadata"]["resourceVersion"]
        began = time.monotonic()
        api.call("POST", PODS, pod(name, **probe))
        deleted = 0.0
        for arrived, event in api.watch(
            f"{PODS}?watch=true&resourceVersion={since}&fieldSelector=metadata.name={name}"
        ):
            if event["type"] == "DELETED":
                gone.append(arrived - deleted)
                break
            if event["object"]["status"].get("phase") == "Running" and len(running) == number:
                running.append(arrived - began)
            if is_ready(event["object"]) and not deleted:
                ready.append(arrived - began)
                deleted = time.monotonic()
                api.call("DELETE", f"{PODS}/{name}")
    outside.line("pod create → Running, image present", running, "s", "≤ 0.120", "0.62 s")
    outside.line("pod create → Ready, command probe", ready, "s", "≤ 0.250", "1.6 s")
    outside.line("pod delete → gone, grace 0", gone, "s", "≤ 0.300", "8-10 s")


def deployment(api: outside.Api, replicas: int, aim: str, peer: str) -> None:
    name = f"d{replicas}"
    template = pod(name)
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": template["spec"]},
    }
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}
    began = time.monotonic()
    made = api.call("POST", DEPLOYMENTS, body)
    since = made["metadata"]["resourceVersion"]
    for arrived, event in api.watch(
        f"{DEPLOYMENTS}?watch=true&resourceVersion={since}&fieldSelector=metadata.name={name}"
    ):
        if event["object"]["status"].get("availableReplicas", 0) == replicas:
            outside.line(f"Deployment of {replicas} available", [arrived - began], "s", aim, peer)
            break
    began = time.monotonic()
    api.call("PATCH", f"{DEPLOYMENTS}/{name}", {"spec": {"replicas": 0}}, "application/merge-patch+json")
    while api.call("GET", f"{PODS}?labelSelector=app={name}&limit=1")["items"]:
        time.sleep(0.02)
    outside.line(
        f"Deployment of {replicas} → 0, all gone", [time.monotonic() - began], "s", "≤ 0.8", "9.9 s tuned (10)"
    )
    api.call("DELETE", f"{DEPLOYMENTS}/{name}")


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        kubeconfig = Path(directory, "config")
        os.environ["KUBECONFIG"] = str(kubeconfig)
        try:
            api = cold_start(kubeconfig, 3)
            idle()
            pod_start(api, 15)
            for replicas, aim, peer in ((10, "≤ 0.6", "2.4 s tuned"), (20, "≤ 2.0", "–"), (50, "≤ 2.5", "7.8 s tuned")):
                deployment(api, replicas, aim, peer)
        finally:
            outside.knarr("delete", "--name", NAME, "--yes")


if __name__ == "__main__":
    main()
