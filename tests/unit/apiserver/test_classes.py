"""What admission gives by classes and protects: storage, ingress, runtime classes; topology labels; new nodes."""

from typing import Any

from tests.unit.apiserver.conftest import Asker

CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"
PODS = "/api/v1/namespaces/default/pods"
INGRESSES = "/apis/networking.k8s.io/v1/namespaces/default/ingresses"
RUNTIMES = "/apis/node.k8s.io/v1/runtimeclasses"
IS_DEFAULT = "storageclass.kubernetes.io/is-default-class"


async def storage_class(ask: Asker, name: str, *, default: bool = False, grows: bool = False) -> None:
    metadata = {"name": name, "annotations": {IS_DEFAULT: "true"} if default else {}}
    body = {"metadata": metadata, "provisioner": "example.com/x", "allowVolumeExpansion": grows}
    made = await ask("POST", "/apis/storage.k8s.io/v1/storageclasses", body)
    assert made["kind"] == "StorageClass", made


def claim(name: str, **spec: Any) -> dict[str, Any]:
    resources = {"requests": {"storage": "1Gi"}}
    return {"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": resources, **spec}}


def pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "x"}], **spec}}


async def test_a_claim_without_a_class_gets_the_newest_default(ask: Asker) -> None:
    await storage_class(ask, "slow")
    await storage_class(ask, "fast", default=True)

    without = await ask("POST", CLAIMS, claim("a"))
    on_purpose = await ask("POST", CLAIMS, claim("b", storageClassName=""))
    other = await ask("POST", CLAIMS, claim("c", storageClassName="slow"))

    assert [each["spec"]["storageClassName"] for each in (without, on_purpose, other)] == ["fast", "", "slow"]


async def test_claims_and_volumes_are_protected_from_the_start(ask: Asker) -> None:
    source = {"hostPath": {"path": "/x"}, "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]}
    made = await ask("POST", CLAIMS, claim("a"))
    volume = await ask("POST", "/api/v1/persistentvolumes", {"metadata": {"name": "v"}, "spec": source})

    assert made["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    assert volume["metadata"]["finalizers"] == ["kubernetes.io/pv-protection"]


async def test_a_claim_grows_only_where_its_class_allows_it(ask: Asker) -> None:
    await storage_class(ask, "fixed")
    await storage_class(ask, "elastic", grows=True)
    answers = []
    for name in ("fixed", "elastic"):
        made = await ask("POST", CLAIMS, claim(name, storageClassName=name, volumeName="v"))
        made["spec"]["resources"]["requests"]["storage"] = "2Gi"
        made["status"] = {"phase": "Bound"}
        await ask("PUT", f"{CLAIMS}/{name}/status", {**made, "spec": {**made["spec"]}})
        made["metadata"].pop("resourceVersion")
        answers.append(await ask("PUT", f"{CLAIMS}/{name}", made))

    refused, grown = answers
    assert refused["code"] == 403
    assert "the storageclass that provisions the pvc must support resize" in refused["message"]
    assert grown["kind"] == "PersistentVolumeClaim", grown


async def test_an_ingress_without_a_class_gets_the_default(ask: Asker) -> None:
    annotations = {"ingressclass.kubernetes.io/is-default-class": "true"}
    made = {"metadata": {"name": "nginx", "annotations": annotations}, "spec": {"controller": "example.com/nginx"}}
    await ask("POST", "/apis/networking.k8s.io/v1/ingressclasses", made)
    backend = {"service": {"name": "web", "port": {"number": 80}}}

    found = await ask("POST", INGRESSES, {"metadata": {"name": "i"}, "spec": {"defaultBackend": backend}})

    assert found["spec"]["ingressClassName"] == "nginx"


async def test_a_runtime_class_adds_overhead_selector_and_tolerations(ask: Asker) -> None:
    toleration = {"key": "sandbox", "operator": "Exists"}
    body = {"metadata": {"name": "kata"}, "handler": "kata", "overhead": {"podFixed": {"memory": "64Mi"}},
            "scheduling": {"nodeSelector": {"kata": "yes"}, "tolerations": [toleration]}}  # fmt: skip
    await ask("POST", RUNTIMES, body)

    found = await ask("POST", PODS, pod(runtimeClassName="kata", nodeSelector={"disk": "ssd"}))

    assert found["spec"]["overhead"] == {"memory": "64Mi"}
    assert found["spec"]["nodeSelector"] == {"disk": "ssd", "kata": "yes"}
    assert toleration in found["spec"]["tolerations"]


async def test_a_pod_that_contradicts_its_runtime_class_is_rejected(ask: Asker) -> None:
    body = {"metadata": {"name": "kata"}, "handler": "kata", "overhead": {"podFixed": {"memory": "64Mi"}},
            "scheduling": {"nodeSelector": {"kata": "yes"}}}  # fmt: skip
    await ask("POST", RUNTIMES, body)

    absent = await ask("POST", PODS, pod(runtimeClassName="none"))
    overhead = await ask("POST", PODS, pod(runtimeClassName="kata", overhead={"memory": "1Mi"}))
    selector = await ask("POST", PODS, pod(runtimeClassName="kata", nodeSelector={"kata": "no"}))
    alone = await ask("POST", PODS, pod(overhead={"memory": "1Mi"}))

    assert 'pod rejected: RuntimeClass "none" not found' in absent["message"]
    assert "doesn't match RuntimeClass's defined Overhead" in overhead["message"]
    assert "runtimeClass.scheduling.nodeSelector[kata] = yes" in selector["message"]
    assert "Overhead set without corresponding RuntimeClass" in alone["message"]


async def test_a_bound_pod_has_its_nodes_zone_and_region(ask: Asker) -> None:
    labels = {"topology.kubernetes.io/zone": "z", "topology.kubernetes.io/region": "r", "disk": "ssd"}
    await ask("POST", "/api/v1/nodes", {"metadata": {"name": "n", "labels": labels}})
    await ask("POST", PODS, pod())
    await ask("POST", f"{PODS}/p/binding", {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}})

    found = await ask("GET", f"{PODS}/p")

    assert found["metadata"]["labels"] == {
        "topology.kubernetes.io/zone": "z", "topology.kubernetes.io/region": "r"
    }  # fmt: skip


async def test_a_new_node_is_tainted_where_a_controller_will_untaint_it(ask: Asker) -> None:
    plain = await ask("POST", "/api/v1/nodes", {"metadata": {"name": "a"}})
    ask.server.taints_new_nodes = True
    tainted = await ask("POST", "/api/v1/nodes", {"metadata": {"name": "b"}})

    assert "taints" not in (plain.get("spec") or {})
    assert tainted["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]


async def test_an_event_of_core_has_a_time_when_read_as_an_event_of_events(ask: Asker) -> None:
    regarding = {"kind": "Pod", "name": "p", "namespace": "default"}
    body = {"metadata": {"name": "e"}, "involvedObject": regarding, "reason": "R", "message": "m",
            "firstTimestamp": "2030-01-01T00:00:00Z", "lastTimestamp": "2030-01-01T00:00:01Z"}  # fmt: skip
    await ask("POST", "/api/v1/namespaces/default/events", body)

    listed = await ask("GET", "/apis/events.k8s.io/v1/events")

    assert [each["eventTime"] for each in listed["items"]] == ["2030-01-01T00:00:00.000000Z"]
