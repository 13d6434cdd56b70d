"""Node admission: may a pod that was bound to this node run here? The kubelet's own word, after the scheduler's. Pure.

A refused pod is Failed for good, with upstream's reason and message (docs: Pod Lifecycle, pods that are rejected by the
kubelet). `refusal` asks the questions in upstream's order; each answers None or why not. Who is asked about what, and
when, is allocations.py's.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from knarr.kinds import nodes
from knarr.kinds.lens.node import Node
from knarr.kinds.lens.pod import Pod
from knarr.kinds.lens.scheduling import Taint
from knarr.kubelet import demands, members, sysctls
from knarr.kubelet.standing import Stop

CRITICAL_PRIORITY: Final = 2_000_000_000
AFFINITY: Final = "NodeAffinity"
_STATIC: Final = "kubernetes.io/config.source"
_SHORT_OF_MEMORY: Final = Taint(key="node.kubernetes.io/memory-pressure", effect="NoSchedule")


@dataclass(frozen=True, slots=True)
class Place:
    """This node as a pod meets it: `others` are the pods that hold something of it already."""

    node: Node
    allocatable: Mapping[str, int]
    others: Sequence[Pod] = ()
    pressures: frozenset[str] = frozenset()
    has_apparmor: bool = False
    used: Mapping[str, int] | None = None
    """What `others` hold, where somebody has summed it up already."""
    unsafe_sysctls: tuple[str, ...] = field(default=())
    """Patterns of sysctls beyond the safe ones that pods may set: a name, or a prefix ending in `*`."""


def refusal(pod: Pod, place: Place) -> Stop | None:
    """Why the pod may not run here: the first reason there is."""
    return next((why for ask in _QUESTIONS if (why := ask(pod, place)) is not None), None)


def is_critical(pod: Pod) -> bool:
    """Whether the pod must run: a static one, or one of the system's priority classes."""
    return (pod.spec.priority or 0) >= CRITICAL_PRIORITY or is_static(pod)


def is_static(pod: Pod) -> bool:
    return pod.metadata.annotations.get(_STATIC, "api") != "api"


def _pressed(pod: Pod, place: Place) -> Stop | None:
    """Under pressure nothing new begins; when only memory is short, what asked for some or tolerates its want does."""
    if not place.pressures or is_critical(pod):
        return None
    is_meant = members.qos_class(pod) != "BestEffort" or nodes.is_tolerated(_SHORT_OF_MEMORY, pod.spec.tolerations)
    if place.pressures == {"MemoryPressure"} and is_meant:
        return None
    return Stop("Evicted", f"The node had condition: [{' '.join(sorted(place.pressures))}]. ")


def _sysctls(pod: Pod, place: Place) -> Stop | None:
    why = sysctls.refusal(pod, place.unsafe_sysctls)
    return Stop("SysctlForbidden", f"forbidden sysctl: {why}") if why else None


def _os(pod: Pod, place: Place) -> Stop | None:
    if pod.spec.os is None or pod.spec.os.name in ("", "linux"):
        return None
    return Stop("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS")


def _resources(pod: Pod, place: Place) -> Stop | None:
    short = shortage(pod, place)
    if short is None:
        return None
    name, requested, used, capacity = short
    text = f"requested: {requested}, used: {used}, capacity: {capacity}"
    return Stop(f"OutOf{name}", f"Node didn't have enough resource: {name}, {text}")


def shortage(pod: Pod, place: Place) -> tuple[str, int, int, int] | None:
    """(resource, requested, used, capacity) of the first resource that does not suffice."""
    return next(_shortages(pod, place), None)


def missing(pod: Pod, place: Place) -> dict[str, int] | None:
    """By resource, what would have to be free beyond what is; None if it is something else that refuses the pod."""
    found = {name: requested - (capacity - used) for name, requested, used, capacity in _shortages(pod, place)}
    others = (ask for ask in _QUESTIONS if ask is not _resources)
    return found if found and all(ask(pod, place) is None for ask in others) else None


def _shortages(pod: Pod, place: Place) -> Iterator[tuple[str, int, int, int]]:
    used = place.used
    if used is None:
        used = demands.total(demands.requests(other) for other in place.others)
    for name, requested in sorted(demands.requests(pod).items(), key=lambda pair: pair[0] != "pods"):
        capacity = place.allocatable.get(name, 0)
        if requested > 0 and used.get(name, 0) + requested > capacity:
            yield name, requested, used.get(name, 0), capacity


def _affinity(pod: Pod, place: Place) -> Stop | None:
    labels = place.node.metadata.labels
    is_meant = all(labels.get(key) == value for key, value in pod.spec.node_selector.items())
    if is_meant and nodes.matches_affinity(pod.spec.affinity, place.node):
        return None
    return Stop(AFFINITY, "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector")


def _ports(pod: Pod, place: Place) -> Stop | None:
    wanted = _host_ports(pod)
    held = [port for other in place.others for port in _host_ports(other)] if wanted else []
    for protocol, address, number in wanted:
        for other_protocol, other_address, other_number in held:
            is_same = (protocol, number) == (other_protocol, other_number)
            if is_same and (address == other_address or "" in (address, other_address)):
                text = "node(s) didn't have free ports for the requested pod ports"
                return Stop("NodePorts", f"Predicate NodePorts failed: {text}")
    return None


def _host_ports(pod: Pod) -> list[tuple[str, str, int]]:
    """(protocol, address, port) of the host's ports that the pod takes; "" is every address."""
    return [
        (port.protocol or "TCP", "" if port.host_ip in ("0.0.0.0", "::") else port.host_ip, port.host_port)  # noqa: S104  # compared with, never bound to
        for container in (*members.sidecars(pod), *pod.spec.containers)
        for port in container.ports
        if port.host_port
    ]


def _taints(pod: Pod, place: Place) -> Stop | None:
    """A static pod has met no scheduler, so nobody else has looked at the taints."""
    if not is_static(pod):
        return None
    for taint in place.node.spec.taints:
        if taint.effect == "NoExecute" and not nodes.is_tolerated(taint, pod.spec.tolerations):
            text = "node(s) had taints that the pod didn't tolerate"
            return Stop("TaintToleration", f"Predicate TaintToleration failed: {text}")
    return None


def _apparmor(pod: Pod, place: Place) -> Stop | None:
    if place.has_apparmor:
        return None
    own = pod.spec.security_context
    contexts = [own, *(container.security_context for container in members.every(pod))]
    wanted = [context.app_armor_profile for context in contexts if context is not None]
    if any(profile is not None and profile.type == "Localhost" for profile in wanted):
        return Stop("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host")
    return None


_QUESTIONS: Final[tuple[Callable[[Pod, Place], Stop | None], ...]] = (
    _pressed,
    _sysctls,
    _os,
    _resources,
    _affinity,
    _ports,
    _taints,
    _apparmor,
)
