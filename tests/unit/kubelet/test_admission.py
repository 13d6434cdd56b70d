"""Tables of (pod, node) → why the kubelet refuses it; what pods ask for; and refusals told by a whole kubelet."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from knarr.kinds.core_config import NODE
from knarr.kinds.core_pod import POD
from knarr.kinds.lens.node import Node as NodeLens
from knarr.kinds.lens.pod import Pod
from knarr.kubelet import admission, demands, sysctls
from knarr.kubelet.admission import Place
from tests.unit.kubelet.harness import Node, run
from tests.unit.kubelet.test_pod_plan import pod

LABELLED = msgspec.convert({"metadata": {"name": "n1", "labels": {"disk": "ssd"}}}, NodeLens)
TAINTED = msgspec.convert({"spec": {"taints": [{"key": "k", "effect": "NoExecute"}]}}, NodeLens)
ROOM = {"cpu": 2000, "memory": 1 << 30, "pods": 110}
SHORT = "Node didn't have enough resource:"
FREE = Place(LABELLED, ROOM)
CONTEXT: dict[str, Any] = {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}
PROFILE = {"appArmorProfile": {"type": "Localhost", "localhostProfile": "p"}}


def asking(cpu: str, **more: Any) -> Pod:
    return pod(containers=[{"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}], **more)


def on_port(number: int, address: str = "", **more: Any) -> Pod:
    port = {"hostPort": number, "containerPort": 80, "hostIP": address, "protocol": "TCP"}
    return pod(containers=[{"name": "c", "image": "i", "ports": [port]}], **more)


def static(**spec: Any) -> Pod:
    found = pod(**spec)
    annotations = {"kubernetes.io/config.source": "file"}
    return msgspec.structs.replace(found, metadata=msgspec.structs.replace(found.metadata, annotations=annotations))


def between(*pods: Pod, **changes: Any) -> Place:
    return Place(**{"node": LABELLED, "allocatable": ROOM, "others": pods, **changes})


CASES: dict[str, tuple[Pod, Place, tuple[str, str] | None]] = {
    "a plain pod runs": (pod(), FREE, None),
    "too much of a resource": (
        asking("1600m"),
        between(asking("500m")),
        ("OutOfcpu", "Node didn't have enough resource: cpu, requested: 1600, used: 500, capacity: 2000"),
    ),
    "to the last milli": (asking("1500m"), between(asking("500m")), None),
    "more memory than there is": (
        pod(containers=[{"name": "c", "image": "i", "resources": {"requests": {"memory": "2Gi"}}}]),
        FREE,
        (
            "OutOfmemory",
            "Node didn't have enough resource: memory, requested: 2147483648, used: 0, capacity: 1073741824",
        ),
    ),
    "one pod too many": (
        pod(),
        between(pod(), pod(), allocatable={"pods": 2}),
        ("OutOfpods", "Node didn't have enough resource: pods, requested: 1, used: 2, capacity: 2"),
    ),
    "a resource nobody has": (
        pod(containers=[{"name": "c", "image": "i", "resources": {"requests": {"example.com/gpu": "1"}}}]),
        FREE,
        (
            "OutOfexample.com/gpu",
            "Node didn't have enough resource: example.com/gpu, requested: 1, used: 0, capacity: 0",
        ),
    ),
    "another node's pod": (
        pod(nodeSelector={"disk": "hdd"}),
        FREE,
        ("NodeAffinity", "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"),
    ),
    "this node's pod": (pod(nodeSelector={"disk": "ssd"}), FREE, None),
    "a port that is taken": (
        on_port(80),
        between(on_port(80, "127.0.0.1")),
        ("NodePorts", "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"),
    ),
    "the same port of another address": (on_port(80, "10.0.0.1"), between(on_port(80, "127.0.0.1")), None),
    "an unsafe sysctl": (
        pod(securityContext=CONTEXT),
        FREE,
        ("SysctlForbidden", 'forbidden sysctl: "kernel.msgmax" not allowlisted'),
    ),
    "one that the owner allows": (pod(securityContext=CONTEXT), between(unsafe_sysctls=("kernel.msg*",)), None),
    "a sysctl of the host's": (
        pod(securityContext={"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}]}, hostNetwork=True),
        FREE,
        ("SysctlForbidden", 'forbidden sysctl: "net.ipv4.tcp_syncookies" not allowed with host net enabled'),
    ),
    "another system": (
        pod(os={"name": "windows"}),
        FREE,
        ("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS"),
    ),
    "a taint that a static pod does not tolerate": (
        static(),
        between(node=TAINTED),
        ("TaintToleration", "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate"),
    ),
    "a taint was the scheduler's affair": (pod(), between(node=TAINTED), None),
    "AppArmor that is not here": (
        pod(securityContext=PROFILE),
        FREE,
        ("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host"),
    ),
    "AppArmor that is": (pod(securityContext=PROFILE), between(has_apparmor=True), None),
    "nothing new under pressure": (
        asking("1m"),
        between(pressures=frozenset({"DiskPressure"})),
        ("Evicted", "The node had condition: [DiskPressure]. "),
    ),
    "short of memory, best effort waits": (
        pod(),
        between(pressures=frozenset({"MemoryPressure"})),
        ("Evicted", "The node had condition: [MemoryPressure]. "),
    ),
    "short of memory, who tolerates that runs": (
        pod(tolerations=[{"key": "node.kubernetes.io/memory-pressure", "operator": "Exists"}]),
        between(pressures=frozenset({"MemoryPressure"})),
        None,
    ),
    "short of disk too, toleration of memory's want does not help": (
        pod(tolerations=[{"operator": "Exists"}]),
        between(pressures=frozenset({"MemoryPressure", "DiskPressure"})),
        ("Evicted", "The node had condition: [DiskPressure MemoryPressure]. "),
    ),
    "short of memory, others run": (asking("1m"), between(pressures=frozenset({"MemoryPressure"})), None),
    "a critical pod runs under pressure": (
        pod(priority=2_000_000_000),
        between(pressures=frozenset({"DiskPressure"})),
        None,
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_why_a_pod_is_refused(case: tuple[Pod, Place, tuple[str, str] | None]) -> None:
    asked, place, wanted = case
    found = admission.refusal(asked, place)
    assert (found and (found.reason, found.message)) == wanted


def test_a_pod_asks_for_its_worst_moment() -> None:
    def sized(name: str, cpu: str, **more: Any) -> dict[str, Any]:
        return {"name": name, "image": "i", "resources": {"requests": {"cpu": cpu}}, **more}

    inits = [sized("a", "1"), sized("proxy", "200m", restartPolicy="Always"), sized("b", "900m")]
    asked = pod(initContainers=inits, containers=[sized("c", "300m"), sized("d", "400m")], overhead={"cpu": "10m"})
    assert demands.requests(asked) == {"cpu": 1110, "pods": 1}
    whole = pod(resources={"requests": {"cpu": "3"}}, containers=[sized("c", "300m")])
    assert demands.requests(whole) == {"cpu": 3000, "pods": 1}


def test_no_pattern_allows_what_no_namespace_holds() -> None:
    whole = pod(securityContext={"sysctls": [{"name": "vm.swappiness", "value": "0"}]})
    assert sysctls.refusal(whole, ("vm.*",)) == '"vm.swappiness" not allowlisted'
    slashed = pod(securityContext={"sysctls": [{"name": "net/core/somaxconn", "value": "9"}]})
    assert sysctls.refusal(slashed, ("net.core.somaxconn",)) == ""


def test_a_refused_pod_fails_and_its_room_is_free_again(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        cpus = node.kubelet.heartbeat.machine.cpus

        def container(cpu: int) -> dict[str, Any]:
            return {"containers": [{"name": "c", "resources": {"requests": {"cpu": str(cpu)}}}]}

        await node.create("first", container(cpus))
        await node.reached("first", "Running")
        await node.create("second", container(1))
        status = await node.reached("second", "Failed")
        assert (status["reason"], status.get("containerStatuses")) == ("OutOfcpu", None)
        why = f"enough resource: cpu, requested: 1000, used: {cpus * 1000}, capacity: {cpus * 1000}"
        assert status["message"] == f"Pod was rejected: Node didn't have {why}"
        assert ("OutOfcpu", f"Node didn't have {why}") in await node.events()
        assert len(node.runtime.containers) == 1
        await node.client.delete(POD, "default", "first")
        await node.until(lambda: node.is_absent("first"))
        await node.create("third", container(1))
        await node.reached("third", "Running")

    run(tmp_path, story)


def test_a_label_that_came_after_the_start_counts(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        await node.client.patch(NODE, "", "n1", {"metadata": {"labels": {"disk": "ssd"}}})
        await node.create("here", {"nodeSelector": {"disk": "ssd"}})
        await node.create("elsewhere", {"nodeSelector": {"disk": "hdd"}})
        await node.reached("here", "Running")
        assert (await node.reached("elsewhere", "Failed"))["reason"] == "NodeAffinity"

    run(tmp_path, story)
