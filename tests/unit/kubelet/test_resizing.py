"""In-place resize: what is granted, what waits, what the status says; restart rules by exit code."""

import asyncio
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from knarr.base.clock import Clock
from knarr.cri.memory import MemoryRuntime
from knarr.cri.messages.sandbox import UpdatePodSandboxResourcesRequest, UpdatePodSandboxResourcesResponse
from knarr.kinds.core_pod import POD
from knarr.kinds.lens.pod import Pod
from knarr.kubelet import resizing, resources, restarts
from knarr.kubelet.observed import ObservedPod, ObservedSandbox
from knarr.kubelet.planned import Act, ResizeContainer, ResizePod
from knarr.kubelet.pod_plan import pod_plan
from knarr.kubelet.resizing import Allocated, Pending
from knarr.kubelet.standing import Standing
from tests.unit.kubelet.harness import Node, condition, run
from tests.unit.kubelet.test_pod_plan import BOX, NOW, pod, seen, up


def sized(cpu: str, memory: str = "64Mi", **more: Any) -> dict[str, Any]:
    amounts = {"cpu": cpu, "memory": memory}
    return {"name": "c", "image": "web:v1", "resources": {"requests": amounts, "limits": amounts}, **more}


def asked(cpu: str) -> Pod:
    return pod(containers=[sized(cpu)])


ROOM = {"cpu": 2000, "memory": 1 << 30, "pods": 10}


def test_a_wish_is_granted_deferred_or_infeasible() -> None:
    wanted = asked("1")
    assert resizing.decided(wanted, ROOM, None) == Allocated({"c": wanted.spec.containers[0].resources})
    text = "Node didn't have enough resource: cpu, requested: 1000, used: 1500, capacity: 2000"
    assert resizing.decided(wanted, ROOM, ("cpu", 1000, 1500, 2000)) == Allocated(pending=Pending("Deferred", text))
    text = "Node didn't have enough capacity: cpu, requested: 3000, capacity: 2000"
    assert resizing.decided(asked("3"), ROOM, ("cpu", 3000, 0, 2000)) == Allocated(pending=Pending("Infeasible", text))


def test_what_is_written_differently_is_no_resize() -> None:
    was = Allocated({"c": asked("1000m").spec.containers[0].resources})
    wanted = asked("1")
    assert resizing.applied(wanted, was) is wanted
    assert resizing.applied(asked("2"), was).spec.containers[0].resources == was.resources["c"]


def test_a_new_kubelet_finds_the_allocation_in_the_status() -> None:
    amounts = {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}
    running = {"name": "c", "state": {"running": {}}, "resources": amounts, "allocatedResources": {"cpu": "500m"}}
    spec = {"containers": [sized("2")]}
    found = resizing.recovered(msgspec.convert({"spec": spec, "status": {"containerStatuses": [running]}}, Pod))
    assert (found.resources["c"].requests, found.resources["c"].limits) == ({"cpu": "500m"}, {"cpu": "1"})


async def resize(node: Node, name: str, cpu: str, memory: str = "64Mi") -> None:
    spec = {"containers": [{**(await node.pod(name))["spec"]["containers"][0], **sized(cpu, memory)}]}
    await node.client.patch(POD, "default", name, {"spec": spec})


async def given(node: Node, name: str) -> str:
    """The CPU of the status, and what is allocated."""
    status = (await node.status(name))["containerStatuses"][0]
    return f"{status['resources']['limits']['cpu']} {status['allocatedResources']['cpu']}"


def test_a_resize_is_done_in_place_and_told(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        await node.create("web", {"containers": [sized("100m")]})
        await node.reached("web", "Running")
        [before] = node.runtime.containers
        await resize(node, "web", "200m")

        async def is_done() -> bool:
            return await given(node, "web") == "200m 200m"

        await node.until(is_done)
        await asyncio.sleep(1)
        status = await node.status("web")
        assert list(node.runtime.containers) == [before]
        assert condition(status, "PodResizeInProgress") == condition(status, "PodResizePending") == {}
        assert [r for r, _ in await node.events()][-2:] == ["ResizeStarted", "ResizeCompleted"]

    run(tmp_path, story)


def test_a_resize_waits_until_another_pod_has_gone_and_the_impossible_never_begins(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        cpus = node.kubelet.heartbeat.machine.cpus
        await node.create("big", {"containers": [sized(str(cpus - 1))]})
        await node.create("web", {"containers": [sized("100m")]})
        await node.reached("web", "Running")
        await node.reached("big", "Running")
        await resize(node, "web", str(cpus))

        async def reason() -> str:
            return str(condition(await node.status("web"), "PodResizePending").get("reason", ""))

        async def is_deferred() -> bool:
            return await reason() == "Deferred"

        await node.until(is_deferred)
        assert await given(node, "web") == "100m 100m"
        await node.client.delete(POD, "default", "big")

        async def is_done() -> bool:
            return await given(node, "web") == f"{cpus} {cpus}"

        await node.until(is_done)
        assert await reason() == ""
        await resize(node, "web", str(cpus + 1))

        async def is_infeasible() -> bool:
            return await reason() == "Infeasible"

        await node.until(is_infeasible)
        assert await given(node, "web") == f"{cpus} {cpus}"

    run(tmp_path, story)


def test_memory_is_not_taken_away_that_is_in_use(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        node.script("c", memory=32 << 20)
        await node.create("web", {"containers": [sized("100m")]})
        await node.reached("web", "Running")
        await resize(node, "web", "100m", "16Mi")

        async def in_progress() -> Any:
            return condition(await node.status("web"), "PodResizeInProgress")

        told = await node.until(in_progress)
        await asyncio.sleep(1)
        told = await in_progress()
        text = "attempting to set container memory limit (16777216) below current usage (33554432)"
        assert (told["reason"], told["message"]) == ("Error", text)
        found = (await node.status("web"))["containerStatuses"][0]
        assert (found["resources"]["limits"]["memory"], found["allocatedResources"]["memory"]) == ("64Mi", "16Mi")
        node.script("c", memory=1 << 20)

        async def is_done() -> bool:
            return not await in_progress()

        await node.until(is_done)
        assert (await node.status("web"))["containerStatuses"][0]["resources"]["limits"]["memory"] == "16Mi"

    run(tmp_path, story)


def rules(operator: str, *values: int) -> dict[str, Any]:
    return {"restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": operator, "values": list(values)}}]}


@pytest.mark.parametrize(
    ("container", "code", "runs_again"),
    [
        ({"restartPolicy": "Never", **rules("In", 42)}, 42, True),
        ({"restartPolicy": "Never", **rules("In", 42)}, 1, False),
        ({"restartPolicy": "Never", **rules("NotIn", 42)}, 1, True),
        ({"restartPolicy": "OnFailure", **rules("In", 42)}, 1, True),
        ({"restartPolicy": "OnFailure", **rules("In", 0)}, 0, True),
    ],
)
def test_a_rule_decides_before_the_policy_does(container: dict[str, Any], code: int, runs_again: bool) -> None:
    found = pod(containers=[{"name": "c", "image": "i", **container}]).spec.containers[0]
    assert restarts.restarts(found, container["restartPolicy"], code) is runs_again


def test_a_container_of_its_own_policy_decides_its_pods_end(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        node.script("c", exits=deque([42, 42, 3]), after=1)
        container = {"name": "c", "restartPolicy": "Never", **rules("In", 42)}
        await node.create("web", {"containers": [container]})  # the pod's own policy is Always
        status = await node.reached("web", "Failed", seconds=120)
        found = status["containerStatuses"][0]
        assert (found["restartCount"], found["state"]["terminated"]["exitCode"]) == (2, 3)

    run(tmp_path, story)


def of_pod(memory: str) -> dict[str, Any]:
    return {"requests": {"cpu": "100m", "memory": "32Mi"}, "limits": {"cpu": "1", "memory": memory}}


def test_a_pods_own_resources_are_resized_in_place_and_found_again(tmp_path: Path) -> None:
    async def story(node: Node, group: asyncio.TaskGroup) -> None:
        await node.create("web", {"resources": of_pod("64Mi"), "containers": [{"name": "c"}]})
        status = await node.reached("web", "Running")
        assert status["resources"] == of_pod("64Mi")
        assert status["allocatedResources"] == of_pod("64Mi")["requests"]
        before = (*node.runtime.containers, *node.runtime.sandboxes)
        await node.client.patch(POD, "default", "web", {"spec": {"resources": of_pod("128Mi")}})

        async def is_done() -> bool:
            return (await node.status("web"))["resources"] == of_pod("128Mi")

        await node.until(is_done)
        assert (*node.runtime.containers, *node.runtime.sandboxes) == before
        assert [r for r, _ in await node.events()][-2:] == ["ResizeStarted", "ResizeCompleted"]
        huge = {**of_pod("128Mi"), "requests": {"cpu": "100m", "memory": "1Pi"}}
        await node.client.patch(POD, "default", "web", {"spec": {"resources": huge}})
        await node.until(lambda: pending(node))
        await node.stop()
        await node.start(group)
        await asyncio.sleep(1)
        status = await node.status("web")
        assert (status["resources"], status["allocatedResources"]) == (of_pod("128Mi"), of_pod("128Mi")["requests"])
        assert condition(status, "PodResizePending")["reason"] == "Infeasible"
        assert [reason for reason, _ in await node.events()].count("ResizeCompleted") == 1

    async def pending(node: Node) -> bool:
        return bool(condition(await node.status("web"), "PodResizePending"))

    run(tmp_path, story)


def test_a_pod_that_has_not_what_it_is_given_is_behind() -> None:
    subject = pod(resources=of_pod("64Mi"))
    wanted = resources.pod_fingerprint(subject)
    box = ObservedSandbox("box", resources="2/0/1")
    assert resizing.is_pod_behind(subject, ObservedPod((box,)), {})
    assert not resizing.is_pod_behind(subject, ObservedPod((box,)), {"box": wanted})
    assert not resizing.is_pod_behind(pod(), ObservedPod((ObservedSandbox("box"),)), {})


class Limited(MemoryRuntime):
    """Keeps the memory limits that pods are given."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.limits: list[int] = []

    async def update_pod_sandbox_resources(
        self, request: UpdatePodSandboxResourcesRequest
    ) -> UpdatePodSandboxResourcesResponse:
        assert request.resources is not None
        self.limits.append(request.resources.memory_limit_in_bytes)
        return UpdatePodSandboxResourcesResponse()


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        (
            {"containers": [sized("100m")]},
            {"containers": [sized("100m", "16Mi")]},
            "attempting to set container memory limit (16777216) below current usage (33554432)",
        ),
        (
            {"resources": of_pod("64Mi")},
            {"resources": {"requests": {"cpu": "100m", "memory": "16Mi"}, "limits": {"cpu": "1", "memory": "16Mi"}}},
            "attempting to set pod memory limit (16777216) below current usage (33554432)",
        ),
    ],
)
def test_a_pods_memory_is_not_taken_away_that_is_in_use(
    tmp_path: Path, before: dict[str, Any], after: dict[str, Any], text: str
) -> None:
    async def story(node: Node, group: asyncio.TaskGroup) -> None:
        await node.stop()
        node.runtime = runtime = Limited(node.clock)
        await node.start(group)
        node.script("c", memory=32 << 20)
        await node.create("web", before)
        await node.reached("web", "Running")
        await node.client.patch(POD, "default", "web", {"spec": after})

        async def is_refused() -> bool:
            told = condition(await node.status("web"), "PodResizeInProgress")
            return (told.get("reason"), told.get("message")) == ("Error", text)

        await node.until(is_refused)
        assert 16 << 20 not in runtime.limits
        node.script("c", memory=1 << 20)

        async def is_done() -> bool:
            return not condition(await node.status("web"), "PodResizeInProgress")

        await node.until(is_done)
        assert runtime.limits[-1] == 16 << 20

    run(tmp_path, story)


def test_a_pod_shrinks_after_its_containers_and_grows_at_once() -> None:
    def acts(own: str, given: str) -> list[Act]:
        subject = pod(containers=[sized("100m")], resources=of_pod(own))
        container = replace(up(), resources="204/20000/67108864")
        return list(pod_plan(subject, seen(container, box=replace(BOX, resources=given)), Standing(), NOW).acts)

    given = resources.pod_fingerprint(pod(resources=of_pod("256Mi")))
    assert [type(act) for act in acts("128Mi", given)] == [ResizeContainer]
    assert [type(act) for act in acts("512Mi", given)] == [ResizeContainer, ResizePod]
