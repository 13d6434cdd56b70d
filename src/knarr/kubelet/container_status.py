"""The status of one container: waiting, running or terminated, with upstream's reasons, and its last termination.

Pure: spec, report and standing in; JSON of a ContainerStatus out. Which reasons exist: ContainerCreating,
PodInitializing, CrashLoopBackOff, the image and configuration errors that starting met, Completed, Error, OOMKilled.
"""

from datetime import UTC
from typing import Any

from knarr.base import durations
from knarr.base.backoff import Backoff
from knarr.base.clock import Instant, rfc3339
from knarr.cri.messages.enums import ContainerState
from knarr.cri.messages.sandbox import LinuxContainerUser
from knarr.kinds.lens.container import ResourceRequirements
from knarr.kinds.lens.pod import Pod
from knarr.kinds.lens.pod_status import ContainerStateTerminated, ContainerStatus
from knarr.kubelet import members, resources, restarts
from knarr.kubelet.members import AnyContainer
from knarr.kubelet.observed import ObservedContainer, ObservedPod
from knarr.kubelet.standing import START_FAILED, Problem, Standing, start_key

Json = dict[str, Any]


def container_status(
    pod: Pod, container: AnyContainer, observed: ObservedPod, standing: Standing, *, runtime: str, waiting: str
) -> Json:
    """`waiting` is the reason of a container that has not been made yet; `runtime` prefixes ids."""
    latest = observed.latest(container.name)
    state, last = _states(pod, container, observed, standing, runtime=runtime, waiting=waiting)
    is_running = "running" in state
    is_started = is_running and latest is not None and _verdicts(container, latest, standing)[0]
    status: Json = {
        "name": container.name,
        "state": state,
        "lastState": last,
        "ready": _is_ready(pod, container, latest, standing, is_running=is_running),
        "restartCount": latest.attempt if latest else _recorded_restarts(pod, container.name),
        "image": (latest.image if latest and latest.image else container.image),
        "imageID": latest.image_id if latest else "",
        "started": is_started,
    }
    recorded = members.recorded(pod, container.name)
    if latest is not None:
        status["containerID"] = f"{runtime}://{latest.id}"
    elif recorded is not None:
        # The runtime has it no more; restarts are counted from here until the next one is made.
        status |= {"containerID": recorded.container_id, "image": recorded.image, "imageID": recorded.image_id}
    if latest is not None and latest.stop_signal:
        status["stopSignal"] = latest.stop_signal
    if latest is not None and latest.user is not None:
        status["user"] = _user(latest.user)
    if container.resources.requests and is_running:
        status["allocatedResources"] = dict(container.resources.requests)
    actual = _actual_resources(pod, container, latest, standing)
    if actual.limits or actual.requests:
        named = (("limits", actual.limits), ("requests", actual.requests))
        status["resources"] = {key: value for key, value in named if value}
    return status


def volume_mounts(container: AnyContainer, *, can_recurse: bool) -> list[Json]:
    """The mounts as the container has them: whether one is read-only with all that is below it depends on the node."""
    found = []
    for mount in container.volume_mounts:
        entry: Json = {"mountPath": mount.mount_path, "name": mount.name}
        if mount.read_only:
            is_recursive = can_recurse and mount.recursive_read_only in ("Enabled", "IfPossible")
            entry |= {"readOnly": True, "recursiveReadOnly": "Enabled" if is_recursive else "Disabled"}
        found.append(entry)
    return found


def _user(user: LinuxContainerUser) -> Json:
    """Whom its first process runs as."""
    groups = {"supplementalGroups": list(user.supplemental_groups)} if user.supplemental_groups else {}
    return {"linux": {"uid": user.uid, "gid": user.gid, **groups}}


def _actual_resources(
    pod: Pod, container: AnyContainer, latest: ObservedContainer | None, standing: Standing
) -> ResourceRequirements:
    """What the container has now: until a resize is done, what its status said before."""
    given = standing.resized.get(latest.id, latest.resources) if latest is not None and latest.is_running else ""
    if given and given != resources.fingerprint(container):
        recorded = members.recorded(pod, container.name)
        if recorded is not None and recorded.resources is not None:
            return recorded.resources
    return container.resources


def _recorded_restarts(pod: Pod, name: str) -> int:
    recorded = members.recorded(pod, name)
    return recorded.restart_count if recorded else 0


def _states(
    pod: Pod, container: AnyContainer, observed: ObservedPod, standing: Standing, *, runtime: str, waiting: str
) -> tuple[Json, Json]:
    """(state, lastState)."""
    found = observed.all(container.name)
    latest = found[0] if found else None
    previous = terminated(found[1], standing, runtime) if len(found) > 1 else _recorded_end(pod, container.name, latest)
    problem = standing.problems.get(container.name)
    is_starting = start_key(container.name) in standing.in_flight
    if latest is None:
        return waiting_state(problem, waiting), _lost_end(members.recorded(pod, container.name))
    if latest.state == ContainerState.CONTAINER_CREATED:
        return waiting_state(problem, waiting), previous
    if latest.is_running:
        if is_starting:
            return waiting_state(None, waiting), previous
        return {"running": _times(startedAt=latest.started_at)}, previous
    if latest.is_exited or latest.state == ContainerState.CONTAINER_UNKNOWN:
        ended = terminated(latest, standing, runtime)
        is_over = problem is not None and problem.reason == START_FAILED  # the start that failed is this very end
        if is_starting or not (problem is None or is_over):
            return waiting_state(problem, waiting), ended
        if will_restart(pod, container, latest, standing) and _is_backed_off(container.name, latest, standing):
            return {"waiting": _back_off(pod, container.name, latest, standing)}, ended
        if is_over and will_restart(pod, container, latest, standing):
            return waiting_state(problem, waiting), ended
        return ended, previous
    return waiting_state(problem, waiting), previous


def _recorded_end(pod: Pod, name: str, latest: ObservedContainer | None) -> Json:
    """The end of the run before the latest, as the API tells it: that container may be collected."""
    recorded = members.recorded(pod, name)
    last = recorded.last_state.terminated if recorded is not None else None
    if last is None or latest is None or last.container_id.rpartition("/")[2] == latest.id:
        return {}
    return _told(last)


def _lost_end(recorded: ContainerStatus | None) -> Json:
    """The last end of a container that the runtime has no more: removed to begin anew, or lost with a reboot."""
    if recorded is None:
        return {}
    if recorded.state.running is not None:
        text = "The container could not be located when the pod was deleted.  The container used to be Running"
        end = {"exitCode": 137, "reason": "ContainerStatusUnknown", "message": text}
        return {"terminated": {**end, "containerID": recorded.container_id}}
    last = recorded.state.terminated or recorded.last_state.terminated
    return {} if last is None else _told(last)


def _told(last: ContainerStateTerminated) -> Json:
    """An end as the API has it."""
    state = {
        "exitCode": last.exit_code,
        "reason": last.reason,
        "signal": last.signal,
        "message": last.message,
        **_times(startedAt=last.started_at, finishedAt=last.finished_at),
        "containerID": last.container_id,
    }
    return {"terminated": {key: value for key, value in state.items() if value or key == "exitCode"}}


def waiting_state(problem: Problem | None, reason: str) -> Json:
    if problem is None:
        return {"waiting": {"reason": reason}}
    waiting = {"reason": problem.reason}
    if problem.message:
        waiting["message"] = problem.message
    return {"waiting": waiting}


def terminated(container: ObservedContainer, standing: Standing, runtime: str) -> Json:
    """The terminated state; the message is what the worker read from the termination log."""
    if container.state == ContainerState.CONTAINER_UNKNOWN:
        reason, code = "ContainerStatusUnknown", 137
    else:
        reason, code = container.reason or ("Completed" if container.exit_code == 0 else "Error"), container.exit_code
    state: Json = {
        "exitCode": code,
        "reason": reason,
        # One that did not get as far as to start has an empty time, not one that began in 1970.
        **_times(startedAt=container.started_at or container.finished_at, finishedAt=container.finished_at),
        "containerID": f"{runtime}://{container.id}",
    }
    message = standing.messages.get(container.id, "") or container.message
    if message:
        state["message"] = message
    return {"terminated": state}


def will_restart(pod: Pod, container: AnyContainer, latest: ObservedContainer, standing: Standing) -> bool:
    """Whether an ended container is to run again, as far as its own policy says."""
    if standing.is_gone or standing.stop or pod.metadata.deletion_timestamp is not None:
        return False
    if any(c.name == container.name for c in pod.spec.ephemeral_containers):
        return False
    if any(c.name == container.name for c in pod.spec.init_containers):
        return members.is_sidecar(container) or restarts.restarts(
            container, members.init_restart_policy(pod, container), latest.exit_code
        )
    return restarts.restarts(container, members.restart_policy(pod, container), latest.exit_code)


def _is_backed_off(name: str, latest: ObservedContainer, standing: Standing) -> bool:
    backoff = standing.backoffs.get(name, Backoff())
    return restarts.fresh(backoff, latest.finished_at or _NEVER, standing.rule).failures > 0


def _back_off(pod: Pod, name: str, latest: ObservedContainer, standing: Standing) -> Json:
    backoff = restarts.fresh(standing.backoffs.get(name, Backoff()), latest.finished_at or _NEVER, standing.rule)
    text = (
        f"back-off {seconds_text(backoff.delay(standing.rule))} restarting failed container={name} pod={pod_ref(pod)}"
    )
    return {"reason": "CrashLoopBackOff", "message": text}


def pod_ref(pod: Pod) -> str:
    """`web_default(uid)`, as upstream's messages name a pod."""
    return f"{pod.metadata.name}_{pod.metadata.namespace}({pod.metadata.uid})"


def seconds_text(seconds: float) -> str:
    """Seconds as Go prints a duration: 10s, 1m20s, 5m0s."""
    return durations.shown(int(seconds) * durations.SECOND)


def _is_ready(
    pod: Pod, container: AnyContainer, latest: ObservedContainer | None, standing: Standing, *, is_running: bool
) -> bool:
    if latest is None:
        return False
    is_init = any(c.name == container.name for c in pod.spec.init_containers)
    if is_init and not members.is_sidecar(container):
        return latest.is_exited and latest.exit_code == 0
    if any(c.name == container.name for c in pod.spec.ephemeral_containers):
        return False
    started, ready = _verdicts(container, latest, standing)
    return is_running and started and ready


def _verdicts(container: AnyContainer, latest: ObservedContainer, standing: Standing) -> tuple[bool, bool]:
    verdicts = standing.verdicts(
        latest.id, probed=container.readiness_probe is not None, gated=container.startup_probe is not None
    )
    return verdicts.is_started, verdicts.is_ready


def _times(**moments: Instant | None) -> Json:
    """Those that are known."""
    return {name: rfc3339(moment) for name, moment in moments.items() if moment is not None}


_NEVER = Instant.max.replace(tzinfo=UTC)
