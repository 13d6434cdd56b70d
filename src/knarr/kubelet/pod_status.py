"""The status that the kubelet reports for a pod: phase, conditions, addresses and its containers' statuses.

`pod_status` is pure and answers the whole status; `with_final_ends` keeps in it what the API lets nobody take back;
`status_patch` answers what a strategic merge patch must say to get there from the status the API has. Phases: docs
"Pod Lifecycle, Pod phase".
"""

from typing import Any

from knarr.base.clock import Instant, rfc3339
from knarr.kinds.lens.container import Container
from knarr.kinds.lens.pod import Pod
from knarr.kubelet import conditions, members, reset, resizing, restarts
from knarr.kubelet.container_status import container_status, volume_mounts
from knarr.kubelet.observed import ObservedPod
from knarr.kubelet.standing import Standing

Json = dict[str, Any]


def pod_status(
    pod: Pod,
    observed: ObservedPod,
    standing: Standing,
    now: Instant,
    *,
    runtime: str,
    host_ip: str,
    can_recurse: bool = True,
) -> Json:
    """The whole status, as the kubelet would have it."""
    inits = [_status(pod, c, observed, standing, runtime) for c in pod.spec.init_containers]
    mains = [_status(pod, c, observed, standing, runtime) for c in pod.spec.containers]
    ephemerals = [_status(pod, c, observed, standing, runtime) for c in pod.spec.ephemeral_containers]
    statuses = {status["name"]: status for status in (*inits, *mains)}
    is_resetting = reset.source(pod, observed) is not None
    phase = _phase_now(pod, _begun(statuses, observed), standing)
    if is_resetting and standing.stop is None:
        phase = "Pending"
    sandbox = observed.ready_sandbox
    status: Json = {
        "phase": phase,
        "conditions": conditions.conditions(pod, phase, statuses, has_sandbox=_has_network(observed), now=now),
        "hostIP": host_ip,
        "hostIPs": [{"ip": host_ip}],
        "startTime": rfc3339(pod.status.start_time or now),
        "qosClass": pod.status.qos_class or members.qos_class(pod),
    }
    if pod.metadata.generation:
        status["observedGeneration"] = pod.metadata.generation
    for key, found in (
        ("initContainerStatuses", inits),
        ("containerStatuses", mains),
        ("ephemeralContainerStatuses", ephemerals),
    ):
        if found and not _never_began(pod, observed, standing):
            status[key] = [_with_mounts(pod, each, can_recurse=can_recurse) for each in found]
    ips = _ips(pod, sandbox.ips if sandbox else (), host_ip)
    if ips:
        status |= {"podIP": ips[0], "podIPs": [{"ip": ip} for ip in ips]}
    if reset.is_asked_for(pod):
        status["conditions"].append(conditions.resets(pod, phase, is_resetting=is_resetting, now=now))
    if pod.spec.resources is not None and sandbox is not None:
        status |= _own_resources(pod, observed, standing)
    is_resizing = phase == "Running" and resizing.is_in_progress(pod, observed, standing.resized)
    status["conditions"] += conditions.resizes(pod, standing, is_in_progress=is_resizing, now=now)
    if standing.stop is not None:
        status |= {"reason": standing.stop.reason, "message": standing.stop.message}
        if standing.stop.reason in conditions.DISRUPTIONS:
            status["conditions"].append(conditions.disruption(pod, standing.stop, now))
    elif pod.status.reason:
        status |= {"reason": pod.status.reason, "message": pod.status.message}
    return status


def _own_resources(pod: Pod, observed: ObservedPod, standing: Standing) -> Json:
    """What is allocated to the pod itself, and what it has: until a resize is done, what its status said before."""
    assert pod.spec.resources is not None
    actual = pod.spec.resources
    if resizing.is_pod_behind(pod, observed, standing.resized) and pod.status.resources is not None:
        actual = pod.status.resources
    named = {"limits": actual.limits, "requests": actual.requests}
    return {
        "allocatedResources": dict(pod.spec.resources.requests),
        "resources": {side: dict(amounts) for side, amounts in named.items() if amounts},
    }


def _begun(statuses: dict[str, Json], observed: ObservedPod) -> dict[str, Json]:
    """What the phase goes by: of a container that the runtime has no more, no end counts: it begins anew."""
    return {
        name: status if observed.latest(name) is not None else {**status, "lastState": {}}
        for name, status in statuses.items()
    }


def _with_mounts(pod: Pod, status: Json, *, can_recurse: bool) -> Json:
    container = members.find(pod, status["name"])
    mounts = volume_mounts(container, can_recurse=can_recurse) if container is not None else []
    return {**status, "volumeMounts": mounts} if mounts else status


def _never_began(pod: Pod, observed: ObservedPod, standing: Standing) -> bool:
    """Whether the pod was refused before anything of it was made: its containers have no status then."""
    is_empty = not observed.sandboxes and not observed.containers
    return standing.stop is not None and is_empty and not pod.status.container_statuses


def with_final_ends(pod: Pod, old: Json, new: Json) -> Json:
    """The new status, where a container that ended for good and begins anew is told as before until it ends again.

    In a new sandbox the init containers run anew. The API refuses a status that revives them, so nothing else would be
    told either. Which ends are final is the API's to say: kinds/rules/pod_status.py.
    """
    found = dict(new)
    for key in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"):
        final = {each["name"]: each for each in old.get(key) or () if _is_final(pod, each)}
        if final and key in new:
            found[key] = [each if "terminated" in each["state"] else final.get(each["name"], each) for each in new[key]]
    return found


def _is_final(pod: Pod, told: Json) -> bool:
    """Whether a container's end, as the API has it, is its last."""
    ended = (told.get("state") or {}).get("terminated")
    container = members.find(pod, told["name"])
    if ended is None or container is None:
        return False
    if any(container is each for each in pod.spec.ephemeral_containers):
        return True
    if pod.spec.restart_policy == "Always" or reset.is_asked_for(pod):
        return False
    return not restarts.restarts(container, members.restart_policy(pod, container), ended.get("exitCode", 0))


def status_patch(old: Json, new: Json, uid: str) -> Json | None:
    """The strategic merge patch from the API's status to the wanted one; None if they agree."""
    changes: Json = {key: value for key, value in new.items() if key != "conditions" and old.get(key) != value}
    if "podIPs" in changes and old.get("podIPs"):
        changes["podIPs"] = [{"$patch": "replace"}, *changes["podIPs"]]
    if "hostIPs" in changes and old.get("hostIPs"):
        changes["hostIPs"] = [{"$patch": "replace"}, *changes["hostIPs"]]
    stood = {condition["type"]: condition for condition in old.get("conditions", ())}
    moved = [_without(stood.get(c["type"]), c) for c in new["conditions"] if not _same(stood.get(c["type"]), c)]
    present = {c["type"] for c in new["conditions"]}
    moved += [{"$patch": "delete", "type": name} for name in conditions.PASSING if name in stood.keys() - present]
    if moved:
        changes["conditions"] = moved
    return {"metadata": {"uid": uid}, "status": changes} if changes else None


def _same(old: Json | None, new: Json) -> bool:
    return old is not None and all(old.get(key) == new.get(key) for key in {*old, *new})


def _without(old: Json | None, new: Json) -> Json:
    """The new condition, with a null for each field that the old one had and the new one has not."""
    return {**{key: None for key in (old or {}) if key not in new}, **new}


def _status(pod: Pod, container: members.AnyContainer, observed: ObservedPod, standing: Standing, runtime: str) -> Json:
    is_main = any(container is c for c in pod.spec.containers)
    waits = "PodInitializing" if is_main and not _initialised(pod, observed) else "ContainerCreating"
    if not is_main and container in pod.spec.init_containers and container is not pod.spec.init_containers[0]:
        waits = "PodInitializing"
    return container_status(pod, container, observed, standing, runtime=runtime, waiting=waits)


def _initialised(pod: Pod, observed: ObservedPod) -> bool:
    if not pod.spec.init_containers or any(observed.current(c.name) for c in pod.spec.containers):
        return True
    for container in pod.spec.init_containers:
        current = observed.current(container.name)
        if current is None or not (members.is_sidecar(container) or (current.is_exited and current.exit_code == 0)):
            return False
    return True


def _has_network(observed: ObservedPod) -> bool:
    return observed.ready_sandbox is not None


def _ips(pod: Pod, ips: tuple[str, ...], host_ip: str) -> tuple[str, ...]:
    """A pod that ended keeps the address it had, as upstream's status does."""
    if pod.spec.host_network:
        return (host_ip,)
    return ips or tuple(ip.ip for ip in pod.status.pod_ips)


def _phase_now(pod: Pod, statuses: dict[str, Json], standing: Standing) -> str:
    """The phase; a terminal one never changes, and none is reported before every container has ended."""
    if pod.status.phase in ("Succeeded", "Failed"):
        return pod.status.phase
    runs = any("running" in status["state"] for status in statuses.values())
    if standing.stop is not None:
        return "Running" if runs else "Failed"
    found = phase(pod, statuses)
    if found in ("Succeeded", "Failed") and runs:
        return "Running"
    if pod.metadata.deletion_timestamp is not None or standing.is_gone:
        return found
    return found


def phase(pod: Pod, statuses: dict[str, Json]) -> str:
    """Pending, Running, Succeeded or Failed by the containers' states."""
    pending_inits, failed_inits = _inits(pod, statuses)
    mains = [statuses[c.name] for c in pod.spec.containers]
    states = [_main_state(status) for status in mains]
    if failed_inits:
        return "Failed"
    if pending_inits or "waiting" in states:
        return "Pending"
    if "running" in states:
        return "Running"
    if all(state.startswith("ended") for state in states) and states:
        if any(_restarts(pod, container, status) for container, status in zip(pod.spec.containers, mains, strict=True)):
            return "Running"
        return "Succeeded" if all(state == "ended well" for state in states) else "Failed"
    return "Pending"


def _restarts(pod: Pod, container: Container, status: Json) -> bool:
    """Whether a main container that has ended runs again."""
    ended = status["state"].get("terminated") or status["lastState"].get("terminated") or {}
    return restarts.restarts(container, members.restart_policy(pod, container), ended.get("exitCode", 0))


def _fails_for_good(pod: Pod, container: Container, exit_code: int) -> bool:
    policy = members.init_restart_policy(pod, container)
    return exit_code != 0 and not restarts.restarts(container, policy, exit_code)


def _main_state(status: Json) -> str:
    state, last = status["state"], status["lastState"]
    if "running" in state:
        return "running"
    if "terminated" in state:
        return "ended well" if state["terminated"]["exitCode"] == 0 else "ended badly"
    return "ended badly" if "terminated" in last else "waiting"


def _inits(pod: Pod, statuses: dict[str, Json]) -> tuple[int, int]:
    """How many init containers have still to pass, and how many failed for good."""
    if any(
        "running" in statuses[c.name]["state"] or _main_state(statuses[c.name]) != "waiting"
        for c in pod.spec.containers
    ):
        return 0, 0
    pending = failed = 0
    for container in pod.spec.init_containers:
        status = statuses[container.name]
        if members.is_sidecar(container):
            pending += not status["started"]
        elif "terminated" in status["state"]:
            code = status["state"]["terminated"]["exitCode"]
            failed += _fails_for_good(pod, container, code)
            pending += code != 0
        else:
            failed += _fails_for_good(pod, container, status["lastState"].get("terminated", {}).get("exitCode", 0))
            pending += 1
    return pending, failed
