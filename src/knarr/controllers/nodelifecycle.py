"""Node lifecycle: a node whose lease is stale becomes Unknown; its taints say so; its pods are marked not ready.

A second controller ends pods that do not tolerate a NoExecute taint, when their toleration is over. Every pod that
admission saw tolerates not-ready and unreachable for 300 s. Spec: "Nodes: node controller", "Taints and Tolerations:
taint based evictions". Not here: the lease itself (kubelet).
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

import msgspec

from knarr.base.clock import Instant, rfc3339
from knarr.client import events
from knarr.client.client import DeleteOptions, Json
from knarr.client.view import View
from knarr.controllers import conditions, pods
from knarr.controllers.controller import Action, Controller, Delete, EventNote, Key, Patch, Plan
from knarr.kinds.core_config import LEASE, NODE
from knarr.kinds.core_pod import POD
from knarr.kinds.lens.events import Lease
from knarr.kinds.lens.node import Node, NodeCondition
from knarr.kinds.lens.pod import Pod
from knarr.kinds.lens.scheduling import Taint
from knarr.kinds.nodes import tolerates

LEASES: Final = "kube-node-lease"
GRACE: Final = timedelta(seconds=50)
"""How long a node may be silent: upstream's node-monitor-grace-period."""
UNREACHABLE: Final = "node.kubernetes.io/unreachable"
NOT_READY: Final = "node.kubernetes.io/not-ready"
OURS: Final = frozenset(
    {
        NOT_READY,
        UNREACHABLE,
        "node.kubernetes.io/memory-pressure",
        "node.kubernetes.io/disk-pressure",
        "node.kubernetes.io/pid-pressure",
        "node.kubernetes.io/network-unavailable",
        "node.kubernetes.io/unschedulable",
    }
)
# Condition type → taint while it is True.
PRESSURE: Final[Mapping[str, str]] = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
    "NetworkUnavailable": "node.kubernetes.io/network-unavailable",
}
WATCHED: Final = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")


def controller(started: Instant) -> Controller:
    """A node is never called silent for the time before we listened (`started`)."""
    return Controller(
        "node-controller",
        kind=NODE,
        plan=lambda node, view, now: plan(node, view, now, started),
        watches={LEASE: lease_keys},
        reads=(POD,),
        writes=(NODE, POD),
    )


def lease_keys(lease: Lease, _view: View) -> Sequence[Key]:
    return [("", lease.metadata.name)] if lease.metadata.namespace == LEASES else []


def plan(node: Node, view: View, now: Instant, started: Instant) -> Plan:
    """Conditions of a silent node, taints of every node, and the pods of a node that is not ready."""
    due = last_sign(node, view, started) + GRACE
    is_silent = due <= now
    found = silent(node, now) if is_silent else node.status.conditions
    ready = conditions.find(found, "Ready")
    wanted = taints(node, found, now)
    actions: list[Action] = []
    told: list[EventNote] = []
    if wanted != list(node.spec.taints):
        actions.append(tainting(node, wanted))
    if ready is not None and ready.status != "True":
        actions += unready_pods(node, view, now)
        before = conditions.find(node.status.conditions, "Ready")
        if is_silent and before is not None and before.status == "True":
            text = f"Node {node.metadata.name} status is now: NodeNotReady"
            told.append(EventNote("Normal", "NodeNotReady", text))
    status = None
    if is_silent and found != node.status.conditions:
        raw = view.raw(Node, "", node.metadata.name)
        assert raw is not None
        status = msgspec.json.decode(raw).get("status", {}) | {"conditions": conditions.encode(found)}
    why = f"its kubelet has said nothing since {rfc3339(due - GRACE)}" if is_silent else ""
    return Plan(actions, status=status, events=told, again_at=None if is_silent else due, why=why)


def last_sign(node: Node, view: View, started: Instant) -> Instant:
    """When the node last said that it is there."""
    lease = view.get(Lease, LEASES, node.metadata.name)
    renewed = lease.spec.renew_time if lease is not None else None
    ready = conditions.find(node.status.conditions, "Ready")
    heartbeat = ready.last_heartbeat_time if ready is not None and ready.status != "Unknown" else None
    moments = (started, node.metadata.creation_timestamp, renewed, heartbeat)
    return max(moment for moment in moments if moment is not None)


def silent(node: Node, now: Instant) -> Sequence[NodeCondition]:
    """The conditions of a node that says nothing: nobody knows."""
    found: Sequence[NodeCondition] = node.status.conditions
    for name in WATCHED:
        old = conditions.find(found, name)
        if old is not None and old.status == "Unknown":
            continue
        unknown = NodeCondition(
            type=name,
            status="Unknown",
            reason="NodeStatusUnknown" if old is not None else "NodeStatusNeverUpdated",
            message="Kubelet stopped posting node status." if old else "Kubelet never posted node status.",
            last_heartbeat_time=old.last_heartbeat_time if old else node.metadata.creation_timestamp,
            last_transition_time=conditions.moment(now),
        )
        found = [unknown if one.type == name else one for one in found] if old else [*found, unknown]
    return found


def taints(node: Node, found: Sequence[NodeCondition], now: Instant) -> list[Taint]:
    """The taints that the conditions and spec.unschedulable mean, beside everybody else's."""
    wanted: list[tuple[str, str]] = []
    ready = conditions.find(found, "Ready")
    # A node that never said anything is not ready either.
    key = {"True": "", "Unknown": UNREACHABLE}.get(ready.status, NOT_READY) if ready else NOT_READY
    if key:
        wanted += [(key, "NoSchedule"), (key, "NoExecute")]
    for name, pressure in PRESSURE.items():
        condition = conditions.find(found, name)
        if condition is not None and condition.status == "True":
            wanted.append((pressure, "NoSchedule"))
    if node.spec.unschedulable:
        wanted.append(("node.kubernetes.io/unschedulable", "NoSchedule"))
    kept = [taint for taint in node.spec.taints if taint.key not in OURS or (taint.key, taint.effect) in wanted]
    present = {(taint.key, taint.effect) for taint in kept}
    moment = conditions.moment(now)
    return kept + [
        Taint(key=key, effect=effect, time_added=moment) for key, effect in wanted if (key, effect) not in present
    ]


def unready_pods(node: Node, view: View, now: Instant) -> Sequence[Action]:
    """Nobody can say that the pods of this node are ready."""
    actions: list[Action] = []
    for pod in view.on_node(Pod, node.metadata.name):
        ready = pods.condition(pod, "Ready")
        if ready is None or ready.status != "True" or pod.metadata.deletion_timestamp is not None:
            continue
        unready = msgspec.structs.replace(
            ready, status="False", reason="NodeNotReady", last_transition_time=conditions.moment(now)
        )
        found = [unready if one.type == "Ready" else one for one in pod.status.conditions]
        meta = pod.metadata
        body: Json = {
            "metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version},
            "status": {"conditions": conditions.encode(found)},
        }
        actions.append(Patch(POD, meta.namespace, meta.name, body, subresource="status", tolerate_absent=True))
    return actions


def plan_evictions(node: Node, view: View, now: Instant) -> Plan:
    """Delete the pods whose tolerations of the node's NoExecute taints are over."""
    hard = [taint for taint in node.spec.taints if taint.effect == "NoExecute"]
    if not hard:
        return Plan()
    actions: list[Action] = []
    moments: list[Instant] = []
    staying = [pod for pod in view.on_node(Pod, node.metadata.name) if pod.metadata.deletion_timestamp is None]
    if any(taint.time_added is None for taint in hard) and any(evicted_at(pod, hard, now) for pod in staying):
        # Whoever set the taint did not say when; a toleration's seconds are counted from now.
        actions.append(dated(node, now))
    for pod in staying:
        due = evicted_at(pod, hard, now)
        if due is not None and due <= now:
            actions += eviction(pod, now)
        elif due is not None:
            moments.append(due)
    return Plan(actions, again_at=min(moments, default=None))


def eviction(pod: Pod, now: Instant) -> Sequence[Action]:
    """First the condition DisruptionTarget, which a Job's failure policy asks for; then the deletion."""
    meta = pod.metadata
    said = pods.disrupted(pod, "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint", now)
    body = {"metadata": {"uid": meta.uid}, "status": said}
    text = f"Marking for deletion Pod {meta.namespace}/{meta.name}"
    note = EventNote("Normal", "TaintManagerEviction", text, events.reference(POD, meta))
    return [
        Patch(POD, meta.namespace, meta.name, body, "strategic", subresource="status", tolerate_absent=True),
        Delete(POD, meta.namespace, meta.name, DeleteOptions(uid=meta.uid), note),
    ]


def dated(node: Node, now: Instant) -> Action:
    """The node's NoExecute taints with the moment from which they count."""
    moment = conditions.moment(now)
    found = [
        msgspec.structs.replace(taint, time_added=moment)
        if taint.effect == "NoExecute" and taint.time_added is None
        else taint
        for taint in node.spec.taints
    ]
    return tainting(node, found)


def tainting(node: Node, wanted: Sequence[Taint]) -> Action:
    """Give the node these taints."""
    guards = {"uid": node.metadata.uid, "resourceVersion": node.metadata.resource_version}
    encoded = [conditions.pruned(msgspec.to_builtins(taint)) for taint in wanted]
    return Patch(NODE, "", node.metadata.name, {"metadata": guards, "spec": {"taints": encoded or None}})


def evicted_at(pod: Pod, hard: Sequence[Taint], now: Instant) -> Instant | None:
    """When the pod must leave; None if it may stay. A toleration counts from when both, taint and pod, were there."""
    moments: list[Instant] = []
    since = pod.metadata.creation_timestamp or now
    for taint in hard:
        tolerations = [one for one in pod.spec.tolerations if tolerates(one, taint)]
        if not tolerations:
            return now
        seconds = tolerations[0].toleration_seconds  # Of several the first decides, as upstream.
        if seconds is not None:
            moments.append(max(taint.time_added or now, since) + timedelta(seconds=max(0, seconds)))
    return min(moments, default=None)


def pod_keys(pod: Pod, view: View) -> Sequence[Key]:
    """A pod matters where its node has a NoExecute taint."""
    node = view.get(Node, "", pod.spec.node_name) if pod.spec.node_name else None
    if node is None or not any(taint.effect == "NoExecute" for taint in node.spec.taints):
        return ()
    return [("", node.metadata.name)]


EVICTION = Controller(
    "taint-eviction-controller",
    kind=NODE,
    plan=plan_evictions,
    watches={POD: pod_keys},
    writes=(POD, NODE),
)
