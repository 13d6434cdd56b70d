"""Quotas: how much the registry, and each repository, may hold. The answer at the bound is DENIED with status 413.

The total counts every blob in the store and what is on its way in; a repository counts the blobs that its manifests
lead to, each once, though other repositories share them. Decides only; uploads.py and manifests.py ask.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from knarr.base.errors import NotFound
from knarr.images import gc
from knarr.oci.digest import Digest
from knarr.registry.errors import Failure

if TYPE_CHECKING:
    from knarr.registry.call import State


@dataclass(frozen=True, slots=True)
class Quota:
    """Bytes; 0 is no bound."""

    total_bytes: int = 0
    repository_bytes: int = 0


def room(state: "State", name: str, repository: str) -> int | None:
    """How many bytes may still come for a repository; None for no bound."""
    bounds = []
    if state.quota.total_bytes:
        used = sum(blob.size for blob in state.content.walk()) + state.sessions.arriving()
        bounds.append(state.quota.total_bytes - used)
    if state.quota.repository_bytes:
        used = _size(state, {n.digest for n in state.names.repository(repository)}) + state.sessions.arriving(name)
        bounds.append(state.quota.repository_bytes - used)
    return min(bounds) if bounds else None


def check_manifest(state: "State", repository: str, digest: Digest, size: int) -> None:
    """Raises Failure if the repository would be too large with the manifest, which is in the store already."""
    bound = state.quota.repository_bytes
    if not bound:
        return
    used = _size(state, {digest, *(name.digest for name in state.names.repository(repository))})
    if used > bound:
        raise full(f"with this manifest the repository holds {used} bytes, its quota is {bound}")


async def bounded(chunks: AsyncIterator[bytes] | bytes, left: int | None) -> AsyncIterator[bytes]:
    """The chunks as long as there is room. Raises Failure at the bound."""
    if isinstance(chunks, bytes):
        chunks = _one(chunks)
    async for chunk in chunks:
        if left is not None:
            left -= len(chunk)
            if left < 0:
                raise full("the quota leaves no room for this blob")
        yield chunk


def full(message: str) -> Failure:
    return Failure("DENIED", f"quota exceeded: {message}", status=413)


async def _one(chunk: bytes) -> AsyncIterator[bytes]:
    if chunk:
        yield chunk


def _size(state: "State", roots: set[Digest]) -> int:
    size = 0
    for digest in gc.reached(state.content, roots):
        try:
            size += state.content.info(digest).size
        except NotFound:  # only referred to: another platform's, or a foreign layer
            continue
    return size
