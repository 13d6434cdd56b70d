"""ResourceQuota: what a namespace uses of what it may use, counted anew whenever something comes or goes.

Admission refuses what would be too much and raises `used` itself; this controller lowers it again and repairs it.
Counted: objects (`pods`, `count/deployments.apps`, …) and the compute resources of pods that have not ended, by scope.
Spec: "Resource Quotas".
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any, Final

from knarr.base.clock import Instant
from knarr.client.view import View
from knarr.controllers.controller import Controller, Key, Plan
from knarr.kinds.apps import DAEMONSET, DEPLOYMENT, REPLICASET, REPLICATIONCONTROLLER, STATEFULSET
from knarr.kinds.batch import CRONJOB, JOB
from knarr.kinds.core_config import CONFIGMAP, SECRET, SERVICEACCOUNT
from knarr.kinds.core_pod import POD
from knarr.kinds.core_service import SERVICE
from knarr.kinds.core_storage import PERSISTENTVOLUMECLAIM
from knarr.kinds.lens.container import Container
from knarr.kinds.lens.pod import Pod
from knarr.kinds.lens.policy import ResourceQuota
from knarr.kinds.lens.service import Service
from knarr.kinds.policy import RESOURCEQUOTA
from knarr.kinds.registry import Kind
from knarr.objects import quantity

COUNTED: Final[tuple[Kind, ...]] = (
    POD,
    CONFIGMAP,
    SECRET,
    SERVICE,
    SERVICEACCOUNT,
    PERSISTENTVOLUMECLAIM,
    REPLICATIONCONTROLLER,
    DEPLOYMENT,
    REPLICASET,
    STATEFULSET,
    DAEMONSET,
    JOB,
    CRONJOB,
)
# The old names that count objects of the core group without `count/`.
PLAIN: Final = frozenset(
    {"pods", "configmaps", "secrets", "services", "persistentvolumeclaims", "replicationcontrollers", "resourcequotas"}
)


def plan(quota: ResourceQuota, view: View, _now: Instant) -> Plan:
    """`used` for every name in `hard`."""
    used = {name: usage(name, quota, view) for name in quota.spec.hard}
    return Plan(status={"hard": dict(quota.spec.hard), "used": used} if used else {})


def usage(name: str, quota: ResourceQuota, view: View) -> str:
    """What is used of one resource; 0 for a name that knarr does not count."""
    namespace = quota.metadata.namespace
    if name == "pods":
        return str(len(counted_pods(quota, view)))
    if name in PLAIN or name.startswith("count/"):
        return str(_count(name.removeprefix("count/"), namespace, view))
    if name in ("services.nodeports", "services.loadbalancers"):
        return str(_service_count(name, view.list(Service, namespace)))
    side, resource = (
        ("limits", name[7:]) if name.startswith("limits.") else ("requests", name.removeprefix("requests."))
    )
    total = sum((pod_amount(pod, side, resource) for pod in counted_pods(quota, view)), Fraction(0))
    return quantity.text(total, like=quota.spec.hard[name])


def _count(resource: str, namespace: str, view: View) -> int:
    for kind in (*COUNTED, RESOURCEQUOTA):
        if resource == (f"{kind.plural}.{kind.group}" if kind.group else kind.plural):
            assert kind.lens is not None
            return len(view.list(kind.lens, namespace))
    return 0


def _service_count(name: str, services: Iterable[Service]) -> int:
    if name == "services.loadbalancers":
        return sum(service.spec.type == "LoadBalancer" for service in services)
    return sum(len(service.spec.ports) for service in services if service.spec.type in ("NodePort", "LoadBalancer"))


def counted_pods(quota: ResourceQuota, view: View) -> Sequence[Pod]:
    """The pods that have not ended and are in all scopes of the quota."""
    alive = [pod for pod in view.list(Pod, quota.metadata.namespace) if pod.status.phase not in ("Succeeded", "Failed")]
    tests: list[Callable[[Pod], bool]] = [_scope(scope) for scope in quota.spec.scopes]
    if quota.spec.scope_selector is not None:
        for one in quota.spec.scope_selector.match_expressions:
            tests.append(_selected(one.scope_name, one.operator, one.values))
    return [pod for pod in alive if all(test(pod) for test in tests)]


def _scope(name: str) -> Callable[[Pod], bool]:
    return {
        "Terminating": lambda pod: pod.spec.active_deadline_seconds is not None,
        "NotTerminating": lambda pod: pod.spec.active_deadline_seconds is None,
        "BestEffort": lambda pod: pod.status.qos_class == "BestEffort",
        "NotBestEffort": lambda pod: pod.status.qos_class != "BestEffort",
        "PriorityClass": lambda pod: bool(pod.spec.priority_class_name),
    }.get(name, lambda _pod: False)


def _selected(scope: str, operator: str, values: Sequence[str]) -> Callable[[Pod], bool]:
    if scope != "PriorityClass" or operator == "Exists":
        return _scope(scope)
    match operator:
        case "In":
            return lambda pod: pod.spec.priority_class_name in values
        case "NotIn":
            return lambda pod: pod.spec.priority_class_name not in values
        case _:
            return lambda pod: not pod.spec.priority_class_name


def pod_amount(pod: Pod, side: str, resource: str) -> Fraction:
    """What a pod asks for: the sum of its containers, or the largest init container, plus overhead."""
    running = [*pod.spec.containers, *(one for one in pod.spec.init_containers if one.restart_policy == "Always")]
    together = sum((_amount(container, side, resource) for container in running), Fraction(0))
    first = [one for one in pod.spec.init_containers if one.restart_policy != "Always"]
    largest = max((_amount(container, side, resource) for container in first), default=Fraction(0))
    overhead = pod.spec.overhead.get(resource)
    return max(together, largest) + (quantity.parse(overhead) if overhead else Fraction(0))


def _amount(container: Container, side: str, resource: str) -> Fraction:
    given: Mapping[str, str] = getattr(container.resources, side)
    return quantity.parse(given[resource]) if resource in given else Fraction(0)


def namespace_keys(changed: Any, view: View) -> Sequence[Key]:
    """The quotas of the namespace of whatever came, went or ended."""
    found = view.list(ResourceQuota, changed.metadata.namespace)
    return [(one.metadata.namespace, one.metadata.name) for one in found]


CONTROLLER = Controller(
    "resourcequota-controller",
    kind=RESOURCEQUOTA,
    plan=plan,
    watches=dict.fromkeys(COUNTED, namespace_keys),
)
