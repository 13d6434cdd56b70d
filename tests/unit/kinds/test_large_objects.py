"""What is said of objects that are large on purpose: bounded in number and length, and never by comparing all pairs.

The lists are so long that their square would outlast the tests' time limit.
"""

from datetime import datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from knarr.apiserver import status
from knarr.kinds import registry, validating, warnings
from knarr.objects import faults
from tests.unit.kinds.judging import refused, refused_change

Json = dict[str, Any]
MANY = 100_000
LONG = 1024 * 1024
OF_X400_NAMES = bytes.fromhex("3002a300")
"""An alternative name of the form x400Address."""


def pod(ports: list[Json]) -> Json:
    return {"spec": {"containers": [{"name": "c", "image": "x", "ports": ports}]}}


@pytest.mark.parametrize("hosts", [False, True], ids=["equal", "of distinct host ports"])
def test_ports_of_one_number_are_warned_of_without_comparing_all(hosts: bool) -> None:
    ports = [{"containerPort": 80, **({"hostPort": index + 1} if hosts else {})} for index in range(MANY)]
    found = warnings.of(registry.row("", "v1", "Pod"), pod(ports))
    assert len(found) == (0 if hosts else warnings.WARNINGS_MAX)


@pytest.mark.parametrize(
    ("name", "new", "old"),
    [
        ("Node", {"status": {"addresses": [{"type": "Hostname", "address": "a"}] * MANY}}, {}),
        ("CertificateSigningRequest", {"status": {"conditions": [{"type": "A", "status": "True"}] * MANY}}, {}),
    ],
)  # fmt: skip
def test_duplicates_of_a_status_are_found_in_one_pass(name: str, new: Json, old: Json) -> None:
    found = refused_change(name, old, new, "status")
    assert all("Duplicate value" in each for each in found)
    assert len(found) <= validating.TOLD_MAX


def test_reservations_of_a_claim_are_compared_in_one_pass() -> None:
    reserved = [{"resource": "pods", "name": f"p{index}", "uid": str(index)} for index in range(30_000)]
    pair = [{"metadata": {"name": "x", "deletionTimestamp": "2026-01-01T00:00:00Z"},
             "status": {"allocation": {}, "reservedFor": each}} for each in (reserved[:-1], reserved)]  # fmt: skip
    assert refused_change("ResourceClaim", pair[1], pair[0], "status") == []
    assert "new entries may not be added" in refused_change("ResourceClaim", *pair, "status")[0]


def test_audiences_of_a_driver_are_compared_in_one_pass() -> None:
    requests = [{"audience": f"{index}"} for index in range(MANY)]
    driver = {"metadata": {"name": "x"}, "spec": {"tokenRequests": [*requests, {"audience": "0"}]}}
    assert refused("CSIDriver", driver) == [f'spec.tokenRequests[{MANY}].audience: Duplicate value: "0"']


def job(**spec: Any) -> Json:
    template = {"spec": {"containers": [{"name": "c", "image": "x"}], "restartPolicy": "Never"}}
    return {"spec": {"template": template, **spec}}


def exits(values: list[int]) -> Json:
    rule = {"action": "Ignore", "onExitCodes": {"operator": "NotIn", "values": values}}
    return job(podFailurePolicy={"rules": [rule]})


def success(indexes: str) -> Json:
    rules = [{"succeededIndexes": indexes, "succeededCount": 1}]
    return job(completionMode="Indexed", completions=5, successPolicy={"rules": rules})


SUCCESS = "spec.successPolicy.rules[0].succeededIndexes"


@pytest.mark.parametrize(
    ("name", "obj", "text"),
    [
        ("Job", exits([*range(MANY)]), "rules[0].onExitCodes.values: Too many: 100000: must have at most 255 items"),
        ("Job", success("9" * 5000), f"{SUCCESS}: Invalid value: "),
        ("Job", success("9" * 5000), "error parsing succeededIndexes: too large index: "),
        ("Job", success("1," * MANY), f"{SUCCESS}: Too long: may not be more than 65536 bytes"),
        ("Node", {"spec": {"podCIDRs": ["10.0.0.0/24"] * 20_000}}, "spec.podCIDRs[1]: Duplicate value"),
        ("CertificateSigningRequest", {"spec": {"signerName": "." * LONG + "/a", "usages": ["any"], "request": "eA=="}},
         "spec.signerName: Too long: may not be more than 253 bytes"),
        ("CertificateSigningRequest", {"spec": {"signerName": "a.b/" + "." * LONG, "usages": ["any"]}},
         "spec.signerName: Too long: may not be more than 571 bytes"),
        ("CertificateSigningRequest", {"spec": {"signerName": "a.b/c", "usages": ["any"] * MANY, "request": "eA=="}},
         'spec.usages[1]: Duplicate value: "any"'),
        ("ResourceQuota", {"spec": {"hard": {"pods": "1"}, "scopes": [f"s{index}" for index in range(20_000)]}},
         "unsupported scope"),
        ("ResourceQuota", {"spec": {"hard": {"cpu": "1"}, "scopeSelector": {"matchExpressions": [
            {"scopeName": "BestEffort", "operator": "Exists"}] * MANY}}}, "unsupported scope applied to resource"),
        ("ClusterTrustBundle", {"spec": {"trustBundle": "-----BEGIN " * (LONG // 11)}},
         "at least one trust anchor must be provided"),
        ("ClusterTrustBundle", {"spec": {"trustBundle": "-----BEGIN A-----\n" * (LONG // 18)}},
         "at least one trust anchor must be provided"),
        ("ClusterTrustBundle", {"spec": {"trustBundle": "-----BEGIN A-----\na:b\n" * (LONG // 22)}},
         "at least one trust anchor must be provided"),
    ],
    ids=lambda value: value[-40:] if isinstance(value, str) else "",
)  # fmt: skip
def test_the_faults_of_a_large_object_are_told_in_short(name: str, obj: Json, text: str) -> None:
    found = refused(name, obj)
    assert any(text in each for each in found), [each[:200] for each in found[:3]]
    assert sum(map(len, found)) < 8 * LONG


def test_leading_zeros_make_no_index_large() -> None:
    assert refused("Job", success("0" * 5000 + "4")) == []


def test_a_value_is_quoted_to_a_length() -> None:
    for value in ("x" * LONG, ["x"] * LONG):
        assert len(faults.shown(value)) < faults.SHOWN_MAX + 100
        assert faults.shown(value).endswith(" more characters)")
    assert faults.shown("x" * 100) == f'"{"x" * 100}"'


def test_a_refusal_of_many_long_faults_is_short() -> None:
    found = [faults.bad(f"spec.a[{index}]", "x" * 100_000) for index in range(600)]
    assert len(str(status.invalid("Pod", "", "p", found))) < 10 * LONG


def test_an_anchor_of_names_that_are_not_supported_does_not_parse() -> None:
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    built = x509.CertificateBuilder(name, name, key.public_key(), 1, datetime(2026, 1, 1), datetime(2027, 1, 1))
    unread = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, OF_X400_NAMES)
    pem = (
        built.add_extension(unread, critical=False).sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    )
    found = refused("ClusterTrustBundle", {"spec": {"trustBundle": pem.decode()}})
    assert found == ['spec.trustBundle: Invalid value: "<value omitted>": entry 0 does not parse as X.509']


NAMES = [f"n{index}" for index in range(MANY // 10)]
ENDED = [{"name": name, "state": {"terminated": {"exitCode": 1}}} for name in NAMES]
RUNNING = [{"name": name, "state": {"running": {}}, "allocatedResourcesStatus": [{"name": "a"}]} for name in NAMES]


def crowd(status: Json) -> Json:
    containers = [{"name": name, "image": "x"} for name in NAMES]
    return {"spec": {"restartPolicy": "Never", "containers": containers}, "status": status}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"containerStatuses": ENDED}, {"containerStatuses": RUNNING}),
        ({}, {"podIPs": [{"ip": f"10.{index >> 16}.{index >> 8 & 255}.{index & 255}"} for index in range(MANY // 10)]}),
    ],
    ids=["statuses", "addresses"],
)
def test_the_status_of_a_crowded_pod_is_judged_in_one_pass(old: Json, new: Json) -> None:
    assert 1 <= len(refused_change("Pod", crowd(old), crowd(new), "status")) <= validating.TOLD_MAX


def of_containers(many: int, **spec: Any) -> Json:
    """A pod of many containers; `spec` may say more of it and, under `each`, of every container."""
    each = spec.pop("each", {})
    containers = [{"name": f"c{index}", "image": "x", **each} for index in range(many)]
    return {"metadata": {"name": "x"}, "spec": {"containers": containers, **spec}}


def claims(many: int, length: int = 0) -> list[Json]:
    return [{"name": f"k{index}" + "-" * length, "resourceClaimName": "r"} for index in range(many)]


def pages(many: int) -> Json:
    """Amounts of as many resources as a pod may have."""
    return {"cpu": "1", **{f"hugepages-{index}": "1" for index in range(1, many)}}


def mounting(many: int) -> Json:
    mounts = [{"name": "v", "mountPath": f"/{index}"} for index in range(many)]
    devices = [{"name": f"d{index}", "devicePath": f"/dev/{index}"} for index in range(many)]
    return of_containers(1, each={"volumeMounts": mounts, "volumeDevices": devices}, volumes=[{"name": "v"}])


def spreading(many: int) -> Json:
    spread = {"maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}
    return of_containers(1, topologySpreadConstraints=[{**spread, "topologyKey": f"k{n}"} for n in range(many)])


def serving(many: int) -> Json:
    ports = [{"name": f"p{index}", "port": index + 1, "nodePort": index + 1} for index in range(many)]
    return {"spec": {"type": "NodePort", "ports": ports}}


def asking(many: int) -> Json:
    requests = [{"name": f"r{index}", "exactly": {"deviceClassName": "c"}} for index in range(many)]
    return {"spec": {"devices": {"requests": requests}}}


@pytest.mark.parametrize(
    ("name", "obj"),
    [
        ("Pod", of_containers(30_000, each={"resources": {"limits": {"cpu": "1"}}}, resourceClaims=claims(30_000))),
        ("Pod", of_containers(1000, each={"resources": {"claims": [{"name": "z"}]}}, resourceClaims=claims(MANY))),
        ("Pod", of_containers(1000, each={"resources": {"claims": [{"name": "z"}]}},
                              resourceClaims=claims(20, length=100_000))),
        ("Pod", of_containers(8000, resources={"requests": pages(8000), "limits": pages(8000)})),
        ("Pod", mounting(60_000)),
        ("Pod", spreading(60_000)),
        ("Service", serving(50_000)),
        ("ResourceClaim", asking(50_000)),
    ],
    ids=["claims of limits", "claims not known", "claims of long names", "amounts of the pod", "mounts", "spreads",
         "ports", "requests of devices"],
)  # fmt: skip
@pytest.mark.timeout(20)  # twenty times what one pass takes; pairs would take longer
def test_a_crowd_is_judged_in_one_pass(name: str, obj: Json) -> None:
    assert sum(map(len, refused(name, obj))) < 8 * LONG


@pytest.mark.timeout(20)
def test_finalizers_of_what_is_being_deleted_are_compared_in_one_pass() -> None:
    held = [f"a.b/{index}" for index in range(MANY // 2)]
    going = {"name": "x", "deletionTimestamp": "2026-01-01T00:00:00Z"}
    old, new = ({"metadata": {**going, "finalizers": each}} for each in (held, [*held[1:], "a.b/new"]))
    assert any('found new finalizers ["a.b/new"]' in each for each in refused_change("ConfigMap", old, new))


def test_claims_and_profiles_of_a_crowded_pod_are_judged_in_one_pass() -> None:
    claims = [{"name": name, "request": "r"} for name in NAMES]
    whole = {"metadata": {"name": "x"}, **crowd({})}
    whole["spec"]["containers"][0]["resources"] = {"claims": claims}
    prefix = "container.apparmor.security.beta.kubernetes.io/"
    whole["metadata"]["annotations"] = {f"{prefix}m{index}": "unconfined" for index in range(3000)}
    assert len(refused("Pod", whole)) <= 2 * validating.TOLD_MAX
