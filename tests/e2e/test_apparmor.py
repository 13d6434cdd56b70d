"""Containers under the default AppArmor profile, on a kernel that has AppArmor (docs/machine.md makes one)."""

import json

import pytest

from knarr.runtime import apparmor
from tests.e2e.cluster import Cluster

KERNEL = apparmor.read()
pytestmark = pytest.mark.skipif(not KERNEL.is_enabled, reason="needs a kernel with AppArmor")
SHOWN_SECONDS = 120
CONTEXTS = {
    "silent": {"capabilities": {"add": ["SYS_ADMIN"]}},
    "asked": {"appArmorProfile": {"type": "RuntimeDefault"}, "allowPrivilegeEscalation": False, "runAsUser": 1000},
    "free": {"appArmorProfile": {"type": "Unconfined"}, "capabilities": {"add": ["SYS_ADMIN"]}},
    "privileged": {"privileged": True},
    "absent": {"appArmorProfile": {"type": "Localhost", "localhostProfile": "knarr-e2e-nobody-loads-this"}},
}


@pytest.fixture(scope="module")
def armored(cluster: Cluster, busybox: str) -> Cluster:
    """The cluster with a pod of all these contexts, each a container."""
    containers = [
        {"name": name, "image": busybox, "command": ["sleep", "1000"], "securityContext": context}
        for name, context in CONTEXTS.items()
    ]
    spec = {"terminationGracePeriodSeconds": 0, "containers": containers}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "armored"}, "spec": spec}
    cluster.ok(cluster.kubectl("apply", "-f", "-", text=json.dumps(pod)))
    words = "jsonpath={.status.containerStatuses[*].state}"
    cluster.until("apparmor profile not found", "get", "pod", "armored", "-o", words, seconds=SHOWN_SECONDS)
    return cluster


def inside(cluster: Cluster, container: str, script: str) -> str:
    return cluster.ok(cluster.kubectl("exec", "armored", "-c", container, "--", "sh", "-c", script))


@pytest.mark.parametrize(
    ("container", "expected"), [("silent", True), ("asked", True), ("free", False), ("privileged", False)]
)
def test_who_runs_under_the_default_profile_also_by_exec(armored: Cluster, container: str, expected: bool) -> None:
    """Debian 13's crun has a profile that only names it: "crun (unconfined)", "crun//&knarr-default (mixed)"."""
    found = inside(armored, container, "cat /proc/1/attr/current /proc/self/attr/current")
    labels = [line.rpartition(" (")[0] or line for line in found.replace("\0", "\n").splitlines() if line]
    assert ["knarr-default" in label.split("//&") for label in labels] == [expected] * 2


def test_the_profile_refuses_a_mount_that_the_capability_alone_allows(armored: Cluster) -> None:
    script = "mkdir -p /m && mount -t proc proc /m && echo mounted || echo refused"
    assert inside(armored, "silent", script) == "refused\n"
    assert inside(armored, "free", f"{script}; umount /m") == "mounted\n"


@pytest.mark.parametrize("container", ["silent", "asked"])
def test_the_profile_leaves_a_container_its_own_processes(armored: Cluster, container: str) -> None:
    script = (
        "kill -0 1 && { sleep 100 & } && kill $! && cat /proc/1/environ >/dev/null && echo 1000 >/proc/$$/oom_score_adj"
    )
    assert inside(armored, container, f"{script} && echo kept") == "kept\n"


def test_a_profile_that_is_not_loaded_is_named(armored: Cluster) -> None:
    (state,) = [
        s["state"] for s in armored.get("pod", "armored")["status"]["containerStatuses"] if s["name"] == "absent"
    ]
    message = "apparmor profile not found knarr-e2e-nobody-loads-this"
    assert state == {"waiting": {"reason": "CreateContainerError", "message": message}}
    armored.ok(armored.kubectl("delete", "pod", "armored", "--wait=false"))
