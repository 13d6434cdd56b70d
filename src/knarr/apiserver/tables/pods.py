"""Cells of pods: ready, status, restarts, readiness gates; the Completed condition of a row."""

from typing import Any

from knarr.apiserver.tables import durations
from knarr.base.clock import Instant

Json = dict[str, Any]


def _restartable(spec: Json) -> set[str]:
    return {each["name"] for each in spec.get("initContainers") or () if each.get("restartPolicy") == "Always"}


def ready(pod: Json, now: Instant) -> str:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    sidecars = _restartable(spec) if spec.get("initContainers") else ()
    total = len(spec.get("containers") or ()) + len(sidecars)
    is_ready = sum(
        1
        for each in status.get("containerStatuses") or ()
        if each.get("ready") and "running" in (each.get("state") or {})
    )
    is_ready += sum(
        1 for e in status.get("initContainerStatuses") or () if e.get("name") in sidecars and e.get("ready")
    )
    return f"{is_ready}/{total}"


def status(pod: Json, now: Instant) -> str:
    """The one word of the Status column."""
    spec, held = pod.get("spec") or {}, pod.get("status") or {}
    reason: str = held.get("reason") or held.get("phase") or ""
    for condition in held.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "SchedulingGated":
            reason = "SchedulingGated"
    initialising = _init_reason(spec, held) if held.get("initContainerStatuses") else ""
    if initialising:
        reason = initialising
    if not initialising or _is_initialised(held):
        reason = _container_reason(held, reason)
    if pod["metadata"].get("deletionTimestamp"):
        if held.get("reason") == "NodeLost":
            return "Unknown"
        if held.get("phase") not in ("Failed", "Succeeded"):
            return "Terminating"
    return reason


def _is_initialised(held: Json) -> bool:
    return any(c.get("type") == "Initialized" and c.get("status") == "True" for c in held.get("conditions") or ())


def _init_reason(spec: Json, held: Json) -> str:
    """`Init:…` of the first init container that is not finished; "" when all are."""
    sidecars = _restartable(spec)
    total = len(spec.get("initContainers") or ())
    for index, each in enumerate(held["initContainerStatuses"]):
        state = each.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting")
        if terminated is not None and terminated.get("exitCode", 0) == 0:
            continue
        if each.get("name") in sidecars and each.get("started"):
            continue
        if terminated is not None:
            if terminated.get("reason"):
                return f"Init:{terminated['reason']}"
            if terminated.get("signal"):
                return f"Init:Signal:{terminated['signal']}"
            return f"Init:ExitCode:{terminated.get('exitCode', 0)}"
        if waiting is not None and waiting.get("reason") and waiting["reason"] != "PodInitializing":
            return f"Init:{waiting['reason']}"
        return f"Init:{index}/{total}"
    return ""


def _container_reason(held: Json, reason: str) -> str:
    has_running = False
    for each in reversed(held.get("containerStatuses") or ()):
        state = each.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting")
        if waiting is not None and waiting.get("reason"):
            reason = waiting["reason"]
        elif terminated is not None:
            if terminated.get("reason"):
                reason = terminated["reason"]
            elif terminated.get("signal"):
                reason = f"Signal:{terminated['signal']}"
            else:
                reason = f"ExitCode:{terminated.get('exitCode', 0)}"
        elif each.get("ready") and "running" in state:
            has_running = True
    if reason == "Completed" and has_running:
        is_ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in held.get("conditions") or ())
        return "Running" if is_ready else "NotReady"
    return reason


def restarts(pod: Json, now: Instant) -> str:
    spec, held = pod.get("spec") or {}, pod.get("status") or {}
    sidecars = _restartable(spec) if spec.get("initContainers") else ()
    inits = held.get("initContainerStatuses") or ()
    counted = [each for each in inits if each.get("name") in sidecars]
    if inits and _init_reason(spec, held) and not _is_initialised(held):
        counted = list(inits)
    else:
        counted += held.get("containerStatuses") or ()
    total, last = 0, ""
    for each in counted:
        total += each.get("restartCount") or 0
        finished = ((each.get("lastState") or {}).get("terminated") or {}).get("finishedAt") or ""
        last = max(last, finished)
    return f"{total} ({durations.since(last, now)} ago)" if total and last else str(total)


def readiness_gates(pod: Json, now: Instant) -> str:
    gates = (pod.get("spec") or {}).get("readinessGates") or ()
    if not gates:
        return ""
    conditions = {c.get("type"): c.get("status") for c in (pod.get("status") or {}).get("conditions") or ()}
    true = sum(1 for gate in gates if conditions.get(gate.get("conditionType")) == "True")
    return f"{true}/{len(gates)}"


_COMPLETED = {
    "Succeeded": [
        {"type": "Completed", "status": "True", "reason": "Succeeded",
         "message": "The pod has completed successfully."}
    ],
    "Failed": [
        {"type": "Completed", "status": "True", "reason": "Failed", "message": "The pod failed."}
    ],
}  # fmt: skip


def row_conditions(pod: Json) -> list[Json] | None:
    """What lets `kubectl get` leave finished pods out."""
    return _COMPLETED.get((pod.get("status") or {}).get("phase", ""))
