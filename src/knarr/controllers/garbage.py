"""Garbage collector: dependents follow their owners, by ownerReferences, over all kinds.

`verdict` decides from the view: nothing, collect, drop references, orphan the dependents, or let a foreground deletion
end. The edge acts; before it collects it asks the server whether the owner is really gone, because a view may know a
dependent before its owner. Spec: "Garbage Collection", "Owners and Dependents", "Use Cascading Deletion".
Vocabulary: an owner is *solid* (exists), *waiting* (exists and is being deleted in the foreground) or *absent*.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec

from knarr.base import logs
from knarr.base.backoff import Backoff, BackoffRule
from knarr.base.clock import Clock
from knarr.base.errors import Conflict, KnarrError, NotFound
from knarr.base.failpoints import failpoint
from knarr.base.tasks import Ready
from knarr.client.cache import Cache, Changed, Held
from knarr.client.client import Client, DeleteOptions, Json
from knarr.client.events import EventRecorder
from knarr.controllers.queue import WorkQueue
from knarr.kinds.core_config import NAMESPACE
from knarr.kinds.lens.meta import OwnerReference
from knarr.kinds.registry import Kind

_log = logs.log("controllers")
NAME: Final = "garbage-collector"
FOREGROUND: Final = "foregroundDeletion"
ORPHAN: Final = "orphan"
RETRY: Final = BackoffRule(first=0.01, cap=30.0, reset_after=120.0)

Key = tuple[Kind, str, str]
Propagation = Literal["Foreground", "Background", "Orphan"]


@dataclass(frozen=True, slots=True)
class Keep:
    """Nothing to do."""


@dataclass(frozen=True, slots=True)
class Collect:
    """No owner holds it: delete it. `absent` are the owners to ask the server about first."""

    propagation: Propagation
    absent: tuple[OwnerReference, ...]


@dataclass(frozen=True, slots=True)
class DropReferences:
    """Some owner holds it: references to the others go. `absent` as above."""

    uids: frozenset[str]
    absent: tuple[OwnerReference, ...]


@dataclass(frozen=True, slots=True)
class Release:
    """It is being deleted and its dependents shall stay: take their references, then the finalizer `orphan`."""

    dependents: tuple[Held, ...]


@dataclass(frozen=True, slots=True)
class EndForeground:
    """No dependent blocks its foreground deletion any more: take the finalizer."""


Verdict = Keep | Collect | DropReferences | Release | EndForeground


class Kinds:
    """Finds the kind that an ownerReference names, whatever version it writes."""

    def __init__(self, kinds: Sequence[Kind]) -> None:
        self._by_name: Mapping[tuple[str, str], Kind] = {(kind.group, kind.kind): kind for kind in kinds}

    def of(self, reference: OwnerReference) -> Kind | None:
        """None where no such kind is served: such an owner is never judged."""
        return self._by_name.get((reference.api_version.rpartition("/")[0], reference.kind))


def verdict(held: Held, cache: Cache, kinds: Kinds) -> Verdict:
    """What the view says should become of the object."""
    metadata = held.metadata
    if metadata.deletion_timestamp is not None:
        if ORPHAN in metadata.finalizers:
            return Release(tuple(cache.held_owned(metadata.uid)))
        if FOREGROUND in metadata.finalizers and not blocking(held, cache):
            return EndForeground()
    if not metadata.owner_references:
        return Keep()
    solid, waiting, absent = _sorted_owners(held, cache, kinds)
    if solid:
        gone = [*waiting, *absent]
        return DropReferences(frozenset(one.uid for one in gone), tuple(absent)) if gone else Keep()
    if metadata.deletion_timestamp is not None:
        return Keep()
    # Below a foreground deletion dependents go first as well, all the way down.
    dependents = cache.held_owned(metadata.uid) if waiting else ()
    # One that ends in the foreground itself would wait for us in a circle.
    is_circle = any(one.metadata.deletion_timestamp is not None and _ends(one) for one in dependents)
    return Collect(_propagation(held, deep=bool(dependents) and not is_circle), tuple(absent))


def blocking(held: Held, cache: Cache) -> Sequence[Held]:
    """The dependents that hold a foreground deletion up."""
    uid = held.metadata.uid
    return [
        dependent
        for dependent in cache.held_owned(uid)
        if any(one.uid == uid and one.block_owner_deletion for one in dependent.metadata.owner_references)
    ]


def _sorted_owners(
    held: Held, cache: Cache, kinds: Kinds
) -> tuple[list[OwnerReference], list[OwnerReference], list[OwnerReference]]:
    solid: list[OwnerReference] = []
    waiting: list[OwnerReference] = []
    absent: list[OwnerReference] = []
    for reference in held.metadata.owner_references:
        kind = kinds.of(reference)
        if kind is None or (kind.is_namespaced and not held.metadata.namespace):
            solid.append(reference)  # It cannot be looked up, so it is not judged.
            continue
        owner = cache.held(kind, held.metadata.namespace if kind.is_namespaced else "", reference.name)
        if owner is None or owner.metadata.uid != reference.uid:
            absent.append(reference)
        elif owner.metadata.deletion_timestamp is not None and FOREGROUND in owner.metadata.finalizers:
            waiting.append(reference)
        else:
            solid.append(reference)
    return solid, waiting, absent


def misplaced(held: Held, cache: Cache, kinds: Kinds) -> Sequence[OwnerReference]:
    """The references to owners in another namespace, which own nothing here."""
    found: list[OwnerReference] = []
    for reference in held.metadata.owner_references:
        kind = kinds.of(reference)
        if kind is None or not kind.is_namespaced:
            continue
        namespace = held.metadata.namespace
        if not namespace:
            found.append(reference)
        elif cache.held(kind, namespace, reference.name) is None:
            names = (one.metadata.name for one in cache.held_all(NAMESPACE))
            elsewhere = (cache.held(kind, name, reference.name) for name in names if name != namespace)
            if any(one is not None and one.metadata.uid == reference.uid for one in elsewhere):
                found.append(reference)
    return found


def _propagation(held: Held, *, deep: bool) -> Propagation:
    if ORPHAN in held.metadata.finalizers:
        return "Orphan"
    return "Foreground" if deep or FOREGROUND in held.metadata.finalizers else "Background"


def concerned(changed: Changed, cache: Cache) -> Sequence[Held]:
    """Whom a change may give a new verdict: the object, its dependents when it goes, its owners when it leaves."""
    old, new = changed.old, changed.new
    if old is not None and new is not None and _bonds(old) == _bonds(new):
        return ()
    found: list[Held] = [new] if new is not None and (new.metadata.owner_references or _ends(new)) else []
    if new is None or _ends(new):
        found += cache.held_owned(changed.held.metadata.uid)
    return found


def _bonds(held: Held) -> tuple[Any, ...]:
    metadata = held.metadata
    return metadata.owner_references, metadata.finalizers, metadata.deletion_timestamp is None


def _ends(held: Held) -> bool:
    return held.metadata.deletion_timestamp is not None and bool({FOREGROUND, ORPHAN} & {*held.metadata.finalizers})


@dataclass(slots=True)
class GarbageCollector:
    """Runs the collector over a cache that holds every collectable kind, if only as metadata."""

    client: Client
    cache: Cache
    clock: Clock
    recorder: EventRecorder
    _queue: WorkQueue[Key] = field(init=False)
    _kinds: Kinds = field(init=False)
    _backoffs: dict[Key, Backoff] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._queue = WorkQueue(NAME, self._work)
        self._kinds = Kinds(self.cache.kinds)
        self.cache.listen(self._changed)

    @property
    def is_idle(self) -> bool:
        return self._queue.is_idle

    async def run(self, ready: Ready) -> None:
        """Judge what exists, then whatever changes, until cancelled."""
        for kind in self.cache.kinds:
            for held in self.cache.held_all(kind):
                self._consider(held)
        await self._queue.run(ready)

    def _changed(self, changed: Changed) -> None:
        old, new = changed.old, changed.new
        if new is not None and (old is None or old.metadata.owner_references != new.metadata.owner_references):
            for owner in misplaced(new, self.cache, self._kinds):
                self._tell_misplaced(new, owner)
        for held in concerned(changed, self.cache):
            self._consider(held)
        for seen in (changed.old, changed.new):
            if seen is not None:
                self._consider_owners(seen)

    def _tell_misplaced(self, held: Held, owner: OwnerReference) -> None:
        meta = held.metadata
        regarding = {
            "apiVersion": held.kind.api_version,
            "kind": held.kind.kind,
            "name": meta.name,
            "namespace": meta.namespace,
            "uid": meta.uid,
        }
        who = f"{owner.api_version}/{owner.kind}, namespace: {meta.namespace}, name: {owner.name}, uid: {owner.uid}"
        text = f'ownerRef [{who}] does not exist in namespace "{meta.namespace}"'
        self.recorder.record(regarding, "Warning", "OwnerRefInvalidNamespace", text)

    def _consider(self, held: Held) -> None:
        if not isinstance(verdict(held, self.cache, self._kinds), Keep):
            self._queue.add((held.kind, *held.key))

    def _consider_owners(self, held: Held) -> None:
        """A dependent that left may end its owner's foreground deletion."""
        for reference in held.metadata.owner_references:
            kind = self._kinds.of(reference)
            if kind is not None:
                owner = self.cache.held(kind, held.metadata.namespace if kind.is_namespaced else "", reference.name)
                if owner is not None and _ends(owner):
                    self._queue.add((kind, *owner.key))

    async def _work(self, key: Key) -> None:
        held = self.cache.held(*key)
        if held is None:
            self._backoffs.pop(key, None)
            return
        failpoint("garbage-collector.before_write")
        try:
            await self._act(held, verdict(held, self.cache, self._kinds))
        except NotFound:
            self._backoffs.pop(key, None)
        except (KnarrError, OSError) as error:
            if not isinstance(error, Conflict):
                text = logs.fields(kind=key[0].kind, error=error)
                _log.info("%s/%s was not collected %s", key[1], key[2], text)
            backoff = self._backoffs[key] = self._backoffs.get(key, Backoff()).failed(self.clock.now(), RETRY)
            self._queue.add_after(key, backoff.delay(RETRY))
        else:
            self._backoffs.pop(key, None)

    async def _act(self, held: Held, wanted: Verdict) -> None:
        match wanted:
            case Keep():
                pass
            case Collect(propagation, absent):
                if await self._are_gone(held, absent):
                    options = DeleteOptions(propagation=propagation, uid=held.metadata.uid)
                    await self.client.delete(held.kind, *held.key, options)
            case DropReferences(uids, absent):
                if await self._are_gone(held, absent):
                    await self._drop(held, uids)
            case Release(dependents):
                await asyncio.gather(*(self._orphan(one, held.metadata.uid) for one in dependents))
                await self._take_finalizer(held, ORPHAN)
            case EndForeground():
                await self._take_finalizer(held, FOREGROUND)

    async def _are_gone(self, held: Held, absent: Sequence[OwnerReference]) -> bool:
        """Whether the server does not know these owners either; else the view is about to show them."""
        for reference in absent:
            kind = self._kinds.of(reference)
            assert kind is not None
            namespace = held.metadata.namespace if kind.is_namespaced else ""
            try:
                live = await self.client.get(kind, namespace, reference.name)
            except NotFound:
                continue
            if live["metadata"]["uid"] == reference.uid:
                self._queue.add_after((held.kind, *held.key), 1.0)
                return False
        return True

    async def _orphan(self, dependent: Held, uid: str) -> None:
        try:
            await self._drop(dependent, frozenset({uid}))
        except NotFound:
            return  # It went by itself.

    async def _drop(self, held: Held, uids: frozenset[str]) -> None:
        kept = [_encoded(one) for one in held.metadata.owner_references if one.uid not in uids]
        await self._patch(held, {"ownerReferences": kept or None})

    async def _take_finalizer(self, held: Held, name: str) -> None:
        await self._patch(held, {"finalizers": [one for one in held.metadata.finalizers if one != name] or None})

    async def _patch(self, held: Held, metadata: Json) -> None:
        guards = {"uid": held.metadata.uid, "resourceVersion": held.metadata.resource_version}
        await self.client.patch(held.kind, *held.key, {"metadata": metadata | guards})


def _encoded(reference: OwnerReference) -> Json:
    plain: Json = msgspec.to_builtins(reference)
    return {key: value for key, value in plain.items() if value is not None}
