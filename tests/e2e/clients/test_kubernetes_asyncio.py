"""The asyncio twin of the official client: generated models, aiohttp for HTTP and WebSockets."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from kubernetes_asyncio import client, config, watch
from kubernetes_asyncio.client import ApiException
from kubernetes_asyncio.stream import WsApiClient

from tests.e2e.clients.conftest import NAMESPACE, POD, PORT, Place


@pytest.fixture
async def core(place: Place) -> AsyncIterator[Any]:
    async with await config.new_client_from_config(str(place.kubeconfig)) as api:
        yield client.CoreV1Api(api)


@pytest.fixture
async def streaming(place: Place) -> AsyncIterator[Any]:
    """The same API whose calls are WebSockets."""
    configuration = client.Configuration()
    await config.load_kube_config(str(place.kubeconfig), client_configuration=configuration)
    async with WsApiClient(configuration) as api:
        yield client.CoreV1Api(api)


def configmap(name: str, **content: str) -> Any:
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name), data=content)


async def seen(core: Any, version: str, count: int) -> list[tuple[str, str]]:
    """The next `count` events of config maps after `version`."""
    found = []
    async with watch.Watch() as watching:
        events = watching.stream(
            core.list_namespaced_config_map, NAMESPACE, resource_version=version, timeout_seconds=30
        )
        async for event in events:
            found.append((event["type"], event["object"].metadata.name))
            if len(found) == count:
                break
    return found


async def test_an_object_is_made_read_listed_replaced_and_deleted(core: Any) -> None:
    made = await core.create_namespaced_config_map(NAMESPACE, configmap("asyncio", a="1"))
    assert await core.read_namespaced_config_map("asyncio", NAMESPACE) == made
    made.data["a"] = "2"
    await core.replace_namespaced_config_map("asyncio", NAMESPACE, made)
    with pytest.raises(ApiException) as refused:
        await core.replace_namespaced_config_map("asyncio", NAMESPACE, made)
    assert refused.value.status == 409
    listed = await core.list_namespaced_config_map(NAMESPACE, field_selector="metadata.name=asyncio")
    assert [item.data for item in listed.items] == [{"a": "2"}]
    await core.delete_namespaced_config_map("asyncio", NAMESPACE)
    with pytest.raises(ApiException) as refused:
        await core.read_namespaced_config_map("asyncio", NAMESPACE)
    assert json.loads(refused.value.body)["message"] == 'configmaps "asyncio" not found'


async def test_a_watch_goes_on_after_a_list_and_starts_again_after_410(core: Any, place: Place) -> None:
    old = watch.Watch().stream(core.list_namespaced_config_map, NAMESPACE, resource_version=place.forgotten)
    with pytest.raises(ApiException) as refused:
        await anext(old)
    assert refused.value.status == 410
    version = (await core.list_namespaced_config_map(NAMESPACE)).metadata.resource_version
    await core.create_namespaced_config_map(NAMESPACE, configmap("watched"))
    await core.patch_namespaced_config_map("watched", NAMESPACE, {"data": {"a": "1"}})
    await core.delete_namespaced_config_map("watched", NAMESPACE)
    wanted = [("ADDED", "watched"), ("MODIFIED", "watched"), ("DELETED", "watched")]
    assert await seen(core, version, 3) == wanted


async def test_each_kind_of_patch(core: Any) -> None:
    await core.create_namespaced_config_map(NAMESPACE, configmap("patched-async", a="1", b="1"))

    async def patched(body: Any, media: str, **options: Any) -> Any:
        return (
            await core.patch_namespaced_config_map("patched-async", NAMESPACE, body, _content_type=media, **options)
        ).data

    assert await patched({"data": {"a": None}}, "application/merge-patch+json") == {"b": "1"}
    assert await patched({"data": {"c": "1"}}, "application/strategic-merge-patch+json") == {"b": "1", "c": "1"}
    assert await patched([{"op": "remove", "path": "/data/b"}], "application/json-patch+json") == {"c": "1"}
    applied = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "patched-async"}, "data": {"c": "2"}}
    media = "application/apply-patch+yaml"
    with pytest.raises(ApiException) as refused:
        await patched(applied, media, field_manager="tester")
    assert refused.value.status == 409
    assert await patched(applied, media, field_manager="tester", force=True) == {"c": "2"}
    await core.delete_namespaced_config_map("patched-async", NAMESPACE)


async def test_a_command_runs_with_input_output_and_exit_code(streaming: Any) -> None:
    call = streaming.connect_get_namespaced_pod_exec
    assert await call(POD, NAMESPACE, command=["cat", "/www/index.html"], stdout=True, stderr=True) == "hello\n"
    command = ["sh", "-c", "read line; echo got $line; exit 3"]
    opened = await call(
        POD, NAMESPACE, command=command, stdin=True, stdout=True, stderr=True, _preload_content=False
    )  # fmt: skip
    said: dict[int, bytes] = {}
    async with opened as socket:
        await socket.send_bytes(b"\x00abc\n")
        async for message in socket:
            said[message.data[0]] = said.get(message.data[0], b"") + message.data[1:]
    assert said[1] == b"got abc\n"
    assert WsApiClient.parse_error_data(said[3]) == 3


async def test_a_log_is_read_and_followed(core: Any, streaming: Any) -> None:
    assert (await core.read_namespaced_pod_log(POD, NAMESPACE)).startswith("first\n")
    async with watch.Watch() as watching:
        followed = watching.stream(core.read_namespaced_pod_log, POD, NAMESPACE, follow=True)
        assert await anext(followed) == "first\n"
        command = ["sh", "-c", "echo said-to-asyncio > /proc/1/fd/1"]
        await streaming.connect_get_namespaced_pod_exec(POD, NAMESPACE, command=command, stdout=True, stderr=True)
        assert [line async for line in until(followed, "said-to-asyncio\n")][-1] == "said-to-asyncio\n"


async def until(lines: AsyncIterator[str], last: str) -> AsyncIterator[str]:
    async for line in lines:
        yield line
        if line == last:
            return


async def test_a_port_is_forwarded(streaming: Any) -> None:
    opened = await streaming.connect_get_namespaced_pod_portforward(
        POD, NAMESPACE, ports=str(PORT), _preload_content=False
    )
    answer = b""
    async with opened as socket:
        first = [(await socket.receive()).data for _ in range(2)]
        assert first == [b"\x00" + PORT.to_bytes(2, "little"), b"\x01" + PORT.to_bytes(2, "little")]
        await socket.send_bytes(b"\x00GET /index.html HTTP/1.0\r\n\r\n")
        async for message in socket:
            assert message.data[0] == 0, message.data
            answer += message.data[1:]
            if answer.endswith(b"hello\n"):
                break
    assert answer.startswith(b"HTTP/1.1 200 OK")
