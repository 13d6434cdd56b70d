"""The small reader of subjects against the cryptography library."""

from datetime import UTC, datetime

import pytest
from cryptography import x509

from knarr.wire import certificate, tls

NOW = datetime(2026, 1, 1, tzinfo=UTC)
AUTHORITY = tls.new_authority("ca", NOW)


def der(user: str, groups: list[str]) -> bytes:
    pair = tls.issue_client(AUTHORITY, user, groups, NOW)
    return x509.load_pem_x509_certificate(pair.certificate).public_bytes(tls_encoding())


def tls_encoding() -> "x509.base.serialization.Encoding":
    from cryptography.hazmat.primitives import serialization

    return serialization.Encoding.DER


@pytest.mark.parametrize(
    ("user", "groups"),
    [("admin", ["system:masters"]), ("jürgen", ["a", "b", "c" * 60]), ("x", []), ("system:node:n1", ["system:nodes"])],
)
def test_user_and_groups_are_those_the_library_reads(user: str, groups: list[str]) -> None:
    content = der(user, groups)
    assert certificate.subject(content) == tls.subject(content) == (user, tuple(groups))


def test_anything_else_is_refused() -> None:
    content = der("admin", ["system:masters"])
    for cut in range(0, len(content) - 1, 7):
        with pytest.raises(ValueError):  # noqa: PT011  # any wording
            certificate.subject(content[:cut])
    with pytest.raises(ValueError):  # noqa: PT011
        certificate.subject(b"\x30\x80\x00\x00")
