"""EndpointSlices: which pods serve a Service, and which of them are ready; slices of at most 100 endpoints.

Proxies and DNS read them. Not here: the old Endpoints object (subsets.py), a Service without a selector (somebody
else's affair). A *backend* is a pod behind a Service. Spec: "EndpointSlices", "Service".
"""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from knarr.base.clock import Instant, rfc3339
from knarr.client.client import DeleteOptions, Json
from knarr.client.view import View
from knarr.controllers import claims, pods
from knarr.controllers.controller import Action, Controller, Create, Delete, Key, Patch, Plan
from knarr.kinds.core_config import NODE
from knarr.kinds.core_pod import POD
from knarr.kinds.core_service import ENDPOINTSLICE, SERVICE
from knarr.kinds.lens.meta import ObjectMeta
from knarr.kinds.lens.node import Node
from knarr.kinds.lens.pod import Pod
from knarr.kinds.lens.service import EndpointSlice, Service, ServicePort
from knarr.kinds.registry import Kind

SLICE_MAX: Final = 100
ZONE: Final = "topology.kubernetes.io/zone"
HEADLESS: Final = "service.kubernetes.io/headless"
MANAGER: Final = "endpointslice-controller.k8s.io"
SERVICE_NAME: Final = "kubernetes.io/service-name"
MANAGED_BY: Final = "endpointslice.kubernetes.io/managed-by"
TRIGGER: Final = "endpoints.kubernetes.io/last-change-trigger-time"


Standing = tuple[str, bool]
"""A pod's uid, and whether it is ready."""


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


def plan_slices(service: Service, view: View, _now: Instant) -> Plan:
    """Make the Service's slices say what its pods are; slices that fit already are left alone."""
    meta = service.metadata
    if not service.spec.selector or service.spec.type == "ExternalName" or meta.deletion_timestamp is not None:
        return Plan()
    present = slices_of(meta.uid, MANAGER, view)
    found = backends(service, view)
    labels = slice_labels(service)
    stood = {_standing(one) for _, content in present for one in content["endpoints"]}
    moment = trigger(service, found, stood, is_new=not present)
    wanted = wanted_slices(service, found)
    actions = [
        *slice_actions(present, wanted, lambda content: slice_body(service, content, moment), moment),
        *(relabelling(ENDPOINTSLICE, one.metadata, labels) for one, _ in present if one.metadata.labels != labels),
    ]
    return Plan(actions, why=why(found))


def slices_of(owner: str, manager: str, view: View) -> Sequence[tuple[EndpointSlice, Json]]:
    """The slices that an owner (its uid) has of a manager, each with its content."""
    return [
        (one, _content(view, one))
        for one in view.owned(EndpointSlice, owner)
        if one.metadata.labels.get(MANAGED_BY) == manager and one.metadata.deletion_timestamp is None
    ]


def trigger(service: Service, found: Sequence[Backend], stood: Container[Standing], *, is_new: bool) -> str | None:
    """What TRIGGER says: the first moment at which a pod, or the new Service itself, called for this change.

    `stood` is what was written before. None where nobody knows, as for a pod that is gone or goes: then the mark goes,
    too. That a pod begins to terminate changes its endpoint, but it became ready long before.
    """
    moments = [service.metadata.creation_timestamp] if is_new else []
    for one in found:
        if not one.is_terminating and (one.pod.metadata.uid, one.is_ready) not in stood:
            ready = pods.condition(one.pod, "Ready")
            moments.append(ready.last_transition_time if ready is not None else None)
    first = min((moment for moment in moments if moment is not None), default=None)
    return rfc3339(first) if first is not None else None


def _standing(endpoint: Json) -> Standing:
    return (endpoint.get("targetRef") or {}).get("uid", ""), (endpoint.get("conditions") or {}).get("ready") is True


def slice_labels(service: Service) -> dict[str, str]:
    """The Service's labels and ours; headless Services are marked, as upstream does for DNS."""
    meta = service.metadata
    labels = {**meta.labels, SERVICE_NAME: meta.name, MANAGED_BY: MANAGER}
    return labels | headless(service)


def headless(service: Service) -> dict[str, str]:
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
    present: Sequence[tuple[EndpointSlice, Json]],
    wanted: Sequence[Json],
    body: Callable[[Json], Json],
    moment: str | None = None,
) -> Sequence[Action]:
    """What makes the slices hold the wanted contents: those that fit stay, others are changed, made or deleted.

    `moment` is what TRIGGER says in those that change.
    """
    actions: list[Action] = []
    free = list(present)
    missing: list[Json] = []
    for content in wanted:
        same = next((one for one in free if one[1] == content), None)
        if same is not None:
            free.remove(same)
        else:
            missing.append(content)
    for content in missing:
        other = next((one for one in free if one[1]["addressType"] == content["addressType"]), None)
        if other is not None:
            free.remove(other)
            meta = other[0].metadata
            actions.append(Patch(ENDPOINTSLICE, meta.namespace, meta.name, _changed(meta, content, moment)))
        else:
            made = body(content)
            actions.append(Create(ENDPOINTSLICE, made["metadata"]["namespace"], made))
    for old, _ in free:
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
            slices.append({"addressType": "IPv4", "endpoints": endpoints, "ports": [port_of(port) for port in ports]})
    return slices or [{"addressType": "IPv4", "endpoints": [], "ports": []}]


def _endpoint(service: Service, one: Backend) -> Json:
    pod = one.pod
    found: Json = {
        "addresses": [pod.status.pod_ip],
        "conditions": {"ready": one.is_ready, "serving": one.is_serving, "terminating": one.is_terminating},
        "targetRef": reference(pod),
    }
    if pod.spec.node_name:
        found["nodeName"] = pod.spec.node_name
    if one.zone:
        found["zone"] = one.zone
    if pod.spec.hostname and pod.spec.subdomain == service.metadata.name:
        found["hostname"] = pod.spec.hostname
    return found


def reference(pod: Pod) -> Json:
    return {
        "kind": "Pod",
        "namespace": pod.metadata.namespace,
        "name": pod.metadata.name,
        "uid": pod.metadata.uid,
    }


def port_of(port: Port) -> Json:
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


def _changed(old: ObjectMeta, content: Json, moment: str | None) -> Json:
    guards: Json = {"uid": old.uid, "resourceVersion": old.resource_version}
    if old.annotations.get(TRIGGER) != moment:
        guards["annotations"] = {TRIGGER: moment}
    return {"metadata": guards, "endpoints": content["endpoints"], "ports": content["ports"]}


def slice_body(service: Service, content: Json, moment: str | None) -> Json:
    """A new slice."""
    meta = service.metadata
    annotated: Json = {"annotations": {TRIGGER: moment}} if moment is not None else {}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": f"{meta.name}-",
            "namespace": meta.namespace,
            "labels": slice_labels(service),
            **annotated,
            "ownerReferences": [claims.controller_reference(SERVICE, meta)],
        },
        **content,
    }


def pod_keys(pod: Pod, view: View) -> Sequence[Key]:
    """The Services that choose a pod."""
    labels = pod.metadata.labels.items()
    return [
        (one.metadata.namespace, one.metadata.name)
        for one in view.list(Service, pod.metadata.namespace)
        if one.spec.selector and one.spec.selector.items() <= labels
    ]


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
