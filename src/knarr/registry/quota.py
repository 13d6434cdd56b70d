"""Quotas: how much the registry, and each repository, may hold. The answer at the bound is DENIED with status 413.

The total counts every blob in the store and what is on its way in; a repository counts the blobs that its manifests
lead to, each once, though other repositories share them. Decides only; uploads.py and manifests.py ask: before bytes
come, as they come, and once more when they are all here, because others push meanwhile.
"""

from collections.abc import AsyncIterator, Callable
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
        fetched = state.upstream.arriving() if state.upstream is not None else 0
        bounds.append(state.quota.total_bytes - _stored(state) - state.sessions.arriving() - fetched)
    if state.quota.repository_bytes:
        used = _size(state, {n.digest for n in state.names.repository(repository)}) + state.sessions.arriving(name)
        bounds.append(state.quota.repository_bytes - used)
    return min(bounds) if bounds else None


async def check_fetch(state: "State", name: str, ns: str, digest: Digest) -> None:
    """Raises Failure if a blob of a registry that this one stands for would not fit."""
    if state.upstream is None or not state.quota.total_bytes or state.upstream.is_arriving(digest):
        return
    size = await state.upstream.size(name, ns, digest)
    left = state.quota.total_bytes - _stored(state) - state.sessions.arriving() - state.upstream.arriving()
    if size > left:
        raise full(f"a blob of {size} bytes is to be fetched, there is room for {max(0, left)}; knarr prune may help")


def shrinking(state: "State", left: int) -> Callable[[], int]:
    """What is left of the room while anybody's uploads grow; never asks the disk."""
    before = state.sessions.arriving()
    return lambda: left - (state.sessions.arriving() - before)


def check_blob(state: "State", name: str, repository: str, digest: Digest) -> None:
    """Raises Failure if an upload that is whole now, and still counts as arriving, leaves less than no room."""
    left = room(state, name, repository)
    if left is not None and left < 0 and not state.content.touch(digest):
        raise full("the quota leaves no room for this blob")


def check_manifest(state: "State", repository: str, digest: Digest) -> None:
    """Raises Failure if registry or repository are too large with the manifest, which is in the store already."""
    bounds = state.quota
    if bounds.total_bytes and (used := _stored(state)) > bounds.total_bytes:
        raise full(f"with this manifest the registry holds {used} bytes, its quota is {bounds.total_bytes}")
    if not bounds.repository_bytes:
        return
    used = _size(state, {digest, *(name.digest for name in state.names.repository(repository))})
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


def _stored(state: "State") -> int:
    return sum(blob.size for blob in state.content.walk())


def _size(state: "State", roots: set[Digest]) -> int:
    size = 0
    for digest in gc.reached(state.content, roots):
        try:
            size += state.content.info(digest).size
        except NotFound:  # only referred to: another platform's, or a foreign layer
            continue
    return size
