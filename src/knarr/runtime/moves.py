"""Announces that a process is about to be moved between control groups, so that the kernel waits for it beforehand.

Who moves another process takes a lock of the whole machine, and the kernel lets the first one wait for a *grace period*
(RCU): 8 to 16 ms in which nothing of ours runs. Moves that follow within that time share the wait. `crun exec` and
every start move a process once they have read their settings; a thread here that moves itself to where it is already
begins the wait while they still start. Nothing is changed by it. (A thread that writes 0 would not take the lock.)
Not here: which group a process belongs to (the runtime's).
"""

import contextlib
import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from knarr.runtime.cgroups import Cgroups

_OWN_GROUPS = Path("/proc/thread-self/cgroup")


class Moves:
    """Owns the thread; one announcement at a time."""

    def __init__(self, cgroups: Cgroups) -> None:
        self._cgroups = cgroups
        self._thread = ThreadPoolExecutor(1, "moves")
        self._last: Future[None] | None = None
        self._file: int | None = None
        self._own = b""

    def announce(self) -> None:
        """A process will be moved soon. Returns at once."""
        if self._last is None or self._last.done():
            self._last = self._thread.submit(self._stay)

    def close(self) -> None:
        self._thread.shutdown()
        if self._file is not None:
            os.close(self._file)

    def _stay(self) -> None:
        """Move this thread to where it is. A kernel that refuses it only waits later."""
        with contextlib.suppress(OSError):
            if self._file is None:
                self._own = str(threading.get_native_id()).encode()
                path = self._cgroups.threads_file(_OWN_GROUPS.read_text())
                self._file = os.open(path or os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            os.write(self._file, self._own)
