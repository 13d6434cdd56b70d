"""What a pod with limits of its own requests."""

from typing import Any

import pytest

from knarr.objects import pod_level

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
