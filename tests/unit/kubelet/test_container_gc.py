"""Dead containers: one run of each name is kept with its log; what finished pods left goes when the disk is short."""

import asyncio
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

from knarr.kubelet import container_gc
from knarr.kubelet.eviction import Threshold
from tests.unit.kubelet.harness import Node, run
from tests.unit.kubelet.test_pod_plan import ended, made, up

FULL = (Threshold("nodefs.available", amount=1 << 62),)
"""More than any disk has."""


def test_one_dead_run_of_each_name_is_kept() -> None:
    newest_first = [up("a", "a-3", attempt=3), ended("a", attempt=2), ended("a", attempt=1), ended("a", attempt=0)]
    others = [ended("b", attempt=1), ended("b", attempt=0), made(1)]
    assert [c.id for c in container_gc.excess([*newest_first, *others])] == ["a-1", "a-0", "b-0"]


def test_a_log_goes_with_its_run_and_no_other_does(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    for name in ("1.log", "1.log.20300101-000000", "11.log", "2.log"):
        (folder / name).touch()
    container_gc.remove_files([ended("a", attempt=1)], tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == ["11.log", "2.log"]


def test_a_crash_loop_keeps_its_last_end_in_runtime_and_status(tmp_path: Path) -> None:
    async def story(node: Node, _group: asyncio.TaskGroup) -> None:
        node.script("c", exits=deque([3, 3, 3]), after=1.0)
        await node.create("web", {})

        async def third() -> Any:
            found = (await node.status("web")).get("containerStatuses", [{}])[0]
            return found if found.get("restartCount") == 3 and "running" in found["state"] else None

        status = await node.until(third, 300)
        last = status["lastState"]["terminated"]
        assert last["exitCode"] == 3
        held = {f"memory://{identity}" for identity in node.runtime.containers}
        assert held == {status["containerID"], last["containerID"]}

    run(tmp_path, story)


def test_a_short_disk_takes_what_finished_pods_left_and_their_status_stays(tmp_path: Path) -> None:
    async def story(node: Node, group: asyncio.TaskGroup) -> None:
        node.script("c", exits=deque([0]), after=1.0)
        await node.create("done", {"restartPolicy": "Never"})
        before = await node.reached("done", "Succeeded")
        assert len(node.runtime.containers) == 1
        await node.stop()
        node.settings = replace(node.settings, thresholds=FULL)
        await node.start(group)

        async def collected() -> bool:
            return not node.runtime.containers

        await node.until(collected)
        await asyncio.sleep(5)
        after = await node.status("done")
        assert (after["phase"], after["containerStatuses"]) == ("Succeeded", before["containerStatuses"])

    run(tmp_path, story)
