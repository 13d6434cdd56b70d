"""DaemonSet: one pod on every node that wants one.

Which nodes is decided here (selector, affinity, taints); the scheduler binds the pod to the node that its affinity
names. Updates replace pods node by node (maxUnavailable), or start the new one beside the old (maxSurge).
Spec: "DaemonSet".
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from knarr.base.clock import Instant
from knarr.base.errors import KnarrError
from knarr.client.client import DeleteOptions, Json
from knarr.client.view import View
from knarr.controllers import claims, conditions, history, pods, selectors, templates
from knarr.controllers.controller import Action, Controller, Create, Delete, EventNote, Key, Patch, Plan
from knarr.controllers.daemonfailures import Failures
from knarr.kinds.apps import CONTROLLERREVISION, DAEMONSET
from knarr.kinds.core_config import NODE
from knarr.kinds.core_pod import POD
from knarr.kinds.lens.node import Node
from knarr.kinds.lens.pod import Pod
from knarr.kinds.lens.scheduling import Toleration
from knarr.kinds.lens.sets import DaemonSet
from knarr.kinds.nodes import matches_affinity, tolerates

# key, effect: what every daemon pod tolerates.
TOLERATED: Final = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)
NETWORK: Final = ("node.kubernetes.io/network-unavailable", "NoSchedule")
ALWAYS: Final = frozenset({"currentNumberScheduled", "desiredNumberScheduled", "numberMisscheduled", "numberReady"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whether a node should get a pod, and whether one that runs may stay."""

    runs: bool
    stays: bool


def wanted_on(daemon_set: DaemonSet, node: Node) -> Wanted:
    """By nodeName, nodeSelector, affinity and taints."""
    spec = daemon_set.spec.template.spec
    if spec.node_name and spec.node_name != node.metadata.name:
        return Wanted(False, False)
    labels = node.metadata.labels
    if any(labels.get(key) != value for key, value in spec.node_selector.items()):
        return Wanted(False, False)
    if not matches_affinity(spec.affinity, node):
        return Wanted(False, False)
    pairs = [*TOLERATED, *([NETWORK] if spec.host_network else [])]
    tolerations = (*spec.tolerations, *(Toleration(key=k, effect=e, operator="Exists") for k, e in pairs))
    untolerated = [
        taint.effect
        for taint in node.spec.taints
        if taint.effect in ("NoSchedule", "NoExecute") and not any(tolerates(one, taint) for one in tolerations)
    ]
    return Wanted(runs=not untolerated, stays="NoExecute" not in untolerated)


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything a plan looks at, read once."""

    daemon_set: DaemonSet
    nodes: Sequence[Node]
    wanted: Mapping[str, Wanted]
    by_node: Mapping[str, Sequence[Pod]]
    hash: str
    now: Instant
    held: Mapping[str, Instant]
    """Failed pods, by uid, that stay for a while, and until when."""


def plan(failures: Failures, daemon_set: DaemonSet, view: View, now: Instant) -> Plan:
    """Place what is missing, remove what is too much, replace what is old."""
    meta = daemon_set.metadata
    if selectors.is_empty(daemon_set.spec.selector):
        text = "This daemon set is selecting all pods. A non-empty selector is required."
        return Plan(events=[EventNote("Warning", "SelectingAll", text)])
    claimant = claims.Claimant(DAEMONSET, meta, daemon_set.spec.selector, POD)
    claim = claims.claim(claimant, view.owned(Pod, meta.uid), view.owned(Pod, "", meta.namespace))
    template = templates.template(view.raw(DaemonSet, meta.namespace, meta.name))
    found = history.of(DAEMONSET, daemon_set, template, view)
    held = _held(failures, daemon_set, claim.mine, now)
    picture = pictured((daemon_set, history.hash_of(found.update, meta.name)), claim.mine, held, view, now)
    actions: list[Action] = [*claim.actions, *found.actions]
    if meta.deletion_timestamp is None:
        placed = placing(picture, template)
        actions += placed or updating(picture, template)
        live = {f"{meta.name}-{pod.metadata.labels.get(history.HASH, '')}" for pod in claim.mine}
        actions += history.surplus(found, live, daemon_set.spec.revision_history_limit)
    next_available = pods.next_available(claim.mine, daemon_set.spec.min_ready_seconds, now)
    moments = [*held.values(), *([next_available] if next_available is not None else [])]
    return Plan(
        actions,
        status=status(picture, found.collisions),
        again_at=min(moments, default=None),
        why=why(picture),
    )


def _held(failures: Failures, daemon_set: DaemonSet, mine: Sequence[Pod], now: Instant) -> Mapping[str, Instant]:
    held: dict[str, Instant] = {}
    for pod in mine:
        if pod.status.phase == "Failed" and pod.metadata.deletion_timestamp is None:
            place = (daemon_set.metadata.uid, daemon_set.metadata.generation, target_node(pod))
            due = failures.due(place, pod, now)
            if due > now:
                held[pod.metadata.uid] = due
    return held


def pictured(
    version: tuple[DaemonSet, str], mine: Sequence[Pod], held: Mapping[str, Instant], view: View, now: Instant
) -> Picture:
    """`version` is the set with the hash of its template."""
    daemon_set, update_hash = version
    by_node: dict[str, list[Pod]] = {}
    for pod in mine:
        if pod.metadata.deletion_timestamp is None or pod.status.phase not in ("Succeeded", "Failed"):
            by_node.setdefault(target_node(pod), []).append(pod)
    nodes = view.list(Node)
    wanted = {node.metadata.name: wanted_on(daemon_set, node) for node in nodes}
    return Picture(daemon_set, nodes, wanted, by_node, update_hash, now, held)


def target_node(pod: Pod) -> str:
    """The node that the pod is on, or is for."""
    if pod.spec.node_name or pod.spec.affinity is None or pod.spec.affinity.node_affinity is None:
        return pod.spec.node_name
    required = pod.spec.affinity.node_affinity.required_during_scheduling_ignored_during_execution
    for term in required.node_selector_terms if required is not None else ():
        for field in term.match_fields:
            if field.key == "metadata.name" and field.operator == "In" and field.values:
                return field.values[0]
    return ""


def placing(picture: Picture, template: Json) -> Sequence[Action]:
    """Create on nodes without a pod; delete from nodes that want none, failed pods, and doubles."""
    creations: list[Action] = []
    deletions: list[Action] = []
    surge = limits(picture)[0]
    for node in picture.nodes:
        name = node.metadata.name
        wanted, present = picture.wanted[name], picture.by_node.get(name, ())
        alive = [pod for pod in present if pod.metadata.deletion_timestamp is None]
        ended = [pod for pod in alive if pod.status.phase in ("Succeeded", "Failed")]
        if wanted.runs and not present:
            creations.append(creation(picture, template, name))
        elif wanted.stays:
            deletions += [_ended_deletion(pod) for pod in ended if pod.metadata.uid not in picture.held]
            running = [pod for pod in alive if pod not in ended]
            deletions += [deletion(pod) for pod in _doubles(picture, running, surge)]
        else:
            deletions += [deletion(pod) for pod in alive]
    for name, present in picture.by_node.items():
        if name and name not in picture.wanted:
            deletions += [deletion(pod) for pod in present if pod.metadata.deletion_timestamp is None]
    return [*creations, *deletions]


def _doubles(picture: Picture, running: Sequence[Pod], surge: int) -> Sequence[Pod]:
    """All but the oldest; while surging an old and a new pod may stand side by side until the new one is available."""
    ordered = oldest_first(picture, running)
    if len(ordered) < 2:
        return ()
    new = [pod for pod in ordered if is_current(picture, pod)]
    old = [pod for pod in ordered if not is_current(picture, pod)]
    if surge and new and old:
        seconds = picture.daemon_set.spec.min_ready_seconds
        is_replaced = pods.is_available(new[0], seconds, picture.now) or not pods.is_ready(old[0])
        return [*new[1:], *(old if is_replaced else old[1:])]
    return ordered[1:]


def oldest_first(picture: Picture, found: Sequence[Pod]) -> list[Pod]:
    """By age, those without a node last."""

    def age(pod: Pod) -> tuple[bool, Instant, str]:
        return not pod.spec.node_name, pod.metadata.creation_timestamp or picture.now, pod.metadata.name

    return sorted(found, key=age)


def is_current(picture: Picture, pod: Pod) -> bool:
    return pod.metadata.labels.get(history.HASH) == picture.hash


def limits(picture: Picture) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) in pods; percentages are of the nodes that want one, rounded up."""
    strategy = picture.daemon_set.spec.update_strategy
    rolling = strategy.rolling_update
    desired = sum(one.runs for one in picture.wanted.values())
    surge = _of(rolling.max_surge if rolling else None, desired, 0)
    unavailable = _of(rolling.max_unavailable if rolling else None, desired, 1)
    return surge, unavailable if surge or unavailable else 1


def _of(value: int | str | None, total: int, default: int) -> int:
    if value is None:
        return default
    if isinstance(value, int):
        return value
    return math.ceil(total * int(value.removesuffix("%")) / 100)


def updating(picture: Picture, template: Json) -> Sequence[Action]:
    """RollingUpdate: replace old pods as far as the limits allow."""
    if picture.daemon_set.spec.update_strategy.type == "OnDelete":
        return ()
    surge, most = limits(picture)
    seconds = picture.daemon_set.spec.min_ready_seconds
    unavailable = 0
    surging = 0
    idle: list[Pod] = []
    ready: list[Pod] = []
    for name, wanted in picture.wanted.items():
        if not wanted.runs:
            continue
        present = picture.by_node.get(name, ())
        alive = [pod for pod in present if pod.metadata.deletion_timestamp is None]
        old = [pod for pod in alive if not is_current(picture, pod)]
        new = [pod for pod in alive if is_current(picture, pod)]
        surging += bool(old and new) and not any(pods.is_available(pod, seconds, picture.now) for pod in new)
        if not any(pods.is_available(pod, seconds, picture.now) for pod in alive):
            unavailable += 1
            idle += old if not surge else old[:1] if not new else ()
        elif old and len(alive) == len(old):
            ready += old
    # Old pods that are not available cost nothing to replace.
    if surge:
        room = max(0, surge - surging)
        return [creation(picture, template, target_node(pod)) for pod in (*idle, *ready[:room])]
    room = max(0, most - unavailable)
    return [deletion(pod) for pod in (*idle, *ready[:room])]


def creation(picture: Picture, template: Json, node: str) -> Action:
    """The pod for one node: bound by affinity, tolerant of what nodes suffer, marked with the revision."""
    meta = picture.daemon_set.metadata
    owner = claims.controller_reference(DAEMONSET, meta)
    marks = {history.HASH: picture.hash, "pod-template-generation": str(meta.generation)}
    body = templates.pod(template, owner, generate_name=f"{meta.name}-", labels=marks)
    spec = dict(body["spec"])
    pairs = [*TOLERATED, *([NETWORK] if spec.get("hostNetwork") else [])]
    added = [{"key": key, "operator": "Exists", "effect": effect} for key, effect in pairs]
    spec["tolerations"] = [
        *(spec.get("tolerations") or ()),
        *(one for one in added if one not in (spec.get("tolerations") or ())),
    ]
    spec["affinity"] = pinned(spec.get("affinity") or {}, node)
    note = EventNote("Normal", "SuccessfulCreate", "Created pod: {name}")
    return Create(POD, meta.namespace, {**body, "spec": spec}, note=note)


def pinned(affinity: Json, node: str) -> Json:
    """The affinity with every term also asking for this node by name."""
    field = {"key": "metadata.name", "operator": "In", "values": [node]}
    of_node = dict(affinity.get("nodeAffinity") or {})
    name = "requiredDuringSchedulingIgnoredDuringExecution"
    # Upstream replaces the terms: the node was chosen by them already.
    of_node[name] = {"nodeSelectorTerms": [{"matchFields": [field]}]}
    return {**affinity, "nodeAffinity": of_node}


def deletion(pod: Pod) -> Action:
    meta = pod.metadata
    note = EventNote("Normal", "SuccessfulDelete", "Deleted pod: {name}")
    return Delete(POD, meta.namespace, meta.name, DeleteOptions(uid=meta.uid), note)


def _ended_deletion(pod: Pod) -> Action:
    meta = pod.metadata
    where = f"daemon pod {meta.namespace}/{meta.name} on node {pod.spec.node_name}"
    if pod.status.phase == "Failed":
        note = EventNote("Warning", "FailedDaemonPod", f"Found failed {where}, will try to kill it")
    else:
        note = EventNote("Normal", "SucceededDaemonPod", f"Found succeeded {where}, will try to delete it")
    return Delete(POD, meta.namespace, meta.name, DeleteOptions(uid=meta.uid), note)


def status(picture: Picture, collisions: int | None) -> Json:
    """The counts over nodes; a node counts by its oldest pod."""
    daemon_set, now = picture.daemon_set, picture.now
    counts: dict[str, Any] = dict.fromkeys(
        ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady"), 0
    )
    counts |= {"updatedNumberScheduled": 0, "numberAvailable": 0, "observedGeneration": daemon_set.metadata.generation}
    for name, wanted in picture.wanted.items():
        present = picture.by_node.get(name, ())
        if not wanted.runs:
            counts["numberMisscheduled"] += bool(present)
            continue
        counts["desiredNumberScheduled"] += 1
        if not present:
            continue
        counts["currentNumberScheduled"] += 1
        oldest = oldest_first(picture, present)[0]
        counts["numberReady"] += pods.is_ready(oldest)
        counts["numberAvailable"] += pods.is_available(oldest, daemon_set.spec.min_ready_seconds, now)
        counts["updatedNumberScheduled"] += is_current(picture, oldest)
    counts["numberUnavailable"] = counts["desiredNumberScheduled"] - counts["numberAvailable"]
    counts["collisionCount"] = collisions
    counts["conditions"] = conditions.encode(daemon_set.status.conditions)
    return conditions.pruned(counts, keep=ALWAYS)


def why(picture: Picture) -> str:
    """In words, which nodes lack a ready pod."""
    lacking = [
        name
        for name, wanted in picture.wanted.items()
        if wanted.runs and not any(pods.is_ready(pod) for pod in picture.by_node.get(name, ()))
    ]
    return f"no ready pod on {', '.join(sorted(lacking))}" if lacking else ""


def failed(
    failures: Failures, daemon_set: DaemonSet, refused: tuple[Action, KnarrError], view: View, now: Instant
) -> Plan:
    """A pod could not be created or deleted: an event says so, and the others are counted all the same."""
    action, error = refused
    if isinstance(action, Patch) or action.kind != POD:
        return Plan()
    reason, verb = ("FailedCreate", "creating") if isinstance(action, Create) else ("FailedDelete", "deleting")
    counted = plan(failures, daemon_set, view, now).status
    return Plan(status=counted, events=[EventNote("Warning", reason, f"Error {verb}: {error}")])


def node_keys(_node: Node, view: View) -> Sequence[Key]:
    """Every DaemonSet may want a changed node."""
    return [(one.metadata.namespace, one.metadata.name) for one in view.list(DaemonSet)]


def orphan_keys(pod: Pod, view: View) -> Sequence[Key]:
    """The DaemonSets that may adopt a pod which nobody controls."""
    if claims.controller_of(pod.metadata) is not None:
        return ()
    return [
        (one.metadata.namespace, one.metadata.name)
        for one in view.list(DaemonSet, pod.metadata.namespace)
        if selectors.matches(one.spec.selector, pod.metadata.labels)
    ]


def controller() -> Controller:
    """The controller with a memory of its own."""
    failures = Failures()
    return Controller(
        "daemonset-controller",
        kind=DAEMONSET,
        plan=lambda daemon_set, view, now: plan(failures, daemon_set, view, now),
        owns=(POD, CONTROLLERREVISION),
        watches={NODE: node_keys, POD: orphan_keys},
        writes=(POD, CONTROLLERREVISION),
        failed=lambda root, action, error, view, now: failed(failures, root, (action, error), view, now),
    )
