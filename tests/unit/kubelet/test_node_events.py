"""What is told about a Node: changed conditions, and that it was cordoned."""

import asyncio
from pathlib import Path

import pytest

from knarr.kinds.core_config import NODE
from knarr.kubelet import node_events
from tests.unit.kubelet.harness import Node, run


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
