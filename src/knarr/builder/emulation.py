"""Whether this machine can run another platform's programs: by binfmt_misc, where somebody registered an emulator.

Only RUN needs it; COPY, ADD and everything about metadata do not.
"""

import asyncio
from pathlib import Path

from knarr.base.errors import Unimplemented
from knarr.oci import platform as platforms
from knarr.oci.platform import Platform

HOST = platforms.host()
_REGISTERED = Path("/proc/sys/fs/binfmt_misc")
# Platform's architecture → qemu's word for it in binfmt_misc.
_QEMU = {
    "amd64": "x86_64",
    "arm64": "aarch64",
    "arm": "arm",
    "386": "i386",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
    "riscv64": "riscv64",
    "loong64": "loongarch64",
    "mips64le": "mips64el",
}
_NATIVE = {("amd64", "386"), ("arm64", "arm")}
"""What a kernel runs beside its own, as a rule."""


async def check(wanted: Platform) -> None:
    """Raises Unimplemented where RUN could not start a program of this platform."""
    if platforms.fitness(wanted, HOST) or (HOST.architecture, wanted.architecture) in _NATIVE:
        return
    if not await asyncio.to_thread(is_emulated, wanted.architecture, _REGISTERED):
        raise Unimplemented(
            f"RUN for {wanted} on {HOST}: no emulator is registered in {_REGISTERED}; install qemu-user-static and"
            " binfmt-support, or do the work in a stage FROM --platform=$BUILDPLATFORM"
        )


def is_emulated(architecture: str, registered: Path) -> bool:
    """Whether an emulator that works inside a container (flag F: opened beforehand) is registered and enabled."""
    try:
        lines = (registered / f"qemu-{_QEMU.get(architecture, architecture)}").read_text().splitlines()
    except OSError:
        return False
    flags = next((line.partition(":")[2] for line in lines if line.startswith("flags:")), "")
    return lines[:1] == ["enabled"] and "F" in flags
