"""Watches that nobody reads: the store's watcher ends with the answer all the same."""

import pytest

from knarr.apiserver.pipeline import Pipeline
from knarr.apiserver.server import ApiServer
from knarr.base.ids import Revision
from knarr.store.fanout import QueueWatcher
from knarr.store.memory import MemoryStore
from knarr.wire import http
from tests.unit.apiserver.conftest import ADMIN


class Recording(MemoryStore):
    """Keeps the watchers that it gave."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[QueueWatcher] = []

    def watch(self, prefix: str, since: Revision) -> QueueWatcher:
        watcher = super().watch(prefix, since)
        self.given.append(watcher)
        return watcher


async def answered(store: MemoryStore, method: str, *headers: tuple[str, str]) -> http.Response:
    request = http.Request(method, "/api/v1/pods", "watch=1", headers)
    return await Pipeline(ApiServer(store)).handle_as(request, ADMIN)


async def test_a_watch_of_which_only_the_head_is_asked_leaves_no_watcher() -> None:
    store = Recording()
    response = await answered(store, "HEAD")
    assert isinstance(response.body, http.Followed)
    await response.body.aclose()
    with pytest.raises(StopAsyncIteration):
        store.given[-1].take()


async def test_a_watch_whose_handshake_is_refused_leaves_no_watcher() -> None:
    store = Recording()
    response = await answered(store, "GET", ("connection", "Upgrade"), ("upgrade", "websocket"))
    assert response.status == 400
    with pytest.raises(StopAsyncIteration):
        store.given[-1].take()
