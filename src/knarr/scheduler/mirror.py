"""Mirror: keeps the snapshot and the queue true, change by change of the cache that the controllers share.

A pod that was bound counts on its node at once (*assumed*), so the next decision sees it before the API does. Deciding
and writing are runner.py's. Pods that name a scheduler that is no profile of ours are left alone.
"""

import asyncio
from collections.abc import Collection, Sequence
from typing import Final

from knarr.client.cache import Cache, Changed, Held
from knarr.kinds.core_config import NAMESPACE, NODE
from knarr.kinds.core_pod import POD
from knarr.kinds.lens.config import Namespace
from knarr.kinds.lens.node import Node
from knarr.kinds.lens.pod import Pod
from knarr.kinds.policy import PODDISRUPTIONBUDGET
from knarr.kinds.registry import Kind
from knarr.scheduler import siblings, volumes
from knarr.scheduler.node_state import FINISHED_PHASES, NodeState
from knarr.scheduler.profile import DEFAULT_NAME
from knarr.scheduler.queue import Key, Queue
from knarr.scheduler.snapshot import Snapshot

KINDS: Final[Sequence[Kind]] = (NAMESPACE, *volumes.KINDS, *siblings.KINDS, NODE, POD, PODDISRUPTIONBUDGET)
"""What the shared cache must hold; listed in an order in which a pod finds all that is said about it."""


class Mirror:
    """`names` are the schedulerNames that are ours; `wake` is set when somebody may be decided."""

    def __init__(self, cache: Cache, queue: Queue, names: Collection[str]) -> None:
        self.snapshot = Snapshot()
        self.queue = queue
        self.wake = asyncio.Event()
        self.assumed: dict[str, str] = {}
        """The node by uid of pods whose binding the cache does not show yet."""
        self.going: set[str] = set()
        """Uids of victims whose deletion was asked for."""
        self.told: dict[str, tuple[str, str]] = {}
        """What each waiting pod was told last, by uid."""
        self.unbound: dict[Key, asyncio.Event] = {}
        """Pods whose claims are being bound, and what says that they are."""
        self._cache = cache
        self._names = frozenset(names)
        cache.listen(self._changed, kinds=KINDS)

    def begin(self) -> None:
        """Take what the cache holds already."""
        for kind in KINDS[:-1]:
            for held in self._cache.held_all(kind):
                self._changed(Changed(kind, None, held))

    def is_ours(self, pod: Pod) -> bool:
        return (
            (pod.spec.scheduler_name or DEFAULT_NAME) in self._names
            and pod.metadata.deletion_timestamp is None
            and pod.status.phase not in FINISHED_PHASES
        )

    def unplaced(self, key: Key) -> Pod | None:
        """The pod as the cache shows it, if it is ours and still needs a node."""
        held = self._cache.held(POD, *key)
        if held is None or held.node or held.metadata.uid in self.assumed:
            return None
        pod = held.lens(Pod)
        return pod if self.is_ours(pod) else None

    def unassume(self, pod: Pod, node: str) -> None:
        """The pod was not bound after all."""
        self.assumed.pop(pod.metadata.uid, None)
        held = self._cache.held(POD, pod.metadata.namespace, pod.metadata.name)
        if held is None or held.node != node:
            self.snapshot.remove(pod.metadata.uid, node)
            self._eased(node)

    def _eased(self, node: str, *, is_itself: bool = False) -> None:
        self.queue.node_eased(node, is_itself=is_itself)
        if self.queue.has_refused:
            self.wake.set()

    def _moved_around(self) -> None:
        self.queue.pods_moved()
        if self.queue.has_refused:
            self.wake.set()

    # -- changes ------------------------------------------------------------------------------------------------------

    def _changed(self, changed: Changed) -> None:
        kind = changed.kind
        if kind == POD:
            self._pod_changed(changed)
        elif kind == NODE:
            self._node_changed(changed)
        elif kind == NAMESPACE:
            labels = None if changed.new is None else changed.new.lens(Namespace).metadata.labels
            self.snapshot.name_namespace(changed.held.metadata.name, labels)
            self._moved_around()
        elif kind in siblings.KINDS:
            selector = None if changed.new is None else siblings.selector_of(changed.new)
            self.snapshot.siblings.note(kind, changed.held.key, selector)
        elif kind in volumes.KINDS:
            self._volume_changed(changed)

    def _volume_changed(self, changed: Changed) -> None:
        self.snapshot.volumes.note(changed)
        self.queue.volumes_changed()
        for waiting in self.unbound.values():
            waiting.set()
        if self.queue.has_refused:
            self.wake.set()

    def _node_changed(self, changed: Changed) -> None:
        name = changed.held.metadata.name
        if changed.new is None:
            self.snapshot.drop(name)
            self._moved_around()
            return
        node = changed.new.lens(Node)
        before = self.snapshot.generation
        if name in self.snapshot.nodes:
            self.snapshot.renew(node)
        else:
            state = NodeState(node)
            for pod in self._cache.on_node(Pod, name):
                state.add(pod)
            self.snapshot.put(state)
        if self.snapshot.generation != before:
            self._eased(name, is_itself=True)

    def _pod_changed(self, changed: Changed) -> None:
        held = changed.new
        if changed.old is not None and (held is None or self._moved(changed.old, held)):
            self._leave(changed.old, is_gone=held is None)
        if held is None:
            return
        pod = held.lens(Pod)
        if held.node:
            self._placed(held, pod)
        elif not self.is_ours(pod):
            self.queue.drop(held.key)
        elif held.metadata.uid not in self.assumed:
            self._unplaced(changed.old, held, pod)

    def _moved(self, old: Held, new: Held) -> bool:
        """Where the pod was put by us it counts already: the cache shows what was assumed."""
        return old.node != new.node and self.assumed.get(new.metadata.uid) != new.node

    def _placed(self, held: Held, pod: Pod) -> None:
        self._forget(held)
        before = self.snapshot.generation
        was_assumed = self.assumed.pop(pod.metadata.uid, None) is not None
        self.snapshot.place(pod, held.node)
        if pod.status.phase in FINISHED_PHASES and self.snapshot.generation != before:
            self._eased(held.node)
        if was_assumed or self.snapshot.generation != before:
            self._moved_around()

    def _unplaced(self, old: Held | None, held: Held, pod: Pod) -> None:
        if pod.status.nominated_node_name:
            self.snapshot.nominated.setdefault(pod.metadata.uid, (pod, pod.status.nominated_node_name))
        is_same = old is not None and _asks_the_same(old.lens(Pod), pod)
        if is_same and self.queue.renew(held.key, pod):
            return  # Our own words in its status came back.
        self.queue.put(held.key, pod)
        self.wake.set()

    def _leave(self, old: Held, *, is_gone: bool) -> None:
        uid = old.metadata.uid
        node = old.node or self.assumed.get(uid, "")
        nominated = self.snapshot.nominated.get(uid, (None, ""))[1]
        self.snapshot.remove(uid, node)
        if is_gone:
            self._forget(old)
            self.assumed.pop(uid, None)
        self.going.discard(uid)
        for name in filter(None, (node, nominated)):
            self._eased(name)

    def _forget(self, held: Held) -> None:
        self.queue.drop(held.key)
        self.told.pop(held.metadata.uid, None)
        self.snapshot.nominated.pop(held.metadata.uid, None)
        waiting = self.unbound.get(held.key)
        if waiting is not None:
            waiting.set()


def _asks_the_same(old: Pod, pod: Pod) -> bool:
    return old.spec == pod.spec and old.metadata.labels == pod.metadata.labels
