"""RestartAllContainers: one container's end begins all anew, in order, in the same sandbox, and counted."""

import asyncio
from collections import deque
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from knarr.kinds.lens.pod_status import PodStatus
from knarr.kubelet.observed import ObservedContainer
from knarr.kubelet.planned import Act, KillContainer, RemoveContainer
from knarr.kubelet.pod_plan import pod_plan
from knarr.kubelet.standing import Standing, start_key
from tests.unit.kubelet.harness import Node, condition, run
from tests.unit.kubelet.test_pod_plan import NOW, ended, pod, seen, up

RULES = [{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [88]}}]


def told(name: str, container_id: str, code: int) -> dict[str, Any]:
    terminated = {"exitCode": code, "containerID": f"mem://{container_id}"}
    return {"name": name, "containerID": f"mem://{container_id}", "state": {"terminated": terminated}}


def acts(init: list[Any], mains: list[Any], *containers: ObservedContainer) -> tuple[Act, ...]:
    """Of a pod whose container `w` asks for it, with those statuses in the API."""
    asking = {"name": "w", "image": "i", "restartPolicyRules": RULES}
    subject = pod(
        restartPolicy="Never",
        initContainers=[{"name": "first", "image": "i"}],
        containers=[{"name": "a", "image": "i"}, asking],
    )
    status = msgspec.convert({"initContainerStatuses": init, "containerStatuses": mains}, PodStatus)
    return pod_plan(replace(subject, status=status), seen(*containers), Standing(), NOW).acts


FIRST, SOURCE = ended("first"), ended("w", 88)


def test_what_runs_is_killed_without_grace_or_hook() -> None:
    kill = KillContainer("a", "a", 0, "Restarting all containers of the pod", has_run_hook=True)
    assert acts([], [], FIRST, up("a"), SOURCE) == (kill,)


def test_a_hook_after_the_start_does_not_hold_it_up() -> None:
    asking = {"name": "w", "image": "i", "restartPolicyRules": RULES}
    subject = pod(restartPolicy="Never", containers=[{"name": "a", "image": "i"}, asking])
    standing = Standing(in_flight=frozenset({start_key("a")}))
    kill = KillContainer("a", "a", 0, "Restarting all containers of the pod", has_run_hook=True)
    assert pod_plan(subject, seen(up("a"), SOURCE), standing, NOW).acts == (kill,)


def test_what_has_ended_goes_once_the_api_knows_and_the_source_last() -> None:
    init, main, last = [told("first", "first-0", 0)], told("a", "a-0", 137), told("w", "w-0", 88)
    killed = ended("a", 137)
    assert acts(init, [last], FIRST, killed, SOURCE) == (RemoveContainer("first-0"),)
    assert set(acts(init, [main, last], FIRST, killed, SOURCE)) == {RemoveContainer("first-0"), RemoveContainer("a-0")}
    assert acts(init, [main, last], SOURCE) == (RemoveContainer("w-0"),)
    assert acts(init, [main], SOURCE) == ()


def test_a_pod_that_never_restarts_begins_anew_from_its_first_init_container(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        for name in ("first", "second"):
            node.script(name, exits=deque([0, 0, 0]))
        node.script("watcher", exits=deque([88, 88]), after=5)
        node.script("done", exits=deque([0, 0, 0]))
        watcher = {"name": "watcher", "restartPolicy": "Always", "restartPolicyRules": RULES}
        inits = [{"name": "first"}, watcher, {"name": "second"}]
        hook = {"preStop": {"sleep": {"seconds": 50}}}
        mains = [{"name": "c", "lifecycle": hook}, {"name": "done"}]
        await node.create("web", {"restartPolicy": "Never", "initContainers": inits, "containers": mains})
        before = await node.reached("web", "Running")
        assert condition(before, "AllContainersRestarting")["status"] == "False"

        async def is_restarting() -> bool:
            return condition(await node.status("web"), "AllContainersRestarting")["status"] == "True"

        await node.until(is_restarting, seconds=20)  # the second time: the back-off holds it for a while
        told = await node.status("web")
        assert told["phase"] == "Pending"
        assert condition(told, "AllContainersRestarting")["reason"] == "RestartAllContainersStarted"
        assert condition(told, "Ready")["status"] == "False"
        after = await node.reached("web", "Running", seconds=20)
        assert condition(after, "AllContainersRestarting")["status"] == "False"
        statuses = [*after["initContainerStatuses"], *after["containerStatuses"]]
        names = ("first", "watcher", "second", "c", "done")
        assert {status["name"]: status["restartCount"] for status in statuses} == dict.fromkeys(names, 2)
        ends = {s["name"]: s["lastState"].get("terminated", {}).get("exitCode") for s in statuses if s["name"] != "c"}
        assert ends == {"first": 0, "watcher": 88, "second": 0, "done": 0}
        assert (after["podIP"], len(node.runtime.sandboxes)) == (before["podIP"], 1)

    run(tmp_path, story)


def test_a_pod_that_begins_anew_again_and_again_backs_off(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        node.script("w", exits=deque([88, 88, 88]), after=1)
        watcher = {"name": "w", "restartPolicyRules": RULES}
        await node.create("web", {"restartPolicy": "Never", "containers": [{"name": "c"}, watcher]})

        def restarts(count: int) -> Any:
            async def reached() -> bool:
                statuses = (await node.status("web")).get("containerStatuses", ())
                return bool(statuses) and all(s["restartCount"] == count and "running" in s["state"] for s in statuses)

            return reached

        began = node.clock.now()
        for count in (1, 2, 3):
            await node.until(restarts(count), seconds=60)
        took = (node.clock.now() - began).total_seconds()
        assert 30 < took < 40, f"{took}: three runs of a second, then at once, after 10 s and after 20 s"

    run(tmp_path, story)


def test_a_kubelet_that_starts_anew_finishes_what_was_begun(tmp_path: Path) -> None:
    async def story(node: Node, group: asyncio.TaskGroup) -> None:
        watcher = {"name": "w", "restartPolicyRules": RULES}
        await node.create("web", {"restartPolicy": "Never", "containers": [{"name": "c"}, watcher]})
        await node.reached("web", "Running")
        await node.stop()
        node.runtime.exit(node.runtime.named("web", "w").status.id, 88)
        await node.start(group)

        async def again() -> bool:
            statuses = (await node.status("web"))["containerStatuses"]
            return all(s["restartCount"] == 1 and "running" in s["state"] for s in statuses)

        await node.until(again, seconds=10)

    run(tmp_path, story)
