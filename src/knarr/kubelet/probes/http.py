"""One HTTP probe attempt: 200 to 399 is success, with upstream's headers, redirects and messages.

A small client of its own: one connection, one GET, at most 10 KiB of the body, certificates not verified, redirects
followed on the same host only (another host counts as success with a warning). Decides nothing about thresholds.
"""

import asyncio
import ssl
from dataclasses import replace
from urllib.parse import urljoin, urlsplit

import httptools

from knarr.kubelet.probes.result import OUTPUT_MAX, Result
from knarr.kubelet.probes.target import HttpTarget, authority
from knarr.kubelet.probes.tcp import dial_error

REDIRECTS_MAX = 10
USER_AGENT = "kube-probe/1.37"


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
    first = target
    try:
        async with asyncio.timeout(timeout_seconds):
            for _ in range(REDIRECTS_MAX):
                status, answer = await _get(target)
                if status not in (301, 302, 303, 307, 308) or not answer.location:
                    return _result(status, answer)
                url = urlsplit(urljoin(target.url, answer.location))
                if url.hostname != first.host:
                    text = f"Probe terminated redirects, Response body: {answer.body.decode(errors='replace')}"
                    return Result(True, warning=text)
                path = (url.path or "/") + (f"?{url.query}" if url.query else "")
                port = url.port or (443 if url.scheme == "https" else 80)
                target = replace(target, scheme=url.scheme, port=port, path=path)
            return Result(False, f'Get "{target.url}": stopped after {REDIRECTS_MAX} redirects')
    except TimeoutError:
        text = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        return Result(False, f'Get "{target.url}": {text}')
    except ssl.SSLError as error:
        return Result(False, f'Get "{target.url}": tls: {error.reason or error}')
    except OSError as error:
        return Result(False, f'Get "{target.url}": {dial_error(target.host, target.port, error)}')
    except httptools.HttpParserError as error:
        return Result(False, f'Get "{target.url}": net/http: malformed HTTP response: {error}')


def _result(status: int, answer: _Answer) -> Result:
    if 200 <= status < 400:
        return Result(True, answer.body.decode(errors="replace"))
    return Result(False, f"HTTP probe failed with statuscode: {status}")


async def _get(target: HttpTarget) -> tuple[int, _Answer]:
    context = _unverified() if target.scheme == "https" else None
    reader, writer = await asyncio.open_connection(target.host, target.port, ssl=context)
    try:
        writer.write(request(target))
        answer = _Answer()
        parser = httptools.HttpResponseParser(answer)
        while not answer.is_done:
            chunk = await reader.read(16 * 1024)
            if not chunk:
                break
            parser.feed_data(chunk)
        status = parser.get_status_code()
        if status == 0:
            raise httptools.HttpParserError("EOF")
        return status, answer
    finally:
        writer.close()


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
