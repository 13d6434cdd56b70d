"""What cgroup v2 is told of a container's memory beside its limit."""

from pathlib import Path
from typing import Any

import pytest

from knarr.base.errors import Invalid
from knarr.kubelet import configuration, resources
from knarr.kubelet.memory_rules import MemoryRules
from knarr.kubelet.settings import KubeletSettings
from tests.unit.kubelet.test_pod_plan import pod

V1 = MemoryRules()
V2 = MemoryRules(is_v2=True, kills_together=True, swap_capacity=1000, swap_bytes=0)
LIMITED = MemoryRules(is_v2=True, kills_together=True, swap_capacity=1000, swap_bytes=1000)
SOME = {"requests": {"memory": "250"}, "limits": {"memory": "500"}}


def asked(rules: MemoryRules, stated: dict[str, Any], **spec: Any) -> tuple[dict[str, str], int]:
    subject = pod(containers=[{"name": "c", "image": "i", "resources": stated}], **spec)
    linux = resources.container_resources(subject, subject.spec.containers[0], 1000, rules)
    return linux.unified, linux.memory_swap_limit_in_bytes


def test_a_container_dies_whole_and_nobody_swaps_on_cgroup_v2() -> None:
    assert asked(V2, SOME) == ({"memory.oom.group": "1", "memory.swap.max": "0"}, 0)
    assert asked(V2, {}) == ({"memory.oom.group": "1", "memory.swap.max": "0"}, 0)


def test_cgroup_v1_is_told_nothing_but_the_limit_of_both_together() -> None:
    assert asked(V1, SOME) == ({}, 500)


@pytest.mark.parametrize(
    ("stated", "spec", "bytes_"),
    [
        (SOME, {}, "250"),  # a quarter of the memory: a quarter of the swap
        ({"requests": {"memory": "250"}}, {}, "250"),
        ({}, {}, "0"),  # BestEffort
        ({"requests": {"memory": "250", "cpu": "1"}, "limits": {"memory": "250", "cpu": "1"}}, {}, "0"),  # Guaranteed
        ({"requests": {"cpu": "1"}}, {}, "0"),
        ({"requests": {"memory": "250"}, "limits": {"memory": "250"}}, {}, "0"),  # may not have more than it asked for
        (SOME, {"priority": 2_000_000_000}, "0"),
    ],
)
def test_limited_swap_goes_by_the_request(stated: dict[str, Any], spec: dict[str, Any], bytes_: str) -> None:
    assert asked(LIMITED, stated, **spec)[0]["memory.swap.max"] == bytes_


def configured(rules: MemoryRules, **body: Any) -> MemoryRules:
    settings = KubeletSettings("n", Path("/k"), Path("/l"), memory_rules=rules)
    kind = {"apiVersion": configuration.API_VERSION, "kind": configuration.KIND}
    return configuration.applied(settings, configuration.read({**kind, **body})).memory_rules


def test_the_configuration_chooses() -> None:
    assert configured(V2) == V2
    assert configured(V2, memorySwap={"swapBehavior": "LimitedSwap"}) == LIMITED
    assert configured(V1, memorySwap={"swapBehavior": "LimitedSwap"}) == V1
    assert not configured(V2, singleProcessOOMKill=True).kills_together


@pytest.mark.parametrize("body", [{"singleProcessOOMKill": False}, {"memorySwap": {"swapBehavior": "UnlimitedSwap"}}])
def test_what_this_machine_cannot_do_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        configured(V1, **body)
