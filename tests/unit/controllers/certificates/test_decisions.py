"""What becomes of a certificate signing request."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from knarr.controllers.certificates import decisions
from knarr.controllers.certificates.decisions import AskApproval, Delete, Fail, Sign, Wait
from knarr.wire import signing, tls

NOW = datetime(2030, 1, 1, tzinfo=UTC)
NODE, CLIENT = "kubernetes.io/kube-apiserver-client-kubelet", "kubernetes.io/kube-apiserver-client"
KEY = ec.generate_private_key(ec.SECP256R1())


def request(common_name: str, *organizations: str, names: tuple[str, ...] = ()) -> bytes:
    attributes = [x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, each) for each in organizations]
    attributes.append(x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name))
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(attributes))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), critical=False)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


NODE_REQUEST = request("system:node:n", "system:nodes")


def csr(signer: str, pem: bytes, *conditions: str, usages: tuple[str, ...] = ("digital signature", "client auth"),
        user: str = "jane", age: timedelta = timedelta(0)) -> dict[str, Any]:  # fmt: skip
    moment = (NOW - age).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "metadata": {"name": "c", "uid": "u", "creationTimestamp": moment},
        "spec": {"request": base64.b64encode(pem).decode(), "signerName": signer, "usages": list(usages),
                 "username": user},
        "status": {"conditions": [{"type": each, "status": "True", "lastUpdateTime": moment} for each in conditions]},
    }  # fmt: skip


def test_what_nobody_approved_waits_for_a_day() -> None:
    assert decisions.decision(csr(CLIENT, request("jane")), NOW) == Wait(NOW + timedelta(hours=24))
    assert isinstance(decisions.decision(csr(CLIENT, request("jane"), age=timedelta(hours=24)), NOW), Delete)


@pytest.mark.parametrize("condition", ["Approved", "Denied", "Failed"])
def test_what_is_decided_goes_after_an_hour(condition: str) -> None:
    assert isinstance(decisions.decision(csr("x.io/y", b"", condition, age=timedelta(hours=1)), NOW), Delete)


def test_an_approved_client_is_signed_for_a_year_or_as_long_as_it_asks() -> None:
    one = csr(CLIENT, request("jane", "dev"), "Approved")
    found = decisions.decision(one, NOW)
    one["spec"]["expirationSeconds"] = 3600

    assert isinstance(found, Sign)
    assert found.lifetime == timedelta(days=365)
    assert decisions.decision(one, NOW) == Sign(found.request, found.usages, timedelta(hours=1))


def test_a_kubelets_client_is_approved_by_itself_if_its_requester_may() -> None:
    own = decisions.decision(csr(NODE, NODE_REQUEST, user="system:node:n"), NOW)
    new = decisions.decision(csr(NODE, NODE_REQUEST, user="system:bootstrap:abcdef"), NOW)

    assert isinstance(own, AskApproval)
    assert isinstance(new, AskApproval)
    assert [name for name, _ in own.permissions] == ["selfnodeclient", "nodeclient"]
    assert [name for name, _ in new.permissions] == ["nodeclient"]


@pytest.mark.parametrize(
    ("signer", "pem", "usages"),
    [
        (CLIENT, request("jane"), ("server auth",)),
        (NODE, request("system:node:n", "system:nodes", "system:masters"), ("digital signature", "client auth")),
        (NODE, request("jane", "system:nodes"), ("digital signature", "client auth")),
        (NODE, request("system:node:n", "system:nodes", names=("n",)), ("digital signature", "client auth")),
        ("kubernetes.io/kubelet-serving", NODE_REQUEST, ("digital signature", "server auth")),
    ],
)
def test_a_signer_refuses_what_is_not_its_kind_even_when_approved(
    signer: str, pem: bytes, usages: tuple[str, ...]
) -> None:
    assert isinstance(decisions.decision(csr(signer, pem, "Approved", usages=usages), NOW), Fail)
    assert not isinstance(decisions.decision(csr(signer, pem, usages=usages), NOW), AskApproval)


def test_others_signers_and_denied_requests_are_left_alone() -> None:
    assert isinstance(decisions.decision(csr("example.com/mine", request("x"), "Approved"), NOW), Wait)
    assert isinstance(decisions.decision(csr(CLIENT, request("x"), "Denied"), NOW), Wait)


def test_a_certificate_has_the_requests_names_key_and_usages_and_ends_with_its_ca() -> None:
    authority = tls.new_authority("ca", NOW, days=1)
    pem = request("system:node:n", "system:nodes", names=("n.local",))

    made = signing.signed(authority, pem, ("digital signature", "server auth"), timedelta(days=365), NOW)

    found = x509.load_pem_x509_certificate(made)
    alternatives = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    extended = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    found.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.certificate))
    assert found.public_key() == KEY.public_key()
    assert found.subject.rfc4514_string() == "CN=system:node:n,O=system:nodes"
    assert alternatives.get_values_for_type(x509.DNSName) == ["n.local"]
    assert [*extended] == [x509.OID_SERVER_AUTH]
    assert found.not_valid_after_utc == NOW + timedelta(days=1)


@pytest.mark.parametrize(("usages", "has_bits"), [(("client auth",), False), (("client auth", "signing"), True)])
def test_usages_that_name_no_bit_make_no_extension_without_any(usages: tuple[str, ...], has_bits: bool) -> None:
    # OpenSSL refuses to load a certificate whose keyUsage is empty.
    made = signing.signed(tls.new_authority("ca", NOW, days=1), request("jane"), usages, timedelta(hours=1), NOW)
    found = {extension.oid for extension in x509.load_pem_x509_certificate(made).extensions}
    assert (x509.KeyUsage.oid in found, x509.ExtendedKeyUsage.oid in found) == (has_bits, True)
