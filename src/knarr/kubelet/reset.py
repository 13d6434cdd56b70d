"""RestartAllContainers: one container's end begins all of them anew, in the same sandbox with the same volumes. Pure.

The containers are killed at once, without grace and without preStop hooks, and removed from the runtime: so the pod
starts from its first init container again, whatever their own restart policies say. The *source*, the container whose
end asked for it, goes last: as long as the runtime has it, a kubelet that starts anew finds what was begun. None goes
before the API knows its end: counts of restarts go on from there. Ephemeral containers are left alone.
Spec: docs "Pod Lifecycle, Restart All Containers".
"""

from collections.abc import Iterator
from typing import Final

from knarr.base.backoff import Backoff
from knarr.base.clock import Instant
from knarr.kinds.lens.pod import Pod
from knarr.kubelet import members, restarts
from knarr.kubelet.members import AnyContainer
from knarr.kubelet.observed import ObservedContainer, ObservedPod
from knarr.kubelet.planned import Act, KillContainer, RemoveContainer
from knarr.kubelet.standing import Standing, kill_key, start_key

CONDITION: Final = "AllContainersRestarting"
WHY: Final = "Restarting all containers of the pod"


def is_asked_for(pod: Pod) -> bool:
    """Whether the pod has a rule that could do this."""
    rules = [rule for container in _resettable(pod) for rule in container.restart_policy_rules]
    return any(rule.action == "RestartAllContainers" for rule in rules)


def source(pod: Pod, observed: ObservedPod) -> ObservedContainer | None:
    """The ended container that asks for it; None while nobody does."""
    for container in _resettable(pod):
        current = observed.current(container.name)
        if current is not None and current.is_exited and restarts.restarts_all(container, current.exit_code):
            return current
    return None


def due_at(cause: ObservedContainer, standing: Standing, now: Instant) -> Instant:
    """When the containers may begin anew: as late as the source alone might."""
    backoff = standing.backoffs.get(cause.name, Backoff())
    return restarts.due_at(backoff, cause.finished_at or now, standing.rule)


def acts(
    pod: Pod, observed: ObservedPod, standing: Standing, cause: ObservedContainer, *, is_due: bool
) -> Iterator[Act]:
    """Kill and remove the others; then, once that is due, the source."""
    names = {container.name for container in _resettable(pod)}
    others = [c for c in observed.containers if c.name in names and c.id != cause.id]
    for container in others:
        is_starting = start_key(container.name) in standing.in_flight
        if kill_key(container.id) in standing.in_flight or (is_starting and not container.is_running):
            continue  # one that runs may be in a postStart hook that never ends
        if container.is_running:
            yield KillContainer(container.id, container.name, 0, WHY, has_run_hook=True)
        elif _is_told(pod, container, observed):
            yield RemoveContainer(container.id)
    is_last = not others and not any(start_key(name) in standing.in_flight for name in names)
    if is_last and is_due and kill_key(cause.id) not in standing.in_flight and _is_told(pod, cause, observed):
        yield RemoveContainer(cause.id)


def ended_at(pod: Pod, name: str) -> Instant | None:
    """When a container that was removed to begin anew had ended; None for one that begins for the first time."""
    recorded = members.recorded(pod, name)
    if recorded is None:
        return None
    last = recorded.state.terminated or recorded.last_state.terminated
    return last.finished_at if last is not None and last.container_id == recorded.container_id else None


def _is_told(pod: Pod, container: ObservedContainer, observed: ObservedPod) -> bool:
    """Whether the API knows of the end; of an older run than the latest nobody asks any more."""
    if observed.latest(container.name) is not container or not container.is_exited:
        return True
    recorded = members.recorded(pod, container.name)
    if recorded is None:
        return False
    ends = (recorded.state.terminated, recorded.last_state.terminated)
    return any(end is not None and end.container_id.rpartition("/")[2] == container.id for end in ends)


def _resettable(pod: Pod) -> tuple[AnyContainer, ...]:
    return (*pod.spec.init_containers, *pod.spec.containers)
