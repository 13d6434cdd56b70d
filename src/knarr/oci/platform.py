"""Platforms: `os/architecture/variant` of an image, and which entry of an index fits the machine (image-index.md)."""

import os

import msgspec

from knarr.base.errors import Invalid

_MACHINES = {
    "x86_64": ("amd64", ""),
    "aarch64": ("arm64", "v8"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "i686": ("386", ""),
    "ppc64le": ("ppc64le", ""),
    "s390x": ("s390x", ""),
    "riscv64": ("riscv64", ""),
}
_ARCHITECTURES = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "armhf": "arm", "i386": "386"}


class Platform(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    os: str = "linux"
    architecture: str = ""
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))


def host(machine: str = "") -> Platform:
    """This machine's platform; `machine` is uname's word for it."""
    machine = machine or os.uname().machine
    architecture, variant = _MACHINES.get(machine, (machine, ""))
    return Platform(architecture=architecture, variant=variant)


def parse(text: str) -> Platform:
    """`linux/arm64/v8`, `linux/amd64` or an architecture alone. Raises Invalid."""
    parts = text.lower().split("/")
    if not all(part and part.isascii() and part.replace("_", "").replace("-", "").isalnum() for part in parts):
        raise Invalid(f"platform: {text[:80]!r} is not OS/ARCHITECTURE[/VARIANT]")
    if len(parts) == 1:
        parts = ["linux", *parts]
    if len(parts) > 3:
        raise Invalid(f"platform: {text[:80]!r} is not OS/ARCHITECTURE[/VARIANT]")
    variant = parts[2] if len(parts) == 3 else ""
    return Platform(os=parts[0], architecture=_ARCHITECTURES.get(parts[1], parts[1]), variant=variant)


def fitness(offered: Platform | None, wanted: Platform) -> int:
    """How well an offered platform serves: 0 not at all, 1 by default (none is said), 2 compatible, 3 exactly."""
    if offered is None:
        return 1
    if (offered.os or "linux") != wanted.os or offered.architecture != wanted.architecture:
        return 0
    if offered.variant == wanted.variant or _implied(offered) == _implied(wanted):
        return 3
    return 2 if offered.variant <= (wanted.variant or offered.variant) else 0


def _implied(platform: Platform) -> str:
    """arm64 without a variant is v8; arm without one is v7."""
    return platform.variant or {"arm64": "v8", "arm": "v7"}.get(platform.architecture, "")
