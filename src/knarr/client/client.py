"""The client of the Kubernetes API that controllers, scheduler and kubelet use: one Protocol.

Objects are JSON values (dict) as the server sent them; readers decode lenses from caches (client/cache.py).
Two transports stand behind it: client/http.py and client/inprocess.py (the same requests without the socket).
Errors are those of base/errors.py, translated from the server's Status.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from knarr.base.ids import Revision
from knarr.kinds.registry import Kind

Json = dict[str, Any]
PatchType = Literal["json", "merge", "strategic", "apply"]
EventType = Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]


@dataclass(frozen=True, slots=True)
class ListResult:
    """Each item's own JSON bytes, and the revision the list is consistent at."""

    items: tuple[bytes, ...]
    revision: Revision


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One watch event: `object` is the JSON bytes of the object as the server sent it."""

    type: EventType
    object: bytes


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """What a DELETE may ask for; None leaves the server's default."""

    grace_period_seconds: int | None = None
    propagation: Literal["Foreground", "Background", "Orphan"] | None = None
    uid: str | None = None
    resource_version: str | None = None


class Client(Protocol):
    """Namespace is "" for cluster-scoped kinds and, in list and watch, for all namespaces."""

    async def get(self, kind: Kind, namespace: str, name: str) -> Json: ...

    async def list(self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = "") -> ListResult: ...

    def watch(
        self, kind: Kind, namespace: str = "", *, since: Revision, labels: str = "", fields: str = ""
    ) -> AsyncIterator[WatchEvent]:
        """Events after `since`, bookmarks included. Raises Expired when the server has compacted that revision."""
        ...

    async def create(self, kind: Kind, namespace: str, body: Json, *, name: str = "", subresource: str = "") -> Json:
        """POST; `name` and `subresource` address e.g. pods/NAME/binding or pods/NAME/eviction."""
        ...

    async def update(self, kind: Kind, namespace: str, name: str, body: Json, *, subresource: str = "") -> Json: ...

    async def patch(
        self, kind: Kind, namespace: str, name: str, body: Any, *, patch: PatchType = "merge", subresource: str = ""
    ) -> Json: ...

    async def delete(self, kind: Kind, namespace: str, name: str, options: DeleteOptions | None = None) -> None: ...
