"""ResourceQuota: what a namespace uses of what it may use, counted anew whenever something comes or goes.

Admission refuses what would be too much and raises `used` itself; this controller lowers it again and repairs it.
Counted: objects of every built-in kind (`pods`, `count/deployments.apps`, …), the compute resources of pods that have
not ended, by scope, and the storage that claims ask for, by class.
Not counted: custom resources. Spec: "Resource Quotas".
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any, Final

from knarr.client.view import View
from knarr.controllers.controller import Controller, Key, Plan
from knarr.kinds import pod_amounts, quota_scopes
from knarr.kinds.core_pod import POD
from knarr.kinds.core_service import SERVICE
from knarr.kinds.core_storage import PERSISTENTVOLUMECLAIM
from knarr.kinds.lens.container import Container
from knarr.kinds.lens.pod import Pod
from knarr.kinds.lens.policy import ResourceQuota
from knarr.kinds.lens.service import Service
from knarr.kinds.lens.storage import PersistentVolumeClaim
from knarr.kinds.policy import RESOURCEQUOTA
from knarr.kinds.registry import Kind
from knarr.objects import quantity

# Whose content is counted, not only their number.
READ: Final[tuple[Kind, ...]] = (POD, SERVICE, PERSISTENTVOLUMECLAIM)
BY_CLASS: Final = ".storageclass.storage.k8s.io/"
# The old names that count objects of the core group without `count/`.
PLAIN: Final = frozenset(
    {"pods", "configmaps", "secrets", "services", "persistentvolumeclaims", "replicationcontrollers", "resourcequotas"}
)


def plan(kinds: Mapping[str, Kind], quota: ResourceQuota, view: View) -> Plan:
    """`used` for every name in `hard`; `kinds` by the names that count them."""
    used = {name: usage(name, kinds, quota, view) for name in quota.spec.hard}
    return Plan(status={"hard": dict(quota.spec.hard), "used": used} if used else {})


def usage(name: str, kinds: Mapping[str, Kind], quota: ResourceQuota, view: View) -> str:
    """What is used of one resource; 0 for a name that knarr does not count."""
    namespace = quota.metadata.namespace
    if name == "pods":
        return str(len(counted_pods(quota, view)))
    if name in PLAIN - {"persistentvolumeclaims"} or name.startswith("count/"):
        selector = quota.spec.scope_selector
        if quota.spec.scopes or (selector is not None and selector.match_expressions):
            return "0"  # scopes choose pods and claims
        counted = kinds.get(name.removeprefix("count/"))
        return str(view.count(counted, namespace) if counted is not None else 0)
    if name in ("persistentvolumeclaims", "requests.storage") or BY_CLASS in name:
        return storage(name, quota, view)
    if name in ("services.nodeports", "services.loadbalancers"):
        return str(_service_count(name, view.list(Service, namespace)))
    side, resource = (
        ("limits", name[7:]) if name.startswith("limits.") else ("requests", name.removeprefix("requests."))
    )
    total = sum((pod_amount(pod, side, resource) for pod in counted_pods(quota, view)), Fraction(0))
    return quantity.text(total, like=quota.spec.hard[name])


def storage(name: str, quota: ResourceQuota, view: View) -> str:
    """`requests.storage` or `persistentvolumeclaims` over all claims, or over those of one class."""
    of_class, _, what = name.partition(BY_CLASS) if BY_CLASS in name else ("", "", name)
    found = [
        claim
        for claim in view.list(PersistentVolumeClaim, quota.metadata.namespace)
        if (not of_class or claim.spec.storage_class_name == of_class) and _chooses_claim(quota, claim)
    ]
    if what == "persistentvolumeclaims":
        return str(len(found))
    sizes = (claim.spec.resources.requests.get("storage") for claim in found)
    total = sum((quantity.parse(size) for size in sizes if size), Fraction(0))
    return quantity.text(total, like=quota.spec.hard[name])


def _chooses_claim(quota: ResourceQuota, claim: PersistentVolumeClaim) -> bool:
    """Is the claim in all scopes of the quota? Only one scope chooses claims."""
    selector = quota.spec.scope_selector
    scopes: list[tuple[str, str, Sequence[str]]] = [(scope, "Exists", ()) for scope in quota.spec.scopes]
    scopes += [(one.scope_name, one.operator, one.values) for one in (selector.match_expressions if selector else ())]
    modify = claim.status.modify_volume_status
    classes = quota_scopes.attributes_classes(
        claim.spec.volume_attributes_class_name,
        claim.status.current_volume_attributes_class_name,
        modify.target_volume_attributes_class_name if modify is not None else None,
    )
    return all(
        scope == quota_scopes.ATTRIBUTES_CLASS and quota_scopes.holds(operator, values, classes)
        for scope, operator, values in scopes
    )


def _service_count(name: str, services: Iterable[Service]) -> int:
    if name == "services.loadbalancers":
        return sum(service.spec.type == "LoadBalancer" for service in services)
    return sum(len(service.spec.ports) for service in services if service.spec.type in ("NodePort", "LoadBalancer"))


def counted_pods(quota: ResourceQuota, view: View) -> Sequence[Pod]:
    """The pods that have not ended and are in all scopes of the quota."""
    alive = [pod for pod in view.list(Pod, quota.metadata.namespace) if pod.status.phase not in ("Succeeded", "Failed")]
    tests: list[Callable[[Pod], bool]] = [scope_test(scope) for scope in quota.spec.scopes]
    if quota.spec.scope_selector is not None:
        for one in quota.spec.scope_selector.match_expressions:
            tests.append(_selected(one.scope_name, one.operator, one.values))
    return [pod for pod in alive if all(test(pod) for test in tests)]


def scope_test(name: str) -> Callable[[Pod], bool]:
    return {
        "Terminating": lambda pod: pod.spec.active_deadline_seconds is not None,
        "NotTerminating": lambda pod: pod.spec.active_deadline_seconds is None,
        "BestEffort": lambda pod: pod.status.qos_class == "BestEffort",
        "NotBestEffort": lambda pod: pod.status.qos_class != "BestEffort",
        "PriorityClass": lambda pod: bool(pod.spec.priority_class_name),
        "CrossNamespacePodAffinity": _looks_elsewhere,
    }.get(name, lambda _pod: False)


def _looks_elsewhere(pod: Pod) -> bool:
    """Whether a term of affinity or anti-affinity names namespaces."""
    affinity = pod.spec.affinity
    kinds = (affinity.pod_affinity, affinity.pod_anti_affinity) if affinity is not None else ()
    for one in kinds:
        if one is not None:
            preferred = (each.pod_affinity_term for each in one.preferred_during_scheduling_ignored_during_execution)
            terms = (*one.required_during_scheduling_ignored_during_execution, *preferred)
            if any(term.namespaces or term.namespace_selector is not None for term in terms):
                return True
    return False


def _selected(scope: str, operator: str, values: Sequence[str]) -> Callable[[Pod], bool]:
    if scope != "PriorityClass" or operator == "Exists":
        return scope_test(scope)
    match operator:
        case "In":
            return lambda pod: pod.spec.priority_class_name in values
        case "NotIn":
            return lambda pod: pod.spec.priority_class_name not in values
        case _:
            return lambda pod: not pod.spec.priority_class_name


def pod_amount(pod: Pod, side: str, resource: str) -> Fraction:
    """What a pod asks for at most, or as a whole where it says so, plus overhead."""
    whole: Mapping[str, str] = getattr(pod.spec.resources, side) if pod.spec.resources is not None else {}
    if resource in whole:
        asked = quantity.parse(whole[resource])
    else:
        running = sum((_amount(container, side, resource) for container in pod.spec.containers), Fraction(0))
        starting = ((_amount(one, side, resource), one.restart_policy == "Always") for one in pod.spec.init_containers)
        asked = pod_amounts.at_most(running, starting)
    overhead = pod.spec.overhead.get(resource)
    return asked + (quantity.parse(overhead) if overhead else Fraction(0))


def _amount(container: Container, side: str, resource: str) -> Fraction:
    given: Mapping[str, str] = getattr(container.resources, side)
    return quantity.parse(given[resource]) if resource in given else Fraction(0)


def namespace_keys(changed: Any, view: View) -> Sequence[Key]:
    """The quotas of the namespace of whatever came, went or ended."""
    found = view.list(ResourceQuota, changed.metadata.namespace)
    return [(one.metadata.namespace, one.metadata.name) for one in found]


def controller(kinds: Sequence[Kind]) -> Controller:
    """The controller over these namespaced kinds; Events are nobody's quota."""
    counted = [kind for kind in kinds if kind.kind != "Event"]
    by_name = {f"{kind.plural}.{kind.group}" if kind.group else kind.plural: kind for kind in counted}
    return Controller(
        "resourcequota-controller",
        kind=RESOURCEQUOTA,
        plan=lambda quota, view, _now: plan(by_name, quota, view),
        watches=dict.fromkeys(READ, namespace_keys),
        glances={kind: namespace_keys for kind in counted if kind not in READ},
    )
