"""Keeps the API's picture of one pod and writes the pod's status to it, only when it differs.

A static pod's status goes to its mirror: the reporter then holds the file's pod with the mirror's status. While there
is no mirror, or nobody takes the status, it holds what it would write: a static pod goes on without an API. A status is
held back for a moment while a start is under way: what follows at once needs no write of its own. What the status says
is pod_status.py's; when a write may begin is the worker's.
"""

from datetime import timedelta

import msgspec
from msgspec.structs import replace

from knarr.base.clock import Instant
from knarr.base.errors import KnarrError, NotFound
from knarr.client.client import Json
from knarr.kinds.core_pod import POD
from knarr.kinds.lens.pod import Pod
from knarr.kinds.lens.pod_status import PodStatus
from knarr.kubelet import ending, pod_status
from knarr.kubelet.observed import ObservedPod
from knarr.kubelet.shared import Shared
from knarr.kubelet.standing import SANDBOX, Standing

HOLD = timedelta(seconds=0.3)
"""Longer than a start takes on a machine that starts fifty others, shorter than a person waits to see one."""


class Reporter:
    """`pod` is the newest version known, from the watch or from the answer to an own write."""

    def __init__(self, shared: Shared, pod: Pod, raw: bytes, *, is_static: bool = False) -> None:
        self._shared = shared
        self.pod = pod
        self.is_static = is_static
        self._api_uid = "" if is_static else pod.metadata.uid
        self._status: Json = {} if is_static else _status_of(raw)
        self._wanted: Json = {}
        self._held_since: Instant | None = None

    def update(self, pod: Pod, raw: bytes) -> bool:
        """Take the watch's version; False if a newer one is known."""
        if _revision(pod) < _revision(self.pod):
            return False
        self.pod, self._status = pod, _status_of(raw)
        return True

    def mirrored(self, mirror: Pod | None, raw: bytes) -> None:
        """The API shows a static pod by this mirror, or by none: then the next one is told everything anew."""
        if mirror is None:
            self._api_uid, self._status = "", {}
        elif mirror.metadata.uid != self._api_uid or _revision(mirror) >= _revision(self.pod):
            # A mirror that is new has no status: what the pod knows of itself stays.
            self._api_uid, self._status = mirror.metadata.uid, _status_of(raw)
            self._take_status(mirror if self._status.get("startTime") else replace(mirror, status=self.pod.status))

    def _take_status(self, mirror: Pod) -> None:
        metadata = replace(self.pod.metadata, resource_version=mirror.metadata.resource_version)
        self.pod = replace(self.pod, metadata=metadata, status=mirror.status)

    def withdraw(self, now: Instant) -> None:
        """The file of a static pod is gone: its pod ends as one that was deleted."""
        if self.pod.metadata.deletion_timestamp is not None:
            return
        seconds = ending.grace(self.pod)
        moment = now + timedelta(seconds=seconds)
        metadata = replace(self.pod.metadata, deletion_timestamp=moment, deletion_grace_period_seconds=seconds)
        self.pod = replace(self.pod, metadata=metadata)

    @property
    def due_at(self) -> Instant | None:
        """When a status that is held back must be written."""
        return self._held_since + HOLD if self._held_since is not None else None

    def patch(self, pod: Pod, observed: ObservedPod, standing: Standing, now: Instant) -> Json | None:
        """What to write now of the pod as it is run; None if the API says it already, or if more is about to follow."""
        if _is_collected(pod, observed) or not (self._api_uid or self.is_static):
            return None
        shared = self._shared
        wanted = pod_status.pod_status(
            pod,
            observed,
            standing,
            now,
            runtime=shared.runtime_name,
            host_ip=shared.settings.node_ip,
            can_recurse=shared.can_recurse,
        )
        if not self._api_uid:
            self._keep(wanted)
            return None
        wanted = pod_status.with_final_ends(pod, self._status, wanted)
        patch = pod_status.status_patch(self._status, wanted, self._api_uid)
        if patch is not None and _is_starting(standing):
            self._held_since = self._held_since or now
            if now < self._held_since + HOLD:
                return None
        self._held_since, self._wanted = None, wanted
        return patch

    def _keep(self, wanted: Json) -> None:
        """Let the static pod have the status that no API takes."""
        if pod_status.status_patch(self._wanted, wanted, "") is None:
            return
        self._wanted = wanted
        self.pod = replace(self.pod, status=msgspec.convert(wanted, PodStatus))

    async def write(self, patch: Json) -> None:
        """Write the status; a pod that is gone needs none."""
        meta = self.pod.metadata
        try:
            written = await self._shared.client.patch(
                POD, meta.namespace, meta.name, patch, patch="strategic", subresource="status"
            )
        except NotFound:
            return
        except (KnarrError, OSError):
            if self.is_static:
                wanted, self._wanted = self._wanted, {}
                self._keep(wanted)
            raise
        pod = msgspec.convert(written, Pod)
        if self.is_static:
            if pod.metadata.uid == self._api_uid and _revision(pod) >= _revision(self.pod):
                self._status = written.get("status", {})
                self._take_status(pod)
        elif _revision(pod) >= _revision(self.pod):
            self.pod, self._status = pod, written.get("status", {})


def _is_collected(pod: Pod, observed: ObservedPod) -> bool:
    """Whether the runtime has nothing any more of a pod that has ended: what the API says of it is the last word."""
    status = pod.status
    return status.phase in ("Succeeded", "Failed") and not observed.containers and bool(status.container_statuses)


def _is_starting(standing: Standing) -> bool:
    """Whether a start is under way that has met no difficulty yet."""
    return not standing.problems and any(key == SANDBOX or key.startswith("start/") for key in standing.in_flight)


def _status_of(raw: bytes) -> Json:
    status: Json = msgspec.json.decode(raw).get("status", {})
    return status


def _revision(pod: Pod) -> int:
    return int(pod.metadata.resource_version or 0)
