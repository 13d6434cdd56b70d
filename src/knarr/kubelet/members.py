"""The containers of a pod by role: init containers, sidecars (restartable init containers), main, ephemeral.

Answers questions about the spec alone. Vocabulary: a *sidecar* is an init container with restartPolicy Always.
"""

import hashlib

from knarr.kinds.lens.container import Container, EphemeralContainer
from knarr.kinds.lens.pod import Pod
from knarr.kinds.lens.pod_status import ContainerStatus

AnyContainer = Container | EphemeralContainer


def is_sidecar(container: AnyContainer) -> bool:
    """Whether an init container is a sidecar; ask only about init containers."""
    return container.restart_policy == "Always"


def sidecars(pod: Pod) -> list[Container]:
    return [c for c in pod.spec.init_containers if is_sidecar(c)]


def every(pod: Pod) -> list[AnyContainer]:
    """All containers, in the order init, main, ephemeral."""
    return [*pod.spec.init_containers, *pod.spec.containers, *pod.spec.ephemeral_containers]


def find(pod: Pod, name: str) -> AnyContainer | None:
    return next((c for c in every(pod) if c.name == name), None)


def recorded(pod: Pod, name: str) -> ContainerStatus | None:
    """What the API's status says of a container that was made once: it counts on when the runtime has lost it."""
    status = pod.status
    statuses = (*status.init_container_statuses, *status.container_statuses, *status.ephemeral_container_statuses)
    return next((s for s in statuses if s.name == name and s.container_id), None)


def has_run(status: ContainerStatus) -> bool:
    """Whether the run that the status counts has begun: one that waits and is not the last to have ended has not."""
    last = status.last_state.terminated
    return status.state.waiting is None or (last is not None and last.container_id == status.container_id)


def field_path(pod: Pod, name: str) -> str:
    """Where in the pod a container is, as events say it."""
    for field, some in (
        ("containers", pod.spec.containers),
        ("initContainers", pod.spec.init_containers),
        ("ephemeralContainers", pod.spec.ephemeral_containers),
    ):
        if any(c.name == name for c in some):
            return f"spec.{field}{{{name}}}"
    return ""


def spec_hash(container: AnyContainer) -> str:
    """What of a running container may not differ from the spec: a change restarts it (its image)."""
    return hashlib.sha256(f"{container.name}\0{container.image}".encode()).hexdigest()[:8]


def has_changed(container: AnyContainer, made_from: str) -> bool:
    """Whether the spec is another than the one with that hash; "" is not known."""
    return made_from not in ("", spec_hash(container))


def restart_policy(pod: Pod, container: AnyContainer) -> str:
    """The policy of a main container: its own, else the pod's."""
    return container.restart_policy or pod.spec.restart_policy or "Always"


def init_restart_policy(pod: Pod, container: AnyContainer) -> str:
    """The policy of an init container: it runs to success once, so Always means OnFailure."""
    policy = container.restart_policy or pod.spec.restart_policy
    return "Never" if policy == "Never" else "OnFailure"


def qos_class(pod: Pod) -> str:
    """Guaranteed, Burstable or BestEffort (docs: Pod Quality of Service Classes)."""
    if pod.spec.resources is not None and (pod.spec.resources.limits or pod.spec.resources.requests):
        resources = [pod.spec.resources]
    else:
        resources = [c.resources for c in (*pod.spec.init_containers, *pod.spec.containers)]
    wanted = {name: v for r in resources for name, v in {**r.limits, **r.requests}.items() if _counts(name, v)}
    if not wanted:
        return "BestEffort"
    for requirement in resources:
        for name in ("cpu", "memory"):
            limit = requirement.limits.get(name)
            if limit is None or requirement.requests.get(name, limit) != limit:
                return "Burstable"
    return "Guaranteed"


def _counts(name: str, value: str) -> bool:
    return name in ("cpu", "memory") and value not in ("0", "")
