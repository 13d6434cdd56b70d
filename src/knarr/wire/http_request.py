"""What one request's head says: target, headers, framing, and who sent it. Pure but for looking at the socket.

Framing is read strictly (RFC 9112, sections 6 and 7): one length, or `chunked` and nothing else, or no body. llhttp has
refused broken syntax before; what is refused here is syntax that two servers could read in two ways.
"""

import asyncio
import socket
import struct

import httptools

from knarr.wire import http
from knarr.wire.http_body import ArrivingBody


class Exchange:
    """One request as it arrives; `is_last` once nothing may follow on the connection."""

    __slots__ = (
        "asked_upgrade", "body", "header_size", "headers", "is_last", "is_old", "length", "request", "target", "whole",
    )  # fmt: skip

    def __init__(self) -> None:
        self.target = b""
        self.headers: list[tuple[str, str]] = []
        self.header_size = 0
        self.body: ArrivingBody | None = None
        self.length: int | None = None  # of a body that may still arrive at once
        self.whole: bytes | None = None
        self.request: http.Request | None = None
        self.is_last = False
        self.is_old = False
        self.asked_upgrade = False


class Refused(Exception):
    """A request that is not taken: (status, message)."""


def peer(transport: asyncio.BaseTransport) -> http.Peer:
    tls = transport.get_extra_info("ssl_object")
    connected = transport.get_extra_info("socket")
    if connected is not None and connected.family == socket.AF_UNIX:
        pid, uid, gid = struct.unpack("3i", connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return http.Peer("unix", None, (pid, uid, gid))
    name = transport.get_extra_info("peername") or ("", 0)
    address = f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"
    return http.Peer(address, tls.getpeercert(binary_form=True) if tls is not None else None, None)


NAMES_MAX = 512
_names: dict[bytes, str] = {}


def field_name(name: bytes) -> str:
    """The name of a header field in lower case; names are few and come with every request, so they are kept."""
    found = _names.get(name)
    if found is None:
        found = name.lower().decode("latin-1")
        if len(_names) < NAMES_MAX and len(name) <= 64:
            _names[name] = found
    return found


def request(method: str, exchange: Exchange, sender: http.Peer) -> http.Request:
    target = exchange.target
    if not target.startswith(b"/"):
        try:
            url = httptools.parse_url(target)
        except httptools.HttpParserInvalidURLError as error:
            if target != b"*":
                raise Refused(400, "Bad Request") from error
        else:
            target = (url.path or b"/") + (b"?" + url.query if url.query else b"")
    path, _, query = target.decode("latin-1").partition("?")
    if "#" in path or "#" in query:
        raise Refused(400, "Bad Request")
    return http.Request(method, path, query, tuple(exchange.headers), b"", sender)


def framing(found: http.Request, *, is_old: bool) -> tuple[int | None, bool]:
    """(length of the body, None when it is chunked; whether the client waits for 100 Continue)."""
    length: int | None = 0
    hosts = 0
    expects = False
    for name, value in found.headers:
        if name == "host":
            hosts += 1
        elif name == "content-length":
            if not (value.isascii() and value.isdigit()) or len(value) > 18:
                raise Refused(400, "Bad Request")
            length = int(value)
        elif name == "transfer-encoding":
            if value.lower() != "chunked" or is_old:
                raise Refused(400, "Bad Request")
            length = None
        elif name == "expect":
            if value.lower() != "100-continue":
                raise Refused(417, "Expectation Failed")
            expects = True
    if hosts != 1 and not (is_old and hosts == 0):
        raise Refused(400, "Bad Request: one Host header is required")
    return length, expects


def has(headers: http.Headers, name: str) -> bool:
    for key, _ in headers:  # noqa: SIM110  # a generator costs three times as much, and every answer asks
        if key == name:
            return True
    return False
