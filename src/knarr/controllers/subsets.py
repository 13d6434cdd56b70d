"""The old Endpoints object: what EndpointSlices say, in one object of at most 1,000 addresses.

It has its Service's name and no owner: LEFTOVERS removes it after the Service. Not here: which pods serve a Service
(endpoints.py). A *subset* is the addresses of pods with the same ports. Spec: "Service: Endpoints".
"""

import math
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from knarr.base.clock import Instant
from knarr.client.client import DeleteOptions, Json
from knarr.client.view import View
from knarr.controllers import conditions, endpoints
from knarr.controllers.controller import Controller, Create, Delete, Key, Patch, Plan
from knarr.controllers.endpoints import Backend, Port, Standing
from knarr.kinds.core_config import NODE
from knarr.kinds.core_pod import POD
from knarr.kinds.core_service import ENDPOINTS, SERVICE
from knarr.kinds.lens.policy import Endpoints
from knarr.kinds.lens.service import Service

OURS: Final = "endpoints.kubernetes.io/managed-by"
ADDRESSES_MAX: Final = 1000
"""The most addresses that one object holds, as upstream: the object would grow past what a store takes."""
OVER_CAPACITY: Final = "endpoints.kubernetes.io/over-capacity"
"""The annotation that says "truncated" where addresses were left out."""


def plan(service: Service, view: View, _now: Instant) -> Plan:
    """Make the Endpoints object of the Service's name say what its pods are."""
    meta = service.metadata
    if not service.spec.selector or service.spec.type == "ExternalName" or meta.deletion_timestamp is not None:
        return Plan()
    found = endpoints.backends(service, view)
    every = wanted_subsets(service, found)
    subsets = truncated(every)
    over = "truncated" if subsets != every else None
    present = view.get(Endpoints, meta.namespace, meta.name)
    labels = {**meta.labels, OURS: "endpoint-controller", **endpoints.headless(service)}
    if present is None:
        marks = {endpoints.TRIGGER: endpoints.trigger(service, found, (), is_new=True), OVER_CAPACITY: over}
        return Plan([Create(ENDPOINTS, meta.namespace, _body(service, labels, marks, subsets), tolerate_existing=True)])
    raw: dict[str, Any] = msgspec.json.decode(view.raw(Endpoints, meta.namespace, meta.name) or b"{}")
    relabelled = (
        [endpoints.relabelling(ENDPOINTS, present.metadata, labels)] if present.metadata.labels != labels else []
    )
    before = raw.get("subsets") or []
    if before == subsets and present.metadata.annotations.get(OVER_CAPACITY) == over:
        return Plan(relabelled)
    marks = {endpoints.TRIGGER: endpoints.trigger(service, found, _standing(before), is_new=False), OVER_CAPACITY: over}
    guards = {"uid": present.metadata.uid, "resourceVersion": present.metadata.resource_version}
    change: Json = {"metadata": {**guards, "annotations": marks}, "subsets": subsets or None}
    return Plan([Patch(ENDPOINTS, meta.namespace, meta.name, change), *relabelled])


def _body(service: Service, labels: Json, marks: Json, subsets: Sequence[Json]) -> Json:
    meta = service.metadata
    metadata: Json = {"name": meta.name, "namespace": meta.namespace, "labels": labels}
    annotations = {key: value for key, value in marks.items() if value is not None}
    body = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": metadata | ({"annotations": annotations} if annotations else {}),
    }
    return body | ({"subsets": subsets} if subsets else {})


def _standing(subsets: Sequence[Json]) -> set[Standing]:
    return {
        ((address.get("targetRef") or {}).get("uid", ""), field == "addresses")
        for subset in subsets
        for field in ("addresses", "notReadyAddresses")
        for address in subset.get(field) or ()
    }


def wanted_subsets(service: Service, found: Sequence[Backend]) -> Sequence[Json]:
    """Pods with the same ports share a subset; terminating pods are in none."""
    groups: dict[tuple[Port, ...], list[Backend]] = {}
    for one in found:
        if not one.is_terminating or service.spec.publish_not_ready_addresses:
            groups.setdefault(one.ports, []).append(one)
    subsets: list[Json] = []
    for ports, members in sorted(groups.items(), key=lambda group: str(group[0])):
        ready = [_address(service, one) for one in members if one.is_ready]
        unready = [_address(service, one) for one in members if not one.is_ready]
        subset: Json = {"addresses": ready, "notReadyAddresses": unready, "ports": [_port(port) for port in ports]}
        subsets.append(conditions.pruned(subset))
    return subsets


def truncated(subsets: Sequence[Json]) -> Sequence[Json]:
    """The subsets cut to ADDRESSES_MAX: ready addresses before others, and each subset by its share."""
    ready, unready = (sum(len(one.get(field, ())) for one in subsets) for field in ("addresses", "notReadyAddresses"))
    if ready + unready <= ADDRESSES_MAX:
        return subsets
    cut, total, left = "addresses", ready, ADDRESSES_MAX
    if ready <= ADDRESSES_MAX:
        cut, total, left = "notReadyAddresses", unready, ADDRESSES_MAX - ready
    room = left
    found: list[Json] = []
    for one in subsets:
        share = min(left, math.ceil(len(one.get(cut, ())) * room / total))
        kept = {**one, cut: one.get(cut, [])[:share]} | ({"notReadyAddresses": []} if cut == "addresses" else {})
        left -= share
        if kept["notReadyAddresses"] or kept.get("addresses"):
            found.append(conditions.pruned(kept))
    return found


def _address(service: Service, one: Backend) -> Json:
    pod = one.pod
    found: Json = {"ip": pod.status.pod_ip, "targetRef": endpoints.reference(pod)}
    if pod.spec.node_name:
        found["nodeName"] = pod.spec.node_name
    if pod.spec.hostname and pod.spec.subdomain == service.metadata.name:
        found["hostname"] = pod.spec.hostname
    return found


def _port(port: Port) -> Json:
    return conditions.pruned(endpoints.port_of(port))


def endpoints_keys(one: Endpoints, view: View) -> Sequence[Key]:
    """Endpoints have their Service's name."""
    key = (one.metadata.namespace, one.metadata.name)
    return [key] if view.get(Service, *key) is not None else []


def plan_leftover(one: Endpoints, view: View, _now: Instant) -> Plan:
    """Endpoints that we made have no owner: they go when their Service is gone."""
    meta = one.metadata
    if meta.labels.get(OURS) != "endpoint-controller" or meta.deletion_timestamp is not None:
        return Plan()
    if view.get(Service, meta.namespace, meta.name) is not None:
        return Plan()
    return Plan([Delete(ENDPOINTS, meta.namespace, meta.name, DeleteOptions(uid=meta.uid))])


CONTROLLER = Controller(
    "endpoint-controller",
    kind=SERVICE,
    plan=plan,
    watches={POD: endpoints.pod_keys, ENDPOINTS: endpoints_keys},
    reads=(NODE,),
    writes=(ENDPOINTS,),
)
LEFTOVERS = Controller(
    "endpoint-leftovers-controller",
    kind=ENDPOINTS,
    plan=plan_leftover,
    watches={SERVICE: endpoints.service_key},
    writes=(ENDPOINTS,),
)
