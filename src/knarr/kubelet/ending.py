"""How a pod ends: when it does, in what order its containers stop, and when SIGKILL is due.

Pure. Main and ephemeral containers first, sidecars after them in reverse order, the sandbox last (docs: Pod Lifecycle,
Termination of Pods; Sidecar Containers).
"""

from collections.abc import Iterator
from datetime import timedelta

from knarr.base.clock import Instant
from knarr.kinds.lens.pod import Pod
from knarr.kubelet import members, reset, restarts
from knarr.kubelet.observed import ObservedContainer, ObservedPod
from knarr.kubelet.planned import Act, KillContainer, PodPlan, RunPreStop, StopSandbox
from knarr.kubelet.standing import SANDBOX, Standing, Stop, hook_key, kill_key

MINIMUM_GRACE_SECONDS = 1
"""Upstream gives even a forced kill one second."""
CLEANUP = timedelta(seconds=30)
"""How long after its SIGKILL a pod may take to be gone before nobody waits for it (upstream's podCleanupTimeout)."""
SIDECAR_GRACE_SECONDS = 2
"""What a sidecar gets when its pod's grace is used up (upstream's minimum)."""


def is_ending(pod: Pod, observed: ObservedPod, standing: Standing) -> bool:
    """Whether the pod is to stop for good: deleted, gone, evicted, past its deadline, or its work is done."""
    if standing.is_gone or standing.stop is not None or pod.metadata.deletion_timestamp is not None:
        return True
    return pod.status.phase in ("Succeeded", "Failed") or is_done(pod, observed)


def is_done(pod: Pod, observed: ObservedPod) -> bool:
    """Whether every main container ended for good, or an init container failed for good."""
    if reset.source(pod, observed) is not None:
        return False
    for container in pod.spec.init_containers:
        latest = observed.latest(container.name)
        policy = members.init_restart_policy(pod, container)
        has_failed = latest is not None and latest.is_exited and latest.exit_code != 0
        if latest is not None and restarts.restarts(container, policy, latest.exit_code):
            continue
        if has_failed and not members.is_sidecar(container) and not is_initialised(pod, observed):
            return True
    ends = [(c, observed.latest(c.name)) for c in pod.spec.containers]
    return bool(ends) and all(
        latest is not None
        and latest.is_exited
        and not restarts.restarts(container, members.restart_policy(pod, container), latest.exit_code)
        for container, latest in ends
    )


def is_initialised(pod: Pod, observed: ObservedPod) -> bool:
    """Whether a main container was made in the current sandbox: the pod is initialised then."""
    return any(observed.current(c.name) is not None for c in pod.spec.containers)


def ending_plan(pod: Pod, observed: ObservedPod, standing: Standing, now: Instant) -> PodPlan:
    """Main and ephemeral containers first, sidecars after them in reverse order, the sandbox last."""
    running = {c.name: c for c in observed.running}
    helpers = [c.name for c in members.sidecars(pod)]
    first = [c for name, c in running.items() if name not in helpers]
    left = grace(pod) if standing.kill_at is None else max(0, round((standing.kill_at - now).total_seconds()))
    acts: list[Act] = [_end(c, max(left, MINIMUM_GRACE_SECONDS), standing) for c in first]
    sidecars = [running[name] for name in reversed(helpers) if name in running]
    acts += _sidecar_acts(pod, sidecars, left, standing, is_first=not first)
    acts = [a for a in acts if _key(a) not in standing.in_flight]
    busy = any(key.startswith("start/") or key == SANDBOX for key in standing.in_flight)
    if running or busy:
        return PodPlan(tuple(acts))
    if any(s.is_ready for s in observed.sandboxes):
        if SANDBOX in standing.in_flight:
            return PodPlan()
        return PodPlan(tuple(StopSandbox(s.id) for s in observed.sandboxes if s.is_ready))
    return PodPlan(is_over=True)


def _sidecar_acts(
    pod: Pod, sidecars: list[ObservedContainer], left: int, standing: Standing, *, is_first: bool
) -> Iterator[Act]:
    """`sidecars` in the order of their ends; `is_first`: no main container runs before them. All hooks begin at once;
    when the grace is used up, nobody waits for a turn any more."""
    for turn, sidecar in enumerate(sidecars):
        has_turn = is_first and (turn == 0 or left <= 0)
        if has_turn and hook_key(sidecar.id) not in standing.in_flight:
            yield _end(sidecar, max(left, SIDECAR_GRACE_SECONDS), standing)
        elif not has_turn and left > 0 and sidecar.id not in standing.hooked and _has_hook(pod, sidecar.name):
            yield RunPreStop(sidecar.id, sidecar.name, left)


def _has_hook(pod: Pod, name: str) -> bool:
    container = members.find(pod, name)
    return container is not None and container.lifecycle is not None and container.lifecycle.pre_stop is not None


def _end(container: ObservedContainer, seconds: int, standing: Standing) -> KillContainer:
    return KillContainer(container.id, container.name, seconds, has_run_hook=container.id in standing.hooked)


def _key(act: Act) -> str:
    match act:
        case KillContainer():
            return kill_key(act.id)
        case RunPreStop():
            return hook_key(act.id)
        case _:
            return ""


def grace(pod: Pod) -> int:
    """Seconds between the wish to stop and SIGKILL."""
    if pod.metadata.deletion_timestamp is not None and pod.metadata.deletion_grace_period_seconds is not None:
        return max(MINIMUM_GRACE_SECONDS, pod.metadata.deletion_grace_period_seconds)
    seconds = pod.spec.termination_grace_period_seconds
    return max(MINIMUM_GRACE_SECONDS, 30 if seconds is None else seconds)


def kill_at(pod: Pod, standing: Standing, now: Instant) -> Instant:
    """When SIGKILL is due: the grace from now, but not later than the API's own moment (which has whole seconds)."""
    deleted_at = pod.metadata.deletion_timestamp
    if standing.is_gone:  # deleted by force, at once or while it was ending
        return now + timedelta(seconds=MINIMUM_GRACE_SECONDS)
    seconds = grace(pod)
    if standing.stop is not None and standing.stop.grace_seconds is not None:
        seconds = min(seconds, max(MINIMUM_GRACE_SECONDS, standing.stop.grace_seconds))
    latest = now + timedelta(seconds=seconds)
    return min(latest, deleted_at + timedelta(seconds=1)) if deleted_at is not None else latest


def past_deadline(pod: Pod, now: Instant) -> Stop | None:
    """Why a pod that is past its activeDeadlineSeconds must stop."""
    seconds, began = pod.spec.active_deadline_seconds, pod.status.start_time
    if seconds is None or began is None or now < began + timedelta(seconds=seconds):
        return None
    return Stop("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
