"""Namespace deletion: everything in a terminating namespace goes, pods first; then its finalizer.

What is inside is asked from the server, kind by kind, because only a consistent list may say "nothing". The cache says
when to ask again: each removal inside a terminating namespace. Spec: "Namespaces", ordered namespace deletion.
Not here: refusing creates in a terminating namespace (admission).
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from knarr.base import logs
from knarr.base.backoff import Backoff, BackoffRule
from knarr.base.clock import Clock, Instant
from knarr.base.errors import Conflict, KnarrError, NotFound
from knarr.base.failpoints import failpoint
from knarr.base.tasks import Ready
from knarr.client.cache import Cache, Changed, Metadata
from knarr.client.client import Client, DeleteOptions, Json
from knarr.controllers import conditions
from knarr.controllers.queue import WorkQueue
from knarr.kinds.core_config import NAMESPACE
from knarr.kinds.core_pod import POD
from knarr.kinds.lens.config import Namespace, NamespaceCondition
from knarr.kinds.registry import Kind

_log = logs.log("controllers")
FINALIZER: Final = "kubernetes"
RETRY: Final = BackoffRule(first=0.05, cap=15.0, reset_after=60.0)
TOGETHER: Final = 16
"""Deletions at once."""

# type → (reason, message) while the condition is False: nothing is wrong.
FINE: Final[Mapping[str, tuple[str, str]]] = {
    "NamespaceDeletionDiscoveryFailure": ("ResourcesDiscovered", "All resources successfully discovered"),
    "NamespaceDeletionGroupVersionParsingFailure": (
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
    ),
    "NamespaceDeletionContentFailure": (
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    "NamespaceContentRemaining": ("ContentRemoved", "All content successfully removed"),
    "NamespaceFinalizersRemaining": ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
}


class _Head(msgspec.Struct):
    metadata: Metadata


_decoder = msgspec.json.Decoder(_Head)


@dataclass(frozen=True, slots=True)
class Inhabitant:
    """One object in the namespace."""

    kind: Kind
    metadata: Metadata


def doomed(content: Sequence[Inhabitant]) -> Sequence[Inhabitant]:
    """What to delete now: the pods while there are any, then all the rest; not what is already on its way."""
    pods = [one for one in content if one.kind == POD]
    return [one for one in pods or content if one.metadata.deletion_timestamp is None]


def told(namespace: Namespace, content: Sequence[Inhabitant], failure: str, now: Instant) -> Json:
    """The status: phase and the five conditions of a deletion."""
    wrong: dict[str, tuple[str, str]] = {}
    if failure:
        wrong["NamespaceDeletionContentFailure"] = ("ContentDeletionFailed", failure)
    if content:
        wrong["NamespaceContentRemaining"] = ("SomeResourcesRemain", remaining(content))
    finalizers = Counter(name for one in content for name in one.metadata.finalizers)
    if finalizers:
        listed = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(finalizers.items()))
        text = f"Some content in the namespace has finalizers remaining: {listed}"
        wrong["NamespaceFinalizersRemaining"] = ("SomeFinalizersRemain", text)
    found: Sequence[NamespaceCondition] = namespace.status.conditions
    for name, fine in FINE.items():
        reason, message = wrong.get(name, fine)
        told_now = NamespaceCondition(
            type=name,
            status=str(name in wrong),
            reason=reason,
            message=message,
            last_transition_time=conditions.moment(now),
        )
        old = conditions.find(found, name)
        if old is not None and old.status == told_now.status:
            told_now = msgspec.structs.replace(told_now, last_transition_time=old.last_transition_time)
        found = [*conditions.without(found, name), told_now]
    return {"phase": "Terminating", "conditions": conditions.encode(found)}


def remaining(content: Sequence[Inhabitant]) -> str:
    """In words, what is left."""
    counts = Counter(f"{one.kind.plural}.{one.kind.group}" for one in content)
    listed = ", ".join(f"{name} has {count} resource instances" for name, count in sorted(counts.items()))
    return f"Some resources are remaining: {listed}"


@dataclass(slots=True)
class NamespaceDeleter:
    """Empties and finalizes terminating namespaces. `kinds` are all that a namespace may hold."""

    client: Client
    cache: Cache
    clock: Clock
    kinds: Sequence[Kind]
    _queue: WorkQueue[str] = field(init=False)
    _backoffs: dict[str, Backoff] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._queue = WorkQueue("namespace-controller", self._work, concurrency=4)
        self.cache.listen(self._changed)

    @property
    def is_idle(self) -> bool:
        return self._queue.is_idle

    async def run(self, ready: Ready) -> None:
        """Until cancelled."""
        for held in self.cache.held_all(NAMESPACE):
            if held.metadata.deletion_timestamp is not None:
                self._queue.add(held.metadata.name)
        await self._queue.run(ready)

    def _changed(self, changed: Changed) -> None:
        held = changed.held
        if changed.kind == NAMESPACE:
            if held.metadata.deletion_timestamp is not None and changed.new is not None:
                self._queue.add(held.metadata.name)
        elif changed.new is None and held.metadata.namespace:
            namespace = self.cache.held(NAMESPACE, "", held.metadata.namespace)
            if namespace is not None and namespace.metadata.deletion_timestamp is not None:
                self._queue.add(held.metadata.namespace)

    async def _work(self, name: str) -> None:
        namespace = self.cache.get(Namespace, "", name)
        if namespace is None or namespace.metadata.deletion_timestamp is None:
            return
        if FINALIZER not in namespace.spec.finalizers:
            return
        try:
            await self._empty(namespace)
        except NotFound:
            self._backoffs.pop(name, None)
        except (KnarrError, OSError) as error:
            if not isinstance(error, Conflict):
                _log.info("namespace %s was not emptied %s", name, logs.fields(error=error))
            backoff = self._backoffs[name] = self._backoffs.get(name, Backoff()).failed(self.clock.now(), RETRY)
            self._queue.add_after(name, backoff.delay(RETRY))
        else:
            self._backoffs.pop(name, None)

    async def _empty(self, namespace: Namespace) -> None:
        """Delete what is there; when a list of every kind is empty, let the namespace go."""
        name = namespace.metadata.name
        content = await self._content(name)
        if not content:
            await self._finalize(name)
            return
        failures = await self._delete(doomed(content))
        left = await self._content(name)
        if not left:
            await self._finalize(name)
            return
        await self._tell(namespace, told(namespace, left, "; ".join(failures), self.clock.now()))
        if failures or doomed(left):
            # What is not on its way yet raises no removal that would wake us.
            self._queue.add_after(name, RETRY.first)

    async def _content(self, name: str) -> Sequence[Inhabitant]:
        found: list[Inhabitant] = []
        for kind in self.kinds:
            listed = await self.client.list(kind, name)
            found += [Inhabitant(kind, _decoder.decode(item).metadata) for item in listed.items]
        return found

    async def _delete(self, chosen: Sequence[Inhabitant]) -> Sequence[str]:
        failures: list[str] = []
        for start in range(0, len(chosen), TOGETHER):
            batch = chosen[start : start + TOGETHER]
            for outcome in await asyncio.gather(*(self._delete_one(one) for one in batch)):
                failures += [outcome] if outcome else []
        return failures

    async def _delete_one(self, one: Inhabitant) -> str:
        failpoint("namespace-controller.before_write")
        options = DeleteOptions(propagation="Background", uid=one.metadata.uid)
        try:
            await self.client.delete(one.kind, one.metadata.namespace, one.metadata.name, options)
        except (NotFound, Conflict):
            return ""
        except KnarrError as error:
            return str(error)
        return ""

    async def _tell(self, namespace: Namespace, status: Json) -> None:
        raw = self.cache.raw(Namespace, "", namespace.metadata.name)
        if raw is None:
            return
        stored = msgspec.json.decode(raw)
        if stored.get("status") != status:
            stored["status"] = status
            await self.client.update(NAMESPACE, "", namespace.metadata.name, stored, subresource="status")

    async def _finalize(self, name: str) -> None:
        live = await self.client.get(NAMESPACE, "", name)
        live["spec"]["finalizers"] = [one for one in live["spec"].get("finalizers", ()) if one != FINALIZER]
        failpoint("namespace-controller.before_finalize")
        await self.client.update(NAMESPACE, "", name, live, subresource="finalize")
