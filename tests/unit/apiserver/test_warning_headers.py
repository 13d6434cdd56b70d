"""Warnings of an answer: each once, and no more of them than a client's headers hold."""

from typing import Any

import pytest

from knarr.apiserver import answers, routes
from knarr.apiserver.context import RequestContext
from knarr.kinds import not_yet, warnings
from knarr.wire import http

from .conftest import ADMIN, Asker

PODS = "/api/v1/namespaces/default/pods"


async def told(ask: Asker, given: list[str]) -> list[str]:
    route = routes.match(ask.server.resources, "GET", PODS, {})
    assert isinstance(route, routes.Route)
    context = RequestContext(ask.server, http.Request("GET", PODS, "", (), b""), route, {}, ADMIN)
    context.warnings += given
    response = await answers.finished(context, http.Response(200, (), b"{}"))
    return [value for key, value in response.headers if key == "warning"]


async def test_a_warning_is_told_once_though_a_write_that_lost_a_race_gave_it_twice(ask: Asker) -> None:
    assert await told(ask, ["a", "b", "", "a", "b"]) == ['299 - "a"', '299 - "b"']


async def test_warnings_that_are_long_together_are_cut_one_by_one(ask: Asker) -> None:
    whole = "x" * answers.WARNINGS_RUNES_MAX
    assert await told(ask, [whole]) == [f'299 - "{whole}"']
    found = await told(ask, ["short", *(f"{index:04}{whole}" for index in range(1000))])
    assert found[0] == '299 - "short"'
    assert {len(each) for each in found[1:]} == {len('299 - ""') + answers.WARNING_RUNES_MAX}
    assert sum(map(len, found)) < 2 * answers.WARNINGS_RUNES_MAX


async def test_a_pod_of_equal_ports_is_answered_with_a_few_headers(ask: Asker) -> None:
    pod: Any = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}
    ports = [{"containerPort": 80, "hostPort": index % 60000 + 1} for index in range(2000)]
    pod["spec"] = {"containers": [{"name": "c", "image": "x", "ports": [{"containerPort": 80, "name": "a"}, *ports]}]}
    answer = await ask.send("POST", PODS, pod)
    assert answer.status == 201, answer.body
    found = [value for key, value in answer.headers if key == "warning"]
    assert 10 < len(found) <= warnings.WARNINGS_MAX
    assert sum(map(len, found)) < 2 * answers.WARNINGS_RUNES_MAX


def warned(answer: http.Response) -> list[str]:
    return [value for key, value in answer.headers if key == "warning"]


async def test_a_field_that_is_set_twice_is_warned_of_unless_the_client_says_otherwise(ask: Asker) -> None:
    maps = "/api/v1/namespaces/default/configmaps"
    text = ['299 - "duplicate field \\"data.a\\""']

    def body(name: str) -> bytes:
        return b'{"metadata":{"name":"%s"},"data":{"a":"1","a":"2"}}' % name.encode()

    created = await ask.send("POST", maps, body("a"))
    ignored = await ask.send("POST", f"{maps}?fieldValidation=Ignore", body("b"))
    replaced = await ask.send("PUT", f"{maps}/a", body("a"))
    patched = await ask.send("PATCH", f"{maps}/a", b'{"data":{"a":"3","a":"4"}}', media="application/merge-patch+json")

    assert [each.status for each in (created, ignored, replaced, patched)] == [201, 201, 200, 200]
    assert [warned(each) for each in (created, ignored, replaced, patched)] == [text, [], text, text]


async def test_a_refusal_comes_with_the_warnings_that_were_given_before_it(ask: Asker) -> None:
    quotas = "/api/v1/namespaces/default/resourcequotas"
    await ask("POST", quotas, {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "0"}}})
    ports = [{"containerPort": 80}, {"containerPort": 80}]
    pod: Any = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "x", "ports": ports}]}}
    invalid: Any = {"metadata": {"name": "P"}, "spec": pod["spec"], "spek": {}}

    over, wrong = await ask.send("POST", PODS, pod), await ask.send("POST", PODS, invalid)

    assert (over.status, wrong.status) == (403, 422)
    assert warned(over) == [
        '299 - "spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]"'
    ]
    assert warned(wrong) == ['299 - "unknown field \\"spek\\""']


async def test_who_makes_what_is_only_stored_is_told_so_once(ask: Asker) -> None:
    services = "/api/v1/namespaces/default/services"
    service: Any = {"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}}
    created = await ask.send("POST", services, service)
    changed = await ask.send(
        "PATCH", f"{services}/web", {"spec": {"selector": {"app": "x"}}}, media="application/merge-patch+json"
    )
    assert (created.status, changed.status) == (201, 200)
    (text,) = warned(created)
    assert text.startswith('299 - "knarr does not route Services yet')
    assert warned(changed) == []


@pytest.mark.parametrize(
    ("kind", "spec", "lack"),
    [
        ("Service", {"type": "ExternalName", "externalName": "example.com"}, "knarr has no cluster DNS yet"),
        ("Service", {"clusterIP": "None"}, "knarr has no cluster DNS yet"),
        ("Service", {"clusterIP": "10.96.0.9"}, "knarr does not route Services yet"),
        ("HorizontalPodAutoscaler", {}, "knarr has no autoscaler yet"),
    ],
)
def test_what_is_lacking_depends_on_kind_and_spec(kind: str, spec: dict[str, Any], lack: str) -> None:
    found = not_yet.of(kind, {"spec": spec})
    assert found is not None
    assert found.lack.startswith(lack)


def test_nothing_is_lacking_of_a_kind_that_does_all_it_says() -> None:
    assert not_yet.of("Deployment", {}) is None
