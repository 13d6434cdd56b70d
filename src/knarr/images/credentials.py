"""Credentials for registries, and what a registry's challenge asks for. Pure: the caller reads files and runs helpers.

`from_docker_config` reads the content of ~/.docker/config.json; `challenges` the WWW-Authenticate field (RFC 9110,
section 11; the distribution project's token authentication). `may_send` decides whether a token server that the
registry names may see the credentials.
"""

import base64
import binascii
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_HUB_KEYS = ("https://index.docker.io/v1/", "index.docker.io", "docker.io", "registry-1.docker.io")
_CHALLENGE = re.compile(r"([A-Za-z][A-Za-z0-9-]*)\s+((?:[A-Za-z_]+=(?:\"[^\"]*\"|[^\s,\"]+)\s*,?\s*)*)", re.ASCII)
_SHARED = frozenset({"co", "com", "org", "net", "ac", "gov", "gob", "edu", "or", "ne", "go", "ltd", "plc", "me"})
"""Second labels that registries of countries sell names below. Any other short one, as in `k8s.io`, is somebody's."""
_PARAMETER = re.compile(r"([A-Za-z_]+)=(?:\"([^\"]*)\"|([^\s,\"]+))", re.ASCII)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Either a user name with a password, or an identity token (a refresh token), or a registry's bearer token."""

    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""

    def __repr__(self) -> str:
        return "Credentials(…)"

    @property
    def basic(self) -> str:
        """The value of a Basic Authorization field."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


@dataclass(frozen=True, slots=True)
class Challenge:
    scheme: str
    parameters: Mapping[str, str]


def from_auth(auth: str) -> Credentials | None:
    """Base64 of `user:password`, as the files and CRI's AuthConfig.auth hold it; None if it is not that."""
    try:
        text = base64.b64decode(auth, validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    username, colon, password = text.partition(":")
    return Credentials(username, password.rstrip("\0")) if colon else None


def from_docker_config(config: Mapping[str, Any], domain: str) -> Credentials | None:
    """What the `auths` of a Docker configuration hold for a registry."""
    auths = config.get("auths")
    if not isinstance(auths, Mapping):
        return None
    for key in (domain, f"https://{domain}", f"https://{domain}/v1/", f"https://{domain}/v2/", *_hub_keys(domain)):
        entry = auths.get(key)
        if isinstance(entry, Mapping):
            found = _from_entry(entry)
            if found is not None:
                return found
    return None


def helper_for(config: Mapping[str, Any], domain: str) -> tuple[str, str] | None:
    """(program, server address) of the credential helper that the configuration names for a registry."""
    helpers = config.get("credHelpers")
    server = _HUB_KEYS[0] if domain == "docker.io" else domain
    if isinstance(helpers, Mapping):
        for key in (domain, *_hub_keys(domain)):
            if isinstance(helpers.get(key), str):
                return f"docker-credential-{helpers[key]}", key
    store = config.get("credsStore")
    return (f"docker-credential-{store}", server) if isinstance(store, str) and store else None


def challenges(field: str) -> list[Challenge]:
    """The challenges of a WWW-Authenticate field, in order."""
    found = []
    for match in _CHALLENGE.finditer(field):
        parameters = {m[1].lower(): m[2] or m[3] or "" for m in _PARAMETER.finditer(match[2])}
        found.append(Challenge(match[1].lower(), parameters))
    return found


def may_send(registry_host: str, token_host: str) -> bool:
    """Whether credentials for a registry may go to its token server: the same host, or the same domain above it.

    Below endings like `co.uk` and `com.au` strangers register domains: there a domain has three labels."""
    if registry_host == token_host:
        return True
    if _is_address(registry_host) or _is_address(token_host):
        return False
    labels = registry_host.split(".")
    is_shared = len(labels) > 1 and len(labels[-1]) == 2 and labels[-2] in _SHARED
    site = ".".join(labels[-3:] if is_shared else labels[-2:])
    return "." in site and (token_host == site or token_host.endswith("." + site))


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, so that plain HTTP is no risk."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _from_entry(entry: Mapping[str, Any]) -> Credentials | None:
    token = entry.get("identitytoken")
    if isinstance(token, str) and token:
        return Credentials(identity_token=token)
    if isinstance(entry.get("auth"), str):
        return from_auth(entry["auth"])
    username, password = entry.get("username"), entry.get("password")
    if isinstance(username, str) and isinstance(password, str):
        return Credentials(username, password)
    return None


def _hub_keys(domain: str) -> tuple[str, ...]:
    return _HUB_KEYS if domain == "docker.io" else ()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
