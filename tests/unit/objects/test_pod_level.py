"""What a pod as a whole asks for: defaults from its containers, and amounts rounded up as Go rounds them."""

from typing import Any

import pytest

from knarr.kinds import registry, walks
from knarr.objects import pod_level, quantity

Json = dict[str, Any]

HALF = {"resources": {"requests": {"cpu": "500m"}}}
SMALL = {"resources": {"requests": {"cpu": "200m", "memory": "10Mi"}}}


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({"containers": [HALF]}, None),
        ({"containers": [HALF], "resources": {"requests": {"cpu": "2"}}}, {"cpu": "2"}),
        ({"containers": [{}], "resources": {"limits": {"cpu": "2"}}}, {"cpu": "2"}),
        ({"containers": [HALF, SMALL], "resources": {"limits": {"cpu": "2"}}}, {"cpu": "700m", "memory": "10Mi"}),
        (
            {"containers": [HALF], "resources": {"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "1"}}},
            {"cpu": "1", "memory": "1Gi"},
        ),
        (
            {
                "initContainers": [{**SMALL, "restartPolicy": "Always"}, {"resources": {"requests": {"cpu": "1"}}}],
                "containers": [HALF],
                "resources": {"limits": {"cpu": "2"}},
            },
            {"cpu": "1200m", "memory": "10Mi"},
        ),
    ],
)
def test_requests_that_a_pod_leaves_out_are_its_containers_or_else_the_limit(
    spec: dict[str, Any], wanted: dict[str, str] | None
) -> None:
    pod = {"spec": spec}
    pod_level.fill_requests(pod)
    assert pod["spec"].get("resources", {}).get("requests") == wanted


POD = registry.row("", "v1", "Pod")


def container(side: str = "", **amounts: str) -> Json:
    resources = {"resources": {side: amounts}} if side else {}
    return {"name": "c", "image": "x:1", **resources}


def resources(own: Json, *containers: Json, init: tuple[Json, ...] = ()) -> Json:
    listed = {"containers": list(containers) or [container()], "initContainers": list(init)}
    found: Json = walks.defaulted(POD, {"metadata": {"name": "x"}, "spec": {"resources": own, **listed}})
    return found["spec"].get("resources", {})


def test_requests_are_what_the_containers_request_together_else_the_limit() -> None:
    own = {"limits": {"cpu": "2", "memory": "1Gi"}}
    found = resources(own, container("requests", cpu="500m"), container("requests", cpu="250m"))
    assert found == {**own, "requests": {"cpu": "750m", "memory": "1Gi"}}


def test_an_init_container_may_need_more_than_all_others() -> None:
    sidecar = {**container("requests", cpu="1"), "restartPolicy": "Always"}
    init = (sidecar, container("requests", cpu="3"))
    found = resources({"limits": {"cpu": "9"}}, container("requests", cpu="2"), init=init)
    assert found["requests"] == {"cpu": "4"}


def test_limits_follow_from_the_containers_if_all_have_some() -> None:
    own = {"requests": {"cpu": "1"}}
    both = [container("limits", cpu="1", memory="1Mi"), container("limits", cpu="2")]
    assert resources(own, *both) == {**own, "limits": {"cpu": "3"}}
    assert resources(own, *both, container()) == own


def test_huge_pages_are_limited_to_what_the_containers_are() -> None:
    found = resources({"limits": {"cpu": "1"}}, container("limits", **{"hugepages-2Mi": "4Mi"}))
    assert found == {side: {"cpu": "1", "hugepages-2Mi": "4Mi"} for side in ("limits", "requests")}


def test_a_pod_that_asks_for_nothing_as_a_whole_gets_nothing() -> None:
    assert resources({}, container("limits", cpu="1")) == {}


@pytest.mark.parametrize(
    ("given", "kept"),
    [("1n", "1m"), ("1500u", "2m"), ("1m", "1m"), ("1", "1"), ("-1n", "-1m"), ("1e-9", "1m"), ("100.0001", "100001m")],
)
def test_amounts_are_rounded_up_to_thousandths(given: str, kept: str) -> None:
    assert quantity.in_milli(quantity.canonical(given)) == kept
    spec = {"containers": [container("limits", cpu=given)]}
    whole = walks.defaulted(POD, {"metadata": {"name": "x"}, "spec": spec})
    assert whole["spec"]["containers"][0]["resources"] == {"limits": {"cpu": kept}, "requests": {"cpu": kept}}
