"""What to do next for one pod: sandbox, init containers in order, sidecars, main and ephemeral containers, kills.

`pod_plan(pod, observed, standing, now)` compares the spec with what runs and answers with acts and with the moment
to look again. It does not act, write status (pod_status.py) or run probes. Acts that are in flight are not repeated.
Spec: docs "Pod Lifecycle", "Init Containers", "Sidecar Containers".
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Literal

from knarr.base.backoff import Backoff
from knarr.base.clock import Instant
from knarr.cri.messages.enums import ContainerState
from knarr.kinds.lens.pod import Pod
from knarr.kubelet import container_gc, ending, members, reset, resizing, resources, restarts
from knarr.kubelet.members import AnyContainer
from knarr.kubelet.observed import ObservedContainer, ObservedPod
from knarr.kubelet.planned import (
    Act,
    KillContainer,
    PodPlan,
    RemoveContainer,
    RemoveSandbox,
    ResizeContainer,
    ResizePod,
    RunSandbox,
    StartContainer,
)
from knarr.kubelet.standing import SANDBOX, Standing, kill_key, resize_key, start_key


def pod_plan(pod: Pod, observed: ObservedPod, standing: Standing, now: Instant) -> PodPlan:
    """The next acts for a pod bound to this node."""
    if ending.is_ending(pod, observed, standing):
        return ending.ending_plan(pod, observed, standing, now)
    acts: list[Act] = list(_surplus(observed, standing))
    sandbox = observed.sandbox
    if sandbox is None or not sandbox.is_ready:
        acts += _new_sandbox(pod, observed, standing, now)
        return _plan(pod, acts, standing, now, [])
    if (cause := reset.source(pod, observed)) is not None:
        due = reset.due_at(cause, standing, now)
        acts = list(reset.acts(pod, observed, standing, cause, is_due=due <= now))
        return _plan(pod, acts, standing, now, [(cause.name, due)] if due > now else [])
    waits: list[tuple[str, Instant]] = []
    for container, role in _wanted(pod, observed, standing):
        act = _container_act(pod, container, role, observed=observed, standing=standing, now=now)
        if isinstance(act, tuple):
            waits.append(act)
        elif act is not None:
            acts.append(act)
    acts += _pod_resize(pod, observed, standing, sandbox.id)
    return _plan(pod, acts, standing, now, waits)


def _pod_resize(pod: Pod, observed: ObservedPod, standing: Standing, sandbox_id: str) -> Iterator[ResizePod]:
    """A pod's limits hold its containers': it shrinks when they have, and grows at once."""
    resized = standing.resized
    if not resizing.is_pod_behind(pod, observed, resized) or resize_key(sandbox_id) in standing.in_flight:
        return
    if not (
        resizing.is_pod_shrinking(pod, observed, resized) and resizing.is_a_container_behind(pod, observed, resized)
    ):
        yield ResizePod(sandbox_id)


def recovered_backoffs(pod: Pod, observed: ObservedPod) -> dict[str, Backoff]:
    """The back-offs of containers that a kubelet finds when it starts."""
    found = {container.name: observed.latest(container.name) for container in members.every(pod)}
    return {
        name: restarts.recovered(latest.attempt, latest.created_at)
        for name, latest in found.items()
        if latest is not None and latest.created_at is not None
    }


def _plan(pod: Pod, acts: list[Act], standing: Standing, now: Instant, waits: list[tuple[str, Instant]]) -> PodPlan:
    moments = [moment for _, moment in waits]
    moments += [p.retry_at for p in standing.problems.values() if p.retry_at is not None and p.retry_at > now]
    if pod.spec.active_deadline_seconds is not None and pod.status.start_time is not None:
        moments.append(pod.status.start_time + timedelta(seconds=pod.spec.active_deadline_seconds))
    return PodPlan(tuple(acts), tuple(waits), min(moments, default=None))


def _surplus(observed: ObservedPod, standing: Standing) -> Iterator[Act]:
    """Dead containers beyond those kept, old sandboxes that hold none."""
    for container in container_gc.excess(observed.containers):
        if kill_key(container.id) not in standing.in_flight:
            yield RemoveContainer(container.id)
    in_use = {container.sandbox_id for container in observed.containers}
    for sandbox in observed.sandboxes[1:]:
        if sandbox.id not in in_use and kill_key(sandbox.id) not in standing.in_flight:
            yield RemoveSandbox(sandbox.id)


def _new_sandbox(pod: Pod, observed: ObservedPod, standing: Standing, now: Instant) -> Iterator[Act]:
    """End what ran in a dead sandbox, then make the next one if anything still has to run."""
    running = observed.running
    for container in running:
        if kill_key(container.id) not in standing.in_flight:
            yield KillContainer(
                container.id,
                container.name,
                ending.grace(pod),
                "Pod sandbox changed, it will be killed and re-created.",
            )
    problem = standing.problems.get(SANDBOX)
    if running or SANDBOX in standing.in_flight or (problem and problem.retry_at and problem.retry_at > now):
        return
    sandbox = observed.sandbox
    have_run = [each for each in observed.containers if each.state is not ContainerState.CONTAINER_CREATED]
    if sandbox is not None and pod.spec.restart_policy == "Never" and have_run:
        return
    yield RunSandbox(sandbox.attempt + 1 if sandbox else 0)


def _wanted(
    pod: Pod, observed: ObservedPod, standing: Standing
) -> Iterator[tuple[AnyContainer, Literal["init", "main", "ephemeral"]]]:
    """The containers whose turn it is, in order."""
    for ephemeral in pod.spec.ephemeral_containers:
        yield ephemeral, "ephemeral"
    initialised = ending.is_initialised(pod, observed)
    for container in pod.spec.init_containers:
        if initialised and not members.is_sidecar(container):
            continue
        yield container, "init"
        if not initialised and not init_passed(container, observed, standing):
            return
    for main in pod.spec.containers:
        yield main, "main"
        if _hook_runs(main, standing):
            return


def init_passed(container: AnyContainer, observed: ObservedPod, standing: Standing) -> bool:
    """Whether the next container may start: an init container succeeded, a sidecar has started."""
    current = observed.current(container.name)
    if current is None:
        return False
    if members.is_sidecar(container):
        return (
            current.is_running
            and start_key(container.name) not in standing.in_flight
            and verdicts_started(container, current, standing)
        )
    return current.is_exited and current.exit_code == 0


def verdicts_started(container: AnyContainer, current: ObservedContainer, standing: Standing) -> bool:
    verdicts = standing.verdicts(current.id, probed=False, gated=container.startup_probe is not None)
    return verdicts.is_started


def _hook_runs(container: AnyContainer, standing: Standing) -> bool:
    """A postStart hook holds back the containers after it, as upstream's one-by-one start does."""
    has_hook = container.lifecycle is not None and container.lifecycle.post_start is not None
    return has_hook and start_key(container.name) in standing.in_flight


def _container_act(
    pod: Pod,
    container: AnyContainer,
    role: Literal["init", "main", "ephemeral"],
    *,
    observed: ObservedPod,
    standing: Standing,
    now: Instant,
) -> Act | tuple[str, Instant] | None:
    """Start, kill, or wait until a moment; None if there is nothing to do."""
    latest, current = observed.latest(container.name), observed.current(container.name)
    if start_key(container.name) in standing.in_flight:
        return None
    problem = standing.problems.get(container.name)
    if problem is not None and problem.retry_at is not None and problem.retry_at > now:
        return None
    if current is not None and current.is_running:
        return _change(pod, container, role, current=current, standing=standing)
    if latest is not None and latest.state is ContainerState.CONTAINER_CREATED:
        # Whoever made it died before the start, or its sandbox did. Nothing ran, so the next one has its number: that
        # is no restart.
        return None if kill_key(latest.id) in standing.in_flight else RemoveContainer(latest.id)
    if role == "ephemeral":
        recorded = members.recorded(pod, container.name)
        is_new = latest is None and (recorded is None or not members.has_run(recorded))
        return StartContainer(container.name, role, 0) if is_new else None
    attempt = _next_attempt(pod, container.name, latest)
    if current is None:
        if (
            latest is not None
            and role == "main"
            and not restarts.restarts(container, members.restart_policy(pod, container), latest.exit_code)
        ):
            return None
        return StartContainer(container.name, role, attempt)
    if current.is_exited and _restarts(pod, container, role, current):
        if members.has_changed(container, current.hash):
            return StartContainer(container.name, role, attempt)  # back-off is the other image's
        due = restarts.due_at(
            standing.backoffs.get(container.name, Backoff()), current.finished_at or now, standing.rule
        )
        return (container.name, due) if due > now else StartContainer(container.name, role, attempt)
    return None if current.is_exited else StartContainer(container.name, role, attempt)


def _next_attempt(pod: Pod, name: str, latest: ObservedContainer | None) -> int:
    """Restarts go on counting where the API's status says, when a reboot took the runtime's containers."""
    if latest is not None:
        return latest.attempt + 1
    recorded = members.recorded(pod, name)
    if recorded is None:
        return 0
    return recorded.restart_count + members.has_run(recorded)


def _restarts(pod: Pod, container: AnyContainer, role: str, current: ObservedContainer) -> bool:
    if role == "init":
        return members.is_sidecar(container) or restarts.restarts(
            container, members.init_restart_policy(pod, container), current.exit_code
        )
    return restarts.restarts(container, members.restart_policy(pod, container), current.exit_code)


def _change(
    pod: Pod, container: AnyContainer, role: str, *, current: ObservedContainer, standing: Standing
) -> KillContainer | ResizeContainer | None:
    """Kill a running container whose probe failed or whose spec changed; resize it where that is enough."""
    if kill_key(current.id) in standing.in_flight or role == "ephemeral":
        return None
    verdicts = standing.probes.get(current.id)
    if verdicts is not None and verdicts.failed:
        seconds = ending.grace(pod) if verdicts.grace_seconds is None else verdicts.grace_seconds
        why = f"Container {container.name} failed {verdicts.failed} probe, will be restarted"
        return KillContainer(current.id, container.name, seconds, why)
    if members.has_changed(container, current.hash):
        why = f"Container {container.name} definition changed, will be restarted"
        return KillContainer(current.id, container.name, ending.grace(pod), why)
    given = standing.resized.get(current.id, current.resources)
    if not given or given == resources.fingerprint(container) or resize_key(current.id) in standing.in_flight:
        return None
    if resources.needs_restart(container, given):
        why = f"Container {container.name} resize requires restart"
        return KillContainer(current.id, container.name, ending.grace(pod), why)
    return ResizeContainer(current.id, container.name)
