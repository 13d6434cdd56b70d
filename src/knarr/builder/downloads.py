"""ADD of a URL: fetch it into the context store, checked against `--checksum`, its digest and time known.

The node fetches, not the container, so addresses that a container could not reach are refused: loopback, link-local and
the like (TRUST, SEC-38). The address that was checked is the one that is connected to.
"""

import asyncio
import ipaddress
import posixpath
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from knarr.base import tasks
from knarr.base.errors import Forbidden, Invalid, NotFound, TooLarge, Unavailable
from knarr.builder.context_store import ContextStore
from knarr.builder.trees import Entry
from knarr.oci import digest as digests
from knarr.wire.http import Request
from knarr.wire.http_client import Client, ClientResponse, Target

SIZE_MAX = 8 << 30
SECONDS_MAX = 3600.0
_REDIRECTS = (301, 302, 303, 307, 308)
_REDIRECTS_MAX = 10
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Download:
    """`name` is the file's name in the URL; the entry's content is in the context store."""

    name: str
    entry: Entry


def is_reachable(address: Address) -> bool:
    """Whether a container on this machine could reach the address too."""
    is_near = address.is_loopback or address.is_link_local or address.is_unspecified
    return not (is_near or address.is_multicast or address.is_reserved)


class Downloads:
    """Fetches into one context store. `may_reach` decides about addresses."""

    def __init__(self, contexts: ContextStore, may_reach: Callable[[Address], bool] = is_reachable) -> None:
        self._contexts = contexts
        self._client = Client()
        self._may_reach = may_reach

    async def fetch(self, url: str, checksum: str) -> Download:
        """Raises NotFound, Forbidden, Unavailable, TooLarge, and Invalid where the checksum differs."""
        if checksum:
            digests.parse(checksum)
        name = posixpath.basename(unquote(_parts(url)[0].path))
        return await tasks.deadline(self._fetch(url, name, checksum), SECONDS_MAX, f"ADD {url}")

    async def _fetch(self, url: str, name: str, checksum: str) -> Download:
        response = await self._follow(url)
        writer, size = self._contexts.writer(), 0
        try:
            async for chunk in response.chunks():
                size += len(chunk)
                if size > SIZE_MAX:
                    raise TooLarge(f"{url}: larger than {SIZE_MAX} bytes")
                await tasks.in_thread(writer.write, chunk)
            try:
                digest = writer.commit(checksum)
            except Invalid as error:
                raise Invalid(f"{url}: the content has not the digest {checksum}") from error
        finally:
            writer.abort()
        return Download(name, Entry("file", 0o600, size, _mtime(response), content=digest))

    async def _follow(self, url: str) -> ClientResponse:
        for _ in range(_REDIRECTS_MAX):
            response = await self._get(url)
            if response.status == 200:
                return response
            location = response.header("location")
            response.close()
            if response.status in (404, 410):
                raise NotFound(f"{url} is not there (status {response.status})")
            if response.status not in _REDIRECTS or not location:
                raise Unavailable(f"{url} answers with status {response.status}")
            url = _joined(url, location)
        raise Unavailable(f"{url}: more than {_REDIRECTS_MAX} redirects")

    async def _get(self, url: str) -> ClientResponse:
        parts, host, port = _parts(url)
        is_tls = parts.scheme == "https"
        target = Target(
            host=str(await self.address(host, port)),
            port=port,
            tls=ssl.create_default_context() if is_tls else None,
            server_name=host if is_tls else "",
        )
        headers = (("host", parts.netloc.rpartition("@")[2]), ("user-agent", "knarr"))
        return await self._client.request(target, Request("GET", parts.path or "/", parts.query, headers))

    async def address(self, host: str, port: int) -> Address:
        """An address of the host that may be reached. Raises Unavailable, Forbidden."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise Unavailable(f"{host}: {error.strerror}") from error
        addresses = [ipaddress.ip_address(entry[4][0]) for entry in found]
        for address in addresses:
            if self._may_reach(address):
                return address
        raise Forbidden(f"{host} is {addresses[0] if addresses else 'nowhere'}, which ADD must not reach")


def _parts(url: str) -> tuple[SplitResult, str, int]:
    """The URL in parts, its host and port. Raises Invalid."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise Invalid(f"{url} is not an http or https URL: {error}") from error
    if parts.scheme not in ("http", "https") or not host:
        raise Invalid(f"{url} is not an http or https URL")
    return parts, host, port or (443 if parts.scheme == "https" else 80)


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise Invalid(f"{url} redirects to {location[:200]!r}, which is no URL") from error


def _mtime(response: ClientResponse) -> int:
    """Last-Modified in nanoseconds; 0 where the server does not say, so that the same content gives the same layer."""
    try:
        return int(parsedate_to_datetime(response.header("last-modified")).timestamp()) * 10**9
    except (TypeError, ValueError):
        return 0
