"""Rules of what Services and policies are made of: a fault per rule, in upstream's words, and what passes."""

from typing import Any

import pytest

from tests.unit.kinds.judging import refused, refused_change

Json = dict[str, Any]


def ingress(**rule: Any) -> Json:
    return {"spec": {"rules": [rule]}}


def path(**fields: Any) -> Json:
    backend = {"service": {"name": "s", "port": {"number": 80}}}
    return ingress(http={"paths": [{"path": "/", "pathType": "Prefix", "backend": backend, **fields}]})


def backend(**fields: Any) -> Json:
    return {"spec": {"defaultBackend": fields}}


def policy(**rule: Any) -> Json:
    return {"spec": {"podSelector": {}, "ingress": [rule]}}


def endpoint(**fields: Any) -> Json:
    return {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"], **fields}]}


def subset(**fields: Any) -> Json:
    return {"subsets": [{"addresses": [{"ip": "10.0.0.1"}], **fields}]}


def ingress_class(**parameters: Any) -> Json:
    return {"spec": {"controller": "a.b/c", "parameters": {"kind": "K", "name": "n", **parameters}}}


PORT = "spec.ingress[0].ports[0]"
PATH = "spec.rules[0].http.paths[0]"
CASES: list[tuple[str, Json, str]] = [
    ("Ingress", ingress(host="10.0.0.1"), "spec.rules[0].host: Invalid value: \"10.0.0.1\": must be a DNS name"),
    ("Ingress", ingress(host="a.*.b"), "spec.rules[0].host: Invalid value: \"a.*.b\": a wildcard DNS-1123"),
    ("Ingress", ingress(http={"paths": []}), "spec.rules[0].http.paths: Required value"),
    ("Ingress", path(pathType=None), f"{PATH}.pathType: Required value: pathType must be specified"),
    ("Ingress", path(pathType="Regex"), f'{PATH}.pathType: Unsupported value: "Regex": supported values: "Exact", '
     '"ImplementationSpecific", "Prefix"'),
    ("Ingress", path(path="a"), f'{PATH}.path: Invalid value: "a": must be an absolute path'),
    ("Ingress", path(path="/a//b"), f"{PATH}.path: Invalid value: \"/a//b\": must not contain '//'"),
    ("Ingress", path(path="/a/.."), f"{PATH}.path: Invalid value: \"/a/..\": cannot end with '/..'"),
    ("Ingress", path(path="a", pathType="ImplementationSpecific"), "must be an absolute path"),
    ("Ingress", backend(), 'spec.defaultBackend: Invalid value: "": resource or service backend is required'),
    ("Ingress", backend(service={"name": "s"}), "spec.defaultBackend: Required value: port name or number is required"),
    ("Ingress", backend(service={"name": "s", "port": {"name": "a", "number": 1}}),
     'spec.defaultBackend: Invalid value: "": cannot set both port name & port number'),
    ("Ingress", backend(service={"name": "S", "port": {"number": 1}}), "spec.defaultBackend.service.name: Invalid"),
    ("Ingress", backend(service={"name": "s", "port": {"number": 70000}}),
     "spec.defaultBackend.service.port.number: Invalid value: 70000: must be between 1 and 65535, inclusive"),
    ("Ingress", backend(resource={"kind": "", "name": "a/b"}),
     "spec.defaultBackend.resource.name: Invalid value: \"a/b\": may not contain '/'"),
    ("Ingress", {**path(), "metadata": {"name": "x", "annotations": {"kubernetes.io/ingress.class": "a"}},
                 "spec": {**path()["spec"], "ingressClassName": "b"}},
     'annotations.kubernetes.io/ingress.class: Invalid value: "a": must match `ingressClassName` when both are'),
    ("Ingress", {"spec": {**path()["spec"], "tls": [{"hosts": ["*"], "secretName": "A"}]}}, "spec.tls[0].secretName"),
    ("IngressClass", {"spec": {"controller": "c"}},
     'spec.controller: Invalid value: "c": must be a domain-prefixed path (such as "acme.io/foo")'),
    ("IngressClass", ingress_class(scope="Namespace"),
     "spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'"),
    ("IngressClass", ingress_class(namespace="n"),
     "spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'"),
    ("IngressClass", ingress_class(scope="Zone"), 'spec.parameters.scope: Unsupported value: "Zone"'),
    ("NetworkPolicy", policy(ports=[{"protocol": "ICMP"}]), f'{PORT}.protocol: Unsupported value: "ICMP"'),
    ("NetworkPolicy", policy(ports=[{"port": 5, "endPort": 4}]),
     f"{PORT}.endPort: Invalid value: 4: must be greater than or equal to `port`"),
    ("NetworkPolicy", policy(ports=[{"port": "web", "endPort": 4}]),
     f"{PORT}.endPort: Invalid value: 4: may not be specified when `port` is non-numeric"),
    ("NetworkPolicy", policy(ports=[{"endPort": 4}]), "may not be specified when `port` is not specified"),
    ("NetworkPolicy", policy(**{"from": [{}]}), "spec.ingress[0].from[0]: Required value: must specify a peer"),
    ("NetworkPolicy", policy(**{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}]}),
     "spec.ingress[0].from[0]: Forbidden: may not specify both ipBlock and another peer"),
    ("NetworkPolicy", policy(**{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/8"]}}]}),
     'spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "11.0.0.0/8": must be a strict subset of `cidr`'),
    ("NetworkPolicy", policy(**{"from": [{"ipBlock": {"cidr": "10.0.0.0"}}]}), "must be a valid CIDR value"),
    ("NetworkPolicy", {"spec": {"podSelector": {}, "policyTypes": ["Both"]}},
     'spec.policyTypes[0]: Unsupported value: "Both": supported values: "Egress", "Ingress"'),
    ("EndpointSlice", endpoint(addresses=["127.0.0.1"]),
     'endpoints[0].addresses[0]: Invalid value: "127.0.0.1": may not be in the loopback range'),
    ("EndpointSlice", endpoint(addresses=["::1"]), "must be a valid IPv4 address"),
    ("EndpointSlice", endpoint(addresses=[]), "addresses: Required value: must contain at least 1 address"),
    ("EndpointSlice", {"addressType": "FQDN", "endpoints": [{"addresses": ["a"]}]},
     "should be a domain with at least two segments separated by dots"),
    ("EndpointSlice", endpoint(hostname="A"), 'endpoints[0].hostname: Invalid value: "A"'),
    ("EndpointSlice", endpoint(hints={"forZones": [{"name": "a"}, {"name": "a"}]}),
     'endpoints[0].hints.forZones[1]: Duplicate value: "a"'),
    ("EndpointSlice", {**endpoint(), "ports": [{"name": "a"}, {"name": "a"}]}, 'ports[1].name: Duplicate value: "a"'),
    ("EndpointSlice", {**endpoint(), "ports": [{"protocol": "ICMP"}]}, 'ports[0].protocol: Unsupported value: "ICMP"'),
    ("Endpoints", {"subsets": [{}]}, "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`"),
    ("Endpoints", subset(addresses=[{"ip": "x"}]), 'subsets[0].addresses[0].ip: Invalid value: "x": must be a valid'),
    ("Endpoints", subset(addresses=[{"ip": "0.0.0.0"}]), "may not be unspecified (0.0.0.0)"),
    ("Endpoints", subset(ports=[{"port": 1}, {"port": 2}]), "subsets[0].ports[0].name: Required value"),
    ("IPAddress", {"metadata": {"name": "010.0.0.1"}, "spec": {"parentRef": {"resource": "services", "name": "s"}}},
     'metadata.name: Invalid value: "010.0.0.1": must be a valid IP address'),
    ("IPAddress", {"metadata": {"name": "10.0.0.1"}, "spec": {}}, "spec.parentRef: Required value"),
    ("ServiceCIDR", {"spec": {}}, "spec.cidrs: Required value: at least one CIDR required"),
    ("ServiceCIDR", {"spec": {"cidrs": ["10.0.0.0/8", "11.0.0.0/8"]}}, "may specify no more than one IP for each IP"),
    ("ServiceCIDR", {"spec": {"cidrs": ["10.0.0.0"]}}, 'spec.cidrs[0]: Invalid value: "10.0.0.0": must be a'),
]  # fmt: skip


@pytest.mark.parametrize(("name", "obj", "text"), CASES, ids=[f"{case[0]}: {case[2][:50]}" for case in CASES])
def test_a_fault_is_told_in_upstreams_words(name: str, obj: Json, text: str) -> None:
    found = refused(name, obj)
    assert any(text in each for each in found), found


GOOD: list[tuple[str, Json]] = [
    ("Ingress", path()),
    ("Ingress", path(path="", pathType="ImplementationSpecific")),
    ("Ingress", ingress(host="*.example.com")),
    ("Ingress", backend(resource={"apiGroup": "a.b", "kind": "K", "name": "n"})),
    ("Ingress", {"spec": {**path()["spec"], "tls": [{"hosts": ["*.a.b", "c"], "secretName": "s"}]}}),
    ("IngressClass", {"spec": {"controller": "a.b/c"}}),
    ("IngressClass", ingress_class(scope="Namespace", namespace="n")),
    ("NetworkPolicy", policy(ports=[{"port": 1, "endPort": 9}, {"port": "web"}])),
    ("NetworkPolicy", policy(**{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]})),
    ("EndpointSlice", endpoint(nodeName="n", hints={"forZones": [{"name": "a"}]})),
    ("EndpointSlice", {"addressType": "FQDN", "endpoints": [{"addresses": ["a.b."]}]}),
    ("Endpoints", subset(ports=[{"name": "a", "port": 1}, {"name": "b", "port": 2}])),
    ("IPAddress", {"metadata": {"name": "10.0.0.1"}, "spec": {"parentRef": {"resource": "services", "name": "s"}}}),
    ("ServiceCIDR", {"spec": {"cidrs": ["10.0.0.0/8", "2001:db8::/64"]}}),
]


@pytest.mark.parametrize(("name", "obj"), GOOD, ids=[each[0] for each in GOOD])
def test_what_upstream_accepts_is_accepted(name: str, obj: Json) -> None:
    assert refused(name, obj) == []


def service(**spec: Any) -> Json:
    return {"spec": {"ports": [{"port": 80}], **spec}}


def test_a_services_second_address_comes_and_goes_with_a_policy_that_says_so() -> None:
    two = service(clusterIP="10.0.0.1", clusterIPs=["10.0.0.1", "fd00::1"], ipFamilies=["IPv4", "IPv6"])
    one = service(clusterIP="10.0.0.1", clusterIPs=["10.0.0.1"], ipFamilies=["IPv4"])
    assert refused_change("Service", one, two) == []
    assert refused_change("Service", two, service(**{**one["spec"], "ipFamilyPolicy": "SingleStack"})) == []
    assert refused_change("Service", two, one) == [
        "spec.ipFamilyPolicy: Invalid value: null: must be set to 'SingleStack' when releasing the secondary clusterIP",
        "spec.ipFamilyPolicy: Invalid value: null: must be set to 'SingleStack' when releasing the secondary ipFamily",
    ]


def test_a_services_family_stays() -> None:
    found = refused_change("Service", service(ipFamilies=["IPv4"]), service(ipFamilies=["IPv6"]))
    assert found == ['spec.ipFamilies[0]: Invalid value: ["IPv6"]: may not change once set']


def test_an_external_name_has_no_address_to_keep() -> None:
    old = service(clusterIP="10.0.0.1", clusterIPs=["10.0.0.1"])
    assert refused_change("Service", old, {"spec": {"type": "ExternalName", "externalName": "a.b"}}) == []


def test_a_balancers_class_stays() -> None:
    pair = [service(type="LoadBalancer", loadBalancerClass=name) for name in ("a/b", "a/c")]
    assert refused_change("Service", *pair) == ['spec.loadBalancerClass: Invalid value: "a/c": may not change once set']


def test_only_a_load_balancer_reports_addresses() -> None:
    status = {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}
    assert refused_change("Service", service(), {**service(), "status": status}, "status") == [
        "status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'"
    ]
    balanced = service(type="LoadBalancer")
    assert refused_change("Service", balanced, {**balanced, "status": status}, "status") == []
    bad = {"loadBalancer": {"ingress": [{"hostname": "1.2.3.4"}, {"ipMode": "VIP"}]}}
    assert refused_change("Service", balanced, {**balanced, "status": bad}, "status") == [
        'status.loadBalancer.ingress[0].hostname: Invalid value: "1.2.3.4": must be a DNS name, not an IP address',
        "status.loadBalancer.ingress[1].ipMode: Forbidden: may not be specified when `ip` is not set",
    ]


def test_a_range_of_services_may_get_a_second_family_and_nothing_else() -> None:
    one, two = ({"spec": {"cidrs": each}} for each in (["10.0.0.0/8"], ["10.0.0.0/8", "fd00::/64"]))
    assert refused_change("ServiceCIDR", one, two) == []
    assert refused_change("ServiceCIDR", two, one) == ['spec.cidrs: Invalid value: ["10.0.0.0/8"]: field is immutable']
    assert refused_change("ServiceCIDR", one, {"spec": {"cidrs": ["11.0.0.0/8"]}}) == [
        'spec.cidrs[0]: Invalid value: "11.0.0.0/8": field is immutable'
    ]
