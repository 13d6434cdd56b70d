"""What may change in a pod, by whom: an update, its gates, a resize, a container put in to look at it."""

from typing import Any

import pytest

from tests.unit.kinds.judging import refused, refused_change

Json = dict[str, Any]
ONLY = "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`"


def pod(**spec: Any) -> Json:
    return {"spec": {"containers": [{"name": "c", "image": "x:1"}], **spec}}


def gated(**spec: Any) -> Json:
    return pod(schedulingGates=[{"name": "a"}], **spec)


def sized(limits: Json | None = None, requests: Json | None = None, **container: Any) -> Json:
    resources = {key: value for key, value in (("limits", limits), ("requests", requests)) if value is not None}
    return pod(containers=[{"name": "c", "image": "x:1", "resources": resources, **container}])


def affinity(*keys: str) -> Json:
    terms = [{"matchExpressions": [{"key": key, "operator": "Exists"} for key in keys]}]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    return {"affinity": {"nodeAffinity": required}}


ALLOWED: list[tuple[Json, Json]] = [
    (pod(), pod(containers=[{"name": "c", "image": "x:2"}])),
    (pod(), pod(activeDeadlineSeconds=5)),
    (pod(activeDeadlineSeconds=5), pod(activeDeadlineSeconds=3)),
    (pod(), pod(tolerations=[{"key": "a", "operator": "Exists"}])),
    (gated(), pod()),
    (gated(), gated(nodeSelector={"a": "b"})),
    (gated(), gated(**affinity("a"))),
    (gated(**affinity("a")), gated(**affinity("a", "b"))),
]


@pytest.mark.parametrize(("old", "new"), ALLOWED)
def test_an_update_may_change_this(old: Json, new: Json) -> None:
    assert refused_change("Pod", old, new) == []


REFUSED: list[tuple[Json, Json, str]] = [
    (pod(), pod(hostNetwork=True), ONLY),
    (pod(), pod(nodeSelector={"a": "b"}), ONLY),
    (pod(), pod(**affinity("a")), ONLY),
    (pod(), pod(terminationGracePeriodSeconds=1), ONLY),
    (pod(), pod(containers=[]), "spec.containers: Forbidden: pod updates may not add or remove containers"),
    (pod(activeDeadlineSeconds=3), pod(activeDeadlineSeconds=5),
     "spec.activeDeadlineSeconds: Invalid value: 5: must be less than or equal to previous value"),
    (pod(activeDeadlineSeconds=3), pod(), "must not update from a positive integer to nil value"),
    (pod(tolerations=[{"key": "a", "operator": "Exists"}]), pod(),
     "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"),
    (pod(), gated(), "schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate"),
    (gated(nodeSelector={"a": "b"}), gated(nodeSelector={"a": "c"}),
     'spec.nodeSelector: Invalid value: {"a":"c"}: only additions to spec.nodeSelector are allowed (no mutations or'),
    (gated(**affinity("a")), gated(), "no additions/deletions to non-empty NodeSelectorTerms list are allowed"),
    (gated(**affinity("a")), gated(**affinity("b")), "only additions are allowed (no mutations or deletions)"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "text"), REFUSED, ids=[case[2][:50] for case in REFUSED])
def test_an_update_may_not_change_that(old: Json, new: Json, text: str) -> None:
    found = refused_change("Pod", old, new)
    assert any(text in each for each in found), found


def test_a_negative_grace_period_may_become_one() -> None:
    assert refused_change("Pod", pod(terminationGracePeriodSeconds=-1), pod(terminationGracePeriodSeconds=1)) == []


BOTH = {"cpu": "1", "memory": "1Mi"}
RESIZES: list[tuple[Json, Json, list[str]]] = [
    (sized(BOTH), sized({"cpu": "2", "memory": "2Mi"}), []),
    (sized({"cpu": "1"}), sized({"cpu": "2"}), []),
    (sized(BOTH, {"cpu": "500m"}), sized(BOTH, {"cpu": "600m"}), []),
    (sized(), sized({"cpu": "1"}), ['spec: Invalid value: "": Pod QOS Class may not change as a result of resizing']),
    (sized(BOTH, {"cpu": "500m"}), sized({"cpu": "1"}, {"cpu": "500m"}), [
        "spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed",
        "spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed",
    ]),
    (sized({**BOTH, "ephemeral-storage": "1"}), sized({**BOTH, "ephemeral-storage": "2"}),
     ["spec: Forbidden: only cpu and memory resources are mutable"]),
    (pod(resources={"limits": BOTH}), pod(resources={"limits": {"cpu": "2", "memory": "2Mi"}}), []),
    (pod(resources={"limits": BOTH, "requests": {"cpu": "500m"}}), pod(resources={"limits": {"cpu": "1"}}), [
        "spec.resources.requests: Forbidden: resource requests cannot be removed",
        "spec.resources.limits: Forbidden: resource limits cannot be removed",
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "found"), RESIZES)
def test_a_resize_changes_cpu_and_memory_and_no_quality_of_service(old: Json, new: Json, found: list[str]) -> None:
    assert refused_change("Pod", old, new, "resize") == found


def test_an_ephemeral_container_comes_by_its_subresource_and_stays() -> None:
    looking = pod(ephemeralContainers=[{"name": "e", "image": "x:1"}])
    assert refused("Pod", looking) == ["spec.ephemeralContainers: Forbidden: cannot be set on create"]
    assert refused_change("Pod", pod(), looking, "ephemeralcontainers") == []
    assert refused_change("Pod", looking, pod(), "ephemeralcontainers") == [
        'spec.ephemeralContainers: Forbidden: existing ephemeral containers "e" may not be removed'
    ]
    mirror = {"metadata": {"name": "x", "annotations": {"kubernetes.io/config.mirror": "a"}}}
    assert refused_change("Pod", {**pod(), **mirror}, {**looking, **mirror}, "ephemeralcontainers") == [
        ": Forbidden: static pods do not support ephemeral containers"
    ]
