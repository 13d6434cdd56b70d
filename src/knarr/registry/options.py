"""What a registry may be told: one JSON file, `registry.json` beside the cluster's settings; flags override it.

`{"proxies": ["docker.io"], "quota_bytes": 20000000000, "htpasswd": "/etc/knarr/users", "auth": "token"}`. A missing
file changes nothing. It says only what is wanted; `gates` puts it together.
"""

import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec

from knarr.base.errors import Invalid
from knarr.images import registries
from knarr.images.content import ContentStore
from knarr.images.credentials import from_docker_config
from knarr.images.names import Names
from knarr.images.registries import RemoteSettings
from knarr.oci import reference as references
from knarr.registry import passwords
from knarr.registry.access import Access
from knarr.registry.pull_through import TTL_SECONDS, PullThrough, Upstream
from knarr.registry.quota import Quota
from knarr.registry.service import Gates
from knarr.wire import strict_json, tls
from knarr.wire.http_client import Client

Found = TypeVar("Found")
LOOPBACK = "127.0.0.1"


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`listen` other than loopback needs TLS and users. `docker_config` holds credentials for the proxies."""

    listen: str = LOOPBACK
    hosts: tuple[str, ...] = ()
    tls_certificate: str = ""
    tls_key: str = ""
    htpasswd: str = ""
    auth: Literal["basic", "token"] = "basic"
    anonymous_pull: bool = False
    quota_bytes: int = 0
    repository_quota_bytes: int = 0
    proxies: tuple[str, ...] = ()
    proxy_ttl_seconds: float = TTL_SECONDS
    docker_config: str = ""


def read(path: Path) -> Options:
    """The options in a file. Raises Invalid naming the file and what is wrong with it."""
    try:
        return checked(msgspec.json.decode(path.read_bytes(), type=Options))
    except FileNotFoundError:
        return Options()
    except OSError as error:
        raise Invalid(f"{path}: {error.strerror}") from error
    except (*strict_json.UNREADABLE, Invalid) as error:
        raise Invalid(f"{path}: {error}") from error


def changed(options: Options, given: Mapping[str, Any]) -> Options:
    """The options with others put in."""
    return msgspec.structs.replace(options, **given)


def checked(options: Options) -> Options:
    """The options, if they go together. Raises Invalid."""
    if bool(options.tls_certificate) != bool(options.tls_key):
        raise Invalid("tls_certificate and tls_key: one is useless without the other")
    if options.listen not in (LOOPBACK, "localhost", "::1") and not (options.tls_certificate and options.htpasswd):
        raise Invalid(f"listen: other machines reach {options.listen!r}; that needs TLS and users (htpasswd)")
    if min(options.quota_bytes, options.repository_quota_bytes, options.proxy_ttl_seconds) < 0:
        raise Invalid("quota_bytes, repository_quota_bytes and proxy_ttl_seconds are not below 0")
    for proxy in options.proxies:
        if not _is_proxy(proxy):
            raise Invalid(f"proxies: {proxy[:120]!r} is not a registry (docker.io, or https://HOST[:PORT])")
    return options


def gates(options: Options, content: ContentStore, names: Names, service: str, registries_file: Path) -> Gates:
    """What stands around the registry. `service` is its name in challenges. Raises Invalid for unreadable files."""
    access = None
    if options.htpasswd:
        users = _option("htpasswd", lambda: passwords.read(Path(options.htpasswd)))
        access = Access(users, service, mode=options.auth, anonymous_pull=options.anonymous_pull)
    return Gates(
        access=access,
        hosts=frozenset(host.lower() for host in options.hosts),
        is_tls=bool(options.tls_certificate),
        quota=Quota(options.quota_bytes, options.repository_quota_bytes),
        upstream=_pull_through(options, content, names, registries_file) if options.proxies else None,
    )


def tls_context(options: Options) -> ssl.SSLContext | None:
    """What connections are encrypted with; None for plain HTTP. Raises Invalid."""
    if not options.tls_key:
        return None
    pair = f"{options.tls_certificate} and {options.tls_key}"
    try:
        return tls.server_context(Path(options.tls_certificate), Path(options.tls_key))
    except ssl.SSLError as error:
        raise Invalid(f"tls_certificate, tls_key: {pair} are not a certificate and its key in PEM") from error
    except OSError as error:
        raise Invalid(f"tls_certificate, tls_key: {pair}: {error.strerror}") from error


def _option(name: str, read_file: Callable[[], Found]) -> Found:
    try:
        return read_file()
    except Invalid as error:
        raise Invalid(f"{name}: {error}") from error


def _is_proxy(proxy: str) -> bool:
    try:
        return references.is_domain(_domain(proxy))
    except ValueError:  # no URL
        return False


def _pull_through(options: Options, content: ContentStore, names: Names, registries_file: Path) -> PullThrough:
    settings = registries.read(registries_file)
    plain = {_domain(proxy) for proxy in options.proxies if proxy.startswith("http://")}
    settings = RemoteSettings(settings.insecure | plain, settings.certificates, settings.mirrors)
    config = Path(options.docker_config)
    known = _option("docker_config", lambda: registries.docker_config(config)) if options.docker_config else {}
    upstreams = tuple(Upstream(d, from_docker_config(known, d)) for d in map(_domain, options.proxies))
    return PullThrough(content, names, Client(), upstreams, settings=settings, ttl_seconds=options.proxy_ttl_seconds)


def _domain(proxy: str) -> str:
    """`docker.io` of `docker.io`, `https://docker.io` or the address that its registry has."""
    domain = urlsplit(proxy).netloc if "://" in proxy else proxy
    return references.DEFAULT_DOMAIN if domain in ("registry-1.docker.io", "index.docker.io") else domain
