"""The process that holds the shared process namespace of a pod (shareProcessNamespace), and reaps its orphans.

It is a static program of about 200 bytes that this file makes: it ignores SIGCHLD, so that the kernel reaps, and
sleeps for ever. It runs in a container whose root holds nothing else, since a neighbour may look through /proc/1/root.
"""

import os
import platform
import struct
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from knarr.base import linux
from knarr.base.errors import Unimplemented
from knarr.base.ids import ContainerId, SandboxId
from knarr.criserver import user_namespaces
from knarr.criserver.node import Node
from knarr.criserver.records import SandboxRecord
from knarr.runtime import spec
from knarr.runtime.runtime import ContainerSpec

_CODE: Final = {
    # machine → (ELF machine number, code). The code ends where the sigaction {SIG_IGN, SA_NOCLDWAIT, 0, 0} follows.
    "x86_64": (
        62,
        bytes.fromhex(
            "b80d000000"  # mov eax, 13          rt_sigaction
            "bf11000000"  # mov edi, 17          SIGCHLD
            "488d3516000000"  # lea rsi, [rip+22]  the sigaction behind the code
            "31d2"  # xor edx, edx
            "41ba08000000"  # mov r10d, 8
            "0f05"  # syscall
            "b822000000"  # mov eax, 34          pause
            "0f05"  # syscall
            "ebf7"  # jmp to the mov before
            "909090"  # nop, for alignment
        ),
    ),
    "aarch64": (
        183,
        bytes.fromhex(
            "200280d2"  # mov x0, #17             SIGCHLD
            "81010010"  # adr x1, +48             the sigaction behind the code
            "020080d2"  # mov x2, #0
            "030180d2"  # mov x3, #8
            "c81080d2"  # mov x8, #134            rt_sigaction
            "010000d4"  # svc #0
            "000080d2"  # mov x0, #0              nfds
            "010080d2"  # mov x1, #0
            "020080d2"  # mov x2, #0              no timeout
            "030080d2"  # mov x3, #0
            "280980d2"  # mov x8, #73             ppoll
            "010000d4"  # svc #0
            "faffff17"  # b to the first of the six before
        ),
    ),
}
_BASE: Final = 0x400000
_ELF_HEADER: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM_HEADER: Final = struct.Struct("<IIQQQQQQ")


def program(machine: str) -> bytes:
    """The program as a static ELF file."""
    if machine not in _CODE:
        raise Unimplemented(f"shareProcessNamespace: no pause program for {machine}")
    number, code = _CODE[machine]
    content = code + struct.pack("<QQQQ", 1, 2, 0, 0)
    start = _ELF_HEADER.size + _PROGRAM_HEADER.size
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = _ELF_HEADER.pack(ident, 2, number, 1, _BASE + start, _ELF_HEADER.size, 0, 0, 64, 56, 1, 0, 0, 0)
    size = start + len(content)
    return header + _PROGRAM_HEADER.pack(1, 5, 0, _BASE, _BASE, size, size, 0x1000) + content


def identity(sandbox: SandboxId) -> ContainerId:
    """Its id, which needs no record to be known."""
    return ContainerId(f"{sandbox}-pause")


async def start(node: Node, record: SandboxRecord) -> SandboxRecord:
    """Start the process; the record then names it."""
    pause = identity(record.id)
    root = node.places.sandbox(record.id) / "pause"
    root.mkdir(exist_ok=True)
    executable = root / "pause"
    executable.write_bytes(program(platform.machine()))
    executable.chmod(0o555)
    _make_executable(root)
    cgroup = f"{record.cgroup_parent}/{pause}"
    mappings = user_namespaces.of_sandbox(record.config)
    if mappings is not None:
        os.chown(root, mappings.uid(0), mappings.gid(0))
    shared = {kind: path for kind, path in paths(node, record).items() if kind != "pid"}
    settings = spec.ContainerSettings(
        rootfs=root,
        arguments=["/pause"],
        cgroup_path=cgroup,
        namespaces={"pid": "", "mount": "", **shared},
        id_mappings=mappings,
        capabilities_dropped=("ALL",),
        user=spec.User(65535, 65535),
        no_new_privileges=True,
        readonly_rootfs=True,
    )
    await node.runtime.create(
        ContainerSpec(id=pause, oci=spec.render(settings), log_path=Path("/dev/null"), cgroup_path=cgroup)
    )
    await node.runtime.start(pause)
    return replace(record, pause=pause)


def _make_executable(root: Path) -> None:
    """Distributions mount /run so that nothing is started from there."""
    linux.umount(root)
    linux.mount(str(root), root, None, linux.MS_BIND)
    linux.mount("", root, None, linux.MS_REMOUNT | linux.MS_BIND | linux.MS_NOSUID | linux.MS_NODEV)


def paths(node: Node, record: SandboxRecord) -> dict[str, str]:
    """OCI namespace → path, of those that the pod has for itself."""
    pins = {"user": "user", "network": "net", "ipc": "ipc", "uts": "uts"}
    return {oci: str(pin) for oci, kind in pins.items() if (pin := node.places.pin(record.id, kind)).exists()}
