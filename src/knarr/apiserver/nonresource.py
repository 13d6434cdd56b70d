"""Paths that are no resource: version, health, discovery, OpenAPI, keys. A table from path to function."""

import functools
import hashlib
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import parse_qsl, unquote

import msgspec

from knarr.apiserver import answers
from knarr.apiserver.context import RequestContext
from knarr.apiserver.tokens import ISSUER
from knarr.base import checkout, exposition
from knarr.wire import http

Answer = Callable[[RequestContext], Awaitable[http.Response]]
TEXT: Final[http.Headers] = (
    ("cache-control", "no-cache, private"),
    ("content-type", "text/plain; charset=utf-8"),
    ("x-content-type-options", "nosniff"),
)
METRICS: Final[http.Headers] = (("content-type", "text/plain; version=0.0.4; charset=utf-8"),)
VERSION: Final = {
    "major": "1",
    "minor": "37",
    "emulationMajor": "1",
    "emulationMinor": "37",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "36",
    "gitVersion": "v1.37.0+knarr",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "2026-08-01T00:00:00Z",
    "goVersion": "",
    "compiler": "cpython",
    "platform": "linux/amd64",
}


async def version(context: RequestContext) -> http.Response:
    import platform

    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    body = answers.encoded({**VERSION, "gitCommit": checkout.commit(), "platform": f"linux/{machine}"})
    return answers.json_response(msgspec.json.format(body, indent=2))


async def health(context: RequestContext) -> http.Response:
    """/livez, /readyz, /healthz and one check each below them."""
    name, _, single = context.request.path.strip("/").partition("/")
    checks: dict[str, Callable[[], str | None]] = {"ping": lambda: None}
    if name != "livez":
        checks |= context.server.ready_checks
    if single:
        if single not in checks:
            return http.Response(404, TEXT, b"404 page not found\n")
        checks = {single: checks[single]}
    excluded = {value for key, value in parse_qsl(context.request.query) if key == "exclude"}
    lines, is_well = [], True
    for check, ask in checks.items():
        if check in excluded:
            lines.append(f"[+]{check} excluded: ok")
            continue
        wrong = ask()
        is_well = is_well and wrong is None
        lines.append(f"[+]{check} ok" if wrong is None else f"[-]{check} failed: {wrong}")
    if excluded - checks.keys():
        lines.append(f"warn: some health checks cannot be excluded: no matches for {sorted(excluded - checks.keys())}")
    if not is_well:
        lines.append(f"{name} check failed")
        return http.Response(500, TEXT, ("\n".join(lines) + "\n").encode())
    if "verbose" in context.query:
        return http.Response(200, TEXT, ("\n".join([*lines, f"{name} check passed"]) + "\n").encode())
    return http.Response(200, TEXT, b"ok")


async def metrics(context: RequestContext) -> http.Response:
    """/metrics for Prometheus."""
    further = [line for lines in context.server.metric_lines for line in lines()]
    store = context.server.store
    stored = [each for each in context.server.resources.by_path.values() if not each.is_converted]
    objects = [(each, len(entries)) for each in stored if (entries := store.list(each.prefix).entries)]
    body = context.server.metrics.text(store.revision, objects, [*_build_lines(), *further])
    return http.Response(200, METRICS, body)


async def indicators(context: RequestContext) -> http.Response:
    """/metrics/slis: what the health checks say now."""
    checks: dict[str, Callable[[], str | None]] = {"ping": lambda: None, **context.server.ready_checks}
    found = [(f'{{name="{name}",type="readyz"}}', int(ask() is None)) for name, ask in checks.items()]
    lines = exposition.family("kubernetes_healthcheck", "gauge", "What a health check says: 1 is well.", found)
    return http.Response(200, METRICS, ("\n".join(lines) + "\n").encode())


def _build_lines() -> list[str]:
    shown = (("git_version", "gitVersion"), ("major", "major"), ("minor", "minor"))
    labels = ",".join(f'{label}="{VERSION[key]}"' for label, key in shown)
    return exposition.family("kubernetes_build_info", "gauge", "The version that is served.", ((f"{{{labels}}}", 1),))


async def issuer(context: RequestContext) -> http.Response:
    """OpenID discovery of the ServiceAccount issuer."""
    if context.server.tokens is None:
        return unknown_path()
    return answers.json_response(
        answers.encoded(
            {
                "issuer": ISSUER,
                "jwks_uri": f"{ISSUER}/openid/v1/jwks",
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"],
            }
        )
    )


async def keys(context: RequestContext) -> http.Response:
    """The public keys that verify ServiceAccount tokens."""
    if context.server.tokens is None:
        return unknown_path()
    headers = (("cache-control", "public, max-age=3600"), ("content-type", "application/jwk-set+json"))
    return http.Response(200, headers, context.server.tokens.keys())


async def reasons(context: RequestContext) -> http.Response:
    """/knarr/why/GROUP/KIND/NAMESPACE/NAME: what the controllers say the object waits for; `-` is an empty word."""
    words = [unquote("" if word == "-" else word) for word in context.request.path.split("/")[3:]]
    if len(words) != 4:
        return unknown_path()
    group, kind, namespace, name = words
    return answers.json_response(answers.encoded(context.server.reasons(group, kind, namespace, name)))


async def paths(context: RequestContext) -> http.Response:
    """/: what else can be asked."""
    groups = [f"/apis/{group}" for group in context.server.resources.versions if group]
    return answers.json_response(answers.encoded({"paths": sorted({*map(_trimmed, PATHS), *groups})}))


def _trimmed(path: str) -> str:
    return path.rstrip("/") or "/"


async def discovery(context: RequestContext) -> http.Response:
    """/api, /apis and below: what is served, in the form that the client asks for."""
    found = context.server.discovery.answer(context.request.path, context.request.header("accept"))
    if found is None:
        return unknown_path()
    media, body = found
    headers: http.Headers = (TEXT[0], ("content-type", media), ("vary", "Accept"))
    if media == answers.JSON_HEADERS[1][1]:
        return http.Response(200, headers, body)
    tag = _tag(body)  # of the aggregated form alone, as upstream: clients keep that document
    if tag in context.request.header("if-none-match"):
        return http.Response(304, (("etag", tag), *headers), b"")
    return http.Response(200, (("etag", tag), *headers), body)


@functools.lru_cache(8)
def _tag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest().upper()}"'


async def openapi(context: RequestContext) -> http.Response:
    """/openapi/v2 and /openapi/v3: what the objects look like."""
    from knarr.apiserver.openapi import answers as openapi_answers

    return await openapi_answers.answer(context)


def unknown_path() -> http.Response:
    return http.Response(404, TEXT[1:], b"404 page not found\n")


# Exact path → answer; a path below one that ends in `/` goes to it as well.
PATHS: Final[dict[str, Answer]] = {
    "/": paths,
    "/metrics": metrics,
    "/metrics/slis": indicators,
    "/.well-known/openid-configuration": issuer,
    "/openid/v1/jwks": keys,
    "/version": version,
    "/version/": version,
    "/livez": health,
    "/livez/": health,
    "/readyz": health,
    "/readyz/": health,
    "/healthz": health,
    "/healthz/": health,
    "/knarr/why/": reasons,
    "/openapi/v2": openapi,
    "/openapi/v3": openapi,
    "/openapi/v3/": openapi,
    "/api": discovery,
    "/api/": discovery,
    "/apis": discovery,
    "/apis/": discovery,
}


async def answer(context: RequestContext) -> http.Response:
    path = context.request.path
    found = PATHS.get(path)
    while found is None and path.count("/") > 1:
        path = path.rstrip("/").rpartition("/")[0] + "/"
        found = PATHS.get(path)
    if found is None or (path == "/" and context.request.path != "/"):
        return unknown_path()
    return await found(context)
