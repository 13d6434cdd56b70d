"""A small API in memory that implements client.client.Client: enough semantics for controllers, and room for faults.

Objects have uid, resourceVersion, generation, finalizers and graceful deletion; deletion cascades are the garbage
collector's affair. `Faults` may refuse or crash each write before and after it happens, and delays, doubles or
loses each watch event.
The real API server has its own contract suite; this one exists because a seeded simulation needs thousands of runs.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import msgspec

from knarr.base import ids
from knarr.base.clock import Clock, rfc3339
from knarr.base.errors import AlreadyExists, Conflict, Expired, NotFound, TooMany
from knarr.base.ids import Revision
from knarr.client.client import DeleteOptions, Json, ListResult, PatchType, WatchEvent
from knarr.kinds import schemas
from knarr.kinds.apps import DAEMONSET, DEPLOYMENT, STATEFULSET
from knarr.kinds.core_config import NAMESPACE
from knarr.kinds.policy import PODDISRUPTIONBUDGET
from knarr.kinds.registry import Kind
from knarr.objects import strategic
from knarr.objects.labels import of as labels_of

WITH_GENERATION = {
    DEPLOYMENT.kind,
    STATEFULSET.kind,
    DAEMONSET.kind,
    "PodDisruptionBudget",
    "ReplicaSet",
    "ReplicationController",
    "Job",
    "Pod",
}
# What admission gives to storage.
PROTECTED = {
    "PersistentVolumeClaim": "kubernetes.io/pvc-protection",
    "PersistentVolume": "kubernetes.io/pv-protection",
}
Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Delivery:
    """How an event reaches a watcher: `late_seconds` after it happened, `is_doubled` if it and the one before come
    again, `silent_seconds` if the watch says nothing for so long and is then cut: what happened meanwhile is lost."""

    late_seconds: float = 0.0
    is_doubled: bool = False
    silent_seconds: float = 0.0


PLAIN: Final = Delivery()


class Faults:
    """No faults; subclasses make some."""

    def before_write(self, verb: str, kind: Kind, name: str) -> None:
        """May raise instead of the write."""

    def after_write(self, verb: str, kind: Kind, name: str) -> None:
        """May raise although the write happened."""

    def delivery(self, kind: Kind) -> Delivery:
        """How the next event of this kind reaches a watcher."""
        return PLAIN


def merge(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def copied(one: Any) -> Any:
    """A copy of JSON; a way through bytes is many times faster than a deep copy."""
    return msgspec.json.decode(msgspec.json.encode(one))


class MemoryApi:
    def __init__(self, clock: Clock, seed: int = 0, faults: Faults | None = None) -> None:
        self._clock = clock
        self._random = random.Random(seed)
        self.faults = faults or Faults()
        self.revision = 0
        self._objects: dict[Key, Json] = {}
        self._watchers: dict[str, list[asyncio.Queue[WatchEvent]]] = {}
        self._history: list[tuple[int, str, WatchEvent]] = []
        self.observers: list[Callable[[str, Json], None]] = []

    def all(self, kind: Kind) -> list[Json]:
        """Every object of a kind, in order; for assertions."""
        return [self._objects[key] for key in sorted(self._objects) if key[0] == kind.kind]

    async def get(self, kind: Kind, namespace: str, name: str) -> Json:
        return copied(self._find(kind, namespace, name))

    async def list(self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = "") -> ListResult:
        assert (labels, fields) == ("", "")
        found = [one for one in self.all(kind) if not namespace or one["metadata"].get("namespace") == namespace]
        return ListResult(tuple(msgspec.json.encode(one) for one in found), Revision(self.revision))

    async def watch(
        self, kind: Kind, namespace: str = "", *, since: Revision, labels: str = "", fields: str = ""
    ) -> AsyncIterator[WatchEvent]:
        assert (labels, fields, namespace) == ("", "", "")
        queue: asyncio.Queue[WatchEvent] = asyncio.Queue()
        for revision, name, event in self._history:
            if name == kind.kind and revision > since:
                queue.put_nowait(event)
        self._watchers.setdefault(kind.kind, []).append(queue)
        before: tuple[WatchEvent, ...] = ()
        try:
            while True:
                event = await queue.get()
                delivery = self.faults.delivery(kind)
                if delivery.silent_seconds:
                    await asyncio.sleep(delivery.silent_seconds)
                    raise Expired(f"{kind.plural}: the watch was cut and its history is gone")
                if delivery.late_seconds:
                    await asyncio.sleep(delivery.late_seconds)
                yield event
                for again in (*before, event) if delivery.is_doubled else ():
                    yield again
                before = (event,)
        finally:
            self._watchers[kind.kind].remove(queue)

    async def create(self, kind: Kind, namespace: str, body: Json, *, name: str = "", subresource: str = "") -> Json:
        await asyncio.sleep(0)
        if subresource == "binding":
            return await self._bind(kind, namespace, name, body)
        if subresource == "eviction":
            return await self._evict(kind, namespace, name)
        created = copied(body)
        metadata = created.setdefault("metadata", {})
        if not metadata.get("name"):
            suffix = ids.name_suffix(self._random.randbytes)
            metadata["name"] = metadata["generateName"] + suffix
        metadata |= {
            "uid": ids.new_uid(self._random.randbytes),
            "creationTimestamp": rfc3339(self._clock.now()),
        }
        if kind.is_namespaced:
            metadata["namespace"] = namespace
        if kind.kind in PROTECTED:
            metadata["finalizers"] = [*metadata.get("finalizers", ()), PROTECTED[kind.kind]]
        if kind.kind in WITH_GENERATION:
            metadata["generation"] = 1
        if kind == NAMESPACE:
            created.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
            created.setdefault("status", {}).setdefault("phase", "Active")
        self.faults.before_write("create", kind, metadata["name"])
        key = (kind.kind, metadata.get("namespace", ""), metadata["name"])
        if key in self._objects:
            raise AlreadyExists(f'{kind.plural} "{metadata["name"]}" already exists')
        stored = self._store(kind, "ADDED", created)
        self.faults.after_write("create", kind, metadata["name"])
        return stored

    async def update(self, kind: Kind, namespace: str, name: str, body: Json, *, subresource: str = "") -> Json:
        await asyncio.sleep(0)
        self.faults.before_write("update", kind, name)
        live = self._find(kind, namespace, name)
        self._guard(live, body.get("metadata", {}))
        stored = self._replace(kind, live, body, subresource)
        self.faults.after_write("update", kind, name)
        return stored

    async def patch(
        self, kind: Kind, namespace: str, name: str, body: Any, *, patch: PatchType = "merge", subresource: str = ""
    ) -> Json:
        assert patch in ("merge", "strategic"), "this API knows merge patches, plain and strategic"
        await asyncio.sleep(0)
        self.faults.before_write("patch", kind, name)
        live = self._find(kind, namespace, name)
        self._guard(live, body.get("metadata", {}))
        patched = (
            merge(live, body)
            if patch == "merge"
            else strategic.merged(schemas.types().root(kind.type_name), live, body)
        )
        stored = self._replace(kind, live, patched, subresource)
        self.faults.after_write("patch", kind, name)
        return stored

    async def delete(self, kind: Kind, namespace: str, name: str, options: DeleteOptions | None = None) -> None:
        await asyncio.sleep(0)
        options = options or DeleteOptions()
        self.faults.before_write("delete", kind, name)
        live = self._find(kind, namespace, name)
        if options.uid is not None and options.uid != live["metadata"]["uid"]:
            raise Conflict(f"{name}: the uid differs")
        if options.resource_version not in (None, live["metadata"]["resourceVersion"]):
            raise Conflict(f"{name}: the resourceVersion differs")
        self._delete(kind, live, options)
        self.faults.after_write("delete", kind, name)

    def _delete(self, kind: Kind, live: Json, options: DeleteOptions) -> None:
        finalizers = list(live["metadata"].get("finalizers", ()))
        if options.propagation in ("Foreground", "Orphan"):
            added = "foregroundDeletion" if options.propagation == "Foreground" else "orphan"
            finalizers += [added] if added not in finalizers else []
        grace = options.grace_period_seconds
        if grace is None:
            grace = live.get("spec", {}).get("terminationGracePeriodSeconds", 30)
        is_graceful = kind.kind == "Pod" and bool(live.get("spec", {}).get("nodeName")) and grace > 0
        if kind.kind == "Pod" and live.get("status", {}).get("phase") in ("Succeeded", "Failed"):
            is_graceful = False
        waits = is_graceful or finalizers or (kind == NAMESPACE and live["spec"]["finalizers"])
        if not waits:
            self._remove(kind, live)
            return
        metadata = live["metadata"] | ({"finalizers": finalizers} if finalizers else {})
        if "deletionTimestamp" not in metadata:
            end = self._clock.now() + timedelta(seconds=grace if is_graceful else 0)
            metadata["deletionTimestamp"] = rfc3339(end)
        elif not options.propagation and grace != 0:
            return
        metadata["deletionGracePeriodSeconds"] = grace if is_graceful else 0
        changed = {**live, "metadata": metadata}
        if kind == NAMESPACE:
            changed["status"] = changed["status"] | {"phase": "Terminating"}
        self._store(kind, "MODIFIED", changed)

    async def _bind(self, kind: Kind, namespace: str, name: str, body: Json) -> Json:
        self.faults.before_write("bind", kind, name)
        live = self._find(kind, namespace, name)
        if live["spec"].get("nodeName"):
            raise Conflict(f"{name} is bound already")
        self._store(kind, "MODIFIED", {**live, "spec": live["spec"] | {"nodeName": body["target"]["name"]}})
        self.faults.after_write("bind", kind, name)
        return {"kind": "Status", "status": "Success"}

    async def _evict(self, kind: Kind, namespace: str, name: str) -> Json:
        """Delete the pod unless a budget that chooses it allows no disruption."""
        pod = self._find(kind, namespace, name)
        for budget in self.all(PODDISRUPTIONBUDGET):
            selector = labels_of(budget["spec"].get("selector") or {})
            if budget["metadata"]["namespace"] != namespace or not selector.matches(pod["metadata"].get("labels", {})):
                continue
            status = budget.get("status", {})
            left = status.get("disruptionsAllowed", 0)
            if left < 1:
                raise TooMany("Cannot evict pod as it would violate the pod's disruption budget.")
            noted = {**status.get("disruptedPods", {}), name: rfc3339(self._clock.now())}
            changed = {**budget, "status": {**status, "disruptionsAllowed": left - 1, "disruptedPods": noted}}
            self._store(PODDISRUPTIONBUDGET, "MODIFIED", changed)
        await self.delete(kind, namespace, name)
        return {"kind": "Status", "status": "Success"}

    def _replace(self, kind: Kind, live: Json, body: Json, subresource: str) -> Json:
        changed = copied(body)
        if subresource == "status":
            metadata = live["metadata"] | {
                key: changed["metadata"][key] for key in ("annotations", "labels") if key in changed["metadata"]
            }
            changed = {**live, "metadata": metadata, "status": changed.get("status", {})}
        elif subresource == "finalize":
            changed = {**live, "spec": changed.get("spec", {})}
        else:
            changed = changed | ({"status": live["status"]} if "status" in live else {})
            for field in ("uid", "creationTimestamp", "generation", "deletionTimestamp"):
                if field in live["metadata"]:
                    changed["metadata"][field] = live["metadata"][field]
            annotations = [one["metadata"].get("annotations") for one in (changed, live)]
            is_marked = kind == DEPLOYMENT and annotations[0] != annotations[1]
            if kind.kind in WITH_GENERATION and (changed.get("spec") != live.get("spec") or is_marked):
                changed["metadata"]["generation"] += 1
        if changed == live:
            return copied(live)
        metadata = changed["metadata"]
        finalizers = metadata.get("finalizers") or (changed["spec"]["finalizers"] if kind == NAMESPACE else [])
        if metadata.get("deletionTimestamp") and not finalizers and not metadata.get("deletionGracePeriodSeconds"):
            self._remove(kind, changed)
            return changed
        return self._store(kind, "MODIFIED", changed)

    def _guard(self, live: Json, metadata: Json) -> None:
        for field in ("resourceVersion", "uid"):
            if metadata.get(field, live["metadata"][field]) != live["metadata"][field]:
                raise Conflict(f"{live['metadata']['name']}: the {field} differs")

    def _find(self, kind: Kind, namespace: str, name: str) -> Json:
        try:
            return self._objects[(kind.kind, namespace, name)]
        except KeyError:
            raise NotFound(f'{kind.plural} "{name}" not found') from None

    def _store(self, kind: Kind, event: Any, changed: Json) -> Json:
        self.revision += 1
        changed["metadata"] = changed["metadata"] | {"resourceVersion": str(self.revision)}
        metadata = changed["metadata"]
        self._objects[(kind.kind, metadata.get("namespace", ""), metadata["name"])] = changed
        self._publish(kind, event, changed)
        return copied(changed)

    def _remove(self, kind: Kind, live: Json) -> None:
        self.revision += 1
        metadata = live["metadata"] | {"resourceVersion": str(self.revision)}
        del self._objects[(kind.kind, metadata.get("namespace", ""), metadata["name"])]
        self._publish(kind, "DELETED", {**live, "metadata": metadata})

    def _publish(self, kind: Kind, event_type: Any, changed: Json) -> None:
        event = WatchEvent(event_type, msgspec.json.encode(changed))
        self._history.append((self.revision, kind.kind, event))
        for queue in self._watchers.get(kind.kind, ()):
            queue.put_nowait(event)
        for observer in self.observers:
            observer(event_type, changed)
