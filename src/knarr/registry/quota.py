"""Quotas: how much the registry, and each repository, may hold. The answer at the bound is DENIED with status 413.

The total counts every blob in the store and what is on its way in; a repository counts the blobs that its manifests
lead to, each once, though other repositories share them. Decides only; uploads.py and manifests.py ask: before bytes
come, as they come, and once more when they are all here, because others push meanwhile. What is pulled through from
another registry counts in the total, too: such a pull is answered with 413 when its blob has no room.
"""

from collections.abc import AsyncIterator, Callable, Iterable
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


def room(state: "State", name: str, repository: str) -> Callable[[], int] | None:
    """How many bytes may still come for a repository; None for no bound. What is stored is asked once; whoever asks
    again sees all uploads grow in the total, and in the repository its own."""
    bounds: list[Callable[[], int]] = []
    if state.quota.total_bytes:
        total = state.quota.total_bytes - _stored(state) - _fetched(state)
        bounds.append(lambda: total - state.sessions.arriving())
    if state.quota.repository_bytes:
        own = state.quota.repository_bytes - _size(state, _roots(state, repository))
        bounds.append(lambda: own - state.sessions.arriving(name))
    return (lambda: min(left() for left in bounds)) if bounds else None


def check_fetch(state: "State", size: int) -> None:
    """Raises Failure if a blob of a registry that this one stands for, not yet counted as arriving, would not fit."""
    if not state.quota.total_bytes:
        return
    left = state.quota.total_bytes - _stored(state) - state.sessions.arriving() - _fetched(state)
    if size > left:
        raise full(f"a blob of {size} bytes is to be fetched, there is room for {max(0, left)}; knarr prune may help")


def check_blob(state: "State", name: str, repository: str, digest: Digest) -> None:
    """Raises Failure if an upload that is whole now, and still counts as arriving, leaves less than no room."""
    left = room(state, name, repository)
    if left is not None and left() < 0 and not state.content.touch(digest):
        raise full("the quota leaves no room for this blob")


def check_new_manifest(state: "State", repository: str, digest: Digest, size: int, parts: Iterable[Digest]) -> None:
    """Raises Failure if registry or repository would be too large with a manifest that is not in the store yet, or it
    would lie there, refused, until garbage is collected."""
    bounds = state.quota
    if state.content.touch(digest):
        return
    if bounds.total_bytes and _stored(state) + size > bounds.total_bytes:
        raise full(f"the manifest has {size} bytes, for which the registry has no room")
    if bounds.repository_bytes:
        used = _size(state, _roots(state, repository).union(parts)) + size
        if used > bounds.repository_bytes:
            raise full(f"the repository would hold {used} bytes, its quota is {bounds.repository_bytes}")


def check_manifest(state: "State", repository: str, digest: Digest) -> None:
    """Raises Failure if registry or repository are too large with the manifest, which is in the store already."""
    bounds = state.quota
    if bounds.total_bytes and (used := _stored(state)) > bounds.total_bytes:
        raise full(f"with this manifest the registry holds {used} bytes, its quota is {bounds.total_bytes}")
    if not bounds.repository_bytes:
        return
    used = _size(state, {digest, *_roots(state, repository)})
    if used > bounds.repository_bytes:
        raise full(f"with this manifest the repository holds {used} bytes, its quota is {bounds.repository_bytes}")


async def bounded(chunks: AsyncIterator[bytes] | bytes, left: Callable[[], int]) -> AsyncIterator[bytes]:
    """The chunks as long as there is room. Raises Failure at the bound."""
    if isinstance(chunks, bytes):
        chunks = _one(chunks)
    async for chunk in chunks:
        if left() < len(chunk):
            raise full("the quota leaves no room for this blob")
        yield chunk


def full(message: str) -> Failure:
    return Failure("DENIED", f"quota exceeded: {message}", status=413)


async def _one(chunk: bytes) -> AsyncIterator[bytes]:
    if chunk:
        yield chunk


def _fetched(state: "State") -> int:
    return state.upstream.arriving() if state.upstream is not None else 0


def _roots(state: "State", repository: str) -> set[Digest]:
    return {name.digest for name in state.names.repository(repository)}


def _stored(state: "State") -> int:
    """A sum over what the store remembers: no disk is asked, however many blobs there are."""
    return sum(blob.size for blob in state.content.walk())


def _size(state: "State", roots: set[Digest]) -> int:
    size = 0
    for digest in gc.reached(state.content, roots):
        try:
            size += state.content.info(digest).size
        except NotFound:  # only referred to: another platform's, or a foreign layer
            continue
    return size
