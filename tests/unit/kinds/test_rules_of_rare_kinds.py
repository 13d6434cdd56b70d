"""Rules of kinds that few write by hand: APIService, migrations, pod certificates; and of statuses of several kinds."""

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.unit.kinds.judging import refused, refused_change

Json = dict[str, Any]


def service(name: str = "v1.x.io", **spec: Any) -> Json:
    whole = {"group": "x.io", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 10, **spec}
    return {"metadata": {"name": name}, "spec": {key: value for key, value in whole.items() if value is not None}}


SERVICES: list[tuple[Json, list[str]]] = [
    (service(), []),
    (service(service={"name": "a", "namespace": "b"}, caBundle="YQ=="), []),
    (service("v1.", group=None), []),
    (service("v2.x.io"),
     ['metadata.name: Invalid value: "v2.x.io": must be `spec.version+"."+spec.group`: "v1.x.io"']),
    (service("v2.", group=None, version="v2"),
     ["spec.group: Required value: only v1 may have an empty group and it better be legacy kube"]),
    (service(groupPriorityMinimum=20001, versionPriority=0),
     ["spec.groupPriorityMinimum: Invalid value: 20001: must be positive and less than 20000",
      "spec.versionPriority: Invalid value: 0: must be positive and less than 1000"]),
    (service(caBundle="YQ==", insecureSkipTLSVerify=True),
     ['spec.caBundle: Invalid value: "1 bytes": local APIServices may not have a caBundle',
      "spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have insecureSkipTLSVerify"]),
    (service(service={"name": "a"}, caBundle="YQ==", insecureSkipTLSVerify=True),
     ["spec.service.namespace: Required value",
      "spec.insecureSkipTLSVerify: Invalid value: true: may not be true if caBundle is present"]),
]  # fmt: skip


@pytest.mark.parametrize(("found", "faults"), SERVICES)
def test_an_api_service_is_judged(found: Json, faults: list[str]) -> None:
    assert refused("APIService", found) == faults


def stub() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return base64.b64encode(request.public_bytes(serialization.Encoding.DER)).decode()


STUB = stub()


def asked(**spec: Any) -> Json:
    parties = {f"{party}{key}": "u" for party in ("pod", "serviceAccount", "node") for key in ("Name", "UID")}
    return {"spec": {"signerName": "x.io/a", "stubPKCS10Request": STUB, **parties, **spec}}


def test_a_pod_certificate_request_is_judged() -> None:
    assert refused("PodCertificateRequest", asked()) == []
    assert refused("PodCertificateRequest", asked(podUID="u" * 129, maxExpirationSeconds=60)) == [
        "spec.podUID: Too long: may not be more than 128 bytes",
        "spec.maxExpirationSeconds: Invalid value: 60: must be in the range [3600, 7862400]",
    ]
    own = asked(signerName="kubernetes.io/a", maxExpirationSeconds=86401)
    assert refused("PodCertificateRequest", own) == [
        "spec.maxExpirationSeconds: Invalid value: 86401: must be in the range [3600, 86400]"
    ]
    assert refused("PodCertificateRequest", asked(stubPKCS10Request="YQ=="))[0].startswith(
        'spec.stubPKCS10Request: Invalid value: "YQ==": '
    )


NOW = "2026-01-01T00:00:00Z"


def condition(kind: str, status: str = "True", **more: Any) -> Json:
    return {"type": kind, "status": status, "reason": "A", "lastTransitionTime": NOW, **more}


ISSUED: Json = {
    "conditions": [condition("Issued")], "certificateChain": "-----BEGIN CERTIFICATE-----\n",
    "notBefore": NOW, "notAfter": "2026-01-02T00:00:00Z", "beginRefreshAt": "2026-01-01T12:00:00Z",
}  # fmt: skip
ANSWERS: list[tuple[Json, Json, list[str]]] = [
    ({}, ISSUED, []),
    ({}, {"conditions": [condition("Denied")]}, []),
    ({"conditions": [condition("Denied")]}, {},
     ["status: Invalid value: immutable after PodCertificateRequest is issued, denied, or failed"]),
    ({}, {"notBefore": NOW},
     ['status: Invalid value: status is immutable unless transitioning to "Issued", "Denied", or "Failed"']),
    ({}, {"conditions": [condition("Issued"), condition("Failed")]},
     ['status.conditions[1].type: Invalid value: "Failed": There may be at most one condition with type "Issued", '
      '"Denied", or "Failed"']),
    ({}, {"conditions": [condition("Ready")]},
     ['status.conditions[0].type: Unsupported value: "Ready": supported values: "Denied", "Failed", "Issued"']),
    ({}, {**ISSUED, "notAfter": None},
     ["status.notAfter: Required value: must be present and consistent with the issued certificate"]),
    ({}, {**ISSUED, "beginRefreshAt": "2026-01-01T00:09:00Z"},
     ['status.beginRefreshAt: Invalid value: "2026-01-01T00:09:00Z": must be at least 10 minutes after '
      "status.notBefore"]),
    ({}, {**ISSUED, "beginRefreshAt": "2026-01-01T23:51:00Z"},
     ['status.beginRefreshAt: Invalid value: "2026-01-01T23:51:00Z": must be at least 10 minutes before '
      "status.notAfter"]),
    ({}, {**ISSUED, "notBefore": "9999-12-31T23:55:00Z"},
     ['status.beginRefreshAt: Invalid value: "2026-01-01T12:00:00Z": must be at least 10 minutes after '
      "status.notBefore"]),
    ({}, {**ISSUED, "notAfter": "0001-01-01T00:05:00Z"},
     ['status.beginRefreshAt: Invalid value: "2026-01-01T12:00:00Z": must be at least 10 minutes before '
      "status.notAfter"]),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "faults"), ANSWERS)
def test_a_signers_answer_is_judged(old: Json, new: Json, faults: list[str]) -> None:
    before, after = ({**asked(), "status": status} for status in (old, new))
    assert refused_change("PodCertificateRequest", before, after, "status") == faults


STATUSES: list[tuple[str, Json, Json, list[str]]] = [
    ("StorageVersionMigration", {}, {"resourceVersion": "5", "conditions": [condition("Succeeded")]}, []),
    ("StorageVersionMigration", {"resourceVersion": "5"}, {"resourceVersion": "6"},
     ['status.resourceVersion: Invalid value: "6": cannot be updated']),
    ("StorageVersionMigration", {"conditions": [condition("Failed")]}, {},
     ["status.conditions: Invalid value: []: Failed condition cannot be set to false once it is true"]),
    ("StorageVersionMigration", {}, {"resourceVersion": "x"},
     ['status.resourceVersion: Invalid value: "x": failed to parse resource version "x": strconv.ParseInt: parsing '
      '"x": invalid syntax']),
    ("StorageVersionMigration", {}, {"resourceVersion": "9223372036854775807"}, []),
    ("StorageVersionMigration", {}, {"resourceVersion": "0" * 5000 + "7"}, []),
    ("StorageVersionMigration", {}, {"resourceVersion": "9223372036854775808"},
     ['status.resourceVersion: Invalid value: "9223372036854775808": failed to parse resource version '
      '"9223372036854775808": strconv.ParseInt: parsing "9223372036854775808": value out of range']),
    ("StorageVersionMigration", {}, {"resourceVersion": "-1"},
     ["status.resourceVersion: Invalid value: -1: must be greater than or equal to 0"]),
    ("APIService", {}, {"conditions": [{"type": "Available", "status": "Yes"}]},
     ['status.conditions[0].status: Unsupported value: "Yes": supported values: "False", "True", "Unknown"']),
    ("FlowSchema", {}, {"conditions": [condition("a"), condition("a")]},
     ['status.conditions[1].type: Duplicate value: "a"']),
    ("PodDisruptionBudget", {}, {"conditions": [condition("a"), {"type": "b", "status": "True", "reason": "-"}]},
     ["status.conditions[1].lastTransitionTime: Required value: must be set",
      'status.conditions[1].reason: Invalid value: "-": a condition reason must start with alphabetic character, '
      "optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric "
      "character or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', "
      "regex used for validation is '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')"]),
    ("PersistentVolumeClaim", {}, {"capacity": {"storage": "-1"}, "allocatedResourceStatuses": {"cpu": "Soon"}},
     ["status.capacity[storage]: Invalid value: -1: must be a valid resource quantity",
      'status.allocatedResourceStatus: Unsupported value: "cpu": supported values: "storage"',
      'status.allocatedResourceStatus: Unsupported value: "cpu": supported values: "ControllerResizeInProgress", '
      '"ControllerResizeInfeasible", "NodeResizeInProgress", "NodeResizeInfeasible", "NodeResizePending"']),
    ("VolumeAttachment", {}, {"attachError": {"message": "x" * 1025}},
     ["status.attachError.message: Too long: may not be more than 1024 bytes"]),
    ("Deployment", {"collisionCount": 0}, {}, ["status.collisionCount: Invalid value: 0: cannot be decremented"]),
    ("Deployment", {}, {"collisionCount": 0}, []),
    ("Deployment", {"collisionCount": 2}, {}, ["status.collisionCount: Invalid value: 0: cannot be decremented"]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "old", "new", "faults"), STATUSES)
def test_statuses_are_judged(kind: str, old: Json, new: Json, faults: list[str]) -> None:
    assert refused_change(kind, {"status": old}, {"status": new}, "status") == faults


def test_a_namespaces_finalizers_are_judged_when_it_is_made() -> None:
    assert refused("Namespace", {"spec": {"finalizers": ["x"]}}) == [
        'spec.finalizers: Invalid value: "x": name is neither a standard finalizer name nor is it fully qualified'
    ]
