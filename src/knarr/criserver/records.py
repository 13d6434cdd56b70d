"""What the CRI server remembers of sandboxes and containers: one file each, its last line counts.

A record is written before the first thing is made for it and removed after the last is gone, so that after a crash
every leftover has an owner. `is_complete` turns true when creation ended; recovery takes down what is not.
"""

from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from knarr.base import lines
from knarr.base.ids import ContainerId, SandboxId
from knarr.cri.messages.config import ContainerConfig, PodSandboxConfig

R = TypeVar("R", "SandboxRecord", "ContainerRecord")


class SandboxRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Times are nanoseconds since 1970, as CRI has them. `pause` is the container that holds a shared pid namespace."""

    id: SandboxId
    config: PodSandboxConfig
    created_at: int
    cgroup_parent: str
    is_complete: bool = False
    is_ready: bool = False
    address: str = ""
    pause: ContainerId | None = None
    runtime_handler: str = ""


class Ended(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a container ended; `reason` is CRI's word (Completed, Error, OOMKilled, StartError)."""

    exit_code: int
    at: int
    reason: str = ""
    message: str = ""


class ContainerRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`image_ref` is the image's id here; `stop_signal` a number. `started_at` is 0 until it is started."""

    id: ContainerId
    sandbox: SandboxId
    config: ContainerConfig
    created_at: int
    cgroup_path: str
    is_complete: bool = False
    image_ref: str = ""
    log_path: str = ""
    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    stop_signal: int = 15
    started_at: int = 0
    ended: Ended | None = None


class Records(Generic[R]):
    """All records of one type, in memory and in a directory."""

    def __init__(self, directory: Path, kind: type[R]) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._held: dict[str, R] = {}
        for draft in directory.glob("*.json.new"):
            draft.unlink()  # a replacement cut short by a crash: the file that it was to replace counts
        for path in sorted(directory.glob("*.json")):
            record = next((found for line in lines.latest(path) if (found := _read(line, kind)) is not None), None)
            if record is None:
                # A torn disk or a crash at the first line leaves this; what it owned has no owner now and is swept.
                path.rename(path.with_suffix(".bad"))
                continue
            self._held[record.id] = record

    def all(self) -> list[R]:
        return list(self._held.values())

    def find(self, identity: str) -> R | None:
        """By id, or by the start of one if no other starts so."""
        held = self._held.get(identity)
        if held is not None or len(identity) < 4:
            return held
        matches = [record for key, record in self._held.items() if key.startswith(identity)]
        return matches[0] if len(matches) == 1 else None

    def put(self, record: R) -> R:
        lines.append(self._path(record.id), msgspec.json.encode(record))
        self._held[record.id] = record
        return record

    def remove(self, identity: str) -> None:
        self._held.pop(identity, None)
        self._path(identity).unlink(missing_ok=True)

    def _path(self, identity: str) -> Path:
        return self._directory / f"{identity}.json"


def _read(line: bytes, kind: type[R]) -> R | None:
    try:
        return msgspec.json.decode(line, type=kind)
    except msgspec.DecodeError:
        return None
