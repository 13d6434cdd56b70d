"""Room for a critical pod: who goes, who stays, and what everybody is told."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from knarr.kinds.core_pod import POD
from knarr.kinds.lens.pod import Pod
from knarr.kubelet import admission, preemption
from knarr.kubelet.allocations import Allocations
from tests.unit.kubelet.harness import Node, condition, run
from tests.unit.kubelet.test_admission import asking, between, static
from tests.unit.kubelet.test_pod_plan import pod

CRITICAL = 2_000_000_000


def sized(name: str, cpu: str, limit: str = "", **spec: Any) -> Pod:
    """A Burstable pod, or with the limit a Guaranteed one; its uid is its name."""
    resources: dict[str, Any] = {"requests": {"cpu": cpu, "memory": "1Mi"}}
    if limit:
        resources["limits"] = {"cpu": limit, "memory": "1Mi"}
    found = pod(containers=[{"name": "c", "image": "i", "resources": resources}], **spec)
    return named(found, name)


def named(found: Pod, uid: str) -> Pod:
    return replace(found, metadata=replace(found.metadata, uid=uid))


SMALL, BIG = sized("small", "200m"), sized("big", "900m")
SOLID = sized("solid", "800m", "800m")
PLAIN = named(pod(), "plain")
SYSTEM = sized("system", "1500m", priority=CRITICAL)

CASES: dict[str, tuple[dict[str, int], list[Pod], list[str] | None]] = {
    "nobody is there": ({"cpu": 100}, [], None),
    "only equals are there": ({"cpu": 100}, [SYSTEM], None),
    "the one that is enough": ({"cpu": 300}, [SMALL, BIG], ["big"]),
    "the smaller of two that are enough": ({"cpu": 100}, [BIG, SMALL], ["small"]),
    "two together": ({"cpu": 1000}, [SMALL, BIG], ["big", "small"]),
    "the guaranteed last": ({"cpu": 500}, [SOLID, BIG], ["big"]),
    "the guaranteed too, and of the rest what is still missing": ({"cpu": 1000}, [SOLID, SMALL], ["small", "solid"]),
    "the best effort for its place": ({"pods": 1}, [SOLID, BIG, PLAIN], ["plain"]),
    "not enough of everything": ({"cpu": 100, "memory": 1 << 40}, [BIG], None),
}


@pytest.mark.parametrize("name", CASES)
def test_who_makes_room(name: str) -> None:
    missing, others, wanted = CASES[name]
    found = preemption.victims(static(), others, missing)
    assert (None if found is None else [each.metadata.uid for each in found]) == wanted


def test_only_what_lacks_room_and_nothing_else_is_given_room() -> None:
    place = between(asking("1500m"))
    assert admission.missing(asking("700m"), place) == {"cpu": 200}
    assert admission.missing(asking("700m", nodeSelector={"disk": "hdd"}), place) is None
    assert admission.missing(asking("500m"), place) is None


LEAVING: dict[str, tuple[str, list[str]]] = {
    "who ends already makes room enough": ("1000m", []),
    "and only what is still missing is taken": ("1900m", ["small"]),
}


@pytest.mark.parametrize("name", LEAVING)
async def test_who_is_ending_already_is_counted_and_not_ended_again(name: str) -> None:
    asks, wanted = LEAVING[name]
    old, small = sized("old", "1800m"), sized("small", "200m")
    pods, told = [old, small], list[str]()
    loop = asyncio.get_running_loop()

    async def fetch_node() -> Any:
        raise AssertionError("no label is asked for")

    def leave() -> None:
        pods[:] = [each for each in pods if each.metadata.uid not in ("old", *told)]
        subject.freed()

    subject = Allocations(between, lambda: pods, fetch_node, lambda uid, _: told.append(uid), lambda uid: uid == "old")
    loop.call_soon(leave)  # runs when there is nothing but to wait
    assert await subject.refusal(sized("vital", asks, priority=CRITICAL)) is None
    assert told == wanted


def test_a_critical_pod_takes_the_room_of_a_lesser_one(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        cpus = node.kubelet.heartbeat.machine.cpus

        def container(cpu: int) -> dict[str, Any]:
            return {"containers": [{"name": "c", "resources": {"requests": {"cpu": str(cpu)}}}]}

        await node.create("lesser", container(cpus))
        await node.create("small", {})
        for name in ("lesser", "small"):
            await node.reached(name, "Running")
        await node.create("vital", {**container(1), "priority": CRITICAL})
        await node.reached("vital", "Running")
        ended = await node.reached("lesser", "Failed")
        assert (ended["reason"], ended["message"]) == ("Preempting", "Preempted in order to admit critical pod")
        told = condition(ended, "DisruptionTarget")
        assert (told["status"], told["reason"]) == ("True", "TerminationByKubelet")
        assert told["message"] == "Pod was preempted by Kubelet to accommodate a critical pod."
        assert ("Preempting", "Preempted in order to admit critical pod") in await node.events()
        assert (await node.status("small"))["phase"] == "Running"

    run(tmp_path, story)


def test_a_critical_pod_that_is_deleted_does_not_wait_for_its_room(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        node.script("stubborn", ignores_term=True)
        asks = {"requests": {"cpu": str(node.kubelet.heartbeat.machine.cpus)}}
        stubborn = {"containers": [{"name": "stubborn", "resources": asks}], "terminationGracePeriodSeconds": 600}
        await node.create("lesser", stubborn)
        await node.reached("lesser", "Running")
        await node.create("vital", {"containers": [{"name": "c", "resources": asks}], "priority": CRITICAL})

        async def is_told() -> bool:
            return ("Preempting", "Preempted in order to admit critical pod") in await node.events()

        await node.until(is_told)
        await node.client.delete(POD, "default", "vital")
        await node.until(lambda: node.is_absent("vital"), seconds=20)
        assert (await node.status("lesser"))["phase"] == "Running"

    run(tmp_path, story)


def test_two_critical_pods_end_no_more_than_each_needs(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        cpus = node.kubelet.heartbeat.machine.cpus

        def asks(milli: int) -> dict[str, Any]:
            return {"containers": [{"name": "c", "resources": {"requests": {"cpu": f"{milli}m"}}}]}

        lesser = [f"lesser-{number}" for number in range(4)]
        for name in lesser:
            await node.create(name, asks(cpus * 250))
            await node.reached(name, "Running")
        for name in ("one", "two"):
            await node.create(name, {**asks(cpus * 250), "priority": CRITICAL})
        for name in ("one", "two"):
            await node.reached(name, "Running")
        phases = sorted([(await node.status(name))["phase"] for name in lesser])
        assert phases == ["Failed", "Failed", "Running", "Running"]

    run(tmp_path, story)


def test_a_critical_pod_does_not_wait_for_the_room_of_another(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        cpus = node.kubelet.heartbeat.machine.cpus
        node.script("stubborn", ignores_term=True)

        def asks(share: float, name: str = "c", **spec: Any) -> dict[str, Any]:
            requests = {"cpu": f"{round(cpus * 1000 * share)}m"}
            return {"containers": [{"name": name, "resources": {"requests": requests}}], **spec}

        await node.create("stubborn", asks(0.6, "stubborn", terminationGracePeriodSeconds=600))
        await node.create("lesser", asks(0.4))
        for name in ("stubborn", "lesser"):
            await node.reached(name, "Running")
        await node.create("one", asks(0.6, priority=CRITICAL))
        await node.until(lambda: is_ending(node, "stubborn"))
        await node.create("two", asks(0.4, priority=CRITICAL))
        await node.reached("two", "Running", seconds=60)
        assert (await node.status("one")).get("phase") != "Running"
        await node.create("late", asks(0.3))  # of the room that `one` waits for it gets nothing
        assert (await node.reached("late", "Failed"))["reason"] == "OutOfcpu"
        await node.reached("one", "Running", seconds=700)

    async def is_ending(node: Node, name: str) -> bool:
        return ("Killing", f"Stopping container {name}") in await node.events()

    run(tmp_path, story)


def test_a_critical_pod_that_no_node_of_this_size_can_hold_is_refused_and_nobody_ends(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        await node.create("lesser", {})
        await node.reached("lesser", "Running")
        cpus = node.kubelet.heartbeat.machine.cpus
        wanted = {"name": "c", "resources": {"requests": {"cpu": str(cpus + 1)}}}
        await node.create("vital", {"containers": [wanted], "priority": CRITICAL})
        status = await node.reached("vital", "Failed")
        assert status["reason"] == "UnexpectedAdmissionError"
        assert status["message"].endswith("no set of running pods found to reclaim resources: [(res: cpu, q: 1000), ]")
        assert (await node.status("lesser"))["phase"] == "Running"

    run(tmp_path, story)
