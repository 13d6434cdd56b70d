"""Certificate signing requests (PKCS#10): what one asks for, and the certificate that a CA makes of it.

`cryptography` is imported inside the functions: a server that never signs never pays for it. Who may have what signed
is not decided here (controllers/certificates/decisions.py). Usages are the words of certificates.k8s.io/v1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from knarr.base.clock import Instant
from knarr.base.errors import Invalid
from knarr.wire.tls import SKEW, KeyPair

if TYPE_CHECKING:
    from cryptography import x509

# Usage → the bit of keyUsage.
_KEY_USAGES: Final = {
    "signing": "digital_signature",
    "digital signature": "digital_signature",
    "content commitment": "content_commitment",
    "key encipherment": "key_encipherment",
    "data encipherment": "data_encipherment",
    "key agreement": "key_agreement",
    "cert sign": "key_cert_sign",
    "crl sign": "crl_sign",
    "encipher only": "encipher_only",
    "decipher only": "decipher_only",
}
# Usage → the object identifier of extendedKeyUsage.
_EXTENDED: Final = {
    "any": "2.5.29.37.0",
    "server auth": "1.3.6.1.5.5.7.3.1",
    "client auth": "1.3.6.1.5.5.7.3.2",
    "code signing": "1.3.6.1.5.5.7.3.3",
    "email protection": "1.3.6.1.5.5.7.3.4",
    "s/mime": "1.3.6.1.5.5.7.3.4",
    "ipsec end system": "1.3.6.1.5.5.7.3.5",
    "ipsec tunnel": "1.3.6.1.5.5.7.3.6",
    "ipsec user": "1.3.6.1.5.5.7.3.7",
    "timestamping": "1.3.6.1.5.5.7.3.8",
    "ocsp signing": "1.3.6.1.5.5.7.3.9",
    "microsoft sgc": "1.3.6.1.4.1.311.10.3.3",
    "netscape sgc": "2.16.840.1.113730.4.1",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks for."""

    common_name: str
    organizations: tuple[str, ...]
    dns_names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()


def asked(pem: bytes) -> Asked:
    """The request's subject and alternative names. Raises Invalid for what is none, or is not signed by its own key."""
    from cryptography import x509

    request = _loaded(pem)
    common = request.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    organizations = request.subject.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)
    names = _alternatives(request)
    if names is None:
        names = x509.SubjectAlternativeName([])
    return Asked(
        str(common[0].value) if common else "",
        tuple(str(each.value) for each in organizations),
        tuple(names.get_values_for_type(x509.DNSName)),
        tuple(str(each) for each in names.get_values_for_type(x509.IPAddress)),
        tuple(names.get_values_for_type(x509.RFC822Name)),
        tuple(names.get_values_for_type(x509.UniformResourceIdentifier)),
    )


def signed(authority: KeyPair, pem: bytes, usages: Sequence[str], lifetime: timedelta, now: Instant) -> bytes:
    """The certificate (PEM) for a request. It ends no later than the CA. Raises Invalid."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    request = _loaded(pem)
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    key = serialization.load_pem_private_key(authority.key, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    builder = (
        x509.CertificateBuilder()
        .subject_name(request.subject)
        .issuer_name(issuer.subject)
        .public_key(request.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(min(now + lifetime, issuer.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    usage = _key_usage(usages)
    if usage is not None:
        builder = builder.add_extension(usage, critical=True)
    extended = [x509.ObjectIdentifier(_EXTENDED[usage]) for usage in usages if usage in _EXTENDED]
    if extended:
        builder = builder.add_extension(x509.ExtendedKeyUsage([*dict.fromkeys(extended)]), critical=False)
    names = _alternatives(request)
    if names is not None:
        builder = builder.add_extension(names, critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def is_authority(certificate: bytes) -> bool:
    """May a certificate (DER) sign others? Raises Invalid for what is none."""
    from cryptography import x509

    try:
        constraints = x509.load_der_x509_certificate(certificate).extensions.get_extension_for_class(
            x509.BasicConstraints
        )
    except x509.ExtensionNotFound:
        return False
    except (
        ValueError,
        TypeError,
        x509.InvalidVersion,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
    ) as error:
        raise Invalid(f"the certificate cannot be read: {error}") from error
    return constraints.value.ca


def _loaded(pem: bytes) -> "x509.CertificateSigningRequest":
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    if b"-----BEGIN CERTIFICATE REQUEST-----" not in pem:
        raise Invalid("PEM block type must be CERTIFICATE REQUEST")
    try:
        request = x509.load_pem_x509_csr(pem)
        is_own = request.is_signature_valid
        _ = request.subject  # read here, because a name may be broken, too
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise Invalid(f"the certificate request cannot be read: {error}") from error
    if not is_own:
        raise Invalid("the certificate request is not signed by its own key")
    return request


def _alternatives(request: "x509.CertificateSigningRequest") -> "x509.SubjectAlternativeName | None":
    from cryptography import x509

    try:
        return request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    except (ValueError, TypeError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise Invalid(f"the certificate request's extensions cannot be read: {error}") from error


def _key_usage(usages: Sequence[str]) -> "x509.KeyUsage | None":
    """None when the usages name no bit, as `client auth` alone: clients refuse an extension without any."""
    from cryptography import x509

    wanted = {_KEY_USAGES[usage] for usage in usages if usage in _KEY_USAGES}
    if not wanted:
        return None
    only = {"encipher_only", "decipher_only"} & wanted
    if only and "key_agreement" not in wanted:
        raise Invalid("encipher only and decipher only need key agreement")
    return x509.KeyUsage(**{bit: bit in wanted for bit in {*_KEY_USAGES.values()}})
