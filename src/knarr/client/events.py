"""Events: what a user must know about an object, recorded as core/v1 Event without ever keeping the caller waiting.

`EventRecorder.record` puts a note into a bounded queue; `run` writes it. The same note about the same object again
raises the Event's count. Past a bound the oldest unsaved note is dropped: events are hints, objects the truth.
Pure halves: `reference`, `body`. Spec: "Event v1 core".
"""

import asyncio
import collections
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from knarr.base import logs
from knarr.base.clock import Clock, Instant, rfc3339
from knarr.base.errors import AlreadyExists, KnarrError, NotFound
from knarr.base.tasks import Ready
from knarr.client.client import Client, Json
from knarr.kinds.core_config import EVENT
from knarr.kinds.lens.meta import ObjectMeta
from knarr.kinds.registry import Kind
from knarr.objects import names

_log = logs.log("events")
QUEUE_MAX: Final = 1000
"""Unsaved notes: a burst of 1,000 failing pods is told; more would only repeat it."""
REMEMBERED_MAX: Final = 4096
"""How many recent events are remembered for counting, as upstream's correlator does."""
MESSAGE_MAX: Final = 1024
"""Characters of a message that the API accepts."""
TRIES_MAX: Final = 64
"""Names tried for one Event: as many tellers as may speak of one object in one microsecond."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

EventType = Literal["Normal", "Warning"]


@dataclass(frozen=True, slots=True)
class Note:
    """One thing to tell about an object; `regarding` is its ObjectReference, `component` who tells it."""

    regarding: Json
    type: EventType
    reason: str
    message: str
    at: Instant
    component: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """An Event that exists: its name and how often its note came."""

    namespace: str
    name: str
    count: int


def reference(kind: Kind, metadata: ObjectMeta, field_path: str = "") -> Json:
    """The ObjectReference of an object; `field_path` names a container, as in `spec.containers{web}`."""
    found = {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "name": metadata.name,
        "namespace": metadata.namespace,
        "uid": metadata.uid,
        "resourceVersion": metadata.resource_version,
        "fieldPath": field_path,
    }
    return {key: value for key, value in found.items() if value}


def moment(note: Note) -> int:
    """When it was noted, in nanoseconds since 1970."""
    return (note.at - _EPOCH) // timedelta(microseconds=1) * 1000


def name(note: Note, nanoseconds: int) -> str:
    """The object's name and a moment in hexadecimal, as upstream names them: readers that sort by whole seconds
    (`kubectl describe`) keep the order of a list for what happened in one second, and lists are ordered by name."""
    suffix = f".{nanoseconds:x}"
    return str(note.regarding["name"])[: names.SUBDOMAIN_MAX - len(suffix)].rstrip(".-") + suffix


def body(note: Note, host: str, nanoseconds: int) -> Json:
    """The Event to create for a note; about a cluster-scoped object it goes to the namespace `default`."""
    source = {"component": note.component} | ({"host": host} if host else {})
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name(note, nanoseconds), "namespace": namespace(note)},
        "involvedObject": note.regarding,
        "type": note.type,
        "reason": note.reason,
        "message": note.message[:MESSAGE_MAX],
        "source": source,
        "reportingComponent": note.component,
        "reportingInstance": host,
        "firstTimestamp": rfc3339(note.at),
        "lastTimestamp": rfc3339(note.at),
        "count": 1,
    }


def namespace(note: Note) -> str:
    return str(note.regarding.get("namespace") or "default")


class EventRecorder:
    """Records events in the name of one component (`deployment-controller`, `kubelet` on its `host`, …)."""

    def __init__(self, client: Client, clock: Clock, component: str, host: str = "") -> None:
        self._client = client
        self._clock = clock
        self._component = component
        self._host = host
        self._notes: collections.deque[Note] = collections.deque(maxlen=QUEUE_MAX)
        self._more = asyncio.Event()
        self._recorded: collections.OrderedDict[tuple[str, ...], Recorded] = collections.OrderedDict()
        self._last = 0

    def record(self, regarding: Json, event_type: EventType, reason: str, message: str, component: str = "") -> None:
        """Note an event, in the name of another component where one is given; returns at once."""
        teller = component or self._component
        self._notes.append(Note(regarding, event_type, reason, message, self._clock.now(), teller))
        self._more.set()

    async def run(self, ready: Ready) -> None:
        """Write notes in their order until cancelled."""
        ready()
        while True:
            await self._more.wait()
            self._more.clear()
            while self._notes:
                note = self._notes.popleft()
                try:
                    await self._write(note)
                except (KnarrError, OSError) as error:
                    # A namespace that terminates refuses events; nothing is lost that the object does not say.
                    _log.info("event was not recorded %s", logs.fields(reason=note.reason, error=error))

    async def _write(self, note: Note) -> None:
        key = (
            str(note.regarding.get("uid")),
            str(note.regarding.get("fieldPath")),
            note.type,
            note.reason,
            note.message,
            note.component,
        )
        known = self._recorded.get(key)
        if known is not None:
            again = replace(known, count=known.count + 1)
            change = {"count": again.count, "lastTimestamp": rfc3339(note.at)}
            try:
                await self._client.patch(EVENT, again.namespace, again.name, change)
                self._recorded[key] = again
                return
            except NotFound:
                pass  # Its hour is over; tell it anew.
        self._recorded[key] = Recorded(namespace(note), await self._create(note), 1)
        self._recorded.move_to_end(key)
        while len(self._recorded) > REMEMBERED_MAX:
            self._recorded.popitem(last=False)

    async def _create(self, note: Note) -> str:
        """Create the note's Event, a nanosecond later where another teller's has the name; its name."""
        self._last = max(moment(note), self._last + 1)
        for tries_left in reversed(range(TRIES_MAX)):
            created = body(note, self._host, self._last)
            try:
                await self._client.create(EVENT, namespace(note), created)
                break
            except AlreadyExists:
                if not tries_left:
                    raise
                self._last += 1
        return str(created["metadata"]["name"])
