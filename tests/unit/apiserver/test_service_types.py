"""A Service that changes its type: what only the old one used goes, what the client names is judged."""

from itertools import product
from typing import Any

import pytest

SERVICES = "/api/v1/namespaces/default/services"
MERGE = "application/merge-patch+json"
TYPES = ("ClusterIP", "NodePort", "LoadBalancer", "ExternalName")
MORE = {"ExternalName": {"externalName": "a.example"}, "LoadBalancer": {"externalTrafficPolicy": "Local"}}
# Field → the types that have it.
HELD = {
    "clusterIP": {"ClusterIP", "NodePort", "LoadBalancer"},
    "externalTrafficPolicy": {"NodePort", "LoadBalancer"},
    "allocateLoadBalancerNodePorts": {"LoadBalancer"},
    "healthCheckNodePort": {"LoadBalancer"},
}


def service(kind: str, **spec: Any) -> dict[str, Any]:
    given = {"type": kind, "ports": [{"port": 80}], **MORE.get(kind, {}), **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": given}


@pytest.mark.parametrize(("old", "new"), [*product(TYPES, TYPES)])
async def test_a_service_may_change_its_type(ask: Any, old: str, new: str) -> None:
    assert (await ask("POST", SERVICES, service(old)))["spec"]["type"] == old
    changed = await ask("PATCH", f"{SERVICES}/s", {"spec": {"type": new, **MORE.get(new, {})}}, media=MERGE)
    assert "spec" in changed, changed
    spec = changed["spec"]
    assert {field for field in HELD if spec.get(field)} == {field for field, types in HELD.items() if new in types}
    assert ("nodePort" in spec["ports"][0]) is (new in ("NodePort", "LoadBalancer"))
    # Who reads, changes the type and writes the whole back is served as well.
    again = await ask("PUT", f"{SERVICES}/s", {**changed, "spec": {**spec, "type": old, **MORE.get(old, {})}})
    assert again["spec"]["type"] == old


async def test_what_a_client_names_and_the_type_does_not_use_is_refused(ask: Any) -> None:
    refused = await ask("POST", SERVICES, service("ClusterIP", ports=[{"port": 80, "nodePort": 30080}]))
    assert "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'" in refused["message"]
    await ask("POST", SERVICES, service("ClusterIP"))
    spec = {"type": "NodePort", "allocateLoadBalancerNodePorts": True}
    refused = await ask("PATCH", f"{SERVICES}/s", {"spec": spec}, media=MERGE)
    assert "may only be used when `type` is 'LoadBalancer'" in refused["message"]


async def test_a_health_port_stays_and_is_given_once(ask: Any) -> None:
    made = await ask("POST", SERVICES, service("LoadBalancer"))
    port = made["spec"]["healthCheckNodePort"]
    assert 30000 <= port < 32768
    kept = await ask("PATCH", f"{SERVICES}/s", {"spec": {"selector": {"a": "b"}}}, media=MERGE)
    assert kept["spec"]["healthCheckNodePort"] == port
    other = service("LoadBalancer", healthCheckNodePort=port)
    refused = await ask("POST", SERVICES, {**other, "metadata": {"name": "t"}})
    assert "provided port is already allocated" in refused["message"]


async def test_a_health_port_is_none_of_the_services_node_ports(ask: Any) -> None:
    both = service("LoadBalancer", healthCheckNodePort=30100, ports=[{"port": 80, "nodePort": 30100}])
    refused = await ask("POST", SERVICES, both)
    assert "healthCheckNodePort: Invalid value: 30100: provided port is already allocated" in refused["message"]
    both["spec"]["ports"][0]["nodePort"] = 30101
    assert (await ask("POST", SERVICES, both))["spec"]["healthCheckNodePort"] == 30100
    moved = await ask("PATCH", f"{SERVICES}/s", {"spec": {"ports": [{"port": 80, "nodePort": 30100}]}}, media=MERGE)
    assert "healthCheckNodePort: Invalid value: 30100: provided port is already allocated" in moved["message"]
