"""Pod garbage: ended pods past the threshold, pods that were never bound, and what an orphaned pod is told."""

import asyncio
from collections.abc import Awaitable, Callable

from knarr.base import tasks
from knarr.base.clock import LoopClock
from knarr.client import reflector
from knarr.client.cache import Cache
from knarr.client.client import Json
from knarr.controllers.podgc import PodGarbage
from knarr.kinds.core_config import NODE
from knarr.kinds.core_pod import POD
from tests.simulation import virtual_time
from tests.simulation.cluster import START
from tests.simulation.memory_api import MemoryApi


def pod(name: str, phase: str = "Running", **spec: object) -> Json:
    metadata = {"name": name, "finalizers": ["x/hold"] if name == "held" else []}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {"phase": phase}}


def test_the_oldest_ended_pods_go_past_the_threshold() -> None:
    async def main(api: MemoryApi) -> list[str]:
        for number in range(5):
            await api.create(POD, "a", pod(f"p{number}", "Succeeded" if number else "Running", nodeName="n1"))
            await asyncio.sleep(10)
        await asyncio.sleep(60)
        return [one["metadata"]["name"] for one in api.all(POD)]

    assert collected(main, terminated_max=2) == ["p0", "p3", "p4"]


def test_a_pod_of_a_node_that_is_gone_fails_with_the_reason_and_goes() -> None:
    seen: list[Json] = []

    async def main(api: MemoryApi) -> list[str]:
        api.observers.append(lambda event, one: seen.append(one) if event == "MODIFIED" else None)
        await api.create(POD, "a", pod("lost", nodeName="nowhere"))
        await asyncio.sleep(30)
        assert len(api.all(POD)) == 1
        await asyncio.sleep(30)
        return [one["metadata"]["name"] for one in api.all(POD)]

    assert collected(main) == []
    told = seen[0]["status"]
    assert (told["phase"], told["conditions"][0]["type"], told["conditions"][0]["reason"]) == (
        "Failed",
        "DisruptionTarget",
        "DeletionByPodGC",
    )


def test_a_pod_of_a_node_that_comes_back_stays() -> None:
    async def main(api: MemoryApi) -> list[str]:
        await api.create(POD, "a", pod("kept", nodeName="n2"))
        await asyncio.sleep(30)
        await api.create(NODE, "", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n2"}})
        await asyncio.sleep(90)
        return [one["metadata"]["name"] for one in api.all(POD)]

    assert collected(main) == ["kept"]


def test_evicted_pods_go_before_older_ones() -> None:
    async def main(api: MemoryApi) -> list[str]:
        for number in range(4):
            one = pod(f"p{number}", "Failed", nodeName="n1")
            one["status"] |= {"reason": "Evicted"} if number == 2 else {}
            await api.create(POD, "a", one)
            await asyncio.sleep(10)
        return [one["metadata"]["name"] for one in api.all(POD)]

    assert collected(main, terminated_max=3) == ["p0", "p1", "p3"]


def test_what_somebody_says_of_an_orphaned_pod_meanwhile_stays() -> None:
    seen: list[Json] = []

    async def main(api: MemoryApi) -> list[str]:
        def look(event: str, one: Json) -> None:
            if event == "MODIFIED":
                seen.append(one)

        api.observers.append(look)
        made = await api.create(POD, "a", pod("lost", nodeName="nowhere"))
        await asyncio.sleep(10)
        said = {"conditions": [{"type": "example.com/gate", "status": "True"}]}
        await api.patch(POD, "a", "lost", {"status": said}, subresource="status")
        await asyncio.sleep(50)
        assert made["metadata"]["name"] == "lost"
        return [one["metadata"]["name"] for one in api.all(POD)]

    assert collected(main) == []
    assert {one["type"] for one in seen[-1]["status"]["conditions"]} == {"example.com/gate", "DisruptionTarget"}


def test_what_ends_on_a_node_that_is_out_of_service_ends_without_its_kubelet() -> None:
    """First the pod is being deleted, then somebody says that the node is off; and the other way round."""

    async def main(api: MemoryApi) -> list[str]:
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n2"}}
        await api.create(NODE, "", {**node, "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}})
        for name in ("before", "after", "stays"):
            await api.create(POD, "a", pod(name, nodeName="n2", terminationGracePeriodSeconds=3600))
        await api.delete(POD, "a", "before")
        await asyncio.sleep(1)
        assert len(api.all(POD)) == 3
        taint = {"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"}
        await api.patch(NODE, "", "n2", {"spec": {"taints": [taint]}})
        await asyncio.sleep(1)
        await api.delete(POD, "a", "after")
        await asyncio.sleep(1)
        return [one["metadata"]["name"] for one in api.all(POD)]

    assert collected(main) == ["stays"]


def test_a_ready_node_ends_its_pods_itself_whatever_its_taints_say() -> None:
    async def main(api: MemoryApi) -> list[str]:
        taint = {"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}
        ready = {"conditions": [{"type": "Ready", "status": "True"}]}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n2"}, "spec": {"taints": [taint]}}
        await api.create(NODE, "", {**node, "status": ready})
        await api.create(POD, "a", pod("slow", nodeName="n2", terminationGracePeriodSeconds=3600))
        await api.delete(POD, "a", "slow")
        await asyncio.sleep(60)
        return [one["metadata"]["name"] for one in api.all(POD)]

    assert collected(main) == ["slow"]


def collected(main: Callable[[MemoryApi], Awaitable[list[str]]], terminated_max: int = 12_500) -> list[str]:
    async def run() -> list[str]:
        clock = LoopClock(START)
        api = MemoryApi(clock)
        await api.create(NODE, "", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}})
        cache = Cache([POD, NODE], lens_only=[POD])
        garbage = PodGarbage(api, cache, clock, terminated_max)
        async with asyncio.TaskGroup() as group:
            started = [
                await tasks.start(group, "cache", lambda up: reflector.run(api, cache, clock, up)),
                await tasks.start(group, "garbage", garbage.run),
            ]
            left = await main(api)
            for task in started:
                await tasks.cancel(task)
        return left

    return virtual_time.run(run())
