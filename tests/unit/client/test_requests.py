"""ApiClient over a transport in memory: what it asks, and what it makes of the answers."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from knarr.base import errors
from knarr.base.ids import Revision
from knarr.client import requests
from knarr.client.client import DeleteOptions
from knarr.client.requests import ApiClient
from knarr.kinds.apps import DEPLOYMENT
from knarr.kinds.core_config import NODE
from knarr.kinds.core_pod import POD
from knarr.wire import http


class Server:
    """Answers every request with one response, and keeps the request."""

    def __init__(self, response: http.Response) -> None:
        self.response = response
        self.asked = http.Request("", "")

    async def send(self, request: http.Request) -> http.Response:
        self.asked = request
        return self.response


def answering(body: object, status: int = 200) -> Server:
    return Server(http.Response(status, (), msgspec.json.encode(body)))


def test_paths_name_group_namespace_object_and_subresource() -> None:
    assert requests.path(POD, "a", "p", "log") == "/api/v1/namespaces/a/pods/p/log"
    assert requests.path(DEPLOYMENT) == "/apis/apps/v1/deployments"
    assert requests.path(NODE, "ignored", "n/1") == "/api/v1/nodes/n%2F1"


async def test_a_list_keeps_each_item_as_its_own_bytes() -> None:
    server = Server(http.Response(200, (), b'{"metadata":{"resourceVersion":"9"},"items":[{"a": 1},{"b":2}]}'))
    listed = await ApiClient(server).list(POD, "x", labels="a=b")
    assert (listed.items, listed.revision) == ((b'{"a": 1}', b'{"b":2}'), 9)
    assert server.asked.query == "labelSelector=a%3Db"


async def test_a_refusal_is_raised_as_its_error() -> None:
    server = answering({"kind": "Status", "reason": "Conflict", "message": "changed", "code": 409}, 409)
    with pytest.raises(errors.Conflict, match="changed"):
        await ApiClient(server).update(POD, "a", "p", {})


async def test_a_patch_says_what_kind_it_is() -> None:
    server = answering({})
    await ApiClient(server, "me/1").patch(POD, "a", "p", {"x": 1}, patch="apply", subresource="status")
    assert server.asked.header("content-type") == "application/apply-patch+yaml"
    assert server.asked.query == "fieldManager=me&force=true"
    assert server.asked.path.endswith("/pods/p/status")


async def test_a_delete_carries_its_preconditions() -> None:
    server = answering({})
    await ApiClient(server).delete(POD, "a", "p", DeleteOptions(0, "Foreground", "u", "7"))
    assert isinstance(server.asked.body, bytes)
    assert msgspec.json.decode(server.asked.body) == {
        "kind": "DeleteOptions",
        "apiVersion": "v1",
        "gracePeriodSeconds": 0,
        "propagationPolicy": "Foreground",
        "preconditions": {"uid": "u", "resourceVersion": "7"},
    }


async def watched(chunks: list[bytes]) -> list[tuple[str, bytes]]:
    async def body() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    client = ApiClient(Server(http.Response(200, (), body())))
    return [(event.type, event.object) async for event in client.watch(POD, since=Revision(3))]


LINES = b'{"type":"ADDED","object":{"a":"\xc3\xa4"}}\n{"type":"BOOKMARK","object":{"b":2}}\n'


@pytest.mark.parametrize("size", [1, 7, len(LINES)])
async def test_a_watch_is_the_same_however_it_is_cut(size: int) -> None:
    chunks = [LINES[start : start + size] for start in range(0, len(LINES), size)]
    assert await watched(chunks) == [("ADDED", b'{"a":"\xc3\xa4"}'), ("BOOKMARK", b'{"b":2}')]


async def test_a_cut_last_line_of_a_watch_is_dropped() -> None:
    assert await watched([LINES[:-5]]) == [("ADDED", b'{"a":"\xc3\xa4"}')]


async def test_an_error_event_ends_the_watch_as_its_error() -> None:
    with pytest.raises(errors.Expired):
        await watched([b'{"type":"ERROR","object":{"code":410,"reason":"Expired","message":"too old"}}\n'])


async def test_a_watch_line_without_end_is_refused() -> None:
    with pytest.raises(errors.Unavailable, match="a line of more than"):
        await watched([b"x" * (requests.LINE_BYTES_MAX + 1)])
