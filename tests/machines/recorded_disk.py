"""A disk that records every write and flush, and can be had again as a power loss would have left it.

qemu-storage-daemon's blklogwrites keeps the log (the kernel's dm-log-writes format); its FUSE export and a loop device
make a block device of it, on which the kernel's own ext4 works. `after_power_loss` takes the log up to a moment:
everything before the last flush is on the disk; of what was written after it, some is, each write for itself.
"""

import os
import random
import select
import signal
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

MAGIC = 0x6A736677736872
FLUSH, FUA, DISCARD = 1, 2, 4
SECTOR = 512
PROGRAMS = ("qemu-storage-daemon", "losetup", "mkfs.ext4", "e2fsck", "mount", "umount")


def call(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


@dataclass(frozen=True, slots=True)
class Entry:
    """One act in the log: where its entry starts, what of the disk it writes, and where in the log the bytes are."""

    start: int
    position: int
    length: int
    flags: int
    bytes_at: int


def entries(log: Path, end: int) -> Iterator[Entry]:
    """The acts whose entries are whole before `end`, an offset in the log."""
    with log.open("rb") as file:
        magic, _, _, size = struct.unpack("<QQQI", file.read(28))
        assert (magic, size) == (MAGIC, SECTOR)
        start = SECTOR
        while start + SECTOR <= end:
            file.seek(start)
            sector, sectors, flags, _ = struct.unpack("<QQQQ", file.read(32))
            length = 0 if flags & DISCARD else sectors * SECTOR
            if (not sectors and not flags) or start + SECTOR + length > end:
                return
            yield Entry(start, sector * SECTOR, length, flags, start + SECTOR)
            start += SECTOR + length


@dataclass(slots=True)
class RecordedDisk:
    """In `directory`: the disk as it was made, as it is, its log. It is mounted at `mount`."""

    directory: Path
    mount: Path
    bytes_max: int = 1 << 30
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.directory / "log"
        self.mount.mkdir(parents=True)
        first = self.directory / "first"
        first.touch()
        os.truncate(first, self.bytes_max)
        call("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(first))

    def attach(self) -> None:
        """Serve the disk, recorded, and mount it."""
        disk, export = self.directory / "disk", self.directory / "export"
        call("cp", "--sparse=always", str(self.directory / "first"), str(disk))
        for path, size in ((self.log, 8 << 30), (export, 0)):
            path.touch()
            os.truncate(path, size)
        nodes = [f"driver=file,filename={disk},node-name=disk", f"driver=file,filename={self.log},node-name=log"]
        nodes.append(f"driver=blklogwrites,file=disk,log=log,log-sector-size={SECTOR},node-name=recorded")
        served = f"fuse,id=export,node-name=recorded,mountpoint={export},writable=on"
        blockdevs = [word for node in nodes for word in ("--blockdev", node)]
        pid_file = str(self.directory / "pid")
        call("qemu-storage-daemon", *blockdevs, "--export", served, "--pidfile", pid_file, "--daemonize")
        self.attach_file(export)

    def detach(self) -> None:
        """Unmount, and end who served the disk; nothing of both is no error."""
        if os.path.ismount(self.mount):
            self.unmount()
        pid_file = self.directory / "pid"
        if pid_file.exists():  # it removes the file at its end
            served = int(pid_file.read_text())
            ended = os.pidfd_open(served)
            os.kill(served, signal.SIGTERM)
            assert select.select([ended], [], [], 60)[0], "qemu-storage-daemon stays"
            os.close(ended)

    def unmount(self) -> None:
        device = call("findmnt", "-n", "-o", "SOURCE", str(self.mount))
        call("umount", str(self.mount))
        call("losetup", "-d", device)

    def written(self) -> int:
        """How far the log goes now: what comes back to a writer after this is in front of it."""
        descriptor = os.open(self.log, os.O_RDONLY)
        try:
            return os.lseek(descriptor, 0, os.SEEK_HOLE)
        finally:
            os.close(descriptor)

    def moments(self, first: int, last: int) -> list[int]:
        """Offsets in the log right before a flush that had several writes to make durable: where most can be lost."""
        found, waiting = [], 0
        for entry in entries(self.log, last):
            if not entry.flags & FLUSH:
                waiting += 1
                continue
            if waiting > 2 and entry.start > first:
                found.append(entry.start)
            waiting = 0
        return found

    def after_power_loss(self, moment: int, kept: float, seed: int, *, forgets_flushes: int = 0) -> tuple[Path, int]:
        """The disk as the loss left it, its journal replayed, and how many writes were lost. A disk that lies
        forgets the last so many acts, flushed or not."""
        # A new file each time: a mount namespace of somebody else may still hold the last one's mount, and write to it.
        image = self.directory / f"image-{len(list(self.directory.iterdir()))}-{moment}"
        call("cp", "--sparse=always", str(self.directory / "first"), str(image))
        acts, draw, lost = list(entries(self.log, moment)), random.Random(seed), 0
        last = max((number for number, act in enumerate(acts) if act.flags & FLUSH), default=-1)
        last = len(acts) - forgets_flushes if forgets_flushes else last
        with self.log.open("rb") as log, image.open("r+b") as disk:
            for number, act in enumerate(acts):
                if number > last and not act.flags & FUA and draw.random() >= kept:
                    lost += bool(act.length)
                    continue
                log.seek(act.bytes_at)
                disk.seek(act.position)
                disk.write(log.read(act.length))
        repaired = subprocess.run(
            ["e2fsck", "-fy", str(image)], capture_output=True, text=True, timeout=60, check=False
        )
        assert repaired.returncode in (0, 1), repaired.stdout
        sound = subprocess.run(["e2fsck", "-fn", str(image)], capture_output=True, text=True, timeout=60, check=False)
        assert sound.returncode == 0, sound.stdout
        return image, lost

    def attach_file(self, file: Path) -> None:
        """Mount an image, or the disk that is served as a file."""
        device = call("losetup", "-f", "--show", str(file))
        try:
            call("mount", device, str(self.mount))
        except BaseException:
            call("losetup", "-d", device)
            raise
