"""Carry out RUN: the command in a container of its own, hardened as a pod's, with the snapshot as its root.

Mount points that only the runtime made are taken away afterwards, so that a layer holds what the command did. What
`--mount` shows is prepared by steps/mounts.py.
"""

import asyncio
import contextlib
import dataclasses
import posixpath
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from knarr.base import tasks
from knarr.base.errors import Invalid
from knarr.base.ids import ContainerId, SandboxId, hex_id
from knarr.base.removal import drop_tree
from knarr.builder import users
from knarr.builder.operations import SCRIPT_PATH, Run
from knarr.builder.request import RunSettings
from knarr.builder.rootfs import Rootfs
from knarr.builder.steps import stubs
from knarr.builder.trees import clean_path
from knarr.network import namespaces, resolv_conf
from knarr.network.network import Network
from knarr.runtime import defaults, spec
from knarr.runtime.cgroups import Resources
from knarr.runtime.runtime import Attachment, ContainerSpec, Runtime
from knarr.runtime.spec import ContainerSettings, VolumeMount

TAIL_LINES = 20
RUN_SECONDS = 6 * 3600.0
PIDS_MAX = 16384
"""More than any compiler run needs, and no fork bomb."""
_PLAIN_DIRECTORIES = ("dev", "proc", "sys", "etc")

Write = Callable[[int, bytes], None]


class AttachingRuntime(Runtime, Protocol):
    async def attach(self, container: ContainerId) -> Attachment: ...


@dataclass(frozen=True, slots=True)
class Machine:
    """Where builds run. `run_dir` lies on a tmpfs and holds mount points and secrets; `network` None has no bridge."""

    runtime: AttachingRuntime
    run_dir: Path
    cgroup: str
    network: Network | None = None


@dataclass(frozen=True, slots=True)
class RunResult:
    exit_code: int
    tail: tuple[str, ...]


async def run(
    machine: Machine,
    root: Path,
    operation: Run,
    asked: RunSettings,
    mounts: Sequence[VolumeMount],
    *,
    env: Sequence[str],
    write: Write,
) -> RunResult:
    """The command's end. `env` adds to the operation's; `write` gets its output as it comes.

    What the operation asks for beyond a plain container was allowed before.
    """
    identifier = ContainerId(hex_id())
    work = machine.run_dir / identifier
    work.mkdir(parents=True, mode=0o700)
    rootfs = Rootfs(root)
    try:
        _guard(rootfs)
        volumes = [_inside(rootfs, volume) for volume in (*_own_files(work, operation, asked), *mounts)]
        targets = [volume.target for volume in volumes]
        made_here = stubs.missing(rootfs, [*targets, *(target for target, *_ in defaults.MOUNTS)])
        user = users.identity(operation.user or "0", rootfs.read_text("etc/passwd"), rootfs.read_text("etc/group"))
        async with _namespaces(machine, identifier, work, operation, asked.hostname) as joined:
            settings = ContainerSettings(
                rootfs=root,
                arguments=operation.arguments,
                cgroup_path=f"{machine.cgroup}/build-{identifier}",
                env=(*operation.env, *operation.hidden_env, *env),
                cwd=operation.cwd,
                user=spec.User(user.uid, user.gid, user.additional_gids),
                hostname=asked.hostname,
                namespaces=joined,
                mounts=volumes,
                resources=Resources(pids_limit=PIDS_MAX),
                is_privileged=operation.is_insecure,
                rlimits=asked.ulimits,
            )
            result = await _contained(machine, identifier, settings, write)
        stubs.remove(rootfs, made_here)
        return result
    finally:
        rootfs.close()
        drop_tree(work)


async def _contained(machine: Machine, identifier: ContainerId, settings: ContainerSettings, write: Write) -> RunResult:
    container = ContainerSpec(
        id=identifier, oci=spec.render(settings), log_path=Path("/dev/null"), cgroup_path=settings.cgroup_path
    )
    tail = _Tail()
    try:
        # A container that is made after its deletion would stay, and hold the file system.
        await tasks.to_its_end(machine.runtime.create(container))
        # Attached before the start, so that no output is lost.
        attachment = await machine.runtime.attach(identifier)
        try:
            await machine.runtime.start(identifier)
            async with asyncio.timeout(RUN_SECONDS):
                while (packet := await attachment.read()) is not None:
                    tail.add(packet[1])
                    write(*packet)
                state = await machine.runtime.wait(identifier)
        finally:
            attachment.close()
    finally:
        await asyncio.shield(machine.runtime.delete(identifier))
    return RunResult(state.exit_code if state.exit_code is not None else 1, tail.lines())


class _Tail:
    """The last lines of the output, for the message of a failure."""

    def __init__(self) -> None:
        self._whole: deque[str] = deque(maxlen=TAIL_LINES)
        self._part = ""

    def add(self, piece: bytes) -> None:
        *whole, part = (self._part + piece.decode("utf-8", "replace")).split("\n")
        self._whole.extend(whole)
        self._part = part[-4096:]

    def lines(self) -> tuple[str, ...]:
        return (*self._whole, *([self._part] if self._part else []))


def _guard(rootfs: Rootfs) -> None:
    """The runtime mounts on these; a link of the image could lead it elsewhere (TRUST, SEC-25)."""
    for name in _PLAIN_DIRECTORIES:
        entry = rootfs.entry(name)
        if entry is not None and entry.kind != "directory":
            raise Invalid(f"the image's /{name} is not a directory; refusing to mount on it")


def _inside(rootfs: Rootfs, volume: VolumeMount) -> VolumeMount:
    """The mount at its place without links: no link of the image leads the runtime astray (TRUST, SEC-25, SEC-26)."""
    if volume.target == SCRIPT_PATH:
        return volume
    resolved, parts = "", clean_path(volume.target).split("/")
    for number, part in enumerate(parts):
        step = rootfs.resolve(posixpath.join(resolved, part))
        if step is None:
            resolved = posixpath.join(resolved, *parts[number:])
            break
        resolved = step
    if not resolved or resolved.split("/")[0] in ("proc", "sys"):
        raise Invalid(f"--mount: target {volume.target} is /{resolved}; refusing to mount there")
    return dataclasses.replace(volume, target=f"/{resolved}")


def _own_files(work: Path, operation: Run, asked: RunSettings) -> list[VolumeMount]:
    hosts = f"127.0.0.1\tlocalhost {asked.hostname}\n::1\tlocalhost\n"
    hosts += "".join(f"{address}\t{name}\n" for name, address in asked.hosts)
    files = {"/etc/resolv.conf": _resolv_conf(), "/etc/hosts": hosts}
    mounts = []
    if asked.shm_bytes:
        options = ("nosuid", "noexec", "nodev", "mode=1777", f"size={asked.shm_bytes}")
        mounts.append(VolumeMount(defaults.SHM, "shm", options, type="tmpfs"))
    for target, text in files.items():
        source = work / target.rpartition("/")[2]
        source.write_text(text)
        source.chmod(0o644)
        mounts.append(VolumeMount(target, str(source), ("rbind", "rprivate", "ro", "nosuid", "nodev")))
    if operation.script:
        source = work / "script"
        source.write_text(operation.script)
        source.chmod(0o755)
        mounts.append(VolumeMount(SCRIPT_PATH, str(source), ("rbind", "rprivate", "ro")))
    return mounts


def _resolv_conf() -> str:
    """The machine's resolvers, but those on its loopback, which a container cannot reach."""
    try:
        return resolv_conf.without_stubs(resolv_conf.path().read_text(errors="replace"))
    except OSError:
        return ""


@contextlib.asynccontextmanager
async def _namespaces(
    machine: Machine, identifier: ContainerId, work: Path, operation: Run, hostname: str
) -> AsyncIterator[dict[str, str]]:
    """The namespaces of the container; its network is up inside."""
    kinds = dict(defaults.NEW_NAMESPACES)
    if operation.network == "host":
        del kinds["network"]
        yield kinds
        return
    pin = work / "net"
    sandbox = SandboxId(identifier)
    try:
        # What is half done when the build is cancelled would be done after it was taken away.
        await tasks.to_its_end(namespaces.pin({"net": pin}, hostname, {"net.ipv4.ping_group_range": "0 2147483647"}))
        if operation.network == "default" and machine.network is not None:
            await tasks.to_its_end(machine.network.attach(sandbox, pin))
        yield {**kinds, "network": str(pin)}
    finally:
        if operation.network == "default" and machine.network is not None:
            await asyncio.shield(machine.network.detach(sandbox))
        namespaces.unpin(pin)
