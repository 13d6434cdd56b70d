"""Whom a request speaks for, when it brings one credential, several, or bad ones."""

import base64
import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from knarr.apiserver.authn import SUBPROTOCOL, Authenticator
from knarr.apiserver.context import CREDENTIAL_ID, User
from knarr.base.errors import Unauthenticated
from knarr.wire import http

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
KNOWN = {"good": User("token-user"), "другой": User("utf8-user")}
UPGRADE = (("connection", "Upgrade"), ("upgrade", "websocket"))


def certificate(name: str) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    attributes = [x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "team")]
    attributes += [x509.NameAttribute(x509.NameOID.COMMON_NAME, name)] if name else []
    subject = x509.Name(attributes)
    built = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    built = built.serial_number(1).not_valid_before(NOW).not_valid_after(NOW + datetime.timedelta(days=1))
    return built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def request(*headers: tuple[str, str], name: str | None = None) -> http.Request:
    peer = http.Peer(certificate=None if name is None else certificate(name))
    return http.Request("GET", "/", headers=headers, peer=peer)


def who(asked: http.Request) -> str:
    try:
        return Authenticator(KNOWN.get).user(asked).name
    except Unauthenticated:
        return "401"


def subprotocol(token: str) -> str:
    return SUBPROTOCOL + base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")


def test_a_certificate_decides_before_a_token_good_or_bad() -> None:
    found = [who(request(("authorization", f"Bearer {token}"), name="cert-user")) for token in ("good", "bad")]
    assert found == ["cert-user", "cert-user"]


def test_a_certificate_without_a_name_leaves_it_to_the_token() -> None:
    found = [who(request(*some, name="")) for some in ((), (("authorization", "Bearer good"),))]
    assert found == ["system:anonymous", "token-user"]


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("Bearer good", "token-user"),
        ("bearer good", "token-user"),
        ("BEARER good trailing", "token-user"),
        ("Bearer bad", "401"),
        ("Basic Z29vZA==", "system:anonymous"),
        ("Bearer", "system:anonymous"),
        ("Bearer  good", "system:anonymous"),
        ("good", "system:anonymous"),
    ],
)
def test_an_authorization_header_is_read_as_upstream_reads_it(header: str, name: str) -> None:
    assert who(request(("authorization", header))) == name


@pytest.mark.parametrize(
    ("offered", "name"),
    [
        (f"v4.channel.k8s.io, {subprotocol('good')}", "token-user"),
        (f"{subprotocol('другой')}, v4.channel.k8s.io", "utf8-user"),
        (f"v4.channel.k8s.io, {subprotocol('bad')}", "401"),
        (subprotocol("good"), "401"),
        (f"v4.channel.k8s.io, {subprotocol('good')}, {subprotocol('good')}", "401"),
        (f"v4.channel.k8s.io, {SUBPROTOCOL}***", "401"),
        (f"v4.channel.k8s.io, {SUBPROTOCOL}Z29vZA==", "401"),
        (f"v4.channel.k8s.io, {SUBPROTOCOL}", "system:anonymous"),
        (f"v4.channel.k8s.io, {SUBPROTOCOL}_w", "401"),
        ("v4.channel.k8s.io", "system:anonymous"),
    ],
)
def test_a_websocket_brings_its_token_as_a_subprotocol(offered: str, name: str) -> None:
    assert who(request(*UPGRADE, ("sec-websocket-protocol", offered))) == name


def test_only_a_websocket_does() -> None:
    asked = request(("sec-websocket-protocol", f"v4.channel.k8s.io, {subprotocol('good')}"))
    assert who(asked) == "system:anonymous"


@pytest.mark.parametrize("name", [None, "cert-user"])
def test_a_token_is_no_longer_among_the_subprotocols_that_are_spoken(name: str | None) -> None:
    offered = (("sec-websocket-protocol", subprotocol("good")), ("sec-websocket-protocol", "v5.channel.k8s.io, v4"))
    asked = request(*UPGRADE, *offered, name=name)
    Authenticator(KNOWN.get).user(asked)
    assert asked.headers == (*UPGRADE, ("sec-websocket-protocol", "v5.channel.k8s.io, v4"))


def test_users_of_one_name_and_different_credentials_are_found_apart() -> None:
    users = [User("system:serviceaccount:a:b", extra={CREDENTIAL_ID: (f"JTI={number}",)}) for number in range(100)]
    assert len({hash(user) for user in users}) == 100
    assert hash(users[0]) == hash(User("system:serviceaccount:a:b", extra={CREDENTIAL_ID: ("JTI=0",)}))
