"""What a Service's slices and Endpoints say about its pods."""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from knarr.base.ids import Revision
from knarr.client.cache import Cache
from knarr.client.client import Json
from knarr.controllers import endpoints, subsets
from knarr.controllers.controller import Create, Delete, Patch
from knarr.kinds.core_config import NODE
from knarr.kinds.core_pod import POD
from knarr.kinds.core_service import ENDPOINTS, ENDPOINTSLICE, SERVICE
from knarr.kinds.lens.service import Service

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def pod(name: str, *, ready: bool = True, ends: bool = False, port: int = 8080, **status: object) -> Json:
    metadata: Json = {"name": name, "namespace": "a", "uid": name, "labels": {"app": "web"}}
    if ends:
        metadata["deletionTimestamp"] = "2030-01-01T00:00:00Z"
    conditions = [{"type": "Ready", "status": str(ready)}]
    ports = [{"name": "http", "containerPort": port, "protocol": "TCP"}]
    return {
        "metadata": metadata,
        "spec": {"nodeName": "n", "containers": [{"name": "c", "ports": ports}]},
        "status": {"phase": "Running", "podIP": "10.0.0.1", "conditions": conditions, **status},
    }


def service(**spec: object) -> Json:
    plain = {"selector": {"app": "web"}, "ports": [{"name": "", "port": 80, "targetPort": "http", "protocol": "TCP"}]}
    return {"metadata": {"name": "web", "namespace": "a", "uid": "s"}, "spec": plain | spec}


def view(one: Json, pods: list[Json], slices: list[Json] | None = None) -> tuple[Service, Cache]:
    cache = Cache([SERVICE, POD, ENDPOINTSLICE, ENDPOINTS, NODE])
    node = {"metadata": {"name": "n", "labels": {"topology.kubernetes.io/zone": "north"}}}
    content = {SERVICE: [one], POD: pods, ENDPOINTSLICE: slices or [], ENDPOINTS: [], NODE: [node]}
    for kind, items in content.items():
        cache.replace(kind, [msgspec.json.encode(item) for item in items], Revision(1))
    found = cache.get(Service, "a", "web")
    assert found is not None
    return found, cache


def test_a_named_port_is_looked_up_on_each_pod() -> None:
    found, cache = view(service(), [pod("p", port=8080), pod("q", port=9090)])
    contents = endpoints.wanted_slices(found, endpoints.backends(found, cache))
    assert [[port["port"] for port in one["ports"]] for one in contents] == [[8080], [9090]]


def test_a_terminating_pod_serves_but_is_not_ready_and_leaves_the_old_form() -> None:
    found, cache = view(
        service(), [pod("p", ends=True), pod("q", ready=False), pod("r", phase="Failed"), pod("s", podIP="")]
    )
    backends = endpoints.backends(found, cache)
    conditions = {one.pod.metadata.name: (one.is_ready, one.is_serving, one.is_terminating) for one in backends}
    assert conditions == {"p": (False, True, True), "q": (False, False, False)}
    (subset,) = subsets.wanted_subsets(found, backends)
    assert [one["targetRef"]["name"] for one in subset["notReadyAddresses"]] == ["q"]
    assert "addresses" not in subset


def test_slices_hold_at_most_a_hundred_endpoints() -> None:
    found, cache = view(service(), [pod(f"p{number:03}") for number in range(250)])
    creations = endpoints.plan_slices(found, cache, NOW).actions
    assert all(isinstance(one, Create) for one in creations)
    assert [len(one.body["endpoints"]) for one in creations] == [100, 100, 50]  # type: ignore[union-attr]


def test_slices_that_fit_are_left_alone_and_surplus_ones_go() -> None:
    found, cache = view(service(), [pod("p")])
    (creation,) = endpoints.plan_slices(found, cache, NOW).actions
    assert isinstance(creation, Create)
    stored = creation.body | {"metadata": creation.body["metadata"] | {"name": "web-1", "uid": "1"}}
    extra = stored | {"metadata": stored["metadata"] | {"name": "web-2", "uid": "2"}, "endpoints": []}
    found, cache = view(service(), [pod("p")], [stored, extra])
    (surplus,) = endpoints.plan_slices(found, cache, NOW).actions
    assert isinstance(surplus, Delete)
    assert surplus.name == "web-2"
    found, cache = view(service(), [pod("p", ready=False)], [stored])
    (change,) = endpoints.plan_slices(found, cache, NOW).actions
    assert isinstance(change, Patch)
    assert change.body["endpoints"][0]["conditions"]["ready"] is False


def test_a_change_says_since_when_it_was_due() -> None:
    """The new Service's own moment, then that at which the pod that changed became ready; nothing of one that went."""
    new = service()
    new["metadata"]["creationTimestamp"] = "2029-12-31T23:00:00Z"
    p, q = pod("p"), pod("q")
    for one, since in ((p, "2029-12-31T23:30:00Z"), (q, "2029-12-31T23:45:00Z")):
        one["status"]["conditions"][0]["lastTransitionTime"] = since
    (creation,) = endpoints.plan_slices(*view(new, [p]), NOW).actions
    (old_form,) = subsets.plan(*view(new, [p]), NOW).actions
    assert isinstance(creation, Create)
    assert isinstance(old_form, Create)
    marked = [one.body["metadata"]["annotations"][endpoints.TRIGGER] for one in (creation, old_form)]
    assert marked == ["2029-12-31T23:00:00Z"] * 2
    stored = creation.body | {"metadata": creation.body["metadata"] | {"name": "web-1", "uid": "1"}}
    seen = []
    for found in ([p, q], []):
        (change,) = endpoints.plan_slices(*view(new, found, [stored]), NOW).actions
        assert isinstance(change, Patch)
        seen.append(change.body["metadata"]["annotations"][endpoints.TRIGGER])
    assert seen == ["2029-12-31T23:45:00Z", None]


def test_a_pod_that_begins_to_terminate_does_not_say_since_when_it_was_ready() -> None:
    leaving = pod("p", ends=True)
    leaving["status"]["conditions"][0]["lastTransitionTime"] = "2029-12-01T00:00:00Z"
    (creation,) = endpoints.plan_slices(*view(service(), [pod("p")]), NOW).actions
    assert isinstance(creation, Create)
    stored = creation.body | {"metadata": creation.body["metadata"] | {"name": "web-1", "uid": "1"}}
    (change,) = endpoints.plan_slices(*view(service(), [leaving], [stored]), NOW).actions
    assert isinstance(change, Patch)
    assert change.body["endpoints"][0]["conditions"]["terminating"] is True
    assert "annotations" not in change.body["metadata"]
    found, cache = view(service(), [leaving, pod("q")])
    assert endpoints.trigger(found, endpoints.backends(found, cache), {("q", True)}, is_new=False) is None


def test_endpoints_hold_at_most_a_thousand_addresses_ready_ones_first_and_say_so() -> None:
    crowd = [pod(f"p{number:04}", ready=number % 4 != 0, port=8080 + number % 2) for number in range(1400)]
    (creation,) = subsets.plan(*view(service(), crowd), NOW).actions
    assert isinstance(creation, Create)
    counts = [(len(one["addresses"]), len(one.get("notReadyAddresses", ()))) for one in creation.body["subsets"]]
    assert counts == [(334, 0), (666, 0)]
    assert creation.body["metadata"]["annotations"][subsets.OVER_CAPACITY] == "truncated"
    few = [pod(f"p{number:04}", ready=number < 900) for number in range(1100)]
    (creation,) = subsets.plan(*view(service(), few), NOW).actions
    assert isinstance(creation, Create)
    (subset,) = creation.body["subsets"]
    assert (len(subset["addresses"]), len(subset["notReadyAddresses"])) == (900, 100)
    (creation,) = subsets.plan(*view(service(), few[:1000]), NOW).actions
    assert isinstance(creation, Create)
    assert subsets.OVER_CAPACITY not in creation.body["metadata"].get("annotations", {})


def test_a_service_without_selector_is_somebody_elses() -> None:
    found, cache = view(service(selector={}), [pod("p")])
    assert list(endpoints.plan_slices(found, cache, NOW).actions) == []
    assert list(subsets.plan(found, cache, NOW).actions) == []


def test_a_pod_that_is_not_ready_may_be_published_but_does_not_serve() -> None:
    found, cache = view(service(publishNotReadyAddresses=True), [pod("p", ready=False)])
    ((endpoint,),) = [one["endpoints"] for one in endpoints.wanted_slices(found, endpoints.backends(found, cache))]
    assert endpoint["conditions"] == {"ready": True, "serving": False, "terminating": False}
    assert endpoint["zone"] == "north"


def test_slices_follow_the_labels_of_their_service() -> None:
    headless = service(clusterIP="None")
    headless["metadata"]["labels"] = {"team": "a"}
    made = endpoints.wanted_slices(*_with_backends(*view(headless, [])))[0]
    old = {"team": "b", "gone": "x", endpoints.SERVICE_NAME: "web", endpoints.MANAGED_BY: endpoints.MANAGER}
    owner = {"apiVersion": "v1", "kind": "Service", "name": "web", "uid": "s", "controller": True}
    one = {
        "metadata": {"name": "web-1", "namespace": "a", "uid": "e", "labels": old, "ownerReferences": [owner]}
    } | made
    found, cache = view(headless, [], [one])
    (action,) = endpoints.plan_slices(found, cache, NOW).actions
    assert isinstance(action, Patch)
    assert action.body["metadata"]["labels"] == {
        "gone": None,
        "team": "a",
        endpoints.SERVICE_NAME: "web",
        endpoints.MANAGED_BY: endpoints.MANAGER,
        endpoints.HEADLESS: "",
    }


def _with_backends(found: Service, cache: Cache) -> tuple[Service, Sequence[endpoints.Backend]]:
    return found, endpoints.backends(found, cache)
