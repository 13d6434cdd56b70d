"""Rules of what a cluster is run by: nodes, quotas, leases, events, certificates, devices. In upstream's words."""

from typing import Any

import pytest

from tests.unit.kinds.judging import refused, refused_change

Json = dict[str, Any]


def node(**spec: Any) -> Json:
    return {"spec": spec}


def quota(scopes: list[str] | None = None, **hard: str) -> Json:
    return {"spec": {"hard": hard, **({"scopes": scopes} if scopes else {})}}


def selected(**expression: Any) -> Json:
    return {"spec": {"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [expression]}}}


def limits(**limit: Any) -> Json:
    return {"spec": {"limits": [{"type": "Container", **limit}]}}


def lease(**spec: Any) -> Json:
    return {"spec": spec}


def event(**fields: Any) -> Json:
    about = {"kind": "Pod", "name": "p", "namespace": "n"}
    return {"metadata": {"name": "x", "namespace": "n"}, "involvedObject": about, **fields}


def claim(**request: Any) -> Json:
    return {"spec": {"devices": {"requests": [{"name": "r", **request}]}}}


def exact(**fields: Any) -> Json:
    return claim(exactly={"deviceClassName": "c", **fields})


def piece(**spec: Any) -> Json:
    return {"spec": {"driver": "d", "nodeName": "n", "pool": {"name": "p", "resourceSliceCount": 1}, **spec}}


TAINT = {"key": "a", "effect": "NoSchedule"}
TIME = {"eventTime": "2026-01-01T00:00:00.000000Z"}
CASES: list[tuple[str, Json, str]] = [
    ("Node", node(taints=[TAINT, TAINT]), "metadata.taints[1]: Duplicate value: "),
    ("Node", node(taints=[TAINT, TAINT]), ": taints must be unique by key and effect pair"),
    ("Node", node(podCIDRs=["10.0.0.0/24", "10.1.0.0/24"]), "may specify no more than one CIDR for each IP family"),
    ("Node", node(podCIDRs=["x"]), 'spec.podCIDRs[0]: Invalid value: "x": must be a valid CIDR value'),
    ("Node", {"status": {"capacity": {"a.b/c": "1500m"}}}, 'status.capacity.a.b/c: Invalid value: "1500m": must be an'),
    ("RuntimeClass", {"handler": "A"}, 'handler: Invalid value: "A": a lowercase RFC 1123 label'),
    ("RuntimeClass", {"handler": "a", "overhead": {"podFixed": {"x": "1"}}}, "overhead.limits[x]: Invalid value"),
    ("RuntimeClass", {"handler": "a", "scheduling": {"tolerations": [{"value": "v"}]}},
     "scheduling.tolerations[0].operator: Invalid value"),
    ("PriorityClass", {"metadata": {"name": "system-mine"}, "value": 1},
     "reserved for system use only. error: system-mine is not a known system priority class"),
    ("PriorityClass", {"metadata": {"name": "system-node-critical"}, "value": 1},
     "value of system-node-critical PriorityClass must be 2000001000"),
    ("PriorityClass", {"value": 2_000_000_000}, "maximum allowed value of a user defined priority is 1000000000"),
    ("ResourceQuota", quota(cpus="1"), 'spec.hard[cpus]: Invalid value: "cpus": must be a standard resource type or'),
    ("ResourceQuota", quota(storage="1"), 'spec.hard[storage]: Invalid value: "storage": must be a standard resource'),
    ("ResourceQuota", quota(pods="1500m"), 'spec.hard[pods]: Invalid value: "1500m": must be an integer'),
    ("ResourceQuota", quota(pods="-1"), "must be greater than or equal to 0"),
    ("ResourceQuota", quota(["Mine"], pods="1"), 'spec.scopes: Invalid value: ["Mine"]: unsupported scope'),
    ("ResourceQuota", quota(["BestEffort"], cpu="1"), "unsupported scope applied to resource"),
    ("ResourceQuota", quota(["BestEffort", "NotBestEffort"], pods="1"), "conflicting scopes"),
    ("ResourceQuota", selected(scopeName="Terminating", operator="In", values=["a"]), "must be 'Exists' when scope is"),
    ("ResourceQuota", selected(scopeName="PriorityClass", operator="In"), "must be at least one value when `operator`"),
    ("LimitRange", limits(type="Box"), 'spec.limits[0].type: Invalid value: "Box": must be a standard limit type or'),
    ("LimitRange", {"spec": {"limits": [{"type": "Pod"}] * 2}}, 'spec.limits[1].type: Duplicate value: "Pod"'),
    ("LimitRange", limits(max={"pods": "1"}), "must be a standard resource for containers"),
    ("LimitRange", limits(min={"cpu": "2"}, max={"cpu": "1"}),
     'spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1'),
    ("LimitRange", limits(defaultRequest={"cpu": "2"}, default={"cpu": "1"}),
     'spec.limits[0].defaultRequest[cpu]: Invalid value: "2": default request value 2 is greater than default limit'),
    ("LimitRange", limits(maxLimitRequestRatio={"cpu": "500m"}), "ratio 500m is less than 1"),
    ("LimitRange", limits(maxLimitRequestRatio={"cpu": "5"}, min={"cpu": "1"}, max={"cpu": "2"}),
     "ratio 5 is greater than max/min = 2.000000"),
    ("LimitRange", limits(type="PersistentVolumeClaim"), "either minimum or maximum storage value is required"),
    ("LimitRange", limits(type="Pod", default={"cpu": "1"}), "may not be specified when `type` is 'Pod'"),
    ("Secret", {"type": "kubernetes.io/ssh-auth"}, "data[ssh-privatekey]: Required value"),
    ("Secret", {"type": "kubernetes.io/basic-auth"}, "data[username]: Required value"),
    ("Secret", {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "eA=="}},
     'data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": invalid character'),
    ("Secret", {"type": "kubernetes.io/service-account-token"},
     "metadata.annotations[kubernetes.io/service-account.name]: Required value"),
    ("Lease", lease(leaseDurationSeconds=0), "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"),
    ("Lease", lease(leaseTransitions=-1), "spec.leaseTransitions: Invalid value: -1: must be greater than or"),
    ("Lease", lease(preferredHolder="a"), "may only be specified if `strategy` is defined"),
    ("Lease", lease(strategy="Newest"), 'Unsupported value: "Newest": supported values: "OldestEmulationVersion"'),
    ("/Event", event(metadata={"name": "x", "namespace": "m"}), 'Invalid value: "n": does not match event.namespace'),
    ("/Event", event(**TIME), "reportingController: Required value"),
    ("/Event", event(**TIME, reason="x" * 129), 'reason: Invalid value: "": can have at most 128 characters'),
    ("ControllerRevision", {"revision": -1}, "data: Required value: data is mandatory"),
    ("ClusterTrustBundle", {"metadata": {"name": "a:b"}, "spec": {"trustBundle": "x"}},
     'ClusterTrustBundle without signer name must not have ":" in its name'),
    ("ClusterTrustBundle", {"spec": {"trustBundle": "x", "signerName": "a.b/c"}},
     "ClusterTrustBundle for signerName a.b/c must be named with prefix a.b:c:"),
    ("ClusterTrustBundle", {"spec": {"trustBundle": "x"}}, "at least one trust anchor must be provided"),
    ("ClusterTrustBundle", {"spec": {"trustBundle": "-----BEGIN KEY-----\nAA==\n-----END KEY-----"}},
     'spec.trustBundle: Invalid value: "<value omitted>": entry 0 has bad block type: KEY'),
    ("CertificateSigningRequest", {"spec": {"signerName": "a/b", "usages": ["any", "any"], "request": "eA=="}},
     'spec.usages[1]: Duplicate value: "any"'),
    ("CertificateSigningRequest", {"spec": {"signerName": "a/b", "request": "eA=="}},
     'spec.signerName: Invalid value: "a": should be a domain with at least two segments separated by dots'),
    ("ResourceClaim", claim(), "spec.devices.requests[0]: Required value: exactly one of `exactly`"),
    ("ResourceClaim", exact(allocationMode="All", count=2), "must not be specified when allocationMode is 'All'"),
    ("ResourceClaim", exact(count=-1), "exactly.count: Invalid value: -1: must be greater than zero"),
    ("ResourceClaim", exact(selectors=[{}]), "exactly.selectors[0].cel: Required value"),
    ("ResourceClaim", {"spec": {"devices": {"constraints": [{"requests": ["q"], "matchAttribute": "a.b/c"}]}}},
     "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"),
    ("DeviceClass", {"spec": {"config": [{}]}}, "spec.config[0].opaque: Required value"),
    ("ResourceSlice", piece(allNodes=True), "is required, but multiple fields are set"),
    ("ResourceSlice", piece(pool={"name": "p", "resourceSliceCount": 0}), "spec.pool.resourceSliceCount: Invalid"),
    ("ResourceSlice", piece(devices=[{"name": "a"}, {"name": "a"}]), 'spec.devices[1].name: Duplicate value: "a"'),
    ("ResourceSlice", piece(devices=[{"name": "a", "attributes": {"v": {"version": "1"}}}]),
     "must be a string compatible with semver.org spec 2.0.0"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "obj", "text"), CASES, ids=[f"{case[0]}: {case[2][:50]}" for case in CASES])
def test_a_fault_is_told_in_upstreams_words(name: str, obj: Json, text: str) -> None:
    found = refused(name, obj)
    assert any(text in each for each in found), found


GOOD: list[tuple[str, Json]] = [
    ("Node", node(taints=[TAINT, {**TAINT, "effect": "NoExecute"}], podCIDRs=["10.0.0.0/24", "fd00::/64"])),
    ("RuntimeClass", {"handler": "runc", "overhead": {"podFixed": {"memory": "1Mi"}}}),
    ("PriorityClass", {"metadata": {"name": "system-node-critical"}, "value": 2_000_001_000}),
    ("ResourceQuota", quota(["BestEffort"], pods="1")),
    ("ResourceQuota", quota(**{"count/widgets.a.b": "5", "requests.example.com/gpu": "4", "hugepages-2Mi": "4Mi"})),
    ("ResourceQuota", selected(scopeName="PriorityClass", operator="In", values=["high"])),
    ("LimitRange", limits(min={"cpu": "1"}, max={"cpu": "4"}, maxLimitRequestRatio={"cpu": "3"})),
    ("LimitRange", limits(type="PersistentVolumeClaim", max={"storage": "1Gi"})),
    ("Lease", lease(leaseDurationSeconds=15, strategy="a.b/c", preferredHolder="a")),
    ("/Event", event()),
    ("/Event", event(**TIME, reportingComponent="a.b/c", reportingInstance="i", action="Binding", reason="R")),
    ("ResourceClaim", exact()),
    ("ResourceSlice", piece(devices=[{"name": "a", "attributes": {"a.b/v": {"version": "1.2.3-rc.1"}}}])),
]


@pytest.mark.parametrize(("name", "obj"), GOOD, ids=[each[0] for each in GOOD])
def test_what_upstream_accepts_is_accepted(name: str, obj: Json) -> None:
    assert refused(name, obj) == []


def test_an_event_of_the_newer_group_is_judged_strictly() -> None:
    assert refused("/Event", event(count=1, type="Odd"), "events.k8s.io/Event") == [
        "eventTime: Required value",
        'type: Invalid value: "": has invalid value: Odd',
        'count: Invalid value: "": needs to be unset',
    ]
    found = refused_change("/Event", event(note="a"), event(reason="b"), asked="events.k8s.io/Event")
    assert found == ['reason: Invalid value: "b": field is immutable']
    assert refused_change("/Event", event(), event(reason="b")) == []


def test_a_node_keeps_its_provider_and_its_ranges() -> None:
    old = node(providerID="a", podCIDRs=["10.0.0.0/24"])
    assert refused_change("Node", node(), old) == []
    assert refused_change("Node", old, node(providerID="b", podCIDRs=["10.1.0.0/24"])) == [
        'spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid',
        'spec.providerID: Forbidden: node updates may not change providerID except from "" to valid',
    ]


def test_a_quota_keeps_its_scopes() -> None:
    old, new = quota(["Terminating"], pods="1"), quota(["NotTerminating"], pods="1")
    assert refused_change("ResourceQuota", old, new) == [
        'spec.scopes: Invalid value: ["NotTerminating"]: field is immutable'
    ]


def test_a_namespace_is_active_until_it_is_deleted() -> None:
    new = {"status": {"phase": "Terminating"}}
    assert refused_change("Namespace", {}, new, "status") == [
        "status.Phase: Invalid value: \"Terminating\": may only be 'Active' if `deletionTimestamp` is empty"
    ]


def test_a_claim_for_devices_is_reserved_only_while_it_is_allocated() -> None:
    new = {**exact(), "status": {"reservedFor": [{"resource": "pods", "name": "p", "uid": "u"}]}}
    assert refused_change("ResourceClaim", exact(), new, "status") == [
        "status.reservedFor: Forbidden: may not be specified when `allocated` is not set"
    ]
