"""EndpointSlice mirroring: Endpoints that people write for a Service without a selector appear as slices too.

Proxies and DNS read slices only. Not mirrored: Endpoints with the label skip-mirror, those of leader elections, and
those whose Service has a selector (endpoints.py makes both forms). Spec: "EndpointSlices: EndpointSlice mirroring".
"""

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from knarr.base.clock import Instant
from knarr.client.client import Json
from knarr.client.view import View
from knarr.controllers import claims, endpoints
from knarr.controllers.controller import Controller, Plan
from knarr.kinds.core_service import ENDPOINTS, ENDPOINTSLICE, SERVICE
from knarr.kinds.lens.policy import Endpoints
from knarr.kinds.lens.service import Service

MANAGER: Final = "endpointslicemirroring-controller.k8s.io"
SKIP: Final = "endpointslice.kubernetes.io/skip-mirror"
LEADER: Final = "control-plane.alpha.kubernetes.io/leader"
ADDRESSES_MAX: Final = 1000
"""The most addresses of one subset that are mirrored, as upstream."""
NOT_COPIED: Final = frozenset({"kubectl.kubernetes.io/last-applied-configuration", endpoints.TRIGGER})


def plan(root: Endpoints, view: View, _now: Instant) -> Plan:
    """Make the mirrored slices say what the Endpoints object says."""
    present = endpoints.slices_of(root.metadata.uid, MANAGER, view)
    wanted: Sequence[Json] = ()
    if is_mirrored(root, view):
        raw = view.raw(Endpoints, root.metadata.namespace, root.metadata.name)
        wanted = mirrored(msgspec.json.decode(raw or b"{}").get("subsets") or ())
    return Plan(endpoints.slice_actions(present, wanted, lambda content: slice_body(root, content)))


def is_mirrored(root: Endpoints, view: View) -> bool:
    meta = root.metadata
    if meta.deletion_timestamp is not None or meta.labels.get(SKIP) == "true" or LEADER in meta.annotations:
        return False
    service = view.get(Service, meta.namespace, meta.name)
    return service is not None and not service.spec.selector


def mirrored(subsets: Iterable[Any]) -> Sequence[Json]:
    """One slice per subset and family of addresses, cut at endpoints.SLICE_MAX."""
    slices: list[Json] = []
    for subset in subsets:
        ports = [_port(port) for port in subset.get("ports") or ()]
        ready = [(address, True) for address in subset.get("addresses") or ()]
        unready = [(address, False) for address in subset.get("notReadyAddresses") or ()]
        families: dict[str, list[Json]] = {}
        for address, is_ready in [*ready, *unready][:ADDRESSES_MAX]:
            families.setdefault(_family(address["ip"]), []).append(_endpoint(address, is_ready=is_ready))
        for family, found in families.items():
            for start in range(0, len(found), endpoints.SLICE_MAX):
                part = found[start : start + endpoints.SLICE_MAX]
                slices.append({"addressType": family, "endpoints": part, "ports": ports})
    return slices


def _family(address: str) -> str:
    return f"IPv{ipaddress.ip_address(address).version}"


def _endpoint(address: Json, *, is_ready: bool) -> Json:
    kept = {name: address[name] for name in ("hostname", "nodeName", "targetRef") if address.get(name)}
    return {"addresses": [address["ip"]], "conditions": {"ready": is_ready}, **kept}


def _port(port: Json) -> Json:
    found = {"name": port.get("name", ""), "port": port["port"], "protocol": port.get("protocol", "TCP")}
    return found | ({"appProtocol": port["appProtocol"]} if port.get("appProtocol") else {})


def slice_body(root: Endpoints, content: Json) -> Json:
    """A new mirrored slice, owned by the Endpoints object."""
    meta = root.metadata
    kept = {key: value for key, value in meta.annotations.items() if key not in NOT_COPIED}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": f"{meta.name}-",
            "namespace": meta.namespace,
            "labels": {**meta.labels, endpoints.SERVICE_NAME: meta.name, endpoints.MANAGED_BY: MANAGER},
            "annotations": kept,
            "ownerReferences": [claims.controller_reference(ENDPOINTS, meta)],
        },
        **content,
    }


CONTROLLER = Controller(
    "endpointslice-mirroring-controller",
    kind=ENDPOINTS,
    plan=plan,
    owns=(ENDPOINTSLICE,),
    watches={SERVICE: endpoints.service_key},
    writes=(ENDPOINTSLICE,),
)
