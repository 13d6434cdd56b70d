"""In-place resize: which resources a pod is given now, which it waits for, and what its status says of that. Pure.

The spec says what is wanted, `allocated` what the node has set aside; containers get what is allocated. A wish that the
node could never grant is Infeasible, one that others are in the way of is Deferred and asked again when they shrink.
Giving it to a running container is pod_plan.py's and acts.py's. Spec: docs "Resize CPU and Memory Resources assigned to
Containers".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from msgspec.structs import replace

from knarr.kinds.lens.container import Container, ResourceRequirements
from knarr.kinds.lens.pod import Pod
from knarr.kubelet import demands, resources
from knarr.kubelet.observed import ObservedPod

Shortage = tuple[str, int, int, int]
"""(resource, requested, used, capacity)."""


@dataclass(frozen=True, slots=True)
class Pending:
    """Why a resize is not begun."""

    reason: Literal["Deferred", "Infeasible"]
    message: str


@dataclass(frozen=True, slots=True)
class Allocated:
    """Resources by container, as the node has set them aside; none: as the spec says."""

    resources: Mapping[str, ResourceRequirements] = field(default_factory=dict)
    pending: Pending | None = None
    pod: ResourceRequirements | None = None
    """Of the pod itself."""


def wanted(pod: Pod) -> Allocated:
    """What the spec asks for."""
    containers = (*pod.spec.containers, *pod.spec.init_containers)
    return Allocated({c.name: c.resources for c in containers}, pod=pod.spec.resources)


def recovered(pod: Pod) -> Allocated:
    """What the API's status says was allocated, for a kubelet that starts again; the rest as the spec asks for it."""
    asked_for = wanted(pod)
    found = dict(asked_for.resources)
    statuses = {s.name: s for s in (*pod.status.container_statuses, *pod.status.init_container_statuses)}
    for container in (*pod.spec.containers, *pod.spec.init_containers):
        status = statuses.get(container.name)
        if status is not None and status.resources is not None and status.state.running is not None:
            asked = status.allocated_resources or status.resources.requests
            found[container.name] = ResourceRequirements(limits=status.resources.limits, requests=asked)
    told = pod.status.resources
    if told is None or asked_for.pod is None:
        return Allocated(found, pod=asked_for.pod)
    own = ResourceRequirements(limits=told.limits, requests=pod.status.allocated_resources or told.requests)
    return Allocated(found, pod=own)


def recovered_gift(pod: Pod, observed: ObservedPod) -> dict[str, str]:
    """What the pod's own cgroup was given since its sandbox was made, as far as the status tells that."""
    sandbox, told, own = observed.ready_sandbox, pod.status.resources, pod.spec.resources
    if sandbox is None or not sandbox.resources or told is None or own is None or not same(told, own):
        return {}
    return {sandbox.id: resources.pod_fingerprint(pod)}


def applied(pod: Pod, allocated: Allocated) -> Pod:
    """The pod as it is to be run: with what is allocated in the place of what is wanted."""
    own = pod.spec.resources
    if own is not None and allocated.pod is not None and not same(own, allocated.pod):
        own = allocated.pod
    is_same = own is pod.spec.resources
    if is_same and all(_given(c, allocated) is c for c in (*pod.spec.containers, *pod.spec.init_containers)):
        return pod
    mains = tuple(_given(container, allocated) for container in pod.spec.containers)
    inits = tuple(_given(container, allocated) for container in pod.spec.init_containers)
    return replace(pod, spec=replace(pod.spec, containers=mains, init_containers=inits, resources=own))


def _given(container: Container, allocated: Allocated) -> Container:
    given = allocated.resources.get(container.name)
    if given is None or same(given, container.resources):
        return container
    return replace(container, resources=given)


def same(one: ResourceRequirements, other: ResourceRequirements) -> bool:
    """Whether both ask for the same amounts, however they are written."""
    if one == other:
        return True
    return demands.amounts(one.limits) == demands.amounts(other.limits) and demands.amounts(
        one.requests
    ) == demands.amounts(other.requests)


def decided(pod: Pod, allocatable: Mapping[str, int], shortage: Shortage | None) -> Allocated:
    """Grant what a changed spec asks for, or say why not; `shortage` is what the pod would lack."""
    if shortage is None:
        return wanted(pod)
    name, requested, used, capacity = shortage
    if requested > allocatable.get(name, 0):
        text = f"Node didn't have enough capacity: {name}, requested: {requested}, capacity: {capacity}"
        return Allocated(pending=Pending("Infeasible", text))
    text = f"Node didn't have enough resource: {name}, requested: {requested}, used: {used}, capacity: {capacity}"
    return Allocated(pending=Pending("Deferred", text))


def is_in_progress(pod: Pod, observed: ObservedPod, resized: Mapping[str, str]) -> bool:
    """Whether the pod or a running container has not been given yet what is allocated to it."""
    return is_pod_behind(pod, observed, resized) or is_a_container_behind(pod, observed, resized)


def is_a_container_behind(pod: Pod, observed: ObservedPod, resized: Mapping[str, str]) -> bool:
    """Whether a running container has not been given yet what is allocated to it."""
    for container in (*pod.spec.containers, *pod.spec.init_containers):
        current = observed.current(container.name)
        if current is None or not current.is_running:
            continue
        given = resized.get(current.id, current.resources)
        if given and given != resources.fingerprint(container):
            return True
    return False


def is_pod_behind(pod: Pod, observed: ObservedPod, resized: Mapping[str, str]) -> bool:
    """Whether the pod's own cgroup has not been given yet what is allocated to the pod itself."""
    sandbox = observed.ready_sandbox
    if sandbox is None:
        return False
    given = resized.get(sandbox.id, sandbox.resources)
    return bool(given) and given != resources.pod_fingerprint(pod)


def is_pod_shrinking(pod: Pod, observed: ObservedPod, resized: Mapping[str, str]) -> bool:
    """Whether a limit of the pod's own cgroup is to be lower than what it was given."""
    sandbox, wanted = observed.ready_sandbox, resources.pod_fingerprint(pod)
    given = resized.get(sandbox.id, sandbox.resources) if sandbox is not None else ""
    if not given or not wanted:
        return False
    limits = zip(given.split("/")[1:], wanted.split("/")[1:], strict=True)
    return any(int(new) > 0 and not 0 < int(old) <= int(new) for old, new in limits)
