"""The official Python client: generated models, urllib3, websocket-client."""

from collections.abc import Iterator
from typing import Any

import kubernetes
import pytest
from kubernetes.client import ApiException
from kubernetes.stream import portforward, stream

from tests.e2e.clients.conftest import NAMESPACE, POD, PORT, Place


@pytest.fixture
def api(place: Place) -> Iterator[Any]:
    with kubernetes.config.new_client_from_config(str(place.kubeconfig)) as client:
        yield client


@pytest.fixture
def core(api: Any) -> Any:
    return kubernetes.client.CoreV1Api(api)


def configmap(name: str, **content: str) -> Any:
    return kubernetes.client.V1ConfigMap(metadata=kubernetes.client.V1ObjectMeta(name=name), data=content)


def seen(core: Any, version: str, count: int) -> list[tuple[str, str]]:
    """The next `count` events of config maps after `version`."""
    watch = kubernetes.watch.Watch()
    found = []
    for event in watch.stream(core.list_namespaced_config_map, NAMESPACE, resource_version=version, timeout_seconds=30):
        found.append((event["type"], event["object"].metadata.name))
        if len(found) == count:
            break
    return found


def test_an_object_is_made_read_listed_replaced_and_deleted(core: Any) -> None:
    made = core.create_namespaced_config_map(NAMESPACE, configmap("official", a="1"))
    assert core.read_namespaced_config_map("official", NAMESPACE) == made
    made.data["a"] = "2"
    replaced = core.replace_namespaced_config_map("official", NAMESPACE, made)
    with pytest.raises(ApiException) as refused:
        core.replace_namespaced_config_map("official", NAMESPACE, made)
    assert (refused.value.status, refused.value.reason) == (409, "Conflict")
    listed = core.list_namespaced_config_map(NAMESPACE, field_selector="metadata.name=official")
    assert [item.data for item in listed.items] == [{"a": "2"}] == [replaced.data]
    assert core.delete_namespaced_config_map("official", NAMESPACE)["status"] == "Success"
    with pytest.raises(ApiException) as refused:
        core.read_namespaced_config_map("official", NAMESPACE)
    assert refused.value.status == 404


def test_every_kind_of_answer_fits_the_generated_models(api: Any, core: Any) -> None:
    pod = core.read_namespaced_pod(POD, NAMESPACE)
    assert pod.status.container_statuses[0].state.running.started_at.tzinfo is not None
    assert core.list_node().items[0].status.node_info.architecture
    assert {item.metadata.name for item in core.list_namespace().items} >= {"default", NAMESPACE}
    assert kubernetes.client.VersionApi(api).get_code().major == "1"
    assert "apps" in {group.name for group in kubernetes.client.ApisApi(api).get_api_versions().groups}
    rbac = kubernetes.client.RbacAuthorizationV1Api(api)
    assert "cluster-admin" in {item.metadata.name for item in rbac.list_cluster_role().items}
    assert kubernetes.client.CoordinationV1Api(api).list_namespaced_lease("kube-node-lease").items
    review = kubernetes.client.V1SelfSubjectAccessReview(
        spec=kubernetes.client.V1SelfSubjectAccessReviewSpec(
            resource_attributes=kubernetes.client.V1ResourceAttributes(verb="get", resource="pods")
        )
    )
    asked = kubernetes.client.AuthorizationV1Api(api).create_self_subject_access_review(review)
    assert asked.status.allowed


def test_a_list_comes_in_chunks_and_a_watch_goes_on_after_it(core: Any) -> None:
    for number in range(5):
        core.create_namespaced_config_map(NAMESPACE, configmap(f"chunk-{number}", a="1"))
    names, token, version = [], None, ""
    while token != "":
        page = core.list_namespaced_config_map(NAMESPACE, limit=2, _continue=token)
        names += [item.metadata.name for item in page.items]
        token, version = page.metadata._continue or "", page.metadata.resource_version
    assert [name for name in names if name.startswith("chunk-")] == [f"chunk-{number}" for number in range(5)]
    core.patch_namespaced_config_map("chunk-0", NAMESPACE, {"data": {"a": "2"}})
    core.delete_collection_namespaced_config_map(NAMESPACE, field_selector="metadata.name=chunk-1")
    assert seen(core, version, 2) == [("MODIFIED", "chunk-0"), ("DELETED", "chunk-1")]
    for number in (0, 2, 3, 4):
        core.delete_namespaced_config_map(f"chunk-{number}", NAMESPACE)


def test_a_watch_from_a_forgotten_revision_says_410_and_goes_on_after_a_new_list(core: Any, place: Place) -> None:
    with pytest.raises(ApiException) as refused:
        list(
            kubernetes.watch.Watch().stream(
                core.list_namespaced_config_map, NAMESPACE, resource_version=place.forgotten
            )
        )
    assert refused.value.status == 410
    assert f"too old resource version: {place.forgotten} (" in refused.value.reason
    version = core.list_namespaced_config_map(NAMESPACE).metadata.resource_version
    core.create_namespaced_config_map(NAMESPACE, configmap("resumed"))
    core.delete_namespaced_config_map("resumed", NAMESPACE)
    assert seen(core, version, 2) == [("ADDED", "resumed"), ("DELETED", "resumed")]


def test_each_kind_of_patch(api: Any, core: Any) -> None:
    core.create_namespaced_config_map(NAMESPACE, configmap("patched", a="1", b="1"))

    def patched(body: Any, media: str, **options: Any) -> Any:
        return core.patch_namespaced_config_map("patched", NAMESPACE, body, _content_type=media, **options).data

    assert patched({"data": {"a": None}}, "application/merge-patch+json") == {"b": "1"}
    assert patched({"data": {"c": "1"}}, "application/strategic-merge-patch+json") == {"b": "1", "c": "1"}
    operations = [{"op": "test", "path": "/data/b", "value": "1"}, {"op": "remove", "path": "/data/b"}]
    assert patched(operations, "application/json-patch+json") == {"c": "1"}
    applied = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "patched"}, "data": {"c": "2"}}
    media = "application/apply-patch+yaml"
    with pytest.raises(ApiException) as refused:
        patched(applied, media, field_manager="tester")
    assert refused.value.status == 409
    assert patched(applied, media, field_manager="tester", force=True) == {"c": "2"}
    core.delete_namespaced_config_map("patched", NAMESPACE)


def test_a_command_runs_with_input_output_and_exit_code(core: Any) -> None:
    command = ["sh", "-c", "read line; echo got $line; echo bad >&2; exit 3"]
    running = stream(
        core.connect_get_namespaced_pod_exec, POD, NAMESPACE, command=command, stdin=True, stdout=True, stderr=True,
        tty=False, _preload_content=False,
    )  # fmt: skip
    running.write_stdin("abc\n")
    running.run_forever(timeout=30)
    assert (running.read_stdout(), running.read_stderr(), running.returncode) == ("got abc\n", "bad\n", 3)
    running.close()


def test_a_log_is_read_and_followed(core: Any) -> None:
    assert core.read_namespaced_pod_log(POD, NAMESPACE, limit_bytes=5) == "first"
    followed = kubernetes.watch.Watch().stream(core.read_namespaced_pod_log, POD, NAMESPACE, follow=True)
    assert next(followed) == "first"
    command = ["sh", "-c", "echo said-to-official > /proc/1/fd/1"]
    assert stream(core.connect_get_namespaced_pod_exec, POD, NAMESPACE, command=command, stdout=True, stderr=True) == ""
    assert "said-to-official" in followed
    followed.close()


def test_a_port_is_forwarded(core: Any) -> None:
    forwarded = portforward(core.connect_get_namespaced_pod_portforward, POD, NAMESPACE, ports=str(PORT))
    connection = forwarded.socket(PORT)
    connection.settimeout(30)
    connection.sendall(b"GET /index.html HTTP/1.0\r\n\r\n")
    answer = b""
    while piece := connection.recv(4096):
        answer += piece
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b"hello\n")
    assert forwarded.error(PORT) is None
    forwarded.close()
