"""Events: the same note again raises a count; another one is another Event."""

import asyncio

from knarr.base import tasks
from knarr.base.clock import LoopClock
from knarr.client import events
from knarr.client.events import EventRecorder
from knarr.kinds.core_config import EVENT, NODE
from knarr.kinds.core_pod import POD
from knarr.kinds.lens.meta import ObjectMeta
from knarr.objects import names
from tests.simulation import virtual_time
from tests.simulation.cluster import START
from tests.simulation.memory_api import MemoryApi


def test_equal_notes_are_counted_and_others_are_not() -> None:
    async def main() -> None:
        clock = LoopClock(START)
        api = MemoryApi(clock)
        recorder = EventRecorder(api, clock, "kubelet", "n1")
        pod = events.reference(POD, ObjectMeta(name="web", namespace="a", uid="u", resource_version="3"))
        node = events.reference(NODE, ObjectMeta(name="n1", uid="n"))
        async with asyncio.TaskGroup() as group:
            task = await tasks.start(group, "recorder", recorder.run)
            for _ in range(3):
                recorder.record(pod, "Warning", "BackOff", "Back-off restarting failed container")
                await asyncio.sleep(10)
            recorder.record(node, "Normal", "NodeReady", "x" * 5000)
            await asyncio.sleep(1)
            await tasks.cancel(task)
        first, second = api.all(EVENT)
        assert (first["count"], first["involvedObject"]["name"]) == (3, "web")
        assert (first["firstTimestamp"], first["lastTimestamp"]) == ("2030-01-01T00:00:00Z", "2030-01-01T00:00:20Z")
        assert (second["metadata"]["namespace"], len(second["message"])) == ("default", events.MESSAGE_MAX)

    virtual_time.run(main())


def test_an_event_that_went_away_is_told_anew() -> None:
    async def main() -> None:
        clock = LoopClock(START)
        api = MemoryApi(clock)
        recorder = EventRecorder(api, clock, "scheduler")
        pod = events.reference(POD, ObjectMeta(name="web", namespace="a", uid="u"))
        async with asyncio.TaskGroup() as group:
            task = await tasks.start(group, "recorder", recorder.run)
            recorder.record(pod, "Normal", "Scheduled", "assigned")
            await asyncio.sleep(1)
            await api.delete(EVENT, "a", api.all(EVENT)[0]["metadata"]["name"])
            recorder.record(pod, "Normal", "Scheduled", "assigned")
            await asyncio.sleep(1)
            await tasks.cancel(task)
        assert [one["count"] for one in api.all(EVENT)] == [1]

    virtual_time.run(main())


def test_events_of_one_moment_are_listed_in_the_order_they_were_told() -> None:
    async def main() -> None:
        clock = LoopClock(START)
        api = MemoryApi(clock)
        told = ["Pulled", "Created", "Started", "Killing"]
        kubelet, scheduler = EventRecorder(api, clock, "kubelet", "n1"), EventRecorder(api, clock, "scheduler")
        pod = events.reference(POD, ObjectMeta(name="web", namespace="a", uid="u"))
        async with asyncio.TaskGroup() as group:
            tellers = [await tasks.start(group, "recorder", one.run) for one in (scheduler, kubelet)]
            for reason in told:
                kubelet.record(pod, "Normal", reason, "")
            await asyncio.sleep(1)
            for reason in told:
                scheduler.record(pod, "Normal", reason, "")
                kubelet.record(pod, "Warning", reason, "")
            await asyncio.sleep(1)
            for task in tellers:
                await tasks.cancel(task)
        listed = sorted(api.all(EVENT), key=lambda event: str(event["metadata"]["name"]))
        assert [event["reason"] for event in listed[:4]] == told
        assert [event["reason"] for event in listed if event["type"] == "Warning"] == told
        assert len(listed) == 12

    virtual_time.run(main())


def test_an_event_of_an_object_with_a_long_name_has_a_name_the_api_takes() -> None:
    note = events.Note({"name": "a" * 253}, "Normal", "Scheduled", "", START, "scheduler")
    assert not names.dns_subdomain(events.name(note, events.moment(note)))
    assert events.name(note, events.moment(note)).endswith("a." + f"{int(START.timestamp()) * 10**9:x}")
