"""lightkube: dataclasses, httpx2 for HTTP and WebSockets. It forwards no ports: here its HTTP client does."""

import io
from collections.abc import Iterator
from typing import Any

import lightkube
import pytest
from lightkube import ApiError
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap, Pod
from lightkube.types import OnErrorAction, OnErrorResult, PatchType

from tests.e2e.clients.conftest import NAMESPACE, POD, PORT, Place


@pytest.fixture
def client(place: Place) -> Iterator[Any]:
    config = lightkube.KubeConfig.from_file(str(place.kubeconfig))
    with lightkube.Client(config, namespace=NAMESPACE, field_manager="lightkube") as made:
        yield made


def configmap(name: str, **content: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, namespace=NAMESPACE), data=content)


def test_an_object_is_made_read_listed_replaced_and_deleted(client: Any) -> None:
    made = client.create(configmap("light", a="1"))
    assert client.get(ConfigMap, "light") == made
    made.data["a"] = "2"
    client.replace(made)
    with pytest.raises(ApiError) as refused:
        client.replace(made)
    assert (refused.value.status.code, refused.value.status.reason) == (409, "Conflict")
    assert [item.data for item in client.list(ConfigMap, fields={"metadata.name": "light"})] == [{"a": "2"}]
    client.delete(ConfigMap, "light")
    with pytest.raises(ApiError) as refused:
        client.get(ConfigMap, "light")
    assert refused.value.status.message == 'configmaps "light" not found'


def test_a_list_in_chunks_is_whole_and_a_watch_goes_on_after_it(client: Any) -> None:
    for number in range(5):
        client.create(ConfigMap(metadata=ObjectMeta(name=f"light-{number}", labels={"of": "light"})))
    listed = client.list(ConfigMap, chunk_size=2, labels={"of": "light"})
    assert [item.metadata.name for item in listed] == [f"light-{number}" for number in range(5)]
    client.patch(ConfigMap, "light-0", {"data": {"a": "2"}})
    for number in range(5):
        client.delete(ConfigMap, f"light-{number}")
    events = client.watch(ConfigMap, labels={"of": "light"}, resource_version=listed.resourceVersion)
    found = [(kind, item.metadata.name) for kind, item in (next(events) for _ in range(6))]
    assert found == [("MODIFIED", "light-0"), *(("DELETED", f"light-{number}") for number in range(5))]
    events.close()


def test_a_watch_from_a_forgotten_revision_starts_again_by_itself(client: Any, place: Place) -> None:
    client.create(ConfigMap(metadata=ObjectMeta(name="light-again", labels={"of": "again"})))
    codes = []

    def again(error: Exception, count: int) -> OnErrorResult:
        assert isinstance(error, ApiError)
        codes.append(error.status.code)
        return OnErrorResult(OnErrorAction.RETRY if count == 1 else OnErrorAction.RAISE)

    events = client.watch(ConfigMap, labels={"of": "again"}, resource_version=place.forgotten, on_error=again)
    kind, item = next(events)
    assert (codes, kind, item.metadata.name) == ([410], "ADDED", "light-again")
    events.close()
    client.delete(ConfigMap, "light-again")


def test_each_kind_of_patch(client: Any) -> None:
    client.create(configmap("light-patched", a="1", b="1"))

    def patched(body: Any, kind: PatchType, **options: Any) -> Any:
        return client.patch(ConfigMap, "light-patched", body, patch_type=kind, **options).data

    assert patched({"data": {"a": None}}, PatchType.MERGE) == {"b": "1"}
    assert patched({"data": {"c": "1"}}, PatchType.STRATEGIC) == {"b": "1", "c": "1"}
    assert patched([{"op": "remove", "path": "/data/b"}], PatchType.JSON) == {"c": "1"}
    with pytest.raises(ApiError) as refused:
        client.apply(configmap("light-patched", c="2"), field_manager="tester")
    assert refused.value.status.code == 409
    assert client.apply(configmap("light-patched", c="2"), field_manager="tester", force=True).data == {"c": "2"}
    client.delete(ConfigMap, "light-patched")


def test_a_deployment_is_scaled_and_waited_for(client: Any, place: Place) -> None:
    image = client.get(Pod, POD).spec.containers[0].image
    container = {"name": "c", "image": image, "command": ["sleep", "1000"]}
    pod = {"terminationGracePeriodSeconds": 0, "containers": [container]}
    template = {"metadata": {"labels": {"of": "scaled"}}, "spec": pod}
    spec = {"replicas": 0, "selector": {"matchLabels": {"of": "scaled"}}, "template": template}
    client.create(Deployment.from_dict({"metadata": {"name": "scaled"}, "spec": spec}))
    client.apply(
        Deployment.Scale.from_dict({"metadata": {"name": "scaled", "namespace": NAMESPACE}, "spec": {"replicas": 1}}),
        force=True,
    )
    ready = client.wait(Deployment, "scaled", for_conditions={"Available"})
    assert ready.spec.replicas == 1
    client.delete(Deployment, "scaled")


def test_a_command_runs_with_input_output_and_exit_code(client: Any) -> None:
    command = ["sh", "-c", "cat; echo bad >&2; exit 3"]
    ran = client.exec(POD, command=command, stdin=io.BytesIO(b"abc"), stdout=True, stderr=True, timeout=30)
    assert (ran.stdout, ran.stderr, ran.exit_code) == ("abc", "bad\n", 3)


def test_a_log_is_read_and_followed(client: Any) -> None:
    assert next(iter(client.log(POD, tail_lines=10))) == "first\n"
    followed = client.log(POD, follow=True)
    assert next(followed) == "first\n"
    client.exec(POD, command=["sh", "-c", "echo said-to-lightkube > /proc/1/fd/1"], stdout=True)
    assert "said-to-lightkube\n" in followed
    followed.close()


def test_a_port_is_forwarded(client: Any) -> None:
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{POD}/portforward"
    answer = b""
    with client._client._client.websocket(path, params={"ports": PORT}, subprotocols=["v4.channel.k8s.io"]) as socket:
        assert {socket.receive_bytes() for _ in range(2)} == {bytes((n, PORT & 255, PORT >> 8)) for n in (0, 1)}
        socket.send_bytes(b"\x00GET /index.html HTTP/1.0\r\n\r\n")
        while not answer.endswith(b"hello\n"):
            answer += socket.receive_bytes(timeout=30).removeprefix(b"\x00")
    assert answer.startswith(b"HTTP/1.1 200 OK")
