"""Answers: from object bytes to an http.Response in the form that was asked for.

Bytes come spliced from the store (resources.py); YAML, indentation and compression happen only when asked.
"""

import asyncio
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec

from knarr.apiserver.context import RequestContext
from knarr.wire import http

GZIP_FROM = 128 * 1024
"""Upstream compresses answers from this size on."""
WARNINGS_RUNES_MAX: Final = 4096
WARNING_RUNES_MAX: Final = 256
"""Warnings that are longer together are cut one by one, and what comes after the sum is left out, as upstream."""
PEOPLE: Final = ("curl", "Wget", "Mozilla/5.0")
"""How the user agents begin that people use: they are shown indented answers."""
TRUE: Final = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_encode = msgspec.json.Encoder().encode
JSON_HEADERS: http.Headers = (("cache-control", "no-cache, private"), ("content-type", "application/json"))


def json_response(body: bytes, status: int = 200, headers: http.Headers = ()) -> http.Response:
    return http.Response(status, JSON_HEADERS + headers, body)


def encoded(value: Any) -> bytes:
    return _encode(value)


async def finished(context: RequestContext, response: http.Response) -> http.Response:
    """Apply warnings, ?pretty, YAML and gzip to an answer."""
    if context.warnings:
        response.headers += tuple(("warning", f'299 - "{_header_text(text)}"') for text in _told(context.warnings))
    if not isinstance(response.body, bytes):
        return response
    request = context.request
    if _is_pretty(request, context.query) and _is_json(response):
        await _indent(request, response)
    accept = request.header("accept")
    if "yaml" in accept and _wants_yaml(accept) and _is_json(response):
        response.body = _yaml(response.body)
        response.headers = (("cache-control", "no-cache, private"), ("content-type", "application/yaml"))
    if len(response.body) >= GZIP_FROM and "gzip" in request.header("accept-encoding") and not _is_encoded(response):
        response.body = await asyncio.to_thread(_gzip, response.body)
        response.headers += (("content-encoding", "gzip"), ("vary", "Accept-Encoding"))
    return response


async def refused(request: http.Request, response: http.Response, query: Mapping[str, str]) -> http.Response:
    """A refusal as who asked reads it."""
    if _is_pretty(request, query):
        await _indent(request, response)
    return response


def _is_pretty(request: http.Request, query: Mapping[str, str]) -> bool:
    """Whether people read the answer: they say so, or ask by what people ask with, as upstream."""
    asked = query.get("pretty", "")
    return asked in TRUE if asked else request.header("user-agent").startswith(PEOPLE)


async def _indent(request: http.Request, response: http.Response) -> None:
    body = response.body
    if not isinstance(body, bytes) or request.path.startswith("/openapi/"):
        return  # these documents are for programs, and large
    if len(body) < GZIP_FROM:
        response.body = msgspec.json.format(body, indent=2)
    else:
        response.body = await asyncio.to_thread(msgspec.json.format, body, indent=2)


def _told(warnings: Iterable[str]) -> list[str]:
    """Each warning once (a write that lost a race warned before), and no more than a client's headers hold."""
    distinct = list(dict.fromkeys(filter(None, warnings)))
    if sum(map(len, distinct)) <= WARNINGS_RUNES_MAX:
        return distinct
    told, length = [], 0
    for text in distinct:
        if length >= WARNINGS_RUNES_MAX:
            break
        told.append(text[:WARNING_RUNES_MAX])
        length += len(told[-1])
    return told


def _is_encoded(response: http.Response) -> bool:
    return any(key == "content-encoding" for key, _ in response.headers)


def _is_json(response: http.Response) -> bool:
    return any(key == "content-type" and value.startswith("application/json") for key, value in response.headers)


@lru_cache(64)
def _wants_yaml(accept: str) -> bool:
    return accept.split(",")[0].split(";")[0].strip() == "application/yaml"


def _yaml(body: bytes) -> bytes:
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text = yaml.dump(msgspec.json.decode(body), Dumper=dumper, default_flow_style=False, allow_unicode=True)
    return str(text).encode()


def _gzip(body: bytes) -> bytes:
    from isal import igzip

    return bytes(igzip.compress(body, 1))


def _header_text(text: str) -> str:
    plain = "".join(c if 0x20 <= ord(c) != 0x7F else " " for c in text)
    return plain.replace("\\", "\\\\").replace('"', '\\"').encode("latin-1", "replace").decode("latin-1")
