"""Service allocation: cluster addresses and node ports, each given to one Service.

The taken ones are read from the store's Services as they change; what a running write has chosen is held until it ends.
"""

import ipaddress
import random
from typing import Final

import msgspec

from knarr.apiserver import status
from knarr.apiserver.context import RequestContext
from knarr.apiserver.resources import Json
from knarr.base.errors import Cause, Expired, Unavailable
from knarr.kinds import service_types
from knarr.store.store import Store, Watcher

SERVICES: Final = "/registry/services/specs/"
PORTS: Final = range(30000, 32768)
_PORT_RANGE: Final = "provided port is not in the valid range. The range of valid ports is 30000-32767"
RESERVED: Final = 16
"""The first addresses are left for those that name one (…0.1 the API, …0.10 DNS)."""


class Allocations:
    """The addresses and node ports in use. `holds` are those of writes that are not durable yet."""

    def __init__(self, store: Store, network: str) -> None:
        self.network = ipaddress.ip_network(network)
        self._store = store
        self._watcher: Watcher | None = None
        self._by_service: dict[str, set[str | int]] = {}
        self._taken: dict[str | int, str] = {}
        self.holds: dict[str | int, str] = {}

    def owner(self, wanted: str | int) -> str | None:
        """The key of the Service that has an address or port."""
        self._refresh()
        return self._taken.get(wanted) or self.holds.get(wanted)

    def free_address(self) -> str:
        size = self.network.num_addresses
        for offset in random.sample(range(RESERVED, size - 1), min(64, size - RESERVED - 1)):
            if self.owner(str(self.network[offset])) is None:
                return str(self.network[offset])
        for offset in range(RESERVED, size - 1):
            if self.owner(str(self.network[offset])) is None:
                return str(self.network[offset])
        raise Unavailable("failed to allocate a serviceIP: range is full")

    def free_port(self) -> int:
        start = random.randrange(len(PORTS))
        for step in range(len(PORTS)):
            port = PORTS[(start + step) % len(PORTS)]
            if self.owner(port) is None:
                return port
        raise Unavailable("failed to allocate a nodePort: range is full")

    def _refresh(self) -> None:
        if self._watcher is not None:
            try:
                for change in self._watcher.take():
                    self._put(change.key, change.value)
                return
            except (Expired, StopAsyncIteration):
                self._watcher = None
        self._by_service.clear()
        self._taken.clear()
        listed = self._store.list(SERVICES)
        self._watcher = self._store.watch(SERVICES, listed.revision)
        for entry in listed.entries:
            self._put(entry.key, entry.value)

    def _put(self, key: str, value: bytes | None) -> None:
        for old in self._by_service.pop(key, ()):
            self._taken.pop(old, None)
        if value is not None:
            used = in_use(msgspec.json.decode(value).get("spec") or {})
            self._by_service[key] = used
            self._taken.update(dict.fromkeys(used, key))


def in_use(spec: Json) -> set[str | int]:
    """The addresses and node ports of a Service's spec."""
    used: set[str | int] = {address for address in spec.get("clusterIPs") or () if address != "None"}
    if spec.get("clusterIP") not in (None, "", "None"):
        used.add(spec["clusterIP"])
    used |= {port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")}
    if spec.get("healthCheckNodePort"):
        used.add(spec["healthCheckNodePort"])
    return used


def allocate(context: RequestContext, obj: Json, old: Json | None) -> Json:
    """The Service with what its type needs. Raises Invalid for what another Service has."""
    if context.resource.stored.kind != "Service" or context.route.subresource:
        return obj
    spec = dict(obj.get("spec") or {})
    if old is not None:
        spec = _inherited(service_types.without_unused(spec, old.get("spec") or {}), old.get("spec") or {})
    kind = spec.get("type") or "ClusterIP"
    if kind != "LoadBalancer" and (obj.get("status") or {}).get("loadBalancer"):
        obj = {**obj, "status": {**obj["status"], "loadBalancer": {}}}
    if kind == "ExternalName":
        return {**obj, "spec": spec}
    key = context.resource.key(context.route.namespace, obj["metadata"].get("name", ""))
    faults: list[Cause] = []
    before = (old or {}).get("spec") or {}
    if _is_moved(spec, before):
        _name_once(spec, before)  # validation refuses it, whatever address it is to have
    else:
        _address(context, spec, key, faults)
    if service_types.needs_health_port(spec) and (health := spec.get("healthCheckNodePort")):
        _hold(context, health, key)  # before ports are chosen, none of which is to be this one
    if kind in ("NodePort", "LoadBalancer") and spec.get("allocateLoadBalancerNodePorts") is not False:
        _ports(context, spec, key, faults)
    if service_types.needs_health_port(spec):
        _health_port(context, spec, key, faults)
    if faults:
        raise status.invalid("Service", "", obj["metadata"].get("name", ""), faults)
    return {**obj, "spec": spec}


def _inherited(spec: Json, old: Json) -> Json:
    """An update that leaves address or node port out keeps the ones the Service has."""
    if old.get("type") == "ExternalName" or not old:
        return spec
    for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if not spec.get(field) and old.get(field) and spec.get("type") != "ExternalName":
            spec[field] = old[field]
    if not spec.get("healthCheckNodePort") and service_types.needs_health_port(spec):
        spec["healthCheckNodePort"] = old.get("healthCheckNodePort", 0)
    ports = {(port.get("port"), port.get("protocol", "TCP")): port.get("nodePort") for port in old.get("ports") or ()}
    if spec.get("type") in ("NodePort", "LoadBalancer") and any(ports.values()):
        spec["ports"] = [
            {**port, "nodePort": ports[port.get("port"), port.get("protocol", "TCP")]}
            if not port.get("nodePort") and ports.get((port.get("port"), port.get("protocol", "TCP")))
            else port
            for port in spec.get("ports") or ()
        ]
    return spec


def _is_moved(spec: Json, before: Json) -> bool:
    """Whether an update names another address than the Service has."""
    had = before.get("clusterIP", "") if before.get("type") != "ExternalName" else ""
    return bool(had) and spec.get("clusterIP", had) != had


def _name_once(spec: Json, before: Json) -> None:
    """A client that knows but the one address means the list as well."""
    if spec.get("clusterIPs") == before.get("clusterIPs"):
        spec["clusterIPs"] = [spec["clusterIP"]]


def _address(context: RequestContext, spec: Json, key: str, faults: list[Cause]) -> None:
    allocations = context.server.allocations
    wanted = spec.get("clusterIP") or next(iter(spec.get("clusterIPs") or ()), "")
    if wanted == "":
        wanted = allocations.free_address()
    elif wanted != "None":
        fault = _address_fault(context, wanted, key)
        if fault:
            faults.append(Cause("spec.clusterIPs", "FieldValueInvalid", f'Invalid value: ["{wanted}"]: {fault}'))
            return
    if wanted != "None":
        _hold(context, wanted, key)
    spec["clusterIP"] = wanted
    spec["clusterIPs"] = [wanted]
    spec.setdefault("ipFamilies", ["IPv4"])
    spec.setdefault("ipFamilyPolicy", "SingleStack")


def _address_fault(context: RequestContext, wanted: str, key: str) -> str:
    allocations = context.server.allocations
    try:
        address = ipaddress.ip_address(wanted)
    except ValueError:
        return "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
    if address not in allocations.network:
        return (
            f"failed to allocate IP {wanted}: the provided IP ({wanted}) is not in the valid range. The range of "
            f"valid IPs is {allocations.network}"
        )
    if allocations.owner(wanted) not in (None, key):
        return f"failed to allocate IP {wanted}: provided IP is already allocated"
    return ""


def _ports(context: RequestContext, spec: Json, key: str, faults: list[Cause]) -> None:
    allocations = context.server.allocations
    chosen: dict[tuple[int, str], int] = {}
    ports = []
    for index, port in enumerate(spec.get("ports") or ()):
        wanted, protocol = port.get("nodePort"), port.get("protocol", "TCP")
        if not wanted:
            # A port that serves TCP and UDP gets one node port for both.
            wanted = next(
                (n for (number, other), n in chosen.items() if number == port.get("port") and other != protocol), 0
            )
            wanted = wanted or allocations.free_port()
        elif wanted not in PORTS:
            text = f"Invalid value: {wanted}: {_PORT_RANGE}"
            faults.append(Cause(f"spec.ports[{index}].nodePort", "FieldValueInvalid", text))
        elif allocations.owner(wanted) not in (None, key):
            text = f"Invalid value: {wanted}: provided port is already allocated"
            faults.append(Cause(f"spec.ports[{index}].nodePort", "FieldValueInvalid", text))
        _hold(context, wanted, key)
        chosen[port.get("port", 0), protocol] = wanted
        ports.append({**port, "nodePort": wanted})
    if ports:
        spec["ports"] = ports


def _health_port(context: RequestContext, spec: Json, key: str, faults: list[Cause]) -> None:
    """The port at which a balancer asks whether a node has any of the Service's pods."""
    allocations, wanted, field = context.server.allocations, spec.get("healthCheckNodePort"), "spec.healthCheckNodePort"
    named = {port.get("nodePort") for port in spec.get("ports") or ()}
    if not wanted:
        wanted = allocations.free_port()
    elif wanted not in PORTS:
        faults.append(Cause(field, "FieldValueInvalid", f"Invalid value: {wanted}: {_PORT_RANGE}"))
    elif wanted in named or allocations.owner(wanted) not in (None, key):
        text = f"Invalid value: {wanted}: provided port is already allocated"
        faults.append(Cause(field, "FieldValueInvalid", text))
    _hold(context, wanted, key)
    spec["healthCheckNodePort"] = wanted


def _hold(context: RequestContext, wanted: str | int, key: str) -> None:
    holds = context.server.allocations.holds
    if wanted not in holds:
        holds[wanted] = key
        context.releases.append(lambda: holds.pop(wanted, None))
