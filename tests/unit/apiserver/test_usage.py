"""kubectl top's two kinds: the figures of kubelets that really listen, and of those that do not."""

import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from knarr.apiserver.context import User
from knarr.apiserver.kubelets import Kubelets
from knarr.wire import http
from knarr.wire.http_client import Target
from knarr.wire.http_server import Server
from tests.unit.apiserver.conftest import Asker

Json = dict[str, Any]
PREFIX = "/apis/metrics.k8s.io/v1beta1"
TIME = "2026-01-01T00:00:00Z"


def figures(nanocores: int | None, memory: int) -> Json:
    cpu = {"time": TIME, "usageCoreNanoSeconds": 1} | ({} if nanocores is None else {"usageNanoCores": nanocores})
    return {"cpu": cpu, "memory": {"time": TIME, "workingSetBytes": memory}}


@dataclass(slots=True)
class Kubelet:
    """The statistics page of a kubelet, and how often it was read."""

    body: bytes = b""
    reads: list[str] = field(default_factory=list)

    async def answer(self, request: http.Request) -> http.Response:
        self.reads.append(request.path)
        return http.Response(200, (), self.body)


class Loopback(Kubelets):
    """Every node's kubelet is on loopback, in plain HTTP; a node without a port has none."""

    def __init__(self, ports: Mapping[str, int]) -> None:
        super().__init__()
        self.ports = ports

    def target(self, node: Mapping[str, Any], pki: Path | None) -> Target:
        return Target("127.0.0.1", self.ports[node["metadata"]["name"]])


@pytest.fixture
async def kubelet(ask: Asker) -> AsyncIterator[Kubelet]:
    """The kubelet of the node `one`; nobody listens for the node `two`."""
    made = Kubelet()
    server = Server(made.answer)
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        kubelets = Loopback({"one": await server.listen_tcp("127.0.0.1", 0), "two": unheard.getsockname()[1]})
        ask.server.kubelets = kubelets
        for name in ("one", "two"):
            await ask("POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
        parts = []
        for name, node in (("web", "one"), ("db", "one"), ("far", "two")):
            pod = await ask("POST", "/api/v1/namespaces/default/pods", pod_on(node, name))
            reference = {"name": name, "namespace": "default", "uid": pod["metadata"]["uid"]}
            containers = [{"name": "c", **figures(12_345_678, 2048 * 1024)}, {"name": "d", **figures(None, 1000)}]
            parts.append({"podRef": reference, **figures(12_345_678, 2048 * 1024), "containers": containers})
        made.body = msgspec.json.encode({"node": {"nodeName": "one", **figures(250_000_000, 2**30)}, "pods": parts[:2]})
        yield made
        await kubelets.client.close()
        await server.close(0)


def pod_on(node: str, name: str) -> Json:
    spec = {"nodeName": node, "containers": [{"name": "c", "image": "i"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


async def test_a_node_that_does_not_answer_is_left_out(ask: Asker, kubelet: Kubelet) -> None:
    found = await ask("GET", f"{PREFIX}/nodes")
    assert found["kind"] == "NodeMetricsList"
    assert [(each["metadata"]["name"], each["usage"]) for each in found["items"]] == [
        ("one", {"cpu": "250m", "memory": "1Gi"})
    ]


async def test_pods_are_listed_with_their_labels_and_containers(ask: Asker, kubelet: Kubelet) -> None:
    found = await ask("GET", f"{PREFIX}/pods?labelSelector=app%3Dweb")
    [web] = found["items"]
    assert (found["kind"], found["apiVersion"]) == ("PodMetricsList", "metrics.k8s.io/v1beta1")
    del web["metadata"]["creationTimestamp"]
    assert web == {
        "kind": "PodMetrics",
        "apiVersion": "metrics.k8s.io/v1beta1",
        "metadata": {"name": "web", "namespace": "default", "labels": {"app": "web"}},
        "timestamp": TIME,
        "window": "0.100s",
        "containers": [
            {"name": "c", "usage": {"cpu": "12345678n", "memory": "2Mi"}},
            {"name": "d", "usage": {"cpu": "0", "memory": "1k"}},
        ],
    }


async def test_the_path_chooses_the_namespace_and_the_pod(ask: Asker, kubelet: Kubelet) -> None:
    async def names(path: str) -> list[str]:
        return [each["metadata"]["name"] for each in (await ask("GET", path))["items"]]

    assert await names(f"{PREFIX}/pods") == ["db", "web"]
    assert await names(f"{PREFIX}/namespaces/default/pods") == ["db", "web"]
    assert await names(f"{PREFIX}/namespaces/kube-system/pods") == []
    one = await ask("GET", f"{PREFIX}/namespaces/default/pods/web")
    assert (one["kind"], one["metadata"]["name"]) == ("PodMetrics", "web")


async def test_what_has_no_figures_is_not_found(ask: Asker, kubelet: Kubelet) -> None:
    for path, message in (
        ("nodes/two", 'nodemetrics.metrics.k8s.io "two" not found'),
        ("namespaces/default/pods/far", 'podmetrics.metrics.k8s.io "default/far" not found'),
    ):
        refused = await ask("GET", f"{PREFIX}/{path}")
        assert (refused["code"], refused["reason"], refused["message"]) == (404, "NotFound", message)


async def test_a_second_question_within_a_second_costs_the_kubelet_nothing(ask: Asker, kubelet: Kubelet) -> None:
    for path in ("nodes", "pods", "nodes/one"):
        await ask("GET", f"{PREFIX}/{path}")
    assert kubelet.reads == ["/stats/summary"]


async def test_a_kubelet_that_talks_nonsense_is_left_out(ask: Asker, kubelet: Kubelet) -> None:
    for body in (b"", b"[]", b'{"node":', b'{"pods": []}'):
        kubelet.body = body
        assert (await ask("GET", f"{PREFIX}/nodes"))["items"] == []


async def test_statistics_are_neither_written_nor_watched(ask: Asker, kubelet: Kubelet) -> None:
    for method, path in (("POST", "nodes"), ("DELETE", "nodes/one"), ("GET", "nodes?watch=1")):
        assert (await ask.send(method, f"{PREFIX}/{path}")).status == 405


async def test_a_table_and_metadata_alone_are_served(ask: Asker, kubelet: Kubelet) -> None:
    table = await ask("GET", f"{PREFIX}/nodes", accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    assert [row["cells"][0] for row in table["rows"]] == ["one"]
    partial = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
    listed = await ask("GET", f"{PREFIX}/nodes", accept=partial)
    assert (listed["kind"], listed["items"][0]["kind"]) == ("PartialObjectMetadataList", "PartialObjectMetadata")


async def test_both_kinds_are_discovered_and_core_kinds_keep_their_names(ask: Asker, kubelet: Kubelet) -> None:
    found = ask.server.discovery.answer(PREFIX, "")
    assert found is not None
    rows = msgspec.json.decode(found[1])["resources"]
    assert [(row["name"], row["kind"], row["verbs"]) for row in rows] == [
        ("nodes", "NodeMetrics", ["get", "list"]),
        ("pods", "PodMetrics", ["get", "list"]),
    ]
    assert (await ask("GET", "/api/v1/nodes/one"))["kind"] == "Node"


async def test_rbac_is_asked(ask: Asker, kubelet: Kubelet) -> None:
    from knarr.apiserver.rbac import Rbac

    ask.server.access = Rbac(ask.server.store)
    refused = await ask.as_user(User("eve", ("system:authenticated",)))("GET", f"{PREFIX}/nodes")
    assert (refused["code"], refused["message"]) == (
        403,
        'nodes.metrics.k8s.io is forbidden: User "eve" cannot list resource "nodes" in API group "metrics.k8s.io" '
        "at the cluster scope",
    )
