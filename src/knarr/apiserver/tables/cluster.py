"""Cells of services, ingresses, endpoints, nodes, storage and the rest of the cluster's own kinds."""

from collections.abc import Iterator
from typing import Any

from knarr.apiserver.tables import cells
from knarr.apiserver.tables.cells import NONE
from knarr.base.clock import Instant

Json = dict[str, Any]


def service_external_ip(service: Json, now: Instant) -> str:
    spec = service.get("spec") or {}
    external = list(spec.get("externalIPs") or ())
    match spec.get("type"):
        case "ExternalName":
            return spec.get("externalName") or NONE
        case "LoadBalancer":
            ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
            found = [entry.get("ip") or entry.get("hostname") or "" for entry in ingress] + external
            return ",".join(found) or "<pending>"
        case _:
            return ",".join(external) or NONE


def service_ports(service: Json, now: Instant) -> str:
    ports = (service.get("spec") or {}).get("ports") or ()
    return ",".join(
        f"{port.get('port')}:{port['nodePort']}/{port.get('protocol', 'TCP')}"
        if port.get("nodePort")
        else f"{port.get('port')}/{port.get('protocol', 'TCP')}"
        for port in ports
    )


def ingress_hosts(ingress: Json, now: Instant) -> str:
    hosts = [rule["host"] for rule in (ingress.get("spec") or {}).get("rules") or () if rule.get("host")]
    return cells.first_3(hosts, "*")


def ingress_ports(ingress: Json, now: Instant) -> str:
    return "80, 443" if (ingress.get("spec") or {}).get("tls") else "80"


def load_balancer_addresses(ingress: Json, now: Instant) -> str:
    entries = ((ingress.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    return ",".join(sorted({entry.get("ip") or entry.get("hostname") or "" for entry in entries}))


def endpoints(found: Json, now: Instant) -> str:
    return cells.first_3(_endpoint_addresses(found))


def _endpoint_addresses(found: Json) -> Iterator[str]:
    for subset in found.get("subsets") or ():
        ports, addresses = subset.get("ports") or (), subset.get("addresses") or ()
        if not ports:
            yield from (address["ip"] for address in addresses)
        for port in ports:
            for address in addresses:
                host = f"[{address['ip']}]" if ":" in address["ip"] else address["ip"]
                yield f"{host}:{port.get('port')}"


def slice_ports(found: Json, now: Instant) -> str:
    ports = (str(port.get("port") or port.get("name") or "*") for port in found.get("ports") or ())
    return cells.first_3(ports)


def slice_addresses(found: Json, now: Instant) -> str:
    return cells.first_3(address for entry in found.get("endpoints") or () for address in entry.get("addresses") or ())


def node_status(node: Json, now: Instant) -> str:
    spec, status = node.get("spec") or {}, node.get("status") or {}
    text = "Unknown"
    for condition in status.get("conditions") or ():
        if condition.get("type") == "Ready":
            text = "Ready" if condition.get("status") == "True" else "NotReady"
    return f"{text},SchedulingDisabled" if spec.get("unschedulable") else text


def node_roles(node: Json, now: Instant) -> str:
    labels = node["metadata"].get("labels") or {}
    prefix = "node-role.kubernetes.io/"
    roles = {key[len(prefix) :] for key in labels if key.startswith(prefix) and len(key) > len(prefix)}
    if labels.get("kubernetes.io/role"):
        roles.add(labels["kubernetes.io/role"])
    return ",".join(sorted(roles))


def phase_or_terminating(volume: Json, now: Instant) -> str:
    if volume["metadata"].get("deletionTimestamp"):
        return "Terminating"
    return (volume.get("status") or {}).get("phase") or ""


def storage_class(volume: Json, now: Instant) -> str:
    annotations = volume["metadata"].get("annotations") or {}
    beta = annotations.get("volume.beta.kubernetes.io/storage-class")
    return beta or (volume.get("spec") or {}).get("storageClassName") or ""


def name_with_default(found: Json, now: Instant) -> str:
    metadata = found["metadata"]
    annotations = metadata.get("annotations") or {}
    is_default = any(
        annotations.get(key) == "true"
        for key in ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
    )
    return f"{metadata['name']} (default)" if is_default else str(metadata["name"])


def csr_condition(request: Json, now: Instant) -> str:
    types = [each.get("type") for each in (request.get("status") or {}).get("conditions") or ()]
    text = "Denied" if "Denied" in types else "Approved" if "Approved" in types else "Pending"
    if "Failed" in types:
        text += ",Failed"
    if (request.get("status") or {}).get("certificate"):
        text += ",Issued"
    return text


def component_healthy(component: Json, now: Instant) -> str:
    for condition in component.get("conditions") or ():
        if condition.get("type") == "Healthy":
            return {"True": "Healthy", "False": "Unhealthy"}.get(condition.get("status", ""), "Unknown")
    return "Unknown"


def apiservice_service(service: Json, now: Instant) -> str:
    reference = (service.get("spec") or {}).get("service")
    return f"{reference.get('namespace', '')}/{reference.get('name', '')}" if reference else "Local"


def apiservice_available(service: Json, now: Instant) -> str:
    for condition in (service.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "Available":
            status: str = condition.get("status", "Unknown")
            return status if status == "True" else f"{status} ({condition.get('reason', '')})"
    return "Unknown"


def param_ref(binding: Json, now: Instant) -> str:
    reference = (binding.get("spec") or {}).get("paramRef")
    if not reference:
        return ""
    if reference.get("name"):
        return f"{reference.get('namespace') or '*'}/{reference['name']}"
    return cells.selector_text(reference.get("selector"))


def ingressclass_parameters(found: Json, now: Instant) -> str:
    parameters = (found.get("spec") or {}).get("parameters")
    if not parameters:
        return ""
    group = parameters.get("apiGroup")
    kind = f"{parameters.get('kind', '')}.{group}" if group else parameters.get("kind", "")
    return f"{kind}/{parameters.get('name', '')}"


def ip_parent_ref(address: Json, now: Instant) -> str:
    parent = (address.get("spec") or {}).get("parentRef")
    if not parent:
        return ""
    resource = ".".join(part for part in (parent.get("resource"), parent.get("group")) if part)
    return "/".join(part for part in (resource, parent.get("namespace"), parent.get("name")) if part)


def migration_resource(found: Json, now: Instant) -> str:
    resource = (found.get("spec") or {}).get("resource") or {}
    return ".".join(part for part in (resource.get("resource"), resource.get("version"), resource.get("group")) if part)


def resource_claim_state(claim: Json, now: Instant) -> str:
    status = claim.get("status") or {}
    states = ["deleted"] if claim["metadata"].get("deletionTimestamp") else []
    if status.get("allocation") is None:
        states = states or ["pending"]
    else:
        states.append("allocated")
        if status.get("reservedFor"):
            states.append("reserved")
    return ",".join(states)


def storage_versions(found: Json, now: Instant) -> str:
    versions = (found.get("status") or {}).get("storageVersions") or ()
    return cells.first_3(f"{each.get('apiServerID', '')}={each.get('encodingVersion', '')}" for each in versions)
