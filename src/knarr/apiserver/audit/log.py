"""The audit log: JSON lines in a file (0600) or on standard output, written by a thread of its own.

A request never waits for the disk: what the bounded queue cannot take is dropped and counted. A file that has grown
past FILE_BYTES_MAX is put aside under the time of the change; FILES_KEPT of them stay.
"""

import contextlib
import os
import queue
import threading
import time
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from knarr.apiserver.audit import events
from knarr.apiserver.audit.events import Answered, Asking
from knarr.base import exposition, logs

QUEUE_MAX: Final = 10_000
QUEUE_BYTES_MAX: Final = 64 * 1024 * 1024
FILE_BYTES_MAX: Final = 100 * 1024 * 1024
FILES_KEPT: Final = 10
_log = logs.log("audit")
_Item = tuple[Asking, Answered]


class AuditLog:
    """One log. `dropped` counts events that found the queue full or the disk refusing."""

    def __init__(self, path: Path | None, *, bytes_max: int = FILE_BYTES_MAX, kept: int = FILES_KEPT) -> None:
        """`path` None writes to standard output. Raises OSError when the file cannot be opened."""
        self.path = path
        self.dropped = 0
        self.written = 0
        self._bytes_max = bytes_max
        self._kept = kept
        self._queue: queue.Queue[_Item | None] = queue.Queue(QUEUE_MAX)
        # Each counted by one thread alone: what waits is the difference.
        self._put_bytes = self._taken_bytes = 0
        self._is_failing = False
        self._file = self._opened()
        self._thread = threading.Thread(target=self._run, name="audit-log", daemon=True)
        self._thread.start()

    def put(self, asking: Asking, answered: Answered) -> None:
        """Write it soon. Never waits."""
        size = events.size(asking, answered)
        if self._put_bytes - self._taken_bytes + size > QUEUE_BYTES_MAX:
            self.dropped += 1
            return
        try:
            self._queue.put_nowait((asking, answered))
        except queue.Full:
            self.dropped += 1
        else:
            self._put_bytes += size

    def close(self, seconds: float = 5.0) -> None:
        """Write what waits and let go of the file; gives up after that many seconds."""
        with contextlib.suppress(queue.Full):
            self._queue.put(None, timeout=seconds)
            self._thread.join(seconds)

    def lines(self) -> list[str]:
        """Metrics in Prometheus' text form."""
        written = exposition.family(
            "apiserver_audit_event_total", "counter", "Audit events written.", (("", self.written),)
        )
        lost = (('{plugin="log"}', self.dropped),)
        return written + exposition.family("apiserver_audit_error_total", "counter", "Audit events lost.", lost)

    # -- the thread ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            self._taken_bytes += events.size(*item)
            try:
                self._write(msgspec.json.encode(events.event(*item)) + b"\n")
                self._is_failing = False
            except Exception as error:  # one event's fault, or the disk's, must not end the log
                self.dropped += 1
                self._complain(error)
        with contextlib.suppress(OSError):
            self._file.flush()
            if self.path is not None:
                self._file.close()

    def _write(self, line: bytes) -> None:
        if self.path is not None and self._file.tell() and self._file.tell() + len(line) > self._bytes_max:
            self._rotate(self.path)
        self._file.write(line)
        if self._queue.empty():
            self._file.flush()
        self.written += 1

    def _complain(self, error: Exception) -> None:
        if not self._is_failing:
            _log.error("event lost %s", logs.fields(error=error))
        self._is_failing = True

    def _opened(self) -> BinaryIO:
        if self.path is None:
            return os.fdopen(os.dup(1), "ab")
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self.path, flags, 0o600)
        os.fchmod(descriptor, 0o600)
        return os.fdopen(descriptor, "ab")

    def _rotate(self, path: Path) -> None:
        self._file.close()
        moment = time.strftime("%Y-%m-%dT%H-%M-%S", time.gmtime())
        aside = path.with_name(f"{path.stem}-{moment}.{time.time_ns() % 1_000_000_000:09d}{path.suffix}")
        os.replace(path, aside)
        self._file = self._opened()
        old = sorted(path.parent.glob(f"{path.stem}-*{path.suffix}"))
        for each in old[: -self._kept] if self._kept else old:
            each.unlink(missing_ok=True)
