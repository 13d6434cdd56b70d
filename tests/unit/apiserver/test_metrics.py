"""/metrics: upstream's names and labels, counted by what was asked."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator

from knarr.apiserver import routes
from knarr.apiserver.context import RequestContext
from knarr.apiserver.fairness.gate import Gate
from knarr.wire import http
from tests.unit.apiserver.conftest import Asker

MAPS = "/api/v1/namespaces/default/configmaps"


async def lines(ask: Asker) -> list[str]:
    response = await ask.send("GET", "/metrics")
    assert isinstance(response.body, bytes)
    return response.body.decode().splitlines()


def request(verb: str, code: int, scope: str, dry_run: str = "") -> str:
    labels = f'component="apiserver",dry_run="{dry_run}",group="",resource="configmaps",scope="{scope}"'
    return f'apiserver_request_total{{code="{code}",{labels},subresource="",verb="{verb}",version="v1"}}'


async def test_requests_are_counted_by_upstreams_verbs_and_scopes(ask: Asker) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    await ask("POST", MAPS, body)
    await ask("POST", f"{MAPS}?dryRun=All", {**body, "metadata": {"name": "d"}})
    await ask("PATCH", f"{MAPS}/c", {}, media="application/merge-patch+json")
    await ask("PATCH", f"{MAPS}/c?fieldManager=m", body, media="application/apply-patch+yaml")
    await ask("GET", f"{MAPS}/none")
    await ask("GET", MAPS)
    await ask("GET", "/api/v1/configmaps")
    found = await lines(ask)
    for wanted in (
        request("POST", 201, "resource"), request("POST", 201, "resource", "All"), request("PATCH", 200, "resource"),
        request("APPLY", 200, "resource"), request("GET", 404, "resource"), request("LIST", 200, "namespace"),
        request("LIST", 200, "cluster"),
    ):  # fmt: skip
        assert f"{wanted} 1" in found


async def test_a_histogram_ends_at_its_count(ask: Asker) -> None:
    await ask("GET", MAPS)
    name = "apiserver_request_duration_seconds"
    shown = [line for line in await lines(ask) if line.startswith(name)]
    found = [line for line in shown if 'resource="configmaps"' in line and 'verb="LIST"' in line]
    (last,) = [line for line in found if 'le="+Inf"' in line]
    (count,) = [line for line in found if line.startswith("apiserver_request_duration_seconds_count")]
    assert last.rpartition(" ")[2] == count.rpartition(" ")[2] == "1"


async def test_objects_are_counted_by_resource(ask: Asker) -> None:
    found = await lines(ask)
    assert 'apiserver_storage_objects{resource="namespaces"} 2' in found
    assert 'apiserver_resource_objects{group="",resource="serviceaccounts"} 1' in found


SAMPLE = re.compile(r'(?P<name>[a-z_]+)(?:\{(?P<labels>(?:[a-z_]+="[^"\\\n]*",?)*)\})? (?P<value>[-+0-9.e]+)')


async def test_every_sample_belongs_to_a_family_that_is_described_and_comes_once(ask: Asker) -> None:
    gate = ask.server.gate = Gate(ask.server.store)
    ask.server.metric_lines.append(gate.lines)
    await ask("GET", MAPS)
    await ask("GET", f"{MAPS}/none")
    watched = [ask.watch(f"{MAPS}?watch=true&resourceVersion=0{more}") for more in ("", "&dryRun=All")]
    await ask("POST", MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}})
    assert [(await anext(events))["type"] for events in watched] == ["ADDED", "ADDED"]
    described: list[str] = []
    samples: Counter[str] = Counter()
    for line in await lines(ask):
        if line.startswith("# HELP "):
            described.append(line.split()[2])
        elif line.startswith("# TYPE "):
            assert line.split()[2] == described[-1]
        else:
            found = SAMPLE.fullmatch(line)
            assert found is not None, line
            assert re.sub("_(bucket|sum|count)$", "", found["name"]) == re.sub("_(sum|count)$", "", described[-1])
            samples[line.rpartition(" ")[0]] += 1
    assert [name for name, count in Counter(described).items() if count > 1] == []
    assert [name for name, count in samples.items() if count > 1] == []


async def test_what_runs_is_counted_until_it_ends(ask: Asker) -> None:
    def running(found: list[str]) -> list[str]:
        return [line.rpartition(" ")[2] for line in found if line.startswith("apiserver_longrunning_requests{")]

    events = ask.watch(f"{MAPS}?watch=true&resourceVersion=0")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    await ask("POST", MAPS, body)
    assert (await anext(events))["type"] == "ADDED"
    while_open = await lines(ask)
    await events.aclose()  # type: ignore[attr-defined]  # it is an async generator
    assert running(while_open) == ["1"]
    assert [line for line in while_open if line.startswith("apiserver_longrunning_requests{")] == [
        'apiserver_longrunning_requests{component="apiserver",group="",resource="configmaps",scope="namespace",'
        'subresource="",verb="WATCH",version="v1"} 1'
    ]
    assert 'apiserver_current_inflight_requests{request_kind="readOnly"} 1' in while_open  # this one


async def test_events_that_a_watch_does_not_choose_are_not_counted(ask: Asker) -> None:
    events = ask.watch(f"{MAPS}?watch=true&resourceVersion=0&fieldSelector=metadata.name%3Dc")
    first = asyncio.ensure_future(anext(events))
    for name in ("a", "b", "c"):
        await ask("POST", MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
    assert (await first)["type"] == "ADDED"
    await asyncio.gather(*(ask("POST", MAPS, {"metadata": {"name": f"d{number}"}}) for number in range(2)))
    await ask("DELETE", f"{MAPS}/c")
    assert (await anext(events))["type"] == "DELETED"
    wanted = 'apiserver_watch_events_total{group="",version="v1",resource="configmaps"} '
    assert [line for line in await lines(ask) if line.startswith(wanted)] == [
        f"{wanted}1"
    ]  # the deletion: c was there first


async def test_what_is_passed_on_runs_until_it_is_closed_read_or_not(ask: Asker) -> None:
    left: list[int] = []

    async def source() -> AsyncIterator[bytes]:
        try:
            for number in range(3):
                yield bytes(number)
        finally:
            left.append(1)

    path = "/api/v1/namespaces/default/pods/p/log"
    route = routes.match(ask.server.resources, "GET", path, {})
    assert isinstance(route, routes.Route)
    context = RequestContext(ask.server, http.Request("GET", path), route, {}, ask.user)
    running = []
    for reads in (0, 1, 4):
        response = http.Response(200, (), http.Followed(source(), lambda: left.append(2)))
        ask.server.metrics.followed(context, response)
        body = response.body
        assert isinstance(body, http.Followed)
        running.append(ask.server.metrics.running.total())
        for _ in range(reads):
            await anext(body, b"")
        await body.aclose()
        running.append(ask.server.metrics.running.total())
    assert running == [1, 0] * 3
    assert left == [2, 1, 2, 1, 2]


async def test_a_made_up_method_makes_no_series_of_its_own(ask: Asker) -> None:
    for method in ("FOO", "BAR"):
        await ask.send(method, "/version")
    assert [line for line in await lines(ask) if 'verb="FOO"' in line or 'verb="BAR"' in line] == []


async def test_requests_are_counted_by_schema_and_level(ask: Asker) -> None:
    gate = ask.server.gate = Gate(ask.server.store)
    await ask("GET", MAPS)
    wanted = 'apiserver_flowcontrol_dispatched_requests_total{flow_schema="exempt",priority_level="exempt"} 1'
    assert wanted in gate.lines()


async def test_the_health_checks_are_indicators(ask: Asker) -> None:
    ask.server.ready_checks["store"] = lambda: "full"
    response = await ask.send("GET", "/metrics/slis")
    assert isinstance(response.body, bytes)
    assert response.body.decode().splitlines()[2:] == [
        'kubernetes_healthcheck{name="ping",type="readyz"} 1', 'kubernetes_healthcheck{name="store",type="readyz"} 0',
    ]  # fmt: skip
