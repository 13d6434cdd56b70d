"""Siblings: which pods are a pod's own kind when its profile spreads by default: those of its Services and its set.

The Services of the namespace that choose the pod, and the ReplicaSet, StatefulSet or ReplicationController that
controls it; all their selectors together. Spec: "Pod Topology Spread Constraints: cluster-level default constraints".
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from knarr.client.cache import Held
from knarr.kinds.apps import REPLICASET, REPLICATIONCONTROLLER, STATEFULSET
from knarr.kinds.core_service import SERVICE
from knarr.kinds.lens.apps import ReplicaSet, ReplicationController
from knarr.kinds.lens.pod import Pod
from knarr.kinds.lens.service import Service
from knarr.kinds.lens.sets import StatefulSet
from knarr.kinds.registry import Kind
from knarr.objects import labels
from knarr.objects.labels import NOTHING, Requirement, Selector

KINDS: Final = (SERVICE, REPLICASET, REPLICATIONCONTROLLER, STATEFULSET)
REMEMBERED_MAX: Final = 4096


def selector_of(held: Held) -> Selector:
    """What a Service or a set chooses."""
    if held.kind == SERVICE:
        return labels.equal(held.lens(Service).spec.selector)
    if held.kind == REPLICATIONCONTROLLER:
        return labels.equal(held.lens(ReplicationController).spec.selector)
    is_stateful = held.kind == STATEFULSET
    chosen = held.lens(StatefulSet).spec.selector if is_stateful else held.lens(ReplicaSet).spec.selector
    return NOTHING if chosen is None else labels.of(msgspec.to_builtins(chosen))


class Siblings:
    """The selectors of Services and sets as the scheduler knows them."""

    def __init__(self) -> None:
        self._services: dict[str, dict[str, Selector]] = {}
        self._sets: dict[tuple[str, str, str], Selector] = {}
        self._known: dict[tuple[object, ...], Selector] = {}

    def note(self, kind: Kind, key: tuple[str, str], selector: Selector | None) -> None:
        """The selector of one object; None when it is gone."""
        namespace, name = key
        if kind == SERVICE:
            services = self._services.setdefault(namespace, {})
            before = services.pop(name, None)
            if selector is not None and not selector.is_nothing:
                services[name] = selector
        else:
            before = self._sets.pop((kind.kind, namespace, name), None)
            if selector is not None:
                self._sets[kind.kind, namespace, name] = selector
        if before != selector:
            self._known.clear()

    def selector(self, pod: Pod) -> Selector:
        """What chooses the pod's own kind; NOTHING when no Service and no set has it."""
        meta = pod.metadata
        owner = next((each for each in meta.owner_references if each.controller), None)
        owned = (owner.kind, owner.name) if owner is not None else ("", "")
        if owner is None and meta.namespace not in self._services:
            return NOTHING
        key = (meta.namespace, *owned, *meta.labels.items())
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= REMEMBERED_MAX:
                self._known.clear()
            found = self._known[key] = self._merged(meta.namespace, owned, meta.labels)
        return found

    def _merged(self, namespace: str, owner: tuple[str, str], own: Mapping[str, str]) -> Selector:
        services = self._services.get(namespace, {}).values()
        chosen = [selector for selector in services if selector.matches(own)]
        controlling = self._sets.get((owner[0], namespace, owner[1]))
        if controlling is not None and not controlling.is_nothing:
            chosen.append(controlling)
        merged: dict[Requirement, None] = {}
        for selector in chosen:
            merged.update(dict.fromkeys(selector.requirements))
        return Selector(tuple(merged)) if merged else NOTHING
