"""Certificates and TLS contexts of one cluster: a CA, what it issues, and who trusts it.

Keys are ECDSA P-256. `cryptography` is imported inside the functions that need it: the CLI loads contexts without
paying for it. Renewal policy and where files lie are the assembly's.
"""

import ipaddress
import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from knarr.base.clock import Instant

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

CA_DAYS: Final = 3650
SKEW: Final = timedelta(minutes=5)
"""A certificate is valid from a little before it was made: clocks of two machines differ."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes


def new_authority(common_name: str, now: Instant, *, days: int = CA_DAYS) -> KeyPair:
    """A self-signed CA certificate."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
    usage = _key_usage(signs_certificates=True)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _pair(certificate, key)


def issue_server(authority: KeyPair, common_name: str, names: Sequence[str], now: Instant, *, days: int) -> KeyPair:
    """A server certificate for DNS names and IP addresses (`names`, either kind)."""
    from cryptography import x509

    return _issue(authority, _subject(common_name), now, names=names, days=days, use=x509.OID_SERVER_AUTH)


def issue_client(authority: KeyPair, user: str, groups: Sequence[str], now: Instant, *, days: int = 365) -> KeyPair:
    """A client certificate: the common name is the user, every organisation a group."""
    from cryptography import x509

    return _issue(authority, _subject(user, groups), now, names=(), days=days, use=x509.OID_CLIENT_AUTH)


def expires(certificate: bytes) -> Instant:
    """The end of a PEM certificate's validity."""
    from cryptography import x509

    return x509.load_pem_x509_certificate(certificate).not_valid_after_utc


def subject(certificate: bytes) -> tuple[str, tuple[str, ...]]:
    """(common name, organisations) of a DER certificate: user and groups."""
    from cryptography import x509

    name = x509.load_der_x509_certificate(certificate).subject
    common = name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    groups = name.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)
    return str(common[0].value) if common else "", tuple(str(group.value) for group in groups)


def write(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Write a PEM file so that nobody ever sees it half written or more open than `mode`."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)


def server_context(
    certificate: Path, key: Path, *, client_authority: Path | None = None, requires_client: bool = False
) -> ssl.SSLContext:
    """A server's context. With `client_authority` clients may (or must) show a certificate of that CA."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _harden(context)
    context.load_cert_chain(certificate, key)
    # Tickets to come back with: 0.3 of a handshake's 1.1 ms, and no Go client (kubectl, kubelets) ever uses one.
    context.num_tickets = 0
    if client_authority is not None:
        context.load_verify_locations(client_authority)
        context.verify_mode = ssl.CERT_REQUIRED if requires_client else ssl.CERT_OPTIONAL
    return context


def client_context(
    *, authority: Path | None = None, certificate: Path | None = None, key: Path | None = None, verifies: bool = True
) -> ssl.SSLContext:
    """A client's context: trusts `authority` (None: the system's), shows `certificate` if given."""
    context = ssl.create_default_context(cafile=str(authority) if authority is not None else None)
    _harden(context)
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    if not verifies:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _harden(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION


def _subject(common_name: str, groups: Sequence[str] = ()) -> "x509.Name":
    from cryptography import x509

    organisations = [x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*organisations, x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])


def _issue(
    authority: KeyPair,
    name: "x509.Name",
    now: Instant,
    *,
    names: Sequence[str],
    days: int,
    use: "x509.ObjectIdentifier",
) -> KeyPair:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    issuer = x509.load_pem_x509_certificate(authority.certificate)
    issuer_key = serialization.load_pem_private_key(authority.key, None)
    assert isinstance(issuer_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(min(now + timedelta(days=days), issuer.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_alternative(n) for n in names]), critical=False)
    return _pair(builder.sign(issuer_key, hashes.SHA256()), key)


def _alternative(name: str) -> "x509.GeneralName":
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_usage(*, signs_certificates: bool) -> "x509.KeyUsage":
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pair(certificate: "x509.Certificate", key: "ec.EllipticCurvePrivateKey") -> KeyPair:
    from cryptography.hazmat.primitives import serialization

    return KeyPair(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
