"""Pods as the kubelet runs them, with real containers: configuration, probes, lifecycle, security, survival."""

import json
import os
import signal
import time
from typing import Any

import pytest

from tests.e2e.cluster import Cluster

LOOP = "trap 'exit 0' TERM; while true; do sleep 0.1; done"
SOURCES = [
    {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "cfg"},
        "data": {"color": "blue", "app.conf": "size=1"},
    },
    {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "sec"}, "stringData": {"password": "hunter2"}},
]


def pod(name: str, image: str, container: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """A pod with a container `c` that runs until SIGTERM."""
    own = {"name": "c", "image": image, "command": ["sh", "-c", LOOP], **(container or {})}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 5, "containers": [own], **spec},
    }


def create(cluster: Cluster, *objects: dict[str, Any]) -> None:
    body = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    cluster.ok(cluster.kubectl("create", "-f", "-", text=json.dumps(body)))


def ready(cluster: Cluster, *names: str) -> None:
    words = [f"pod/{name}" for name in names]
    cluster.ok(cluster.kubectl("wait", "--for=condition=Ready", *words, "--timeout=30s"))


def shell(cluster: Cluster, name: str, command: str) -> str:
    return cluster.ok(cluster.kubectl("exec", name, "--", "sh", "-c", command)).strip()


def status(cluster: Cluster, name: str) -> dict[str, Any]:
    found: dict[str, Any] = cluster.get("pod", name)["status"]["containerStatuses"][0]
    return found


@pytest.fixture(scope="module")
def configured(cluster: Cluster, busybox: str) -> str:
    """A pod that sees its configuration in every way there is."""
    variables = [
        {"name": "COLOR", "valueFrom": {"configMapKeyRef": {"name": "cfg", "key": "color"}}},
        {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "sec", "key": "password"}}},
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "BOTH", "value": "$(COLOR)-$$(x)"},
    ]
    mounts = [
        {"name": "cfg", "mountPath": "/etc/cfg"},
        {"name": "sec", "mountPath": "/etc/sec"},
        {"name": "cfg", "mountPath": "/etc/one.conf", "subPath": "app.conf"},
        {"name": "scratch", "mountPath": "/scratch/deep", "subPath": "a/b"},
    ]
    container = {
        "env": variables,
        "envFrom": [{"configMapRef": {"name": "cfg"}, "prefix": "ALL_"}],
        "volumeMounts": mounts,
    }
    volumes = [
        {"name": "cfg", "configMap": {"name": "cfg"}},
        {"name": "sec", "secret": {"secretName": "sec", "defaultMode": 0o400}},
        {"name": "scratch", "emptyDir": {}},
    ]
    create(cluster, *SOURCES, pod("configured", busybox, container, volumes=volumes))
    ready(cluster, "configured")
    return "configured"


def test_configuration_arrives_as_variables_and_as_files(cluster: Cluster, configured: str) -> None:
    address = cluster.get("pod", configured)["status"]["podIP"]
    assert shell(cluster, configured, "echo $COLOR $PASSWORD $POD_IP $BOTH $ALL_color") == (
        f"blue hunter2 {address} blue-$(x) blue"
    )
    files = (
        "echo $(cat /etc/cfg/color) $(cat /etc/one.conf) $(cat /etc/sec/password) $(stat -L -c %a /etc/sec/password)"
    )
    assert shell(cluster, configured, files) == "blue size=1 hunter2 400"
    assert shell(cluster, configured, "touch /scratch/deep/x && ls /scratch/deep") == "x"


def test_secrets_and_the_token_are_in_memory_only(cluster: Cluster, configured: str) -> None:
    token = "/var/run/secrets/kubernetes.io/serviceaccount"
    assert shell(cluster, configured, f"stat -f -c %T /etc/sec {token}").split() == ["tmpfs", "tmpfs"]
    assert shell(cluster, configured, f"cat {token}/namespace") == "default"
    assert shell(cluster, configured, f"head -c 3 {token}/token; head -n 1 {token}/ca.crt") == (
        "eyJ-----BEGIN CERTIFICATE-----"
    )


def test_a_changed_config_map_reaches_the_file_within_a_second(cluster: Cluster, configured: str) -> None:
    patch = '{"data":{"color":"green"}}'
    cluster.ok(cluster.kubectl("patch", "configmap", "cfg", "--type=merge", "-p", patch))
    seen = shell(
        cluster, configured, "for i in $(seq 20); do cat /etc/cfg/color | grep green && break; sleep 0.05; done"
    )
    assert seen == "green"


def test_probes_gate_traffic_and_restart_the_deaf(cluster: Cluster, busybox: str) -> None:
    serve = {
        "command": ["sh", "-c", "mkdir -p /www; touch /www/ready; httpd -f -p 8080 -h /www"],
        "ports": [{"name": "web", "containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "web"}, "periodSeconds": 1, "failureThreshold": 1},
    }
    mortal = {
        "command": ["sh", "-c", "touch /tmp/alive; sleep 1; rm /tmp/alive; sleep 1000"],
        "livenessProbe": {"exec": {"command": ["cat", "/tmp/alive"]}, "periodSeconds": 1, "failureThreshold": 1},
    }
    create(cluster, pod("served", busybox, serve), pod("mortal", busybox, mortal, terminationGracePeriodSeconds=1))
    ready(cluster, "served")
    shell(cluster, "served", "rm /www/ready")
    cluster.ok(cluster.kubectl("wait", "--for=condition=Ready=false", "pod/served", "--timeout=10s"))
    assert status(cluster, "served")["restartCount"] == 0
    cluster.until("statuscode: 404", "get", "events", "--field-selector=involvedObject.name=served")
    cluster.until("1", "get", "pod", "mortal", "-o", "jsonpath={.status.containerStatuses[0].restartCount}")
    cluster.until("failed liveness probe", "get", "events", "--field-selector=involvedObject.name=mortal")


def test_an_ended_container_leaves_its_code_its_words_and_its_log(cluster: Cluster, busybox: str) -> None:
    crash = {"command": ["sh", "-c", "echo last words; echo why > /dev/termination-log; exit 3"]}
    create(cluster, pod("crash", busybox, crash), pod("once", busybox, {"command": ["true"]}, restartPolicy="Never"))
    cluster.until("CrashLoopBackOff", "get", "pod", "crash", "-o", "jsonpath={.status.containerStatuses[0].state}")
    ended = status(cluster, "crash")["lastState"]["terminated"]
    assert (ended["exitCode"], ended["message"], ended["reason"]) == (3, "why\n", "Error")
    assert "last words" in cluster.ok(cluster.kubectl("logs", "crash", "--previous"))
    cluster.until("Succeeded", "get", "pod", "once", "-o", "jsonpath={.status.phase}")


def test_hooks_run_around_a_container_and_sidecars_around_main(cluster: Cluster, busybox: str) -> None:
    record = "echo {} >> /out/t"
    host = cluster.directory / "hooks"
    mounts = {"volumeMounts": [{"name": "out", "mountPath": "/out"}]}
    hook = (
        {"exec": {"command": ["sh", "-c", record.format("post")]}},
        {"exec": {"command": ["sh", "-c", record.format("pre")]}},
    )
    main = {
        "command": ["sh", "-c", f"trap '{record.format('term')}; exit 0' TERM; while true; do sleep 0.1; done"],
        "lifecycle": {"postStart": hook[0], "preStop": hook[1]},
        **mounts,
    }
    ending = f"trap '{record.format('side-end')}; exit 0' TERM; {record.format('side')}; while true; do sleep 0.1; done"
    sidecar = {"name": "side", "image": busybox, "restartPolicy": "Always", "command": ["sh", "-c", ending], **mounts}
    volumes = [{"name": "out", "hostPath": {"path": str(host), "type": "DirectoryOrCreate"}}]
    create(cluster, pod("hooked", busybox, main, initContainers=[sidecar], volumes=volumes))
    ready(cluster, "hooked")
    cluster.ok(cluster.kubectl("delete", "pod", "hooked", "--timeout=15s"))
    assert (host / "t").read_text().split() == ["side", "post", "pre", "term", "side-end"]


def test_a_pod_runs_as_whom_it_says_and_no_more(cluster: Cluster, busybox: str) -> None:
    own = {"readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {"securityContext": own, "volumeMounts": [{"name": "v", "mountPath": "/data"}]}
    context = {"runAsUser": 1000, "runAsGroup": 2000, "fsGroup": 3000}
    volumes = [{"name": "v", "emptyDir": {}}]
    root = {"securityContext": {"runAsNonRoot": True}}
    create(
        cluster,
        pod("safe", busybox, container, securityContext=context, volumes=volumes),
        pod("nonroot", busybox, root),
    )
    ready(cluster, "safe")
    assert shell(cluster, "safe", "echo $(id -u) $(id -g) $(stat -c %g /data); touch /data/x") == "1000 2000 3000"
    facts = "grep -E 'CapEff|NoNewPrivs|Seccomp:' /proc/self/status | cut -f 2"
    assert shell(cluster, "safe", facts).split() == ["0000000000000000", "1", "2"]
    assert cluster.kubectl("exec", "safe", "--", "touch", "/x").code != 0
    cluster.until("runAsNonRoot and image will run as root", "get", "pod", "nonroot", "-o", "jsonpath={.status}")


def test_containers_outlive_every_knarr_process_and_are_taken_over(cluster: Cluster, configured: str) -> None:
    before = status(cluster, configured)
    for pid in cluster.ok(cluster.knarr("status", "--pids")).split():
        os.kill(int(pid), signal.SIGKILL)
    time.sleep(0.2)  # the processes die at once; nothing else may
    cluster.up()
    ready(cluster, configured)
    assert status(cluster, configured) == before
    patch = '{"data":{"color":"red"}}'
    cluster.ok(cluster.kubectl("patch", "configmap", "cfg", "--type=merge", "-p", patch))
    cluster.until("red", "exec", configured, "--", "cat", "/etc/cfg/color", seconds=3)


def test_deleted_pods_leave_no_directory_behind(cluster: Cluster, configured: str) -> None:
    cluster.ok(cluster.kubectl("delete", "pod", "--all", "--timeout=30s"))
    cluster.ok(cluster.kubectl("delete", "configmap/cfg", "secret/sec"))
    end = time.monotonic() + 5
    roots = [cluster.data_dir / "kubelet" / "pods", cluster.data_dir / "kubelet" / "memory", cluster.data_dir / "pods"]
    while any(list(root.iterdir()) for root in roots):
        assert time.monotonic() < end, [list(root.iterdir()) for root in roots]
        time.sleep(0.1)  # files go after the API object, by the kubelet's own doing
