"""Changes that come while a pod waits or ends: a mended image, a deletion during a kill, hooks of sidecars."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from knarr.base.ids import Revision
from knarr.client.client import DeleteOptions, WatchEvent
from knarr.kinds.core_pod import POD
from knarr.kinds.registry import Kind
from knarr.kubelet.eviction import Threshold
from tests.simulation import virtual_time
from tests.unit.kubelet.harness import Node, run, running
from tests.unit.kubelet.node_api import NodeApi


async def with_image(node: Node, image: str) -> None:
    pod = await node.pod("web")
    pod["spec"]["containers"][0]["image"] = image
    await node.client.update(POD, "default", "web", pod)


def test_a_mended_image_is_pulled_at_once_whatever_the_back_off(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        await node.create("web", {"containers": [{"name": "c", "image": "absent:v1"}]})
        await asyncio.sleep(200)
        await with_image(node, "far:v1")
        await node.reached("web", "Running", seconds=1)

    run(tmp_path, story)


def test_another_image_does_not_wait_for_the_crashes_of_the_one_before(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        node.script("c", exits=deque([3] * 5))
        await node.create("web", {})
        await asyncio.sleep(80)
        status = (await node.status("web"))["containerStatuses"][0]
        assert status["state"]["waiting"]["message"].startswith("back-off 1m20s")
        node.script("c", exits=deque([3, 3]))
        await with_image(node, "web:v2")
        await asyncio.sleep(1)
        after = (await node.status("web"))["containerStatuses"][0]
        assert after["restartCount"] == status["restartCount"] + 1
        assert after["state"]["waiting"]["message"].startswith("back-off 10s")

    run(tmp_path, story)


def test_a_deletion_does_not_wait_for_the_longer_grace_of_a_kill_under_way(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        node.script("c", ignores_term=True, exec=lambda _: (1, b"no"))
        probe = {"exec": {"command": ["x"]}, "periodSeconds": 1, "failureThreshold": 1}
        spec: dict[str, Any] = {"terminationGracePeriodSeconds": 600}
        await node.create("web", {**spec, "containers": [{"name": "c", "livenessProbe": probe}]})
        await node.reached("web", "Running")
        await asyncio.sleep(5)
        await node.client.delete(POD, "default", "web", DeleteOptions(grace_period_seconds=2))
        await node.until(lambda: node.is_absent("web"), seconds=4)

    run(tmp_path, story)


def test_a_sidecars_pre_stop_begins_with_the_pods_end_and_its_signal_comes_in_its_turn(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        ran: list[str] = []
        node.script("c", ignores_term=True)
        node.script("proxy", exec=lambda command: (ran.append(command[0]) or 0, b""))
        hook = {"preStop": {"exec": {"command": ["drain"]}}}
        sidecar = {"name": "proxy", "restartPolicy": "Always", "lifecycle": hook}
        await node.create("web", {"terminationGracePeriodSeconds": 10, "initContainers": [sidecar]})
        await node.reached("web", "Running")
        await node.client.delete(POD, "default", "web")
        await asyncio.sleep(1)
        assert ran == ["drain"], "while the main container still runs"
        assert len(node.runtime.containers) == 2
        await node.until(lambda: node.is_absent("web"), seconds=13)
        assert ran == ["drain"], "and once only"

    run(tmp_path, story)


def test_sidecars_that_ignore_their_end_are_killed_together_when_the_grace_is_used_up(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        names = ("one", "two", "three")
        for name in ("c", *names):
            node.script(name, ignores_term=True)
        sidecars = [{"name": name, "restartPolicy": "Always"} for name in names]
        await node.create("web", {"terminationGracePeriodSeconds": 5, "initContainers": sidecars})
        await node.reached("web", "Running")
        await node.client.delete(POD, "default", "web")
        await node.until(lambda: node.is_absent("web"), seconds=8.5)

    run(tmp_path, story)


class LateWatch(NodeApi):
    """Its watches tell everything a moment later than the answers to writes."""

    async def watch(
        self, kind: Kind, namespace: str = "", *, since: Revision, labels: str = "", fields: str = ""
    ) -> AsyncIterator[WatchEvent]:
        async for event in super().watch(kind, namespace, since=since, labels=labels, fields=fields):
            await asyncio.sleep(0.2)
            yield event


def test_a_label_that_the_answer_to_a_status_write_tells_first_reaches_the_file(tmp_path: Path) -> None:
    async def told() -> None:
        node = Node(tmp_path)
        node.client = LateWatch(node.clock)
        async with running(node):
            item = {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}
            spec = {"restartPolicy": "Never", "volumes": [{"name": "v", "downwardAPI": {"items": [item]}}]}
            node.script("first", exits=deque([0]), after=5)
            made = await node.create(
                "web", {**spec, "containers": [{"name": "first"}, {"name": "c"}]}, labels={"a": "1"}
            )
            await asyncio.sleep(5.1)  # the container ends at 5.2, and the watch tells at 5.3
            pod = await node.pod("web")
            pod["metadata"]["labels"] = {"a": "2"}
            await node.client.update(POD, "default", "web", pod)
            await asyncio.sleep(3)
            volume = node.settings.pod_dir(made["metadata"]["uid"]) / "volumes" / "v" / "labels"
            assert volume.read_text() == 'a="2"'

    virtual_time.run(told())


def test_while_an_evicted_pod_ends_no_other_is_chosen(tmp_path: Path) -> None:
    async def told() -> None:
        node = Node(tmp_path)
        always = Threshold("memory.available", amount=1 << 60, grace_seconds=15)
        node.settings = replace(node.settings, thresholds=(always,), eviction_grace_seconds_max=25)
        async with running(node):
            for name, memory in (("much", 3000), ("more", 4000)):
                node.script(name, ignores_term=True, memory=memory)
                spec = {"terminationGracePeriodSeconds": 100, "containers": [{"name": name}]}
                await node.create(name, spec)
            await node.reached("more", "Running")

            async def phases() -> list[str]:
                return [(await node.status(name))["phase"] for name in ("much", "more")]

            await asyncio.sleep(45)
            assert [text for reason, text in await node.events() if reason == "Killing"] == ["Stopping container more"]
            assert await phases() == ["Running", "Running"], "its grace is not over"
            await asyncio.sleep(15)
            assert await phases() == ["Running", "Failed"]
            await asyncio.sleep(30)
            assert await phases() == ["Failed", "Failed"]

    virtual_time.run(told())
