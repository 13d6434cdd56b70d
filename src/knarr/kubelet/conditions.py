"""The pod conditions that the kubelet owns, with upstream's reasons and messages.

PodScheduled, PodReadyToStartContainers, Initialized, ContainersReady and Ready (docs: Pod Lifecycle, conditions).
Conditions of others (readiness gates, DisruptionTarget) are read here and never written.
"""

from typing import Any, Final

from knarr.base.clock import Instant, rfc3339
from knarr.kinds.lens.pod import Pod
from knarr.kubelet import members
from knarr.kubelet.standing import Standing, Stop

Json = dict[str, Any]
OWNED = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
PASSING = ("PodResizePending", "PodResizeInProgress")
"""Conditions that go when what they tell of is over."""


def conditions(pod: Pod, phase: str, statuses: dict[str, Json], *, has_sandbox: bool, now: Instant) -> list[Json]:
    """The owned conditions; one that did not change keeps its transition time."""
    containers_ready = _containers_ready(pod, phase, statuses)
    wanted = {
        "PodReadyToStartContainers": _condition(has_sandbox),
        "Initialized": _initialized(pod, phase, statuses),
        "Ready": _ready(pod, containers_ready),
        "ContainersReady": containers_ready,
        "PodScheduled": _condition(True),
    }
    return [_stamped(pod, name, wanted[name], now) for name in OWNED]


# Why the kubelet ends a pod for the node's sake → what the condition says; "" is the pod's own message.
DISRUPTIONS: Final = {
    "Evicted": "",
    "Preempting": "Pod was preempted by Kubelet to accommodate a critical pod.",
}


def disruption(pod: Pod, stop: Stop, now: Instant) -> Json:
    """What tells controllers that the kubelet, not the pod, ended it."""
    condition = _condition(True, "TerminationByKubelet", DISRUPTIONS[stop.reason] or stop.message)
    return _stamped(pod, "DisruptionTarget", condition, now)


def resets(pod: Pod, phase: str, *, is_resetting: bool, now: Instant) -> Json:
    """Whether all containers are being ended to begin anew (reset.py)."""
    condition = _condition(False, {"Succeeded": "PodCompleted", "Failed": "PodFailed"}.get(phase, ""))
    if is_resetting:
        condition = _condition(True, "RestartAllContainersStarted", "container exited with restart policy rule")
    return _stamped(pod, "AllContainersRestarting", condition, now)


def resizes(pod: Pod, standing: Standing, *, is_in_progress: bool, now: Instant) -> list[Json]:
    """What keeps a resize from being begun, and that one is under way; neither when all is as the spec says."""
    found = []
    if standing.resize_pending is not None:
        found.append(_stamped(pod, "PodResizePending", _condition(True, *standing.resize_pending), now))
    if is_in_progress:
        reason = "Error" if standing.resize_error else ""
        found.append(_stamped(pod, "PodResizeInProgress", _condition(True, reason, standing.resize_error), now))
    return found


def _condition(is_true: bool, reason: str = "", message: str = "") -> Json:
    condition = {"status": "True" if is_true else "False"}
    if reason:
        condition["reason"] = reason
    if message:
        condition["message"] = message
    return condition


def _stamped(pod: Pod, name: str, condition: Json, now: Instant) -> Json:
    old = next((c for c in pod.status.conditions if c.type == name), None)
    kept = old is not None and old.status == condition["status"] and old.last_transition_time is not None
    moment = old.last_transition_time if old is not None and kept and old.last_transition_time else now
    stamped = {"type": name, **condition, "lastProbeTime": None, "lastTransitionTime": rfc3339(moment)}
    if pod.metadata.generation:
        stamped["observedGeneration"] = pod.metadata.generation
    return stamped


def _initialized(pod: Pod, phase: str, statuses: dict[str, Json]) -> Json:
    if phase == "Succeeded":
        return _condition(True, "PodCompleted")
    unknown, incomplete = [], []
    mains = [statuses[c.name] for c in pod.spec.containers if c.name in statuses]
    if any("running" in s["state"] or "terminated" in {**s["lastState"], **s["state"]} for s in mains):
        return _condition(True)
    for container in pod.spec.init_containers:
        status = statuses.get(container.name)
        if status is None:
            unknown.append(container.name)
        elif not (status["started"] if members.is_sidecar(container) else status["ready"]):
            incomplete.append(container.name)
    return _listed(unknown, incomplete, "ContainersNotInitialized", "incomplete")


def _containers_ready(pod: Pod, phase: str, statuses: dict[str, Json]) -> Json:
    if phase in ("Succeeded", "Failed"):
        return _condition(False, "PodCompleted" if phase == "Succeeded" else "PodFailed")
    unknown, unready = [], []
    for container in (*members.sidecars(pod), *pod.spec.containers):
        status = statuses.get(container.name)
        if status is None:
            unknown.append(container.name)
        elif not status["ready"]:
            unready.append(container.name)
    return _listed(unknown, unready, "ContainersNotReady", "unready")


def _listed(unknown: list[str], wrong: list[str], reason: str, adjective: str) -> Json:
    parts = []
    if unknown:
        parts.append(f"containers with unknown status: [{' '.join(unknown)}]")
    if wrong:
        parts.append(f"containers with {adjective} status: [{' '.join(wrong)}]")
    return _condition(False, reason, ", ".join(parts)) if parts else _condition(True)


def _ready(pod: Pod, containers_ready: Json) -> Json:
    if containers_ready["status"] != "True":
        return containers_ready
    faults = []
    for gate in pod.spec.readiness_gates:
        found = next((c for c in pod.status.conditions if c.type == gate.condition_type), None)
        if found is None:
            faults.append(f'corresponding condition of pod readiness gate "{gate.condition_type}" does not exist.')
        elif found.status != "True":
            faults.append(f'the status of pod readiness gate "{gate.condition_type}" is not "True", but {found.status}')
    return _condition(False, "ReadinessGatesNotReady", ", ".join(faults)) if faults else _condition(True)
