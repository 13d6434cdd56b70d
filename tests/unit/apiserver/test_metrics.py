"""/metrics: upstream's names and labels, counted by what was asked."""

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
    found = [line for line in await lines(ask) if 'resource="configmaps"' in line and 'verb="LIST"' in line]
    (last,) = [line for line in found if 'le="+Inf"' in line]
    (count,) = [line for line in found if line.startswith("apiserver_request_duration_seconds_count")]
    assert last.rpartition(" ")[2] == count.rpartition(" ")[2] == "1"


async def test_objects_are_counted_by_resource(ask: Asker) -> None:
    found = await lines(ask)
    assert 'apiserver_storage_objects{resource="namespaces"} 2' in found
    assert 'apiserver_resource_objects{group="",resource="serviceaccounts"} 1' in found
