"""SEC-02: who speaks no TLS or an old one, or brings a certificate not made for clients of this cluster, is nobody."""

import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from knarr.wire import tls
from tests.conformance import hostile
from tests.conformance.hostile import Process, answer, status

GET = b"GET /api/v1/namespaces HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with hostile.running("api", tmp_path_factory.mktemp("credentials")) as process:
        yield process


def asked_with(pair: tls.KeyPair, server: Process, directory: Path) -> int:
    """The status of a request with this certificate; 0 when the server does not speak with its owner."""
    certificate, key = directory / "client.crt", directory / "client.key"
    tls.write(certificate, pair.certificate)
    tls.write(key, pair.key)
    context = tls.client_context(authority=server.directory / "pki" / "ca.crt", certificate=certificate, key=key)
    try:
        with (
            socket.create_connection(("127.0.0.1", server.port), 30) as raw,
            context.wrap_socket(raw, server_hostname="127.0.0.1") as connection,
        ):
            return status(answer(connection, GET))
    except (ssl.SSLError, ConnectionError):
        return 0


def own_authority(server: Process) -> tls.KeyPair:
    made = server.directory / "pki"
    return tls.KeyPair((made / "ca.crt").read_bytes(), (made / "ca.key").read_bytes())


def test_the_administrators_own_certificate_is_taken(server: Process, tmp_path: Path) -> None:
    pair = tls.issue_client(own_authority(server), "new-admin", ("system:masters",), NOW)
    assert asked_with(pair, server, tmp_path) == 200


def test_a_certificate_of_another_authority_is_refused(server: Process, tmp_path: Path) -> None:
    own = ssl.PEM_cert_to_DER_cert((server.directory / "pki" / "ca.crt").read_text())
    for name in ("other", tls.subject(own)[0]):
        stranger = tls.new_authority(name, NOW)
        pair = tls.issue_client(stranger, "admin", ("system:masters",), NOW)
        assert asked_with(pair, server, tmp_path) in (0, 401)


def test_a_certificate_signed_by_a_client_is_refused(server: Process, tmp_path: Path) -> None:
    """A client certificate is no authority, whatever it signs."""
    client = tls.issue_client(own_authority(server), "user", (), NOW)
    pair = tls.issue_client(client, "admin", ("system:masters",), NOW)
    assert asked_with(pair, server, tmp_path) in (0, 401)


def test_a_certificate_that_is_over_or_not_yet_valid_is_refused(server: Process, tmp_path: Path) -> None:
    for then in (NOW - timedelta(days=800), NOW + timedelta(days=30)):
        pair = tls.issue_client(own_authority(server), "admin", ("system:masters",), then, days=365)
        assert asked_with(pair, server, tmp_path) in (0, 401)


def test_a_servers_certificate_is_no_clients(server: Process, tmp_path: Path) -> None:
    pair = tls.issue_server(own_authority(server), "admin", ["127.0.0.1"], NOW, days=10)
    assert asked_with(pair, server, tmp_path) in (0, 401)


@pytest.mark.parametrize("value", ["Bearer x", "Bearer ", "Bearer a.b.c", "Basic YWRtaW46YWRtaW4=", "Bearer \xff", "x"])
def test_a_token_that_nobody_signed_is_nobodys(value: str, server: Process) -> None:
    connection = server.dial("")
    request = GET.replace(b"Host", b"Authorization: " + value.encode("latin-1") + b"\r\nHost")
    assert status(answer(connection, request)) == 401
    connection.close()


def test_who_brings_nothing_may_ask_for_health_and_version_alone(server: Process) -> None:
    found = {}
    for path in ("/livez", "/readyz", "/healthz", "/api", "/api/v1/secrets", "/metrics", "/openapi/v2", "/logs/"):
        connection = server.dial("")
        found[path] = status(answer(connection, GET.replace(b"/api/v1/namespaces", path.encode())))
        connection.close()
    assert {path: code for path, code in found.items() if code == 200} == {
        "/livez": 200,
        "/readyz": 200,
        "/healthz": 200,
    }
    assert set(found.values()) == {200, 401}


def test_no_request_is_answered_in_the_clear(server: Process) -> None:
    connection = server.dial("plain")
    assert status(answer(connection, GET)) in (0, 400)
    connection.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_versions_of_tls_are_refused(version: ssl.TLSVersion, server: Process) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with (
        socket.create_connection(("127.0.0.1", server.port), 30) as raw,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        context.wrap_socket(raw)
