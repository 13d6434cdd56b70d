"""/openapi/v2 and v3 as clients ask for them: the form, the name of a document, and what they have already."""

import msgspec
import pytest

from knarr.apiserver.openapi import answers
from knarr.wire import http
from tests.unit.apiserver.conftest import ADMIN, Asker

NODE = "/openapi/v3/apis/node.k8s.io/v1"


async def get(ask: Asker, target: str, **headers: str) -> http.Response:
    path, _, query = target.partition("?")
    given = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return await ask.pipeline.handle_as(http.Request("GET", path, query, given), ADMIN)


def header(response: http.Response, name: str) -> str:
    return dict(response.headers).get(name, "")


async def address(ask: Asker) -> str:
    index = await get(ask, "/openapi/v3")
    assert isinstance(index.body, bytes)
    found: str = msgspec.json.decode(index.body)["paths"]["apis/node.k8s.io/v1"]["serverRelativeURL"]
    return found


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("", answers.JSON),
        ("*/*", answers.JSON),
        ("application/json", answers.JSON),
        ("application/com.github.proto-openapi.spec.v3.v1.0+protobuf", answers.PROTOBUF_V3),
        ("application/com.github.proto-openapi.spec.v3@v1.0+protobuf, application/json", answers.PROTOBUF_V3),
        ("application/json;q=0.9,application/com.github.proto-openapi.spec.v3@v1.0+protobuf", answers.JSON),
    ],
)
async def test_a_document_comes_in_the_form_that_is_asked_for(ask: Asker, accept: str, media: str) -> None:
    response = await get(ask, NODE, accept=accept)
    assert (response.status, header(response, "content-type")) == (200, media)
    assert isinstance(response.body, bytes)
    assert response.body.startswith(b"{" if media == answers.JSON else b"\n\x053.0.0")


async def test_a_form_that_there_is_not_is_refused(ask: Asker) -> None:
    assert (await get(ask, NODE, accept="application/xml")).status == 406


async def test_a_document_is_kept_by_its_name_and_not_sent_twice(ask: Asker) -> None:
    response = await get(ask, await address(ask))
    assert (response.status, header(response, "cache-control")) == (200, "public, immutable")
    assert header(response, "expires").endswith("GMT")
    assert "Accept" in header(response, "vary")
    again = await get(ask, NODE, if_none_match=header(response, "etag"))
    assert (again.status, again.body) == (304, b"")


async def test_an_old_name_leads_to_the_new_one(ask: Asker) -> None:
    response = await get(ask, f"{NODE}?hash=0123")
    assert (response.status, header(response, "location")) == (301, await address(ask))
