"""What the server writes into an object beside defaults: the count of a DaemonSet's templates, the times of taints."""

from typing import Any

from tests.unit.apiserver.conftest import Asker

Json = dict[str, Any]
SETS = "/apis/apps/v1/namespaces/default/daemonsets"
SLICES = "/apis/resource.k8s.io/v1/resourceslices"
COUNT = "deprecated.daemonset.template.generation"


def daemon_set(image: str, annotations: Json | None = None, **spec: Any) -> Json:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": image}]}}
    metadata = {"name": "d", "annotations": annotations or {}}
    return {"metadata": metadata, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template, **spec}}


def count(answer: Json) -> str:
    text: str = answer["metadata"]["annotations"][COUNT]
    return text


async def test_the_templates_of_a_daemon_set_are_counted_whatever_clients_send(ask: Asker) -> None:
    made = await ask("POST", SETS, daemon_set("x"))
    same = await ask("PUT", f"{SETS}/d", daemon_set("x", minReadySeconds=5))
    other = await ask("PUT", f"{SETS}/d", daemon_set("y", {COUNT: "70"}, minReadySeconds=5))
    status = await ask("PUT", f"{SETS}/d/status", {**daemon_set("y"), "status": {"numberReady": 1}})

    assert [count(each) for each in (made, same, other, status)] == ["1", "1", "2", "2"]


async def test_a_new_daemon_set_may_begin_its_count_where_it_likes(ask: Asker) -> None:
    refused = await ask("POST", SETS, daemon_set("x", {COUNT: "a"}))
    made = await ask("POST", SETS, daemon_set("x", {COUNT: "7", "b": "c"}))

    assert 'strconv.ParseInt: parsing "a": invalid syntax' in refused["message"]
    assert (refused["code"], made["metadata"]["annotations"]) == (400, {COUNT: "7", "b": "c"})


async def test_a_taint_of_a_device_has_a_time(ask: Asker) -> None:
    said = "2026-01-01T00:00:00Z"
    taints = [{"key": "a", "effect": "NoSchedule"}, {"key": "b", "effect": "NoSchedule", "timeAdded": said}]
    spec = {"driver": "x.io", "nodeName": "n", "pool": {"name": "p", "resourceSliceCount": 1, "generation": 1},
            "devices": [{"name": "d"}, {"name": "e", "taints": taints}]}  # fmt: skip
    made = await ask("POST", SLICES, {"metadata": {"name": "s"}, "spec": spec})

    assert made["kind"] == "ResourceSlice", made
    first, second = made["spec"]["devices"][1]["taints"]
    assert first["timeAdded"] == made["metadata"]["creationTimestamp"]
    assert second["timeAdded"] == said
