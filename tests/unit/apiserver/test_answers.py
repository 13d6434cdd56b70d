"""How an answer is written: indented for people, on one line for programs."""

import pytest

from knarr.wire import http
from tests.unit.apiserver.conftest import ADMIN, Asker

SPACE = "/api/v1/namespaces/default"


async def is_indented(ask: Asker, target: str, agent: str) -> bool:
    path, _, query = target.partition("?")
    response = await ask.pipeline.handle_as(http.Request("GET", path, query, (("user-agent", agent),)), ADMIN)
    assert isinstance(response.body, bytes)
    return response.body.startswith(b'{\n  "')


@pytest.mark.parametrize(
    ("target", "agent", "wanted"),
    [
        (SPACE, "kubectl/v1.36.0", False),
        (SPACE, "curl/7.88.1", True),
        (SPACE, "Wget/1.21", True),
        (SPACE, "Mozilla/5.0 (X11)", True),
        (f"{SPACE}?pretty=false", "curl/7.88.1", False),
        (f"{SPACE}?pretty=true", "kubectl/v1.36.0", True),
        (f"{SPACE}?pretty=nonsense", "curl/7.88.1", False),
        (f"{SPACE}/configmaps/none", "curl/7.88.1", True),
        (f"{SPACE}/configmaps/none?pretty=1", "", True),
        (f"{SPACE}/configmaps/none", "", False),
        ("/api", "curl/7.88.1", True),
        ("/openapi/v3", "curl/7.88.1", False),
        ("/version", "", True),
    ],
)
async def test_people_are_shown_indented_answers(ask: Asker, target: str, agent: str, wanted: bool) -> None:
    assert await is_indented(ask, target, agent) == wanted


async def test_nobody_is_refused_in_indented_words(ask: Asker) -> None:
    for agent, query, wanted in (("curl/7.88.1", "", True), ("", "pretty=1", True), ("curl/7.88.1", "pretty=0", False)):
        headers = (("user-agent", agent), ("authorization", "Bearer wrong"))
        response = await ask.pipeline.handle(http.Request("GET", SPACE, query, headers))
        assert isinstance(response.body, bytes)
        assert (response.status, response.body.startswith(b'{\n  "kind": "Status"')) == (401, wanted)
