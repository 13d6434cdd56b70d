"""What is told about a Node: changed conditions, and that it was cordoned."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec import structs

from knarr.base.clock import rfc3339
from knarr.kinds.core_config import NODE
from knarr.kubelet import node_events
from tests.unit.kubelet.harness import Node, condition, run


@pytest.mark.parametrize(
    ("type_", "before", "after", "told"),
    [
        ("Ready", "False", "True", ["NodeReady"]),
        ("Ready", "True", "False", ["NodeNotReady"]),
        ("Ready", "True", "Unknown", ["NodeNotReady"]),
        ("Ready", "True", "True", []),
        ("MemoryPressure", "False", "True", ["NodeHasInsufficientMemory"]),
        ("DiskPressure", "True", "False", ["NodeHasNoDiskPressure"]),
        ("PIDPressure", "False", "True", ["NodeHasInsufficientPID"]),
        ("Another", "False", "True", []),
    ],
)
def test_a_condition_is_told_when_its_status_changes(type_: str, before: str, after: str, told: list[str]) -> None:
    old, new = [{"type": type_, "status": before}], [{"type": type_, "status": after}]
    assert node_events.of_conditions(old, new) == told
    assert node_events.of_conditions([], new) == []


def test_a_cordoned_node_says_so_and_so_does_one_that_is_not_any_more(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        for is_cordoned, reason in ((True, "NodeNotSchedulable"), (False, "NodeSchedulable")):
            await node.client.patch(NODE, "", "n1", {"spec": {"unschedulable": is_cordoned}})

            async def is_told(told: tuple[str, str] = (reason, f"Node n1 status is now: {reason}")) -> bool:
                return told in await node.events()

            await node.until(is_told)
        told = [reason for reason, _ in await node.events()]
        assert (told.count("NodeNotSchedulable"), told.count("NodeSchedulable")) == (1, 1)

    run(tmp_path, story)


def test_an_event_that_is_older_than_what_is_known_changes_nothing(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        heartbeat = node.kubelet.heartbeat
        newest = heartbeat.node
        revision = int(newest.metadata.resource_version)
        older = structs.replace(
            newest,
            metadata=structs.replace(newest.metadata, resource_version=str(revision - 1)),
            spec=structs.replace(newest.spec, unschedulable=True),
        )
        heartbeat.heard(older)
        assert heartbeat.node == newest
        assert "NodeNotSchedulable" not in [reason for reason, _ in await node.events()]

    run(tmp_path, story)


def test_a_node_that_others_held_for_lost_reports_and_tells_that_it_is_ready(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        await asyncio.sleep(5)
        live = (await node.client.get(NODE, "", "n1"))["status"]["conditions"]
        lost = [{**each, "status": "Unknown"} if each["type"] == "Ready" else each for each in live]
        moment = node.clock.now()
        await node.client.patch(NODE, "", "n1", {"status": {"conditions": lost}}, subresource="status")

        async def is_told() -> bool:
            return [reason for reason, _ in await node.events()].count("NodeReady") == 1

        await node.until(is_told, 10)
        found = condition((await node.client.get(NODE, "", "n1"))["status"], "Ready")
        assert (found["status"], found["lastTransitionTime"] >= rfc3339(moment)) == ("True", True)
        unchanged = condition((await node.client.get(NODE, "", "n1"))["status"], "DiskPressure")
        assert unchanged["lastTransitionTime"] <= rfc3339(moment - timedelta(seconds=4))

    run(tmp_path, story)
