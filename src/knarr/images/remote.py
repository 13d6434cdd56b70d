"""One remote registry: authenticated requests with redirects and retries (OCI distribution specification, client side).

Plain HTTP is spoken to loopback addresses and to registries named insecure; everything else is HTTPS with the system's
certificates. Credentials go to the registry and to a token server of its own domain, never along a redirect. It knows
paths and status codes; what is fetched is the business of images/pull.py and images/push.py.
"""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import cache
from urllib.parse import quote, urlencode, urljoin, urlsplit

from knarr.base.errors import Forbidden, KnarrError, NotFound, TooLarge, TooMany, Unauthenticated, Unavailable
from knarr.images import credentials as auth
from knarr.images.credentials import Challenge, Credentials
from knarr.images.registries import RemoteSettings
from knarr.oci.reference import DEFAULT_DOMAIN
from knarr.wire.http import Headers, Request
from knarr.wire.http_client import Client, ClientResponse, Target

_REDIRECTS = (301, 302, 303, 307, 308)
_REDIRECTS_MAX = 5
_ATTEMPTS = 4
_CONNECTION_ATTEMPTS = 2
"""A registry that is not there is the caller's to ask again: the kubelet backs off on its own."""
_RETRIED = (408, 429, 500, 502, 503, 504)
_BACKOFF_FIRST, _BACKOFF_CAP = 0.25, 4.0
_PORTS = {"http": 80, "https": 443}
_ERROR_BODY_MAX = 64 << 10
_TOKEN_BODY_MAX = 256 << 10
UPLOAD_SECONDS = 1800.0
"""How long a streamed body may take, with its answer: a large layer on a slow line."""

Body = bytes | Callable[[], AsyncIterator[bytes]]
"""A request body: bytes, or a function that starts the stream anew for every attempt."""


@dataclass(slots=True)
class Remote:
    """A registry as seen for one repository. `actions` is the scope to ask for: "pull" or "pull,push"."""

    client: Client
    domain: str
    path: str
    credentials: Credentials | None = None
    actions: str = "pull"
    settings: RemoteSettings = field(default_factory=RemoteSettings)
    _authorization: str = ""

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: str = "",
        headers: Headers = (),
        body: Body = b"",
        attempts: int = _ATTEMPTS,
    ) -> ClientResponse:
        """A response below 400, retried and authenticated. Raises the error that the registry's answer means.

        `path` is below `/v2/<repository>/`, or absolute, as Location fields are.
        """
        url = self.url(path, query)
        self._check_place(url, "sends to")
        for attempt in range(1, attempts + 1):
            try:
                response, is_own = await self._authenticated(method, url, headers, body)
            except Unavailable:
                if attempt >= min(attempts, _CONNECTION_ATTEMPTS):
                    raise
                await asyncio.sleep(_delay(1))
                continue
            if response.status in _RETRIED and attempt < attempts:
                response.close()
                await asyncio.sleep(_delay(attempt, response.header("retry-after")))
                continue
            if response.status >= 400:
                raise await _failure(response, f"{method} {self.domain}{urlsplit(url).path}", is_quoted=is_own)
            return response
        raise AssertionError("the loop returns or raises")

    def url(self, path: str, query: str = "") -> str:
        """The absolute URL of a path below the repository, or of a Location field."""
        base = f"{self._scheme}://{self._host}/v2/{quote(self.path)}/"
        url = urljoin(base, path if "://" in path or path.startswith("/") else quote(path, safe="/:@+"))
        return url if not query else f"{url}{'&' if '?' in url else '?'}{query}"

    @property
    def _scheme(self) -> str:
        host = urlsplit("//" + self.domain).hostname or ""
        return "http" if auth.is_loopback(host) or self.domain in self.settings.insecure else "https"

    @property
    def _host(self) -> str:
        return "registry-1.docker.io" if self.domain == DEFAULT_DOMAIN else self.domain

    async def _authenticated(self, method: str, url: str, headers: Headers, body: Body) -> tuple[ClientResponse, bool]:
        response, is_own = await self._follow(method, url, headers, body)
        if response.status != 401:
            return response, is_own
        offered = auth.challenges(", ".join(response.header_all("www-authenticate")))
        response.close()
        self._authorization = await self._answer(offered)
        return await self._follow(method, url, headers, body)

    async def _follow(self, method: str, url: str, headers: Headers, body: Body) -> tuple[ClientResponse, bool]:
        """The response at the end of redirects, and whether it is the registry's own: credentials stay with it."""
        for _ in range(_REDIRECTS_MAX):
            is_own = origin(url) == origin(self.url(""))
            sent = (*headers, ("authorization", self._authorization)) if self._authorization and is_own else headers
            response = await self._send(method, url, sent, body)
            if response.status not in _REDIRECTS or method not in ("GET", "HEAD"):
                return response, is_own
            following = urljoin(url, response.header("location"))
            response.close()
            self._check_place(following, "redirects to")
            url = following
        raise Unavailable(f"{self.domain}: more than {_REDIRECTS_MAX} redirects")

    def _check_place(self, url: str, said: str) -> None:
        """Where the registry sends its clients: HTTPS, itself, or plain HTTP that the registry's own is as good as.
        Raises Forbidden."""
        place, parts = origin(url), urlsplit(url)
        if parts.scheme == "https" or place == origin(self.url("")):
            return
        insecure = {origin(f"http://{named}") for named in self.settings.insecure}
        is_allowed = place in insecure or auth.is_loopback(parts.hostname or "")
        if parts.scheme != "http" or self._scheme != "http" or not is_allowed:
            raise Forbidden(f"{self.domain}: {said} {parts.scheme}://{parts.netloc[:120]}, which is not safe")

    async def _send(self, method: str, url: str, headers: Headers, body: Body) -> ClientResponse:
        parts = urlsplit(url)
        is_tls = parts.scheme == "https"
        target = Target(
            host=parts.hostname or "",
            port=parts.port or (443 if is_tls else 80),
            tls=tls_context(self.settings.certificates) if is_tls else None,
        )
        sent = body if isinstance(body, bytes) else body()
        fields = (("user-agent", "knarr"), *headers)
        request = Request(method, parts.path or "/", parts.query, fields, sent)
        return await self.client.request(target, request, head_seconds=None if sent is body else UPLOAD_SECONDS)

    async def _answer(self, offered: list[Challenge]) -> str:
        """The Authorization field that satisfies the first challenge that can be. Raises Unauthenticated."""
        known = self.credentials
        if known is not None and known.registry_token:
            return f"Bearer {known.registry_token}"
        for challenge in offered:
            if challenge.scheme == "bearer":
                return "Bearer " + await self._token(challenge)
            if challenge.scheme == "basic" and known is not None and known.username:
                return known.basic
        wanted = " or ".join(challenge.scheme for challenge in offered) or "unknown"
        raise Unauthenticated(f"{self.domain}: authentication is required ({wanted}); no credentials fit")

    async def _token(self, challenge: Challenge) -> str:
        """A bearer token from the server that the challenge names."""
        realm = challenge.parameters.get("realm", "")
        parts = urlsplit(realm)
        host = parts.hostname or ""
        if parts.scheme != "https" and not (self._scheme == "http" and auth.is_loopback(host)):
            raise Forbidden(f"{self.domain}: names the token server {realm[:120]!r}, which is not safe")
        is_ours = auth.may_send(urlsplit("//" + self._host).hostname or "", host)
        known = self.credentials if is_ours else None
        scope = challenge.parameters.get("scope") or f"repository:{self.path}:{self.actions}"
        fields = {"service": challenge.parameters.get("service", ""), "scope": scope}
        if known is not None and known.identity_token:
            grant = {"grant_type": "refresh_token", "client_id": "knarr", "refresh_token": known.identity_token}
            kind = (("content-type", "application/x-www-form-urlencoded"),)
            response = await self._send("POST", realm, kind, urlencode({**fields, **grant}).encode())
        else:
            basic = (("authorization", known.basic),) if known is not None and known.username else ()
            joint = "&" if parts.query else "?"
            response = await self._send("GET", f"{realm}{joint}{urlencode(fields)}", basic, b"")
        if response.status != 200:
            raise await _failure(response, f"token server {host}", is_quoted=is_ours)
        return _token_of(await response.read(_TOKEN_BODY_MAX), host)


@cache
def tls_context(certificates: str = "") -> ssl.SSLContext:
    """The system's certificates, or those in a file."""
    return ssl.create_default_context(cafile=certificates or None)


def _token_of(body: bytes, host: str) -> str:
    try:
        answer = json.loads(body)
        token = answer.get("token") or answer.get("access_token")
    except (ValueError, AttributeError) as error:
        raise Unavailable(f"token server {host}: its answer is not understood") from error
    if not isinstance(token, str) or not token.isascii() or not token.isprintable():
        raise Unavailable(f"token server {host}: its answer holds no token")
    return token


async def _failure(response: ClientResponse, what: str, *, is_quoted: bool) -> KnarrError:
    """The error that a status above 399 means, with the registry's own message.

    What another host says is not quoted: a hostile registry could send its clients to one that only they reach, and
    whoever reads the error, in a pod's events perhaps, would read that host's answer."""
    message = ""
    if is_quoted:
        with contextlib.suppress(KnarrError):
            message = _message(await response.read(_ERROR_BODY_MAX))
    response.close()
    text = f"{what}: {message or 'no reason given'} (status {response.status})"
    match response.status:
        case 404:
            return NotFound(text)
        case 401:
            return Unauthenticated(text)
        case 403:
            return Forbidden(text)
        case 413:
            return TooLarge(text)  # no attempt makes it smaller
        case 429:
            return TooMany(text)
        case _:
            return Unavailable(text)


def _message(body: bytes) -> str:
    try:
        first = json.loads(body)["errors"][0]
        return f"{first.get('code', '')}: {first.get('message', '')}"[:400].strip(": ")
    except (ValueError, LookupError, TypeError, AttributeError):
        return "".join(c for c in body[:200].decode("utf-8", "replace") if c.isprintable()).strip()


def origin(url: str) -> tuple[str, str, int]:
    """(scheme, host, port), the scheme's own port where none is written. Raises Forbidden for a place that is none."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Forbidden(f"{url[:120]!r} is no place to go to: {error}") from error
    return parts.scheme, parts.hostname or "", _PORTS.get(parts.scheme, 0) if port is None else port


def _delay(attempt: int, retry_after: str = "") -> float:
    """Seconds before the next attempt: the registry's word, else exponential."""
    if retry_after.isascii() and retry_after.isdigit():
        return min(float(retry_after), 30.0)
    return float(min(_BACKOFF_CAP, _BACKOFF_FIRST * 2 ** (attempt - 1)))
