"""kr8s: boxes of JSON, httpx and httpx-ws. It knows merge and JSON patches; the other two go through its `call_api`."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import kr8s.asyncio
import pytest
from kr8s import NotFoundError, ServerError
from kr8s.asyncio.objects import ConfigMap, Pod

from tests.conformance.streams_stage import free_port
from tests.e2e.clients.conftest import NAMESPACE, POD, PORT, Place

pytestmark = pytest.mark.filterwarnings("ignore:Kubernetes version .* is not supported")  # it knows 1.28 to 1.35


@pytest.fixture
async def api(place: Place) -> AsyncIterator[Any]:
    made = await kr8s.asyncio.api(kubeconfig=str(place.kubeconfig), namespace=NAMESPACE)
    yield made
    await made._session.aclose()


async def configmap(api: Any, name: str, **content: str) -> Any:
    body = {"metadata": {"name": name, "namespace": NAMESPACE}, "data": content}
    return await ConfigMap(body, api=api)


async def web(api: Any) -> Any:
    return await Pod.get(POD, namespace=NAMESPACE, api=api)


async def test_an_object_is_made_read_listed_labelled_and_deleted(api: Any) -> None:
    made = await configmap(api, "kr8s", a="1")
    await made.create()
    assert (await ConfigMap.get("kr8s", namespace=NAMESPACE, api=api)).raw == made.raw
    await made.label(of="kr8s")
    listed = [item.name async for item in api.get("configmaps", namespace=NAMESPACE, label_selector="of=kr8s")]
    assert listed == ["kr8s"]
    with pytest.raises(ServerError) as refused:
        await (await configmap(api, "kr8s")).create()
    assert refused.value.response is not None
    assert refused.value.response.status_code == 409
    await made.delete()
    with pytest.raises(NotFoundError):
        await made.refresh()


async def test_it_learns_the_kinds_and_the_version_from_discovery(api: Any) -> None:
    kinds = {kind["name"]: kind async for kind in as_iterator(await api.api_resources())}
    assert kinds["deployments"]["kind"] == "Deployment"
    assert (await api.version())["major"] == "1"
    assert [item.name async for item in api.get("po", POD, namespace=NAMESPACE)] == [POD]
    assert [item.name async for item in api.get("leases.coordination.k8s.io", namespace="kube-node-lease")]


async def as_iterator(values: Any) -> AsyncIterator[Any]:
    for value in values:
        yield value


async def test_a_watch_tells_what_happens_after_a_revision(api: Any) -> None:
    made = await configmap(api, "kr8s-watched")
    await made.create()
    since = made.metadata.resourceVersion
    await made.patch({"data": {"a": "1"}})
    await made.delete()
    found = []
    async for kind, item in api.watch(
        "configmaps", namespace=NAMESPACE, field_selector="metadata.name=kr8s-watched", since=since
    ):
        found.append((kind, item.name))
        if kind == "DELETED":
            break
    assert found == [("MODIFIED", "kr8s-watched"), ("DELETED", "kr8s-watched")]


async def test_a_watch_from_a_forgotten_revision_is_told_410_where_the_client_looks_for_it(
    api: Any, place: Place
) -> None:
    since = {"resourceVersion": place.forgotten}
    async with api.async_get_kind("configmaps", namespace=NAMESPACE, params=since, watch=True) as (_, response):
        events = [json.loads(line) async for line in response.aiter_lines()]
    assert [(event["type"], event["object"]["code"]) for event in events] == [("ERROR", 410)]


async def test_each_kind_of_patch(api: Any) -> None:
    made = await configmap(api, "kr8s-patched", a="1", b="1")
    await made.create()
    await made.patch({"data": {"a": None}})
    assert made.data == {"b": "1"}
    await made.patch([{"op": "add", "path": "/data/c", "value": "1"}], type="json")
    assert made.data == {"b": "1", "c": "1"}

    async def patched(body: Any, media: str, **query: str) -> Any:
        async with api.call_api(
            "PATCH", url="configmaps/kr8s-patched", namespace=NAMESPACE, content=json.dumps(body), params=query,
            headers={"Content-Type": media},
        ) as response:  # fmt: skip
            return response.json()["data"]

    assert await patched({"data": {"b": None}}, "application/strategic-merge-patch+json") == {"c": "1"}
    applied = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kr8s-patched"}, "data": {"c": "2"}}
    with pytest.raises(ServerError, match="conflict"):
        await patched(applied, "application/apply-patch+yaml", fieldManager="tester")
    assert await patched(applied, "application/apply-patch+yaml", fieldManager="tester", force="true") == {"c": "2"}
    await made.delete()


async def test_a_command_runs_with_output_and_exit_code(api: Any) -> None:
    ran = await (await web(api)).exec(["sh", "-c", "echo out; echo bad >&2; exit 3"], check=False)
    assert (ran.stdout, ran.stderr, ran.returncode) == (b"out\n", b"bad\n", 3)


async def test_a_log_is_read_and_followed(api: Any) -> None:
    pod = await web(api)
    assert [line async for line in pod.logs(tail_lines=100)][0] == "first"  # noqa: RUF015 an async generator
    followed = pod.logs(follow=True, timeout=30)
    assert await anext(followed) == "first"
    await pod.exec(["sh", "-c", "echo said-to-kr8s > /proc/1/fd/1"])
    async for line in followed:
        if line == "said-to-kr8s":
            break
    else:
        pytest.fail("the log ended before the line came")
    await followed.aclose()


async def test_a_port_is_forwarded(api: Any) -> None:
    async with (await web(api)).portforward(remote_port=PORT, local_port=free_port()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /index.html HTTP/1.0\r\n\r\n")
        answer = await asyncio.wait_for(reader.readuntil(b"hello\n"), 30)
        writer.close()
        await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 200 OK")
