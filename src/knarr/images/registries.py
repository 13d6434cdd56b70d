"""Which registries are spoken to differently: mirrors that are asked first, and those without TLS.

One JSON file, `{"mirrors": {"docker.io": ["mirror.example:5000"]}, "insecure": ["registry.lan:5000"],
"certificates": "/path/to/ca.pem"}`; a missing file changes nothing. Loopback needs no entry. Mirrors never get
credentials of the registry that they stand for.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from knarr.base.errors import Invalid
from knarr.oci import reference as references


@dataclass(frozen=True, slots=True)
class RemoteSettings:
    """`insecure` names registries (`host:port`) that may be spoken to in plain HTTP besides those on loopback;
    `certificates` is a file of authorities to trust instead of the system's."""

    insecure: frozenset[str] = frozenset()
    certificates: str = ""
    mirrors: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def places(self, domain: str) -> tuple[str, ...]:
        """Where to look for a registry's images, in order."""
        return (*self.mirrors.get(domain, ()), domain)


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    mirrors: dict[str, tuple[str, ...]] = {}
    insecure: tuple[str, ...] = ()
    certificates: str = ""


def read(path: Path) -> RemoteSettings:
    """The settings in a file. Raises Invalid naming the file and what is wrong with it."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return RemoteSettings()
    except OSError as error:
        raise Invalid(f"{path}: {error.strerror}") from error
    try:
        kept = msgspec.json.decode(content, type=_File)
    except msgspec.DecodeError as error:
        raise Invalid(f"{path}: {error}") from error
    for domain in (*kept.mirrors, *kept.insecure, *(host for hosts in kept.mirrors.values() for host in hosts)):
        if not references.is_domain(domain):
            raise Invalid(f"{path}: {domain[:120]!r} is not a registry host")
    return RemoteSettings(frozenset(kept.insecure), kept.certificates, dict(kept.mirrors))


def docker_config(path: Path) -> dict[str, Any]:
    """The content of a Docker configuration. Raises Invalid naming the file."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise Invalid(f"{path}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise Invalid(f"{path}: {error}") from error
