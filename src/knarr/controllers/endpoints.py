"""Endpoints and EndpointSlices: which pods serve a Service, and which of them are ready.

One plan per Service, two controllers over it: slices of at most 100 endpoints (what proxies and DNS read), and the old
Endpoints object. A Service without a selector is somebody else's affair. Spec: "EndpointSlices", "Service".
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from knarr.base.clock import Instant, rfc3339
from knarr.client.client import DeleteOptions, Json
from knarr.client.view import View
from knarr.controllers import claims, conditions, pods
from knarr.controllers.controller import Action, Controller, Create, Delete, Key, Patch, Plan
from knarr.kinds.core_config import NODE
from knarr.kinds.core_pod import POD
from knarr.kinds.core_service import ENDPOINTS, ENDPOINTSLICE, SERVICE
from knarr.kinds.lens.meta import ObjectMeta
from knarr.kinds.lens.node import Node
from knarr.kinds.lens.pod import Pod
from knarr.kinds.lens.policy import Endpoints
from knarr.kinds.lens.service import EndpointSlice, Service, ServicePort
from knarr.kinds.registry import Kind

SLICE_MAX: Final = 100
ZONE: Final = "topology.kubernetes.io/zone"
HEADLESS: Final = "service.kubernetes.io/headless"
MANAGER: Final = "endpointslice-controller.k8s.io"
SERVICE_NAME: Final = "kubernetes.io/service-name"
MANAGED_BY: Final = "endpointslice.kubernetes.io/managed-by"
OURS: Final = "endpoints.kubernetes.io/managed-by"
TRIGGER: Final = "endpoints.kubernetes.io/last-change-trigger-time"


@dataclass(frozen=True, slots=True)
class Port:
    """One port of a Service on the pods; `number` may differ from pod to pod when the target is a name."""

    name: str
    number: int
    protocol: str
    app_protocol: str | None = None


@dataclass(frozen=True, slots=True)
class Backend:
    """One pod behind a Service."""

    pod: Pod
    ports: tuple[Port, ...]
    is_ready: bool
    is_serving: bool
    is_terminating: bool
    zone: str = ""


def backends(service: Service, view: View) -> Sequence[Backend]:
    """The pods that the selector chooses and that have an address and have not ended."""
    meta, chosen = service.metadata, service.spec.selector.items()
    found: list[Backend] = []
    for pod in view.list(Pod, meta.namespace):
        if not (chosen <= pod.metadata.labels.items()) or not pod.status.pod_ip:
            continue
        if pod.status.phase in ("Succeeded", "Failed"):
            continue
        serves = pods.is_ready(pod)
        is_terminating = pod.metadata.deletion_timestamp is not None
        ready = service.spec.publish_not_ready_addresses or (serves and not is_terminating)
        ports = tuple(port for one in service.spec.ports if (port := target(one, pod)) is not None)
        node = view.get(Node, "", pod.spec.node_name) if pod.spec.node_name else None
        zone = node.metadata.labels.get(ZONE, "") if node is not None else ""
        found.append(Backend(pod, ports, ready, serves, is_terminating, zone))
    return found


def target(port: ServicePort, pod: Pod) -> Port | None:
    """Where a Service's port leads on a pod; None where the pod has no port of that name."""
    wanted = port.target_port or port.port
    protocol = port.protocol or "TCP"
    if isinstance(wanted, int):
        return Port(port.name, wanted, protocol, port.app_protocol)
    for container in (*pod.spec.containers, *pod.spec.init_containers):
        for one in container.ports:
            if one.name == wanted and (one.protocol or "TCP") == protocol:
                return Port(port.name, one.container_port, protocol, port.app_protocol)
    return None


# -- EndpointSlices ----------------------------------------------------------------------------------------------------


def plan_slices(service: Service, view: View, now: Instant) -> Plan:
    """Make the Service's slices say what its pods are; slices that fit already are left alone."""
    meta = service.metadata
    if not service.spec.selector or service.spec.type == "ExternalName" or meta.deletion_timestamp is not None:
        return Plan()
    present = [
        one
        for one in view.owned(EndpointSlice, meta.uid)
        if one.metadata.labels.get(MANAGED_BY) == MANAGER and one.metadata.deletion_timestamp is None
    ]
    found = backends(service, view)
    labels = slice_labels(service)
    actions = [
        *slice_actions(present, wanted_slices(service, found), view, lambda each: slice_body(service, each, now)),
        *(relabelling(ENDPOINTSLICE, one.metadata, labels) for one in present if one.metadata.labels != labels),
    ]
    return Plan(actions, why=why(found))


def slice_labels(service: Service) -> dict[str, str]:
    """The Service's labels and ours; headless Services are marked, as upstream does for DNS."""
    meta = service.metadata
    labels = {**meta.labels, SERVICE_NAME: meta.name, MANAGED_BY: MANAGER}
    return labels | _headless(service)


def _headless(service: Service) -> dict[str, str]:
    return {HEADLESS: ""} if service.spec.cluster_ip == "None" else {}


def relabelling(kind: Kind, meta: ObjectMeta, labels: Mapping[str, str]) -> Action:
    """Give an object exactly these labels."""
    wanted: Json = {**dict.fromkeys(meta.labels), **labels}
    body = {"metadata": {"uid": meta.uid, "labels": wanted}}
    return Patch(kind, meta.namespace, meta.name, body, tolerate_absent=True)


def why(found: Sequence[Backend]) -> str:
    """In words, what keeps the Service from serving."""
    if not found:
        return "no pod that its selector chooses has an address"
    ready = sum(one.is_ready for one in found)
    return "" if ready else f"none of its {len(found)} pods is ready"


def slice_actions(
    present: Sequence[EndpointSlice], wanted: Sequence[Json], view: View, body: Callable[[Json], Json]
) -> Sequence[Action]:
    """What makes the slices hold the wanted contents: those that fit stay, others are changed, made or deleted."""
    actions: list[Action] = []
    free = list(present)
    missing: list[Json] = []
    for content in wanted:
        same = next((one for one in free if _content(view, one) == content), None)
        if same is not None:
            free.remove(same)
        else:
            missing.append(content)
    for content in missing:
        old = next((one for one in free if one.address_type == content["addressType"]), None)
        if old is not None:
            free.remove(old)
            actions.append(Patch(ENDPOINTSLICE, old.metadata.namespace, old.metadata.name, _changed(old, content)))
        else:
            made = body(content)
            actions.append(Create(ENDPOINTSLICE, made["metadata"]["namespace"], made))
    for old in free:
        options = DeleteOptions(uid=old.metadata.uid)
        actions.append(Delete(ENDPOINTSLICE, old.metadata.namespace, old.metadata.name, options))
    return actions


def wanted_slices(service: Service, found: Sequence[Backend]) -> Sequence[Json]:
    """Groups of pods with the same ports, cut at SLICE_MAX; one empty slice where there is none."""
    groups: dict[tuple[Port, ...], list[Backend]] = {}
    for one in found:
        groups.setdefault(one.ports, []).append(one)
    slices: list[Json] = []
    for ports, members in groups.items():
        for start in range(0, len(members), SLICE_MAX):
            endpoints = [_endpoint(service, one) for one in members[start : start + SLICE_MAX]]
            slices.append({"addressType": "IPv4", "endpoints": endpoints, "ports": [_port(port) for port in ports]})
    return slices or [{"addressType": "IPv4", "endpoints": [], "ports": []}]


def _endpoint(service: Service, one: Backend) -> Json:
    pod = one.pod
    found: Json = {
        "addresses": [pod.status.pod_ip],
        "conditions": {"ready": one.is_ready, "serving": one.is_serving, "terminating": one.is_terminating},
        "targetRef": _reference(pod),
    }
    if pod.spec.node_name:
        found["nodeName"] = pod.spec.node_name
    if one.zone:
        found["zone"] = one.zone
    if pod.spec.hostname and pod.spec.subdomain == service.metadata.name:
        found["hostname"] = pod.spec.hostname
    return found


def _reference(pod: Pod) -> Json:
    return {
        "kind": "Pod",
        "namespace": pod.metadata.namespace,
        "name": pod.metadata.name,
        "uid": pod.metadata.uid,
    }


def _port(port: Port) -> Json:
    found: Json = {"name": port.name, "port": port.number, "protocol": port.protocol}
    return found | ({"appProtocol": port.app_protocol} if port.app_protocol else {})


def _content(view: View, one: EndpointSlice) -> Json:
    raw = view.raw(EndpointSlice, one.metadata.namespace, one.metadata.name)
    stored: dict[str, Any] = msgspec.json.decode(raw or b"{}")
    return {
        "addressType": stored.get("addressType"),
        "endpoints": stored.get("endpoints") or [],
        "ports": stored.get("ports") or [],
    }


def _changed(old: EndpointSlice, content: Json) -> Json:
    guards = {"uid": old.metadata.uid, "resourceVersion": old.metadata.resource_version}
    return {"metadata": guards, "endpoints": content["endpoints"], "ports": content["ports"]}


def slice_body(service: Service, content: Json, now: Instant) -> Json:
    """A new slice."""
    meta = service.metadata
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": f"{meta.name}-",
            "namespace": meta.namespace,
            "labels": slice_labels(service),
            "annotations": {TRIGGER: rfc3339(now)},
            "ownerReferences": [claims.controller_reference(SERVICE, meta)],
        },
        **content,
    }


# -- Endpoints ---------------------------------------------------------------------------------------------------------


def plan_endpoints(service: Service, view: View, now: Instant) -> Plan:
    """Make the Endpoints object of the Service's name say the same in the old form."""
    meta = service.metadata
    if not service.spec.selector or service.spec.type == "ExternalName" or meta.deletion_timestamp is not None:
        return Plan()
    subsets = wanted_subsets(service, backends(service, view))
    present = view.get(Endpoints, meta.namespace, meta.name)
    labels = {**meta.labels, OURS: "endpoint-controller", **_headless(service)}
    if present is None:
        metadata = {
            "name": meta.name,
            "namespace": meta.namespace,
            "labels": labels,
            "annotations": {TRIGGER: rfc3339(now)},
        }
        body = {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata} | (
            {"subsets": subsets} if subsets else {}
        )
        return Plan([Create(ENDPOINTS, meta.namespace, body, tolerate_existing=True)])
    raw: dict[str, Any] = msgspec.json.decode(view.raw(Endpoints, meta.namespace, meta.name) or b"{}")
    relabelled = [relabelling(ENDPOINTS, present.metadata, labels)] if present.metadata.labels != labels else []
    if (raw.get("subsets") or []) == subsets:
        return Plan(relabelled)
    guards = {"uid": present.metadata.uid, "resourceVersion": present.metadata.resource_version}
    change: Json = {"metadata": guards, "subsets": subsets or None}
    return Plan([Patch(ENDPOINTS, meta.namespace, meta.name, change), *relabelled])


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
        subset: Json = {"addresses": ready, "notReadyAddresses": unready, "ports": [_old_port(port) for port in ports]}
        subsets.append(conditions.pruned(subset))
    return subsets


def _address(service: Service, one: Backend) -> Json:
    pod = one.pod
    found: Json = {"ip": pod.status.pod_ip, "targetRef": _reference(pod)}
    if pod.spec.node_name:
        found["nodeName"] = pod.spec.node_name
    if pod.spec.hostname and pod.spec.subdomain == service.metadata.name:
        found["hostname"] = pod.spec.hostname
    return found


def _old_port(port: Port) -> Json:
    return conditions.pruned(_port(port))


def pod_keys(pod: Pod, view: View) -> Sequence[Key]:
    """The Services that choose a pod."""
    labels = pod.metadata.labels.items()
    return [
        (one.metadata.namespace, one.metadata.name)
        for one in view.list(Service, pod.metadata.namespace)
        if one.spec.selector and one.spec.selector.items() <= labels
    ]


def endpoints_keys(one: Endpoints, view: View) -> Sequence[Key]:
    """Endpoints have their Service's name."""
    key = (one.metadata.namespace, one.metadata.name)
    return [key] if view.get(Service, *key) is not None else []


def plan_leftover(endpoints: Endpoints, view: View, _now: Instant) -> Plan:
    """Endpoints that we made have no owner: they go when their Service is gone."""
    meta = endpoints.metadata
    if meta.labels.get(OURS) != "endpoint-controller" or meta.deletion_timestamp is not None:
        return Plan()
    if view.get(Service, meta.namespace, meta.name) is not None:
        return Plan()
    return Plan([Delete(ENDPOINTS, meta.namespace, meta.name, DeleteOptions(uid=meta.uid))])


def service_key(service: Service, _view: View) -> Sequence[Key]:
    return [(service.metadata.namespace, service.metadata.name)]


SLICES = Controller(
    "endpointslice-controller",
    kind=SERVICE,
    plan=plan_slices,
    owns=(ENDPOINTSLICE,),
    watches={POD: pod_keys},
    reads=(NODE,),
    writes=(ENDPOINTSLICE,),
)
ENDPOINTS_CONTROLLER = Controller(
    "endpoint-controller",
    kind=SERVICE,
    plan=plan_endpoints,
    watches={POD: pod_keys, ENDPOINTS: endpoints_keys},
    reads=(NODE,),
    writes=(ENDPOINTS,),
)
LEFTOVERS = Controller(
    "endpoint-leftovers-controller",
    kind=ENDPOINTS,
    plan=plan_leftover,
    watches={SERVICE: service_key},
    writes=(ENDPOINTS,),
)
