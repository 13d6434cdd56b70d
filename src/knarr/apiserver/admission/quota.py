"""ResourceQuota: a write is refused when it would use more of a namespace than a quota gives.

Use is counted from the store itself, plus what writes under way hold; status.used is a controller's. Deletions and
updates that use no more are never refused. Spec: "Resource Quotas".
"""

from fractions import Fraction
from typing import Any, Final

import msgspec

from knarr.apiserver import status
from knarr.apiserver.context import RequestContext
from knarr.apiserver.resources import Json, Resource
from knarr.kinds import pod_amounts, quality, quota_scopes
from knarr.objects import pod_level, quantity

QUOTAS: Final = "/registry/resourcequotas/"
Usage = dict[str, Fraction]
# Kinds that a quota may name without `count/`.
NAMED: Final = frozenset(
    {"pods", "services", "replicationcontrollers", "resourcequotas", "secrets", "configmaps", "persistentvolumeclaims"}
)
MEASURED: Final = frozenset({"Pod", "Service", "PersistentVolumeClaim"})
"""Kinds whose objects use more than their number."""
_COMPUTE: Final = ("cpu", "memory", "ephemeral-storage")


def check(context: RequestContext, obj: Json, old: Json | None) -> Json:
    """Hold what the object uses until its write ends. Raises Forbidden past a quota."""
    resource, namespace = context.resource, context.route.namespace
    if not resource.kind.is_namespaced or context.route.subresource not in ("", "resize"):
        return obj
    if old is not None and resource.stored.kind not in MEASURED:
        return obj  # one it was, and one it stays
    entries = context.server.store.list(f"{QUOTAS}{namespace}/").entries
    if not entries:
        return obj
    wanted, had = usage(resource, obj), usage(resource, old) if old is not None else {}
    more = {name: value - had.get(name, Fraction(0)) for name, value in wanted.items()}
    more = {name: value for name, value in more.items() if value > 0}
    if not more:
        return obj
    for entry in entries:
        _check_one(context, msgspec.json.decode(entry.value), obj, more)
    _hold(context, more)
    return obj


def _check_one(context: RequestContext, found: Json, obj: Json, more: Usage) -> None:
    spec = found.get("spec") or {}
    if not in_scope(spec, obj):
        return
    hard = {name: quantity.parse(value) for name, value in (spec.get("hard") or {}).items()}
    name = found["metadata"]["name"]
    if context.resource.stored.kind == "Pod":
        _check_specified(context, name, hard, obj)
    concerned = [each for each in hard if each in more]
    if not concerned:
        return
    used = _used(context, spec)
    held = context.server.quota_holds.get(context.route.namespace, {})
    over = [
        each
        for each in concerned
        if used.get(each, Fraction(0)) + held.get(each, Fraction(0)) + more[each] > hard[each]
    ]
    if over:
        over.sort()
        texts = (
            ("requested", {each: more[each] for each in over}),
            ("used", {each: used.get(each, Fraction(0)) for each in over}),
            ("limited", {each: hard[each] for each in over}),
        )
        given = spec["hard"]
        words = ", ".join(
            f"{word}: {','.join(f'{k}={quantity.text(v, like=given[k])}' for k, v in values.items())}"
            for word, values in texts
        )
        raise status.forbidden(
            context.resource.qualified, obj["metadata"].get("name", ""), f"exceeded quota: {name}, {words}"
        )


def _check_specified(context: RequestContext, name: str, hard: Usage, obj: Json) -> None:
    """A quota on compute resources wants every container to name them."""
    missing: dict[str, list[str]] = {}
    spec = obj.get("spec") or {}
    if pod_level.is_set(spec):
        return  # the pod as a whole says it
    for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        given = _container(container)
        for wanted in hard:
            plain = wanted if wanted not in ("cpu", "memory") else f"requests.{wanted}"
            if (
                plain.startswith(("requests.cpu", "requests.memory", "limits.cpu", "limits.memory"))
                and plain not in given
            ):
                missing.setdefault(wanted, []).append(container.get("name", ""))
    if missing:
        text = "; ".join(f"{wanted} for: {','.join(names)}" for wanted, names in sorted(missing.items()))
        raise status.forbidden("pods", obj["metadata"].get("name", ""), f"failed quota: {name}: must specify {text}")


def in_scope(spec: Json, obj: Json) -> bool:
    """Whether a quota's scopes choose the object; scopes choose pods, and one of them claims."""
    scopes = [{"scopeName": scope, "operator": "Exists"} for scope in spec.get("scopes") or ()]
    scopes += (spec.get("scopeSelector") or {}).get("matchExpressions") or []
    if not scopes:
        return True
    test = {"Pod": _scope_holds, "PersistentVolumeClaim": _class_holds}.get(obj.get("kind", ""))
    return test is not None and all(test(scope, obj) for scope in scopes)


def _class_holds(scope: Json, claim: Json) -> bool:
    status = claim.get("status") or {}
    classes = quota_scopes.attributes_classes(
        (claim.get("spec") or {}).get("volumeAttributesClassName"),
        status.get("currentVolumeAttributesClassName"),
        (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName"),
    )
    is_of_claims = scope["scopeName"] == quota_scopes.ATTRIBUTES_CLASS
    return is_of_claims and quota_scopes.holds(scope.get("operator", ""), scope.get("values") or (), classes)


def _scope_holds(scope: Json, pod: Json) -> bool:
    spec = pod.get("spec") or {}
    match scope["scopeName"]:
        case "Terminating":
            return spec.get("activeDeadlineSeconds") is not None
        case "NotTerminating":
            return spec.get("activeDeadlineSeconds") is None
        case "BestEffort":
            return quality.of_pod(spec) == "BestEffort"
        case "NotBestEffort":
            return quality.of_pod(spec) != "BestEffort"
        case "PriorityClass":
            name, values = spec.get("priorityClassName"), scope.get("values") or []
            match scope.get("operator"):
                case "In":
                    return name in values
                case "NotIn":
                    return name not in values
                case "DoesNotExist":
                    return not name
                case _:
                    return bool(name)
        case "CrossNamespacePodAffinity":
            return any(term.get("namespaces") or "namespaceSelector" in term for term in _affinity_terms(spec))
        case _:
            return False


def _affinity_terms(spec: Json) -> list[Json]:
    """Every term of affinity and anti-affinity between pods, required or preferred."""
    affinity = spec.get("affinity") or {}
    terms: list[Json] = []
    for kind in ("podAffinity", "podAntiAffinity"):
        found = affinity.get(kind) or {}
        terms += found.get("requiredDuringSchedulingIgnoredDuringExecution") or []
        preferred = found.get("preferredDuringSchedulingIgnoredDuringExecution") or []
        terms += [each.get("podAffinityTerm") or {} for each in preferred]
    return terms


def _used(context: RequestContext, spec: Json) -> Usage:
    """What the namespace's objects of the written kind use now."""
    resource = context.resource
    total: Usage = {}
    listed = context.server.store.list(resource.list_prefix(context.route.namespace))
    is_scoped = bool(spec.get("scopes") or spec.get("scopeSelector"))
    if resource.stored.kind not in MEASURED and not is_scoped:
        return dict.fromkeys(counted(resource), Fraction(len(listed.entries)))
    for entry in listed.entries:
        obj: Json = msgspec.json.decode(entry.value)
        if in_scope(spec, obj):
            for name, value in usage(resource, obj).items():
                total[name] = total.get(name, Fraction(0)) + value
    return total


def counted(resource: Resource) -> list[str]:
    """The names under which one object of the kind counts as one."""
    names = [f"count/{resource.qualified}"]
    if not resource.group and resource.plural in NAMED:
        names.append(resource.plural)
    return names


def usage(resource: Resource, obj: Json) -> Usage:
    """What one object uses."""
    spec = obj.get("spec") or {}
    used: Usage = dict.fromkeys(counted(resource), Fraction(1))
    match resource.stored.kind:
        case "Pod":
            if (obj.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
                return {f"count/{resource.qualified}": Fraction(1)}
            used |= _pod(spec)
        case "Service":
            ports = len([port for port in spec.get("ports") or () if port.get("nodePort")])
            if spec.get("type") in ("NodePort", "LoadBalancer"):
                used["services.nodeports"] = Fraction(ports)
            if spec.get("type") == "LoadBalancer":
                used["services.loadbalancers"] = Fraction(1)
        case "PersistentVolumeClaim":
            requested = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
            names = {"persistentvolumeclaims": Fraction(1)}
            if requested:
                names["requests.storage"] = quantity.parse(requested)
            used |= names
            of_class = spec.get("storageClassName")
            if of_class:
                used |= {f"{of_class}.storageclass.storage.k8s.io/{name}": value for name, value in names.items()}
    return used


def _pod(spec: Json) -> Usage:
    """What a pod takes at most, or as a whole where it says so, plus the overhead of the runtime class."""
    running = [_container(container) for container in spec.get("containers") or ()]
    starting = [
        (_container(container), container.get("restartPolicy") == "Always")
        for container in spec.get("initContainers") or ()
    ]
    zero, together = Fraction(0), _container({"resources": spec.get("resources") or {}})
    for name in {name for each in (*running, *(used for used, _ in starting)) for name in each}:
        if name not in together:
            at_once = sum((each.get(name, zero) for each in running), zero)
            together[name] = pod_amounts.at_most(at_once, ((used.get(name, zero), stays) for used, stays in starting))
    for name, value in _container({"resources": {"requests": spec.get("overhead") or {}}}).items():
        together[name] = together.get(name, Fraction(0)) + value
        limit = "limits." + name.removeprefix("requests.")
        if limit in together and name.startswith("requests."):
            together[limit] += value
    return together


def _container(container: Json) -> Usage:
    resources = container.get("resources") or {}
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    used: Usage = {}
    for name, value in {**limits, **requests}.items():
        used[f"requests.{name}"] = quantity.parse(value)
        if name in _COMPUTE:
            used[name] = quantity.parse(value)
    for name, value in limits.items():
        used[f"limits.{name}"] = quantity.parse(value)
    return used


def _hold(context: RequestContext, more: Usage) -> None:
    held: dict[str, Any] = context.server.quota_holds.setdefault(context.route.namespace, {})
    for name, value in more.items():
        held[name] = held.get(name, Fraction(0)) + value

    def release() -> None:
        for name, value in more.items():
            held[name] -= value

    context.releases.append(release)
