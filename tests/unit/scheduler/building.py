"""Nodes and pods for the scheduler's tests."""

from typing import Any

import msgspec

from knarr.kinds.lens.node import Node
from knarr.kinds.lens.pod import Pod
from knarr.scheduler.node_state import NodeState
from knarr.scheduler.schedule import Unschedulable, schedule
from knarr.scheduler.snapshot import Snapshot

HOST, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"


def node(name: str, zone: str = "", *pods: Pod, **fields: Any) -> NodeState:
    labels = {HOST: name, **({ZONE: zone} if zone else {}), **fields.get("labels", {})}
    allocatable = {"cpu": "2", "memory": "1Gi", "pods": "10", **fields.get("allocatable", {})}
    body = {
        "metadata": {"name": name, "labels": labels},
        "spec": {"taints": fields.get("taints", ())},
        "status": {"allocatable": allocatable, "images": fields.get("images", ())},
    }
    state = NodeState(msgspec.convert(body, Node))
    for pod in pods:
        state.add(pod)
    return state


def pod(name: str, app: str = "", *, namespace: str = "default", status: Any = None, **spec: Any) -> Pod:
    requests = {key: spec.pop(key) for key in ("cpu", "memory", "gpu") if key in spec}
    if "gpu" in requests:
        requests["example.com/gpu"] = requests.pop("gpu")
    containers = spec.pop("containers", [{"name": "c", "image": "web:1", "resources": {"requests": requests}}])
    labels = {"app": app, **spec.pop("labels", {})} if app else spec.pop("labels", {})
    meta = {"name": name, "namespace": namespace, "uid": name, "labels": labels, **spec.pop("metadata", {})}
    return msgspec.convert({"metadata": meta, "spec": {"containers": containers, **spec}, "status": status or {}}, Pod)


def term(app: str, key: str = HOST, **more: Any) -> dict[str, Any]:
    return {"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": key, **more}


def required(kind: str, *terms: dict[str, Any]) -> dict[str, Any]:
    return {kind: {"requiredDuringSchedulingIgnoredDuringExecution": list(terms)}}


def preferred(kind: str, weight: int, asked: dict[str, Any]) -> dict[str, Any]:
    weighted = [{"weight": weight, "podAffinityTerm": asked}]
    return {kind: {"preferredDuringSchedulingIgnoredDuringExecution": weighted}}


def spread(app: str, key: str = ZONE, **more: Any) -> dict[str, Any]:
    selector = {"matchLabels": {"app": app}}
    given = {"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector}
    return {**given, **more}


def answer(wanted: Pod, *states: NodeState, **namespaces: dict[str, str]) -> str:
    """The node's name, or the message."""
    outcome = schedule(wanted, Snapshot(states, namespaces))
    return outcome.message if isinstance(outcome, Unschedulable) else outcome.node
