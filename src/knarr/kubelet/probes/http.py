"""One HTTP probe attempt: 200 to 399 is success, with upstream's headers, redirects and messages.

A small client of its own: one connection, one GET, at most 10 KiB of the body, certificates not verified, redirects
followed on the same host only (another host counts as success with a warning). What a container answers is bounded and
may be anything. Lifecycle hooks `ask` too. Decides nothing about thresholds.
"""

import asyncio
import ssl
from dataclasses import dataclass, replace
from urllib.parse import urljoin, urlsplit

import httptools

from knarr.kubelet.probes.result import OUTPUT_MAX, Result
from knarr.kubelet.probes.target import HttpTarget, authority, escaped
from knarr.kubelet.probes.tcp import dial_error

REDIRECTS_MAX = 10
USER_AGENT = "kube-probe/1.37"
ANSWER_MAX = 1 << 20
"""Bytes of an answer that are read before its head has ended; the body's bound is OUTPUT_MAX."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The last answer; `has_left`: it leads to another host, where nobody followed it."""

    status: int
    body: bytes
    has_left: bool = False


class _Answer:
    """Collects a response; `is_done` once the body is complete or long enough."""

    def __init__(self) -> None:
        self.location = ""
        self.body = b""
        self.is_done = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"location":
            self.location = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self.body = (self.body + body)[:OUTPUT_MAX]
        self.is_done = self.is_done or len(self.body) >= OUTPUT_MAX

    def on_message_complete(self) -> None:
        self.is_done = True


async def attempt(target: HttpTarget, timeout_seconds: float) -> Result:
    """GET the target, following redirects on its host."""
    asked = await ask(target, timeout_seconds)
    if isinstance(asked, str):
        return Result(False, asked)
    text = asked.body.decode(errors="replace")
    if asked.has_left:
        return Result(True, warning=f"Probe terminated redirects, Response body: {text}")
    if 200 <= asked.status < 400:
        return Result(True, text)
    return Result(False, f"HTTP probe failed with statuscode: {asked.status}")


async def ask(target: HttpTarget, timeout_seconds: float) -> Answered | str:
    """GET the target: the answer that counts, or why there is none."""
    first = target
    try:
        async with asyncio.timeout(timeout_seconds):
            for _ in range(REDIRECTS_MAX):
                status, answer = await _get(target)
                if status not in (301, 302, 303, 307, 308) or not answer.location:
                    return Answered(status, answer.body)
                following = _redirected(target, answer.location)
                if isinstance(following, str):
                    return f'Get "{target.url}": {following}'
                if following.host != first.host:
                    return Answered(status, answer.body, has_left=True)
                target = following
            return f'Get "{target.url}": stopped after {REDIRECTS_MAX} redirects'
    except TimeoutError:
        return f'Get "{target.url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
    except ssl.SSLError as error:
        return f'Get "{target.url}": tls: {error.reason or error}'
    except (OSError, UnicodeError) as error:
        return f'Get "{target.url}": {dial_error(target.host, target.port, error)}'
    except httptools.HttpParserError as error:
        return f'Get "{target.url}": net/http: malformed HTTP response: {error}'


def _redirected(target: HttpTarget, location: str) -> HttpTarget | str:
    """Where an answer leads, or why nobody can go there. Pure."""
    try:
        url = urlsplit(urljoin(target.url, location))
        port = url.port or (443 if url.scheme == "https" else 80)
    except ValueError as error:
        return f"failed to parse Location header {location!r}: {error}"
    if url.scheme not in ("http", "https"):
        return f'unsupported protocol scheme "{url.scheme}"'
    path = escaped(url.path or "/") + (f"?{escaped(url.query)}" if url.query else "")
    return replace(target, scheme=url.scheme, host=url.hostname or "", port=port, path=path)


async def _get(target: HttpTarget) -> tuple[int, _Answer]:
    context = _unverified() if target.scheme == "https" else None
    reader, writer = await asyncio.open_connection(target.host, target.port, ssl=context)
    try:
        writer.write(request(target))
        return await _read(reader)
    finally:
        # Not close(): a server that ignores the end of a TLS session would hold the descriptor for half a minute.
        writer.transport.abort()


async def _read(reader: asyncio.StreamReader) -> tuple[int, _Answer]:
    answer = _Answer()
    parser = httptools.HttpResponseParser(answer)
    size = 0
    while not answer.is_done and (chunk := await reader.read(16 * 1024)):
        size += len(chunk)
        try:
            parser.feed_data(chunk)
        except httptools.HttpParserUpgrade:
            break  # 101: the head is all there is of it
        if 100 <= parser.get_status_code() < 200:
            answer.is_done = False  # an interim answer; the real one follows
        if size > ANSWER_MAX and not answer.is_done:
            raise httptools.HttpParserError(f"server response headers exceeded {ANSWER_MAX} bytes; aborted")
    status = parser.get_status_code()
    if status == 0:
        raise httptools.HttpParserError("EOF")
    return status, answer


def request(target: HttpTarget) -> bytes:
    """The GET's bytes: the spec's headers win over the usual ones; an empty value drops a header."""
    given = {name.lower() for name, _ in target.headers}
    lines = [f"GET {target.path} HTTP/1.1"]
    usual = (("Host", authority(target.host, target.port)), ("User-Agent", USER_AGENT), ("Accept", "*/*"))
    lines += [f"{name}: {value}" for name, value in usual if name.lower() not in given]
    lines += [f"{name}: {value}" for name, value in target.headers if value]
    lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def _unverified() -> ssl.SSLContext:
    """Probes accept any certificate, as documented."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
