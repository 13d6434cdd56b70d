"""What every RPC of the CRI server works on: places, records, and the seams to runtime, network and root file systems.

One `Node` value is made by service.py and passed to the functions in sandboxes/ and containers/. It decides nothing.
"""

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from knarr.base.errors import NotFound
from knarr.base.ids import ContainerId
from knarr.criserver.events import Events
from knarr.criserver.records import ContainerRecord, Records, SandboxRecord
from knarr.criserver.user_namespaces import Users
from knarr.network.network import Network
from knarr.oci.image_config import ContainerConfig
from knarr.runtime import apparmor
from knarr.runtime.cgroups import Cgroups
from knarr.runtime.runtime import Monitor, Runtime


@dataclass(frozen=True, slots=True)
class Places:
    """Directories and the cgroup of one cluster. `state` survives a reboot, `run` does not; `cgroup` is "/knarr-x"."""

    state: Path
    run: Path
    cgroup: str

    def pin(self, sandbox: str, kind: str) -> Path:
        """The file that a namespace of a sandbox is pinned on."""
        return self.run / "ns" / f"{sandbox}-{kind}"

    def sandbox(self, sandbox: str) -> Path:
        return self.run / "sandboxes" / sandbox

    def container(self, container: str) -> Path:
        return self.run / "rootfs" / container


@dataclass(frozen=True, slots=True)
class Root:
    """A container's root file system, mounted, and what its image says."""

    path: Path
    image_id: str
    image_ref: str
    config: ContainerConfig


class RootFileSystems(Protocol):
    """Makes writable root file systems out of images."""

    async def prepare(self, container: ContainerId, image: str, target: Path, users: Users | None) -> Root:
        """Mount a fresh one on `target`, its files' ids as `users` maps them. Raises NotFound for an image that is not
        here."""
        ...

    async def remove(self, container: ContainerId, target: Path) -> None:
        """Unmount and delete; removing the absent succeeds."""
        ...

    def usage(self, container: ContainerId) -> tuple[int, int]:
        """Bytes and inodes that the container wrote."""
        ...

    def held(self) -> list[ContainerId]:
        """The containers that there is something of, for the sweep after a crash."""
        ...


class RuntimeWithMonitor(Runtime, Monitor, Protocol):
    async def recover(self) -> list[ContainerId]: ...

    def is_alive(self, container: ContainerId) -> bool:
        """Whether its first process runs, by the kernel's word."""
        ...

    def pid(self, container: ContainerId) -> int:
        """The container's first process. Raises NotFound."""
        ...


@dataclass(slots=True)
class Node:
    places: Places
    sandboxes: Records[SandboxRecord]
    containers: Records[ContainerRecord]
    runtime: RuntimeWithMonitor
    network: Network
    roots: RootFileSystems
    cgroups: Cgroups
    events: Events
    armor: apparmor.Kernel = field(default_factory=apparmor.Kernel)
    """What the kernel does about AppArmor."""
    locks: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    """One per sandbox or container while something changes it."""
    watches: dict[str, "asyncio.Task[None]"] = field(default_factory=dict)
    """One task per running container and sandbox process, which notes its end."""

    def get_sandbox(self, identity: str) -> SandboxRecord:
        record = self.sandboxes.find(identity)
        if record is None:
            raise NotFound(f'an error occurred when try to find sandbox "{identity}": not found')
        return record

    def get_container(self, identity: str) -> ContainerRecord:
        record = self.containers.find(identity)
        if record is None:
            raise NotFound(f'an error occurred when try to find container "{identity}": not found')
        return record

    def is_abandoned(self, record: SandboxRecord | ContainerRecord) -> bool:
        """Whether its creation failed, and so did the clean-up: it is not complete, and nobody is at it."""
        lock = self.locks.get(record.id)
        return not record.is_complete and (lock is None or not lock.locked())

    def containers_of(self, sandbox: str) -> list[ContainerRecord]:
        return [record for record in self.containers.all() if record.sandbox == sandbox]


def now() -> int:
    """Nanoseconds since 1970."""
    return time.time_ns()
