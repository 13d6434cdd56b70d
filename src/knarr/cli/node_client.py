"""Talk to the node process over node.sock: HTTP/1.1 with as little import as a fast start needs.

One request for each connection. Answers are JSON, JSON lines or a raw stream; errors come back as the KnarrError that
the node raised. `configure` adds the flags that say which node.
"""

from __future__ import annotations

import _socket
import json
import os

from knarr.base import errors
from knarr.cli.printing import EXIT_NOT_ALLOWED, EXIT_NOT_RUNNING, Failure

TYPE_CHECKING = False  # see main.py
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator
    from typing import Any, BinaryIO, TypeAlias

    Body: TypeAlias = bytes | Callable[[BinaryIO], None]
    """Bytes, or a function that writes the body piece by piece."""

RUN_DIRECTORY = "/run/knarr"
CONNECT_SECONDS = 5.0
_PIECE = 1 << 20


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", default="knarr", help="the cluster whose node is asked (default: knarr)")


class Answer:
    """The response to one request; close it, or read it to its end."""

    def __init__(self, connection: _socket.socket) -> None:
        self._connection = connection
        self._file = open(os.dup(connection.fileno()), "rb", buffering=_PIECE)  # noqa: SIM115  `close` closes it
        status = self._file.readline(65536).split(b" ", 2)
        if len(status) < 2:
            raise errors.Unavailable("the node closed the connection")
        self.status = int(status[1])
        self._is_chunked, self._length = False, 0
        while (field := self._file.readline(65536).strip()) != b"":
            name, _, value = field.lower().partition(b":")
            if name == b"transfer-encoding":
                self._is_chunked = b"chunked" in value
            elif name == b"content-length":
                self._length = int(value)

    def pieces(self) -> Iterator[bytes]:
        """The body as it comes."""
        try:
            if not self._is_chunked:
                yield self._file.read(self._length)
                return
            while size := int(self._file.readline(1024).split(b";")[0] or b"0", 16):
                left = size
                while left and (piece := self._file.read(min(left, _PIECE))):
                    left -= len(piece)
                    yield piece
                if left:
                    raise errors.Unavailable("the node went away in the middle of its answer")
                self._file.readline(8)
        except (ConnectionError, ValueError) as error:
            raise errors.Unavailable("the node went away in the middle of its answer") from error
        finally:
            self.close()

    def lines(self) -> Iterator[dict[str, Any]]:
        """JSON lines as they come."""
        rest = b""
        for piece in self.pieces():
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                yield json.loads(line)

    def json(self) -> Any:
        return json.loads(b"".join(self.pieces()) or b"null")

    def close(self) -> None:
        self._file.close()
        self._connection.close()


def call(arguments: argparse.Namespace, method: str, path: str, body: Body | dict[str, Any] | None = None) -> Answer:
    """Ask the node; its answer with a status below 300. Raises the error that it answers with, or Failure."""
    connection = _connect(arguments.name)
    try:
        _send(connection, method, path, body)
        answer = Answer(connection)
    except (ConnectionError, TimeoutError) as error:
        connection.close()
        raise errors.Unavailable(f"the node of {arguments.name} went away: {error}") from error
    if answer.status >= 300:
        raise raised(answer.json())
    return answer


def raised(fields: dict[str, Any]) -> errors.KnarrError:
    """The error that an answer or its last line describes."""
    kind = getattr(errors, str(fields.get("error")), errors.KnarrError)
    if not (isinstance(kind, type) and issubclass(kind, errors.KnarrError)):
        kind = errors.KnarrError
    error: errors.KnarrError = kind(str(fields.get("message")))
    return error


def result(answer: Answer, see: Callable[[dict[str, Any]], None]) -> Any:
    """The result at the end of JSON lines; every line before it is shown to `see`. Raises what the last line says."""
    for line in answer.lines():
        if "error" in line:
            answer.close()
            raise raised(line)
        if "result" in line:
            answer.close()
            return line["result"]
        see(line)
    raise errors.Unavailable("the node ended the answer without a result")


def _connect(name: str) -> _socket.socket:
    path = _socket_path(name)
    # The module `socket` spends milliseconds on enumerations that nobody needs here.
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    connection.settimeout(CONNECT_SECONDS)
    try:
        connection.connect(path)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        connection.close()
        flag = "" if name == "knarr" else f" --name {name}"
        others = f" ({', '.join(found)})" if (found := others_of(name)) else ""
        raise Failure(
            f"the cluster {name} is not running",
            f"nothing answers on {path}",
            f"knarr up{flag}, or say which cluster with --name{others}",
            EXIT_NOT_RUNNING,
        ) from error
    except PermissionError as error:
        connection.close()
        raise Failure(
            f"{path} may not be opened", "it belongs to root and the cluster's owner", "use sudo", EXIT_NOT_ALLOWED
        ) from error
    # Builds, pushes and pulls take as long as they take; the node bounds them.
    connection.settimeout(None)
    return connection


def others_of(name: str) -> list[str]:
    """Names of root's other clusters that have a node, for hints."""
    try:
        names = os.listdir(RUN_DIRECTORY)
    except OSError:
        return []
    return sorted({other for other in names if os.path.exists(f"{RUN_DIRECTORY}/{other}/node.sock")} - {name})


def _socket_path(name: str) -> str:
    """Root's cluster first: its owner uses it without sudo."""
    path = f"{RUN_DIRECTORY}/{name}/node.sock"
    try:
        os.stat(path)
    except PermissionError:
        return path
    except (FileNotFoundError, NotADirectoryError):
        from knarr.assembly import settings

        return str(settings.default(name, is_root=os.getuid() == 0).node_socket)
    return path


def _send(connection: _socket.socket, method: str, path: str, body: Body | dict[str, Any] | None) -> None:
    head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
    if isinstance(body, dict):
        body = json.dumps(body, separators=(",", ":")).encode()
    if body is None or isinstance(body, bytes):
        content = body or b""
        connection.sendall(f"{head}content-length: {len(content)}\r\n\r\n".encode() + content)
        return
    connection.sendall(f"{head}transfer-encoding: chunked\r\n\r\n".encode())
    with open(os.dup(connection.fileno()), "wb", buffering=0) as raw:
        body(_Chunks(raw))  # type: ignore[arg-type]  # it has the one method of a BinaryIO that bodies use
        raw.write(b"0\r\n\r\n")


class _Chunks:
    """Writes an HTTP chunk for each write."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def write(self, piece: bytes) -> int:
        if piece:
            self._all(b"%x\r\n" % len(piece) + piece + b"\r\n")
        return len(piece)

    def _all(self, content: bytes) -> None:
        left = memoryview(content)
        while left:
            left = left[self._raw.write(left) :]
