"""LimitRanger: defaults and bounds of resources by the LimitRanges of a namespace. Spec: "Limit Ranges"."""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from knarr.apiserver import status
from knarr.apiserver.context import RequestContext
from knarr.apiserver.resources import Json
from knarr.objects import pod_level, quantity

RANGES: Final = "/registry/limitranges/"
_EXEMPT: Final = frozenset({"resize", "status", "ephemeralcontainers", "binding"})


def _ranges(context: RequestContext, old: Json | None) -> list[Json]:
    """The limit items that concern this write."""
    resource = context.resource
    if resource.stored.kind not in ("Pod", "PersistentVolumeClaim") or context.route.subresource in _EXEMPT:
        return []
    if old is not None and resource.stored.kind == "Pod":
        return []
    entries = context.server.store.list(f"{RANGES}{context.route.namespace}/").entries
    return [item for entry in entries for item in _decoded(entry.value)]


def _decoded(value: bytes) -> list[Json]:
    found: Json = msgspec.json.decode(value)
    return (found.get("spec") or {}).get("limits") or []


def defaults(context: RequestContext, obj: Json, old: Json | None) -> Json:
    """Requests and limits of containers that name none."""
    items = [item for item in _ranges(context, old) if item.get("type") == "Container"]
    if not items or context.resource.stored.kind != "Pod":
        return obj
    spec = dict(obj.get("spec") or {})
    for field in ("containers", "initContainers"):
        if spec.get(field):
            spec[field] = [_filled(container, items) for container in spec[field]]
    return {**obj, "spec": spec}


def _filled(container: Json, items: list[Json]) -> Json:
    resources = dict(container.get("resources") or {})
    limits, requests = dict(resources.get("limits") or {}), dict(resources.get("requests") or {})
    for item in items:
        for name, value in (item.get("default") or {}).items():
            limits.setdefault(name, value)
        for name, value in (item.get("defaultRequest") or {}).items():
            requests.setdefault(name, limits.get(name, value) if name in (resources.get("limits") or {}) else value)
    if limits:
        resources["limits"] = limits
    if requests:
        resources["requests"] = requests
    return {**container, "resources": resources}


def check(context: RequestContext, obj: Json, old: Json | None) -> Json:
    """Refuse what is outside of min, max and maxLimitRequestRatio."""
    items = _ranges(context, old)
    if not items:
        return obj
    found = [fault for item in items for fault in faults(item, obj)]
    if found:
        text = found[0] if len(found) == 1 else f"[{', '.join(found)}]"
        raise status.forbidden(context.resource.qualified, obj["metadata"].get("name", ""), text)
    return obj


def faults(item: Json, obj: Json) -> Iterator[str]:
    """What of an object is outside of one item. As upstream, a pod's overhead does not count."""
    spec = obj.get("spec") or {}
    kind = item.get("type")
    if kind == "Container" and obj["kind"] == "Pod":
        for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
            resources = container.get("resources") or {}
            yield from _bounded(item, resources.get("requests") or {}, resources.get("limits") or {})
    elif kind == "Pod" and obj["kind"] == "Pod":
        yield from _bounded(item, pod_level.amounts(spec, "requests"), pod_level.amounts(spec, "limits"))
    elif kind == "PersistentVolumeClaim" and obj["kind"] == "PersistentVolumeClaim":
        yield from _bounded(item, (spec.get("resources") or {}).get("requests") or {}, {})


def _bounded(item: Json, requests: Mapping[str, str], limits: Mapping[str, str]) -> Iterator[str]:
    kind = item.get("type")
    for name, bound in (item.get("min") or {}).items():
        given = requests.get(name, limits.get(name))
        if given is None:
            yield f"minimum {name} usage per {kind} is {bound}.  No request is specified"
        elif quantity.parse(given) < quantity.parse(bound):
            yield f"minimum {name} usage per {kind} is {bound}, but request is {given}"
    for name, bound in (item.get("max") or {}).items():
        given = limits.get(name)
        if given is None and kind != "PersistentVolumeClaim":
            yield f"maximum {name} usage per {kind} is {bound}.  No limit is specified"
        for word, value in (("limit", given), ("request", requests.get(name))):
            if value is not None and quantity.parse(value) > quantity.parse(bound):
                yield f"maximum {name} usage per {kind} is {bound}, but {word} is {value}"
                break
    for name, bound in (item.get("maxLimitRequestRatio") or {}).items():
        request, limit = requests.get(name), limits.get(name)
        if (
            request
            and limit
            and quantity.parse(request)
            and (quantity.parse(limit) / quantity.parse(request) > quantity.parse(bound))
        ):
            ratio = float(quantity.parse(limit) / quantity.parse(request))
            yield f"{name} max limit to request ratio per {kind} is {bound}, but provided ratio is {ratio:f}"
