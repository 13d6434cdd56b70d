"""Who may ask the kubelet for what: the table of paths, and what is asked of the API server and how often."""

from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from knarr.base.clock import Clock, Instant
from knarr.base.errors import Unavailable
from knarr.client.client import Client, Json
from knarr.cri.protocol import RuntimeService
from knarr.kinds.registry import Kind
from knarr.kubelet import authorisation
from knarr.kubelet.authorisation import Delegated, Who
from knarr.kubelet.ends import Ends
from knarr.kubelet.server import KubeletServer
from knarr.wire import http
from tests.unit.kubelet.test_pod_plan import NOW


@pytest.mark.parametrize(
    ("method", "path", "verb", "subresources"),
    [
        ("GET", "/stats/summary", "get", ("stats",)),
        ("GET", "/metrics/resource", "get", ("metrics",)),
        ("HEAD", "/metrics", "get", ("metrics",)),
        ("GET", "/pods", "get", ("pods", "proxy")),
        ("GET", "/healthz", "get", ("healthz", "proxy")),
        ("GET", "/configz", "get", ("configz", "proxy")),
        ("GET", "/containerLogs/ns/pod/c", "get", ("proxy",)),
        ("GET", "/exec/ns/pod/c", "create", ("proxy",)),
        ("GET", "/%65xec/ns/pod/c", "create", ("proxy",)),
        ("GET", "//attach/ns/pod/c", "create", ("proxy",)),
        ("POST", "/portForward/ns/pod", "create", ("proxy",)),
        ("DELETE", "/anything", "delete", ("proxy",)),
    ],
)
def test_what_a_path_needs(method: str, path: str, verb: str, subresources: tuple[str, ...]) -> None:
    assert authorisation.wanted(method, path) == (verb, subresources)


class Api:
    """Answers reviews as RBAC with one rule would: the metrics reader may get metrics."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.is_away = False

    async def create(self, kind: Kind, namespace: str, body: Json) -> Json:
        if self.is_away:
            raise Unavailable("the API server is away")
        spec: dict[str, Any] = body["spec"]
        if kind.kind == "TokenReview":
            self.asked.append("token")
            is_known = spec["token"] == "good"  # a token of this test
            user = {"username": "system:serviceaccount:m:reader", "groups": ["system:serviceaccounts"], "uid": "1"}
            return {"status": {"authenticated": True, "user": user} if is_known else {"error": "unknown"}}
        wanted = spec["resourceAttributes"]
        self.asked.append(f"{wanted['verb']} {wanted['resource']}/{wanted['subresource']} {wanted['name']}")
        return {"status": {"allowed": (wanted["verb"], wanted["subresource"]) == ("get", "metrics")}}


class At(Clock):
    def __init__(self) -> None:
        self.moment = NOW

    def now(self) -> Instant:
        return self.moment


def server(api: Api, clock: At) -> KubeletServer:
    async def page(_request: http.Request) -> http.Response:
        return http.Response(200, (), b"page")

    guard = Delegated(cast(Client, api), clock, "n1")
    pages = {"/metrics/resource": page, "/stats/summary": page, "/pods": page}
    return KubeletServer(cast(RuntimeService, None), Path("/nowhere"), Ends(), pages=pages, guard=guard)


async def ask(kubelet: KubeletServer, path: str, token: str = "", method: str = "GET") -> int:
    headers = (("authorization", f"Bearer {token}"),) if token else ()
    return (await kubelet.answer(http.Request(method, path, headers=headers))).status


async def test_a_token_is_reviewed_and_its_user_gets_what_rbac_says() -> None:
    api, clock = Api(), At()
    kubelet = server(api, clock)
    assert await ask(kubelet, "/metrics/resource") == 401
    assert await ask(kubelet, "/metrics/resource", "bad") == 401
    assert await ask(kubelet, "/metrics/resource", "good") == 200
    assert await ask(kubelet, "/metrics/resource/", "good") == 200
    assert await ask(kubelet, "/stats/summary", "good") == 403
    assert await ask(kubelet, "/pods", "good") == 403
    assert await ask(kubelet, "/exec/ns/pod/c", "good") == 403
    reviews = ["get nodes/metrics n1", "get nodes/stats n1", "get nodes/pods n1", "get nodes/proxy n1"]
    assert api.asked == ["token", "token", *reviews, "create nodes/proxy n1"]


async def test_answers_are_kept_for_a_while_and_no_longer() -> None:
    api, clock = Api(), At()
    kubelet = server(api, clock)
    for _ in range(3):
        assert await ask(kubelet, "/metrics/resource", "good") == 200
        assert await ask(kubelet, "/metrics/resource/", "good") == 200
    assert await ask(kubelet, "/stats/summary", "good") == 403
    assert len(api.asked) == 3
    clock.moment += timedelta(seconds=31)
    await ask(kubelet, "/stats/summary", "good")
    assert len(api.asked) == 4, "a refusal is asked again after half a minute"
    clock.moment += timedelta(minutes=5)
    await ask(kubelet, "/metrics/resource", "good")
    assert len(api.asked) == 6, "user and permission are asked again"


async def test_without_the_api_nobody_new_gets_in() -> None:
    api, clock = Api(), At()
    kubelet = server(api, clock)
    assert await ask(kubelet, "/metrics/resource", "good") == 200
    api.is_away = True
    assert await ask(kubelet, "/metrics/resource", "good") == 200
    assert await ask(kubelet, "/metrics/resource", "other") == 503


async def test_a_thousand_tokens_are_not_kept_for_ever() -> None:
    guard = Delegated(cast(Client, Api()), At(), "n1")
    for number in range(authorisation.KEPT_MAX + 50):
        headers = (("authorization", f"Bearer {number}"),)
        assert await guard.authenticate(http.Request("GET", "/", headers=headers)) is None
    assert len(guard._who) == authorisation.KEPT_MAX  # the bound is what is tested


async def test_administrators_are_not_asked_about() -> None:
    api = Api()
    guard = Delegated(cast(Client, api), At(), "n1")
    assert await guard.allows(Who("admin", ("system:masters",)), http.Request("GET", "/exec/a/b/c"))
    assert api.asked == []
