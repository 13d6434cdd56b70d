"""CertificateSigningRequests at the API: who asks, who may approve and sign, and what is refused."""

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from knarr.apiserver.bootstrap import objects as bootstrap
from knarr.apiserver.context import User
from knarr.apiserver.pipeline import Pipeline
from knarr.apiserver.rbac import Rbac
from knarr.apiserver.server import ApiServer
from knarr.store.memory import MemoryStore
from tests.unit.apiserver.conftest import Asker

REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
JANE = User("jane", ("dev", "system:authenticated"), "17", {"scope": ("x",)})
SIGNER = "kubernetes.io/kube-apiserver-client"
KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
async def ask() -> Asker:
    store = MemoryStore()
    pipeline = Pipeline(ApiServer(store, access=Rbac(store)))
    await bootstrap.run(pipeline, service_address="10.96.0.1", port=6443)
    asker = Asker(pipeline)
    rule = {"verbs": ["*"], "apiGroups": ["certificates.k8s.io"],
            "resources": ["certificatesigningrequests", "certificatesigningrequests/approval",
                          "certificatesigningrequests/status"]}  # fmt: skip
    group = "rbac.authorization.k8s.io"
    await asker("POST", f"{RBAC}/clusterroles", {"metadata": {"name": "csr"}, "rules": [rule]})
    for name, role in (("csr", "csr"), ("approver", f"system:certificates.k8s.io:{SIGNER.partition('/')[2]}-approver")):
        subject = {"kind": "Group", "name": "dev" if name == "csr" else "approvers", "apiGroup": group}
        binding = {"metadata": {"name": name}, "subjects": [subject],
                   "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role}}  # fmt: skip
        await asker("POST", f"{RBAC}/clusterrolebindings", binding)
    return asker


def csr(*organizations: str, signer: str = SIGNER, **spec: Any) -> dict[str, Any]:
    names = [x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, each) for each in organizations]
    names.append(x509.NameAttribute(x509.NameOID.COMMON_NAME, "jane"))
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names))
    pem = builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    wanted = {"request": base64.b64encode(pem).decode(), "signerName": signer, "usages": ["client auth"]}
    return {"metadata": {"name": "c"}, "spec": {**wanted, **spec}}


def decided(found: dict[str, Any], *types: str) -> dict[str, Any]:
    return {**found, "status": {"conditions": [{"type": each, "status": "True", "reason": "R"} for each in types]}}


async def test_who_asks_is_who_is_authenticated(ask: Asker) -> None:
    found = await ask.as_user(JANE)("POST", REQUESTS, csr(username="admin", groups=["system:masters"]))

    spec = found["spec"]
    assert (spec["username"], spec["groups"], spec["uid"], spec["extra"]) == (
        "jane", ["dev", "system:authenticated"], "17", {"scope": ["x"]}
    )  # fmt: skip


async def test_nobody_gets_a_certificate_of_masters(ask: Asker) -> None:
    refused = await ask("POST", REQUESTS, csr("system:masters"))

    assert refused["code"] == 403
    assert "with system:masters group is not allowed" in refused["message"]


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"request": base64.b64encode(b"x").decode()}, "PEM block type must be CERTIFICATE REQUEST"),
        ({"usages": []}, "spec.usages: Required value"),
        ({"usages": ["wishing"]}, "spec.usages"),
        ({"signerName": "mine"}, "fully qualified domain and path"),
        ({"expirationSeconds": 599}, "may not specify a duration less than 600 seconds"),
    ],
)
async def test_a_bad_request_is_refused_by_field(ask: Asker, spec: dict[str, Any], text: str) -> None:
    refused = await ask("POST", REQUESTS, csr(**spec))

    assert refused["code"] == 422
    assert text in refused["message"]


async def test_approving_needs_the_right_for_the_signer(ask: Asker) -> None:
    found = await ask("POST", REQUESTS, csr())
    approver = User("boss", ("approvers", "dev", "system:authenticated"))

    refused = await ask.as_user(JANE)("PUT", f"{REQUESTS}/c/approval", decided(found, "Approved"))
    approved = await ask.as_user(approver)("PUT", f"{REQUESTS}/c/approval", decided(found, "Approved"))

    assert f'user not permitted to approve requests with signerName "{SIGNER}"' in refused["message"]
    (condition,) = approved["status"]["conditions"]
    assert condition["lastUpdateTime"] == condition["lastTransitionTime"] != ""


async def test_approved_and_denied_exclude_each_other_and_stay(ask: Asker) -> None:
    found = await ask("POST", REQUESTS, csr())
    both = await ask("PUT", f"{REQUESTS}/c/approval", decided(found, "Approved", "Denied"))
    approved = await ask("PUT", f"{REQUESTS}/c/approval", decided(found, "Approved"))
    taken = await ask("PUT", f"{REQUESTS}/c/approval", {**approved, "status": {"conditions": []}})

    assert both["code"] == 422
    assert 'may not remove a condition of type "Approved"' in taken["message"]


async def test_a_status_write_approves_nothing_and_signing_needs_its_right(ask: Asker) -> None:
    found = await ask("POST", REQUESTS, csr())
    written = await ask.as_user(JANE)("PUT", f"{REQUESTS}/c/status", decided(found, "Approved"))
    pem = base64.b64encode(b"-----BEGIN CERTIFICATE-----").decode()
    refused = await ask.as_user(JANE)("PUT", f"{REQUESTS}/c/status", {**written, "status": {"certificate": pem}})

    assert not written.get("status", {}).get("conditions")
    assert "user not permitted to sign requests" in refused["message"]


async def test_an_update_leaves_what_was_asked_as_it_is(ask: Asker) -> None:
    await ask("POST", REQUESTS, csr())
    body = {"spec": {"usages": ["server auth"]}, "metadata": {"labels": {"a": "b"}}}
    changed = await ask("PATCH", f"{REQUESTS}/c", body, media="application/merge-patch+json")
    assert (changed["spec"]["usages"], changed["metadata"]["labels"]) == (["client auth"], {"a": "b"})
