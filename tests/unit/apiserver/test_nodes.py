"""The Node authorizer and NodeRestriction: a kubelet sees and writes what its own pods need, and nothing else."""

from typing import Any

import pytest

from knarr.apiserver import nodes
from knarr.apiserver.access import Attributes
from knarr.apiserver.bootstrap import objects as bootstrap
from knarr.apiserver.context import User
from knarr.apiserver.pipeline import Pipeline
from knarr.apiserver.rbac import Rbac
from knarr.apiserver.server import ApiServer
from knarr.apiserver.tokens import Tokens
from knarr.store.memory import MemoryStore
from tests.unit.apiserver.conftest import Asker
from tests.unit.apiserver.test_access import new_key

CORE = "/api/v1/namespaces/default"
NODES = "/api/v1/nodes"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
OWN = User("system:node:one", ("system:nodes", "system:authenticated"))
OTHER = User("system:node:two", ("system:nodes", "system:authenticated"))


def pod(name: str, node: str, **spec: Any) -> dict[str, Any]:
    container = {
        "name": "c",
        "image": "i",
        "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "env", "key": "k"}}}],
    }
    volumes = [
        {"name": "v", "configMap": {"name": "files"}},
        {"name": "p", "projected": {"sources": [{"secret": {"name": "projected"}}]}},
    ]
    spec = {"nodeName": node, "containers": [container], "volumes": volumes, "serviceAccountName": "default"} | spec
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def named(kind: str, name: str, api_version: str = "v1", **more: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, **more}}


@pytest.fixture
async def ask() -> Asker:
    store = MemoryStore()
    pipeline = Pipeline(ApiServer(store, access=Rbac(store), tokens=Tokens(new_key, store)))
    await bootstrap.run(pipeline, service_address="10.96.0.1", port=6443)
    asker = Asker(pipeline)
    await asker("POST", f"{CORE}/serviceaccounts", named("ServiceAccount", "default"))
    await asker("POST", f"{CORE}/serviceaccounts", named("ServiceAccount", "unused"))
    for name in ("env", "projected", "foreign"):
        await asker("POST", f"{CORE}/secrets", named("Secret", name))
    await asker("POST", f"{CORE}/configmaps", named("ConfigMap", "files"))
    for name in ("one", "two"):
        await asker("POST", NODES, named("Node", name))
    bare = pod("on-two", "two", volumes=[], containers=[{"name": "c", "image": "i"}])
    for made in (pod("on-one", "one"), bare):
        await asker("POST", f"{CORE}/pods", made)
    return asker


@pytest.mark.parametrize("target", ["secrets/env", "secrets/projected", "configmaps/files", "pods/on-one",
                                    "secrets?fieldSelector=metadata.name%3Denv",
                                    "pods?fieldSelector=spec.nodeName%3Done"])  # fmt: skip
async def test_a_kubelet_reads_what_its_pods_refer_to(ask: Asker, target: str) -> None:
    assert (await ask.as_user(OWN).send("GET", f"{CORE}/{target}")).status == 200


@pytest.mark.parametrize("target", ["secrets/env", "secrets/projected", "configmaps/files", "pods/on-one",
                                    "secrets", "configmaps", "secrets?fieldSelector=metadata.name%3Denv", "pods",
                                    "pods?fieldSelector=spec.nodeName%3Done",
                                    "secrets?fieldSelector=metadata.name%21%3Denv"])  # fmt: skip
async def test_a_kubelet_reads_nothing_of_another_nodes_pods(ask: Asker, target: str) -> None:
    assert (await ask.as_user(OTHER).send("GET", f"{CORE}/{target}")).status == 403


async def test_the_refusal_says_what_is_missing(ask: Asker) -> None:
    refused = await ask.as_user(OTHER)("GET", f"{CORE}/secrets/env")
    assert refused["message"] == (
        'secrets "env" is forbidden: User "system:node:two" cannot get resource "secrets" in API group "" in the '
        "namespace \"default\": no relationship found between node 'two' and this object"
    )


async def test_a_kubelet_writes_its_own_node_and_lease_only(ask: Asker) -> None:
    own = ask.as_user(OWN)
    status: dict[str, Any] = {"status": {"conditions": []}}
    merge = "application/merge-patch+json"
    tainted = {"spec": {"taints": [{"key": "a", "effect": "NoExecute"}]}}
    labelled = {"metadata": {"labels": {"node-role.kubernetes.io/x": ""}}}
    lease = "coordination.k8s.io/v1"
    answers = [
        await own.send("PATCH", f"{NODES}/one/status", status, media=merge),
        await own.send("POST", LEASES, named("Lease", "one", lease)),
        await own.send("PATCH", f"{LEASES}/one", {"spec": {"holderIdentity": "one"}}, media=merge),
        await own.send("PATCH", f"{NODES}/two/status", status, media=merge),
        await own.send("DELETE", f"{NODES}/two"),
        await own.send("POST", NODES, named("Node", "three")),
        await own.send("POST", LEASES, named("Lease", "two", lease)),
        await own.send("PATCH", f"{LEASES}/two", {"spec": {}}, media=merge),
        await own.send("PATCH", f"{NODES}/one", tainted, media=merge),
        await own.send("PATCH", f"{NODES}/one", labelled, media=merge),
    ]
    assert [each.status for each in answers] == [200, 201, 200, *[403] * 7]


async def test_a_kubelet_writes_its_own_pods_only(ask: Asker) -> None:
    merge, patch = "application/merge-patch+json", {"status": {"phase": "Running"}}
    eviction = named("Eviction", "on-one", "policy/v1")
    other = ask.as_user(OTHER)
    refused = await other("PATCH", f"{CORE}/pods/on-one/status", patch, media=merge)
    assert refused["message"] == (
        'pods "on-one" is forbidden: node "two" can only update pod status for pods with spec.nodeName set to itself'
    )
    assert (await other.send("DELETE", f"{CORE}/pods/on-one")).status == 403
    assert (await other.send("POST", f"{CORE}/pods/on-one/eviction", eviction)).status == 403
    assert (await other.send("POST", f"{CORE}/pods", pod("free", "two"))).status == 403
    assert (
        await other.send("PATCH", f"{CORE}/pods/on-two", {"metadata": {"labels": {"a": "b"}}}, media=merge)
    ).status == 403
    own = ask.as_user(OWN)
    assert (await own.send("PATCH", f"{CORE}/pods/on-one/status", patch, media=merge)).status == 200
    assert (await own.send("DELETE", f"{CORE}/pods/on-one")).status == 200


async def test_a_kubelet_asks_for_tokens_of_its_own_pods_only(ask: Asker) -> None:
    uids = {name: (await ask("GET", f"{CORE}/pods/{name}"))["metadata"]["uid"] for name in ("on-one", "on-two")}

    def wanted(name: str) -> dict[str, Any]:
        return {"spec": {"boundObjectRef": {"kind": "Pod", "name": name, "uid": uids[name]}}}

    own = ask.as_user(OWN)
    path = f"{CORE}/serviceaccounts/default/token"
    assert (await own.send("POST", path, wanted("on-one"))).status == 201
    assert (await own.send("POST", path, wanted("on-two"))).status == 403
    assert (await own.send("POST", path, {"spec": {}})).status == 403
    assert (await own.send("POST", f"{CORE}/serviceaccounts/unused/token", wanted("on-one"))).status == 403


async def test_the_group_alone_or_the_name_alone_is_no_kubelet(ask: Asker) -> None:
    for user in (User("system:node:one", ("system:authenticated",)), User("eve", ("system:nodes",))):
        assert (await ask.as_user(user).send("GET", f"{CORE}/secrets/env")).status == 403


async def test_no_default_binding_gives_kubelets_the_role(ask: Asker) -> None:
    binding = await ask("GET", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/system:node")
    assert not binding.get("subjects")


def test_every_sort_of_reference_is_found() -> None:
    spec = {
        "imagePullSecrets": [{"name": "pull"}],
        "containers": [{"envFrom": [{"configMapRef": {"name": "from"}}, {"secretRef": {"name": "all"}}]}],
        "volumes": [
            {"name": "c", "persistentVolumeClaim": {"claimName": "disk"}},
            {"csi": {"nodePublishSecretRef": {"name": "csi"}}},
        ],
    }
    found = {each for each in nodes.references({"spec": spec}) if each[1]}
    assert found == {
        ("secrets", "pull"), ("configmaps", "from"), ("secrets", "all"), ("persistentvolumeclaims", "disk"),
        ("secrets", "csi"), ("serviceaccounts", "default"),
    }  # fmt: skip


async def test_the_node_authorizer_lets_a_kubelet_read_its_own_node_alone(ask: Asker) -> None:
    def why(verb: str, name: str) -> str:
        return ask.server.nodes.decide(OWN, Attributes(verb, "", "v1", "nodes", name=name)).reason

    assert [why(verb, "one") for verb in ("get", "list", "watch")] == ["", "", ""]
    assert why("get", "two") == "node 'one' cannot read 'two', only its own Node object"
    assert why("list", "") == "node 'one' cannot read all nodes, only its own Node object"


async def test_a_kubelet_reads_the_secret_of_a_volume_that_its_pods_use(ask: Asker) -> None:
    await ask("POST", f"{CORE}/secrets", named("Secret", "store"))
    source = {"driver": "d", "volumeHandle": "h", "nodeStageSecretRef": {"namespace": "default", "name": "store"}}
    spec = {"csi": source, "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
            "claimRef": {"namespace": "default", "name": "claim"}}  # fmt: skip
    await ask("POST", "/api/v1/persistentvolumes", {**named("PersistentVolume", "v"), "spec": spec})
    before = (await ask.as_user(OWN).send("GET", f"{CORE}/secrets/store")).status
    using = [{"name": "v", "persistentVolumeClaim": {"claimName": "claim"}}]
    await ask("POST", f"{CORE}/pods", pod("user", "one", volumes=using, containers=[{"name": "c", "image": "i"}]))
    after = [(await ask.as_user(user).send("GET", f"{CORE}/secrets/store")).status for user in (OWN, OTHER)]
    assert (before, after) == (403, [200, 403])


async def test_a_kubelet_does_not_learn_which_pods_there_are_by_making_them(ask: Asker) -> None:
    refused = await ask.as_user(OWN).send("POST", f"{CORE}/pods", pod("on-two", "two", volumes=[]))
    assert refused.status == 403
