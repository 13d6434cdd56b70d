"""Bootstrap: the objects that exist before any user comes: namespaces, roles, priorities, the `kubernetes` Service.

Run once at every start, in process; what is there already stays as it is, but for what roles and bindings lack of
their defaults (`roles.lacking`).
"""

import asyncio
import ipaddress
from typing import Any, Final

import msgspec

from knarr.apiserver.bootstrap import roles
from knarr.apiserver.context import User
from knarr.apiserver.fairness import configuration
from knarr.apiserver.pipeline import Pipeline
from knarr.apiserver.resources import Resource
from knarr.base.errors import NotFound, Unavailable
from knarr.client.inprocess import InProcessTransport
from knarr.client.requests import ApiClient
from knarr.kinds.registry import Kind

Json = dict[str, Any]
LOOPBACK: Final = User("system:apiserver", ("system:masters", "system:authenticated"))
NAMESPACES: Final = ("default", "kube-system", "kube-public", "kube-node-lease")
SYSTEM_PRIORITY: Final = 2_000_000_000


def first_address(network: str) -> str:
    """The `kubernetes` Service's address: the first of the Service network."""
    return str(ipaddress.ip_network(network)[1])


def objects(service_address: str, port: int) -> list[Json]:
    """Everything, in an order in which each can be created."""
    made = [_object("v1", "Namespace", name) for name in NAMESPACES]
    made += roles.objects()
    for name, value, purpose in (
        ("system-cluster-critical", SYSTEM_PRIORITY, "Pods that the cluster needs and that may move to another node."),
        ("system-node-critical", SYSTEM_PRIORITY + 1000, "Pods that their node needs."),
    ):
        made.append(_object("scheduling.k8s.io/v1", "PriorityClass", name) | {"value": value, "description": purpose})
    made += configuration.objects()
    made.append(service(service_address, port))
    return made


def _object(api_version: str, kind: str, name: str, namespace: str = "") -> Json:
    metadata: Json = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


def service(address: str, port: int) -> Json:
    made = _object("v1", "Service", "kubernetes", "default")
    made["metadata"]["labels"] = {"component": "apiserver", "provider": "kubernetes"}
    made["spec"] = {
        "clusterIP": address,
        "clusterIPs": [address],
        "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}],
        "sessionAffinity": "None",
        "type": "ClusterIP",
    }
    return made


def endpoints(address: str, port: int) -> list[Json]:
    """Where the `kubernetes` Service leads: an EndpointSlice, and the Endpoints that older clients read."""
    ports = [{"name": "https", "port": port, "protocol": "TCP"}]
    old = _object("v1", "Endpoints", "kubernetes", "default")
    old["metadata"]["labels"] = {"endpointslice.kubernetes.io/skip-mirror": "true"}
    old["subsets"] = [{"addresses": [{"ip": address}], "ports": ports}]
    new = _object("discovery.k8s.io/v1", "EndpointSlice", "kubernetes", "default")
    new["metadata"]["labels"] = {"kubernetes.io/service-name": "kubernetes"}
    new |= {
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": ports,
    }
    return [old, new]


async def run(pipeline: Pipeline, *, service_address: str, port: int, address: str = "") -> None:
    """Create what is missing. Raises Unavailable naming the first object that cannot be made.

    `address` is where pods reach the API; "" leaves the Service without endpoints."""
    client = ApiClient(InProcessTransport(pipeline.handle_as, LOOPBACK), "kube-apiserver")
    wanted = objects(service_address, port)
    # Namespaces first; then all at once, so that the store writes many in one step.
    for some in ([obj for obj in wanted if obj["kind"] == "Namespace"], wanted):
        await asyncio.gather(*(_provide(pipeline, client, obj) for obj in some))
    for obj in endpoints(address, port) if address else ():
        await _lead(client, resource(pipeline, obj).kind, obj)


async def _provide(pipeline: Pipeline, client: ApiClient, obj: Json) -> None:
    """Create what is not there; give a role or binding back what it lacks."""
    found = resource(pipeline, obj)
    name, namespace = obj["metadata"]["name"], obj["metadata"].get("namespace", "")
    entry = pipeline.server.store.get(found.key(namespace, name))
    if entry is None:
        await _create(client, found.kind, namespace, obj)
    elif obj["apiVersion"] == roles.API_VERSION:
        stored = msgspec.json.decode(entry.value)
        if roles.leads_elsewhere(stored, obj):  # a roleRef cannot be changed
            await client.delete(found.kind, namespace, name)
            await _create(client, found.kind, namespace, obj)
        elif change := roles.lacking(stored, obj):
            await client.patch(found.kind, namespace, name, change)


def resource(pipeline: Pipeline, obj: Json) -> Resource:
    group, _, version = obj["apiVersion"].rpartition("/")
    return pipeline.server.resources.by_kind[group, version, obj["kind"]]


async def _lead(client: ApiClient, kind: Kind, obj: Json) -> None:
    """Make the endpoints say what is so now: a restart may have brought another port."""
    name = obj["metadata"]["name"]
    try:
        live = await client.get(kind, "default", name)
    except NotFound:
        await _create(client, kind, "default", obj)
        return
    parts = [key for key in obj if key not in ("apiVersion", "kind", "metadata")]
    if any(live.get(key) != obj[key] for key in parts):
        await client.update(kind, "default", name, {**live, **{key: obj[key] for key in parts}})


async def _create(client: ApiClient, kind: Kind, namespace: str, obj: Json) -> None:
    try:
        await client.create(kind, namespace, obj)
    except Exception as error:
        raise Unavailable(f"{kind.kind} {obj['metadata']['name']} cannot be made at start: {error}") from error
