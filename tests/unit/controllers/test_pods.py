"""Which pod dies first, and since when a pod is available."""

from datetime import UTC, datetime, timedelta

import msgspec

from knarr.controllers import pods
from knarr.kinds.lens.container import Container
from knarr.kinds.lens.meta import ObjectMeta
from knarr.kinds.lens.pod import Pod, PodSpec
from knarr.kinds.lens.pod_status import ContainerStatus, PodCondition, PodStatus

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def pod(
    name: str, *, node: str = "n", phase: str = "Running", ready: int | None = 3600, cost: int = 0, restarts: int = 0
) -> Pod:
    condition = PodCondition(
        type="Ready",
        status=str(ready is not None),
        last_transition_time=NOW - timedelta(seconds=ready or 0),
    )
    return Pod(
        metadata=ObjectMeta(
            name=name,
            uid=name,
            annotations={pods.DELETION_COST: str(cost)},
            creation_timestamp=NOW - timedelta(hours=1),
        ),
        spec=PodSpec(node_name=node),
        status=PodStatus(
            phase=phase, conditions=(condition,), container_statuses=(ContainerStatus(restart_count=restarts),)
        ),
    )


def test_the_least_useful_pod_dies_first() -> None:
    ranked = [
        pod("unassigned", node="", phase="Pending", ready=None),
        pod("pending", phase="Pending", ready=None),
        pod("unknown", phase="Unknown", ready=None),
        pod("unready", ready=None),
        pod("cheap", cost=-5),
        pod("crowded", node="full"),
        pod("young", ready=10),
        pod("restarted", restarts=4),
        pod("useful"),
        pod("dear", cost=9),
    ]
    found = pods.least_useful(list(reversed(ranked)), {"full": 3}, NOW)
    assert [one.metadata.name for one in found] == [one.metadata.name for one in ranked]


def test_pods_of_about_the_same_age_are_equals() -> None:
    # 3,000 and 4,000 s are of one magnitude (of nanoseconds); then the uid decides. 2,100 and 2,250 s are not.
    found = pods.least_useful([pod("b", ready=3000), pod("a", ready=4000)], {}, NOW)
    assert [one.metadata.name for one in found] == ["a", "b"]
    found = pods.least_useful([pod("b", ready=2100), pod("a", ready=2250)], {}, NOW)
    assert [one.metadata.name for one in found] == ["b", "a"]


def test_a_cost_that_is_no_number_is_none() -> None:
    odd_texts = (("much", 0), ("1_000", 0), (" 5", 0), ("+5", 0), ("05", 0), (str(2**31), 0), ("1" * 5000, 0))
    for text, cost in (*odd_texts, ("-7", -7), (str(2**31 - 1), 2**31 - 1), (str(-(2**31)), -(2**31))):
        odd = Pod(metadata=ObjectMeta(annotations={pods.DELETION_COST: text}))
        assert pods.deletion_cost(odd) == cost


def test_of_equal_pods_the_one_whose_sidecar_restarted_dies_first() -> None:
    sidecar, status = Container(name="s", restart_policy="Always"), ContainerStatus(name="s", restart_count=2)
    steady, shaky = pod("steady"), pod("shaky")
    shaky = msgspec.structs.replace(
        shaky,
        spec=PodSpec(node_name="n", init_containers=(sidecar,)),
        status=msgspec.structs.replace(shaky.status, init_container_statuses=(status,)),
    )
    assert [one.metadata.name for one in pods.least_useful([steady, shaky], {}, NOW)] == ["shaky", "steady"]


def test_a_pod_is_available_after_min_ready_seconds() -> None:
    one = pod("p", ready=30)
    assert pods.is_available(one, 30, NOW)
    assert not pods.is_available(one, 31, NOW)
    assert pods.next_available([one, pod("q", ready=None)], 40, NOW) == NOW + timedelta(seconds=10)
    assert pods.next_available([one], 0, NOW) is None
