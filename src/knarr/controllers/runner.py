"""The one runner: watches for a controller, asks it for plans and acts on them.

Level, never edge: a key is planned from the view as it is. It never plans on a view older than the key's own last
write (`_Memory`), so a controller needs no expectations. Actions run in order and stop at the first failure; equal
neighbours run together in slow-start batches. Conflict plans again; other failures wait with back-off.
Decisions are the controllers' (`plan`), order and retries are here, HTTP is the client's.
"""

import asyncio
import heapq
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec

from knarr.base import logs
from knarr.base.backoff import Backoff, BackoffRule
from knarr.base.clock import Clock
from knarr.base.errors import AlreadyExists, Conflict, DeadlineExceeded, Forbidden, KnarrError, NotFound, Unavailable
from knarr.base.failpoints import failpoint
from knarr.base.ids import Revision
from knarr.base.tasks import Ready
from knarr.client import events
from knarr.client.cache import Cache, Changed, Held
from knarr.client.client import Client, Json
from knarr.client.events import EventRecorder
from knarr.controllers.controller import Action, Controller, Create, Delete, EventNote, Key, Patch, Plan
from knarr.controllers.queue import WorkQueue
from knarr.kinds.core_pod import POD
from knarr.kinds.registry import Kind

_log = logs.log("controllers")
RETRY: Final = BackoffRule(first=0.01, cap=30.0, reset_after=120.0)
"""10 ms is a conflict with a neighbour; 30 s is what a missing quota may cost to be noticed."""
AMBIGUOUS: Final = (Unavailable, DeadlineExceeded, OSError)
"""Failures after which nobody knows whether the write happened."""
BATCH_MAX: Final = 16
"""The most writes of one plan at a time: more does not commit faster, it only makes others wait."""


@dataclass(slots=True)
class _Memory:
    """What the view must have seen before the key is planned again, and how the key fared."""

    written: dict[Kind, Revision] = field(default_factory=dict)
    removed: list[tuple[Kind, str, str, str]] = field(default_factory=list)
    doubts: list[Action] = field(default_factory=list)
    root_revision: str = ""
    backoff: Backoff = field(default_factory=Backoff)
    why: str = ""


class Runner:
    """Runs one controller over a cache that others may share; `run` never returns."""

    def __init__(self, controller: Controller, client: Client, cache: Cache, clock: Clock, recorder: EventRecorder):
        self._controller = controller
        self._client = client
        self._cache = cache
        self._clock = clock
        self._recorder = recorder
        self.crashes = 0
        self._memories: dict[Key, _Memory] = {}
        # Keys that wait for the view: all of them, by kind and revision (heaps), by the object whose end must be seen.
        self._parked: set[Key] = set()
        self._parked_until: dict[Kind, list[tuple[Revision, Key]]] = {}
        self._parked_removals: dict[tuple[Kind, str, str], set[Key]] = {}
        self._queue: WorkQueue[Key] = WorkQueue(controller.name, self._reconcile)
        self._allowed = frozenset(controller.writes)
        assert controller.kind.lens is not None, f"{controller.kind.kind} has no lens"
        self._lens = controller.kind.lens
        self._glances = frozenset(controller.glances)
        watches = {**controller.glances, **controller.watches}
        heard = {controller.kind, *controller.owns, *watches, *controller.writes}
        self._roles = {kind: (kind == controller.kind, kind in controller.owns, watches.get(kind)) for kind in heard}
        cache.listen(self._changed, self._progressed, kinds=[kind for kind in cache.kinds if kind in heard])

    @property
    def is_idle(self) -> bool:
        """Nothing is due, running or waiting for the view."""
        return self._queue.is_idle and not self._parked

    @property
    def queue(self) -> WorkQueue[Key]:
        """The keys that are due, for who shows them."""
        return self._queue

    def is_about(self, group: str, kind: str) -> bool:
        """Whether such objects are this controller's roots."""
        return (self._controller.kind.group, self._controller.kind.kind) == (group, kind)

    def why(self, key: Key) -> str:
        """In words, what the object waits for; "" when it is where its spec wants it."""
        memory = self._memories.get(key)
        return memory.why if memory else ""

    async def run(self, ready: Ready) -> None:
        """Plan every root that exists, then whatever changes, until cancelled."""
        for held in self._cache.held_all(self._controller.kind):
            self._queue.add(held.key)
        await self._queue.run(ready)

    # -- what makes a key due -----------------------------------------------------------------------------------------

    def _changed(self, changed: Changed) -> None:
        kind = changed.kind
        is_root, is_owned, keys_of = self._roles[kind]
        if self._parked_removals:
            for key in self._parked_removals.pop((kind, *changed.held.key), ()):
                self._queue.add(key)
        if is_root:
            self._root_changed(changed)
        if is_owned:
            for key in self._owner_keys(changed):
                self._queue.add(key)
        if keys_of is not None:
            for seen in self._seen(changed):
                for key in keys_of(seen, self._cache):
                    self._queue.add(key)

    def _seen(self, changed: Changed) -> Sequence[Any]:
        """What KeysOf is asked about: the object as it was and as it is; once where nothing moved that says whose it
        is (labels, owners, node): most changes are of a status."""
        kind, old, new = changed.kind, changed.old, changed.new
        if kind.lens is None or kind in self._glances:
            return [held for held in (old, new) if held is not None]
        if new is None or old is None:
            return [changed.held.lens(kind.lens)]
        before, after = old.lens(kind.lens), new.lens(kind.lens)
        if kind != POD:
            return [before, after]
        a, b = before.metadata, after.metadata  # type: ignore[attr-defined]  # every lens of a kind has it
        is_same = old.node == new.node and a.labels == b.labels and a.owner_references == b.owner_references
        return [after] if is_same else [before, after]

    def _root_changed(self, changed: Changed) -> None:
        key = changed.held.key
        if changed.new is not None:
            self._queue.add(key)
            return
        self._memories.pop(key, None)
        self._parked.discard(key)
        self._queue.forget(key)

    def _owner_keys(self, changed: Changed) -> Sequence[Key]:
        """The roots that the object belongs to, or did."""
        root, old, new = self._controller.kind, changed.old, changed.new
        references = changed.held.metadata.owner_references
        if old is not None and new is not None and old.metadata.owner_references != references:
            references = (*old.metadata.owner_references, *references)
        namespace = changed.held.metadata.namespace if root.is_namespaced else ""
        return [
            (namespace, reference.name)
            for reference in references
            if reference.kind == root.kind and reference.api_version.rpartition("/")[0] == root.group
        ]

    def _progressed(self, kind: Kind) -> None:
        if not self._parked:
            return  # Most of the time; this is asked at every event of every kind.
        waiting = self._parked_until.get(kind)
        while waiting and waiting[0][0] <= self._cache.progress(kind):
            self._queue.add(heapq.heappop(waiting)[1])

    def _park(self, key: Key, memory: _Memory) -> bool:
        """Set the key aside until the view has caught up with it; False if it has."""
        for kind, revision in memory.written.items():
            if self._cache.progress(kind) < revision:
                heapq.heappush(self._parked_until.setdefault(kind, []), (revision, key))
                self._parked.add(key)
                return True
        for removed in memory.removed:
            if not self._cache.saw_removal(*removed):
                self._parked_removals.setdefault(removed[:3], set()).add(key)
                self._parked.add(key)
                return True
        self._parked.discard(key)
        return False

    # -- one turn of a key --------------------------------------------------------------------------------------------

    async def _reconcile(self, key: Key) -> None:
        held = self._cache.held(self._controller.kind, *key)
        if held is None:
            self._parked.discard(key)
            return
        memory = self._memories.setdefault(key, _Memory())
        if self._park(key, memory):
            return
        memory.root_revision = held.metadata.resource_version
        try:
            if memory.doubts:
                await self._resolve(memory)
                self._queue.add(key)
                return
            memory.written.clear()
            memory.removed.clear()
            await self._turn(held, memory)
        except Conflict as error:
            self._retry(key, memory, error)
        except (KnarrError, OSError) as error:
            _log.info("%s/%s failed %s", *key, logs.fields(controller=self._controller.name, error=error))
            self._retry(key, memory, error)
        except Exception:
            # A controller's bug must not stop the other controllers; it is logged in full and tried again, later.
            self.crashes += 1
            _log.exception("%s/%s crashed controller=%s", *key, self._controller.name)
            self._retry(key, memory, None)
        else:
            memory.backoff = Backoff()

    def _retry(self, key: Key, memory: _Memory, _error: Exception | None) -> None:
        memory.backoff = memory.backoff.failed(self._clock.now(), RETRY)
        self._queue.figures.retried += 1
        self._queue.add_after(key, memory.backoff.delay(RETRY))

    async def _turn(self, held: Held, memory: _Memory) -> None:
        root = held.lens(self._lens)
        plan = self._controller.plan(root, self._cache, self._clock.now())
        memory.why = plan.why
        if plan.again_at is not None:
            self._queue.add_after(held.key, (plan.again_at - self._clock.now()).total_seconds())
        for batch in batches(plan.actions):
            await self._act_together(held, batch, memory)
        for note in plan.events:
            self._tell(held, note)
        await self._write_status(held, plan.status, memory)

    async def _act_together(self, held: Held, batch: Sequence[Action], memory: _Memory) -> None:
        """Do the batch at once; after all have ended, the first failure is told and raised."""
        if len(batch) == 1:
            outcomes: list[BaseException | None] = [await self._attempt(held, batch[0], memory)]
        else:
            outcomes = [*await asyncio.gather(*(self._attempt(held, action, memory) for action in batch))]
        for action, outcome in zip(batch, outcomes, strict=True):
            if outcome is not None:
                if isinstance(outcome, KnarrError) and not isinstance(outcome, Conflict):
                    await self._tell_failure(held, action, outcome, memory)
                raise outcome

    async def _attempt(self, held: Held, action: Action, memory: _Memory) -> BaseException | None:
        """Do one action; a refusal is returned, so that its neighbours in a batch still end."""
        assert action.kind in self._allowed, f"{self._controller.name} may not write {action.kind.kind}"
        failpoint(f"{self._controller.name}.before_write")
        try:
            written = await self._act(action, memory)
        except (KnarrError, OSError) as error:
            if isinstance(action, Create) and _is_namespace_ending(error):
                return None
            if isinstance(error, AMBIGUOUS) and action.kind in self._cache.kinds:
                memory.doubts.append(action)
            return error
        failpoint(f"{self._controller.name}.after_write")
        if written is not None:
            if action.note is not None:
                name = written.get("metadata", {}).get("name", "")
                self._tell(held, replace(action.note, message=action.note.message.replace("{name}", name)))
            self._remember(action.kind, written, memory)
            if action.kind == self._controller.kind and written["metadata"].get("uid") == held.metadata.uid:
                memory.root_revision = written["metadata"]["resourceVersion"]
        return None

    async def _act(self, action: Action, memory: _Memory) -> Json | None:
        """Send it. None means that there was nothing to do."""
        client = self._client
        match action:
            case Create(kind, namespace, body, tolerate_existing, name, subresource):
                try:
                    return await client.create(kind, namespace, body, name=name, subresource=subresource)
                except AlreadyExists:
                    if not tolerate_existing:
                        raise
                    return None
            case Patch(kind, namespace, name, body, patch, subresource, tolerate_absent):
                try:
                    return await client.patch(kind, namespace, name, body, patch=patch, subresource=subresource)
                except NotFound:
                    if not tolerate_absent:
                        raise
                    return None
            case Delete(kind, namespace, name, options):
                try:
                    await client.delete(kind, namespace, name, options)
                except NotFound:
                    return None
                if options.uid and kind in self._cache.kinds:
                    memory.removed.append((kind, namespace, name, options.uid))
                return {"metadata": {"name": name}}

    async def _resolve(self, memory: _Memory) -> None:
        """Writes that failed without an answer may have happened: ask the server what the view must show first."""
        for action in memory.doubts:
            listed = await self._client.list(action.kind, action.namespace)
            found = [Held(action.kind, item, keep_raw=False) for item in listed.items]
            newest = max((held.revision for held in found), default=Revision(0))
            memory.written[action.kind] = max(memory.written.get(action.kind, Revision(0)), newest)
            if isinstance(action, Delete) and action.options.uid:
                alive = {held.metadata.uid for held in found if held.metadata.deletion_timestamp is None}
                if action.options.uid not in alive:
                    memory.removed.append((action.kind, action.namespace, action.name, action.options.uid))
        memory.doubts.clear()

    def _remember(self, kind: Kind, written: Mapping[str, Any], memory: _Memory) -> None:
        revision = written.get("metadata", {}).get("resourceVersion", "")
        if revision and kind in self._cache.kinds:
            memory.written[kind] = max(memory.written.get(kind, Revision(0)), Revision(int(revision)))

    async def _write_status(self, held: Held, status: Mapping[str, Any] | None, memory: _Memory) -> None:
        """Replace the root's status where it differs; the resourceVersion makes a stale plan a Conflict."""
        if status is None:
            return
        stored = msgspec.json.decode(held.raw)
        if stored.get("status", {}) == status:
            return
        stored["status"] = status
        # The plan's own patches of the root do not make it stale, and its annotations are not taken back. The labels go
        # along: a Job or ReplicationController without any is given its template's.
        stored["metadata"] = {key: value for key, value in stored["metadata"].items() if key != "annotations"} | {
            "resourceVersion": memory.root_revision
        }
        kind = self._controller.kind
        failpoint(f"{self._controller.name}.before_status")
        written = await self._client.update(kind, *held.key, stored, subresource="status")
        failpoint(f"{self._controller.name}.after_status")
        self._remember(kind, written, memory)

    async def _tell_failure(self, held: Held, action: Action, error: KnarrError, memory: _Memory) -> None:
        if self._controller.failed is None:
            return
        plan: Plan = self._controller.failed(held.lens(self._lens), action, error, self._cache, self._clock.now())
        for note in plan.events:
            self._tell(held, note)
        await self._write_status(held, plan.status, memory)

    def _tell(self, held: Held, note: EventNote) -> None:
        metadata = held.lens(self._lens).metadata  # type: ignore[attr-defined]  # every lens of a kind has it
        regarding = note.regarding or events.reference(self._controller.kind, metadata)
        self._recorder.record(regarding, note.type, note.reason, note.message)


def _is_namespace_ending(error: Exception) -> bool:
    """Whether a create was refused for ever: what is in the namespace is about to go, its owner too."""
    return isinstance(error, Forbidden) and str(error).endswith("because it is being terminated")


def batches(actions: Sequence[Action]) -> Iterator[Sequence[Action]]:
    """Neighbouring Creates of one kind in batches of 1, 2, 4, …: a quota refuses one, not a hundred. Neighbouring
    Deletes of one kind go together; everything else alone."""
    for (_, parallel), group in itertools.groupby(actions, key=lambda action: (action.kind, type(action))):
        neighbours = list(group)
        size = 1 if parallel is not Delete else BATCH_MAX
        while neighbours:
            yield neighbours[:size]
            neighbours = neighbours[size:]
            if parallel is Create:
                size = min(size * 2, BATCH_MAX)
