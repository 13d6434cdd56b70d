"""Reading the cluster's API for a verb: one connection, the administrator's certificate, a deadline on every answer."""

import http.client
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import quote

from knarr.assembly.settings import Settings
from knarr.cli import printing
from knarr.cli.printing import Failure

ANSWER_SECONDS: Final = 5.0
BODY_BYTES_MAX: Final = 64 * 2**20


@contextmanager
def connected(settings: Settings) -> Iterator["Api"]:
    """The API of that cluster. Raises Failure when it does not answer, or the certificate may not be read."""
    pki = settings.pki_dir
    try:
        context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
    except PermissionError as error:
        raise Failure(
            "the cluster's administrator certificate may not be read",
            str(error),
            "run it with sudo",
            printing.EXIT_NOT_ALLOWED,
        ) from error
    except OSError as error:
        raise Failure(
            "the cluster has no administrator certificate", str(error), "knarr up makes it", printing.EXIT_NOT_RUNNING
        ) from error
    with over("127.0.0.1", settings.port, context) as api:
        yield api


@contextmanager
def over(host: str, port: int, context: ssl.SSLContext, token: str = "") -> Iterator["Api"]:
    """The API at that address; a bearer token goes with every request."""
    connection = http.client.HTTPSConnection(host, port, timeout=ANSWER_SECONDS, context=context)
    try:
        yield Api(connection, token)
    finally:
        connection.close()


class Api:
    """GET requests over one connection."""

    def __init__(self, connection: http.client.HTTPSConnection, token: str = "") -> None:
        self._connection = connection
        self._headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})

    def get(self, path: str) -> dict[str, Any] | None:
        """The object at the path; None if there is none. Raises Failure for any other answer."""
        status, body = self._ask(path)
        if status == http.client.NOT_FOUND:
            return None
        if status != http.client.OK:
            raise Failure(f"the API server answered {status} to {path}", body.decode(errors="replace")[:300])
        found: dict[str, Any] = json.loads(body)
        return found

    def text(self, path: str) -> str:
        """The text at the path; "" where the server gives none."""
        status, body = self._ask(path)
        return body.decode(errors="replace") if status == http.client.OK else ""

    def _ask(self, path: str) -> tuple[int, bytes]:
        try:
            self._connection.request("GET", path, headers=self._headers)
            response = self._connection.getresponse()
            body = response.read(BODY_BYTES_MAX)
        except (OSError, http.client.HTTPException) as error:
            raise Failure(
                "the API server does not answer", str(error), "knarr status; knarr up", printing.EXIT_NOT_RUNNING
            ) from error
        if not response.isclosed():
            raise Failure(f"the answer to {path} is larger than {BODY_BYTES_MAX} bytes")
        return response.status, body


def quoted(word: str) -> str:
    """The word as one segment of a path."""
    return quote(word, safe="")
