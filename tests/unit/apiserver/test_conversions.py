"""Kinds in another version than the stored one lose nothing on the way there and back."""

from typing import Any

from .conftest import Asker

V1 = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers"
V2 = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
Json = dict[str, Any]


def utilization(name: str, percentage: int) -> Json:
    target = {"type": "Utilization", "averageUtilization": percentage}
    return {"type": "Resource", "resource": {"name": name, "target": target}}


async def test_an_autoscaler_changed_in_the_old_version_keeps_what_only_the_new_one_has(ask: Asker) -> None:
    spec: Json = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}, "maxReplicas": 3,
        "metrics": [utilization("cpu", 50), utilization("memory", 60)],
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 7}},
    }  # fmt: skip
    made = await ask("POST", V2, {"metadata": {"name": "h"}, "spec": spec})
    old = await ask("GET", f"{V1}/h")
    assert old["spec"]["targetCPUUtilizationPercentage"] == 50
    await ask("PUT", f"{V1}/h", {**old, "spec": {**old["spec"], "maxReplicas": 4}})
    live = await ask("GET", f"{V2}/h")
    assert live["spec"] == {**made["spec"], "maxReplicas": 4}
    assert "annotations" not in live["metadata"]
