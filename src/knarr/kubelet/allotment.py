"""One pod's allotment: follows the spec's resources, asks for room, and remembers what was granted.

The decision is resizing.py's; this file keeps it for a worker, says it as events, and wakes the worker when a deferred
wish may be asked again. After a restart it is found in the pod's status.
"""

from collections.abc import Callable
from dataclasses import replace

from knarr.kinds.lens.pod import Pod
from knarr.kubelet import resizing
from knarr.kubelet.allocations import Allocations
from knarr.kubelet.preparation import Tell
from knarr.kubelet.resizing import Pending


class Allotment:
    """`follow` after each change of the pod; `applied` is the pod as it is to be run."""

    def __init__(self, allocations: Allocations, pod: Pod, *, wake: Callable[[], None], tell: Tell) -> None:
        self._allocations = allocations
        self._wake = wake
        self._tell = tell
        self._allocated = resizing.recovered(pod)
        self._seen: Pod | None = None
        self._applied = pod
        self._decided: Pod | None = None

    @property
    def pending(self) -> Pending | None:
        return self._allocated.pending

    def applied(self, pod: Pod) -> Pod:
        if pod is not self._seen:
            self._seen, self._applied = pod, resizing.applied(pod, self._allocated)
        return self._applied

    def follow(self, pod: Pod) -> None:
        """Decide about a changed wish, or about a deferred one for which there may be room now."""
        if self._decided is not None and self._decided.spec == pod.spec:
            return
        self._decided = pod
        if self.applied(pod) is pod:
            self._allocated = replace(self._allocated, pending=None)
            return
        found = resizing.decided(pod, self._allocations.allocatable, self._allocations.shortage(pod))
        before, self._allocated = self._allocated, found
        if found.pending is None:
            self._seen = None
            self._tell("", "Normal", "ResizeStarted", "Pod resize started")
            self._allocations.freed()  # of what shrank others may be waiting for
            return
        self._allocated = replace(before, pending=found.pending)
        if before.pending != found.pending:
            reason, message = found.pending.reason, found.pending.message
            self._tell("", "Warning", f"Resize{reason}", f"Pod resize {reason}: {message}")
        if found.pending.reason == "Deferred":
            self._allocations.wait(pod.metadata.uid, self._again)

    def _again(self) -> None:
        self._decided = None
        self._wake()
