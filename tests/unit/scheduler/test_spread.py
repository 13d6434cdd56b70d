"""Topology spread constraints: evenly, and in whose words not."""

from typing import Any

import pytest

from knarr.kinds.lens.pod import Pod
from tests.unit.scheduler.building import HOST, ZONE, answer, node, pod, spread

SKEW = "node(s) didn't match pod topology spread constraints"


def web(name: str, **more: Any) -> Pod:
    return pod(name, "web", topologySpreadConstraints=[spread("web", **more)])


def test_a_pod_goes_to_the_emptiest_zone() -> None:
    states = node("a", "x", web("1")), node("b", "y", web("2"), web("3")), node("c", "z")
    assert answer(web("p"), *states) == "c"


def test_a_full_zone_is_refused_in_upstreams_words() -> None:
    states = node("a", "x", web("1"), web("2")), node("b", "y", pod("big", cpu="2"))
    wanted = pod("p", "web", cpu="1", topologySpreadConstraints=[spread("web")])
    assert answer(wanted, *states) == f"0/2 nodes are available: 1 Insufficient cpu, 1 {SKEW}."


def test_a_node_without_the_label_is_refused() -> None:
    assert answer(web("p"), node("a")) == f"0/1 nodes are available: 1 {SKEW} (missing required label)."


def test_a_larger_skew_lets_more_in() -> None:
    wanted = {"cpu": "1", "topologySpreadConstraints": [spread("web", maxSkew=2)]}
    assert answer(pod("p", "web", **wanted), node("a", "x", web("1")), node("b", "y", pod("big", cpu="2"))) == "a"


def test_fewer_domains_than_the_minimum_count_as_one_empty_domain() -> None:
    assert answer(web("p"), node("a", "x", web("1"))) == "a"
    assert answer(web("p", minDomains=2), node("a", "x", web("1"))) == f"0/1 nodes are available: 1 {SKEW}."


@pytest.mark.parametrize(("policy", "found"), [("Honor", "a"), ("Ignore", None)])
def test_nodes_the_pod_may_not_use_count_only_if_their_affinity_is_ignored(policy: str, found: str | None) -> None:
    constraint = spread("web", nodeAffinityPolicy=policy)
    wanted = pod("p", "web", nodeSelector={ZONE: "x"}, topologySpreadConstraints=[constraint])
    assert (answer(wanted, node("a", "x", web("1")), node("b", "y")) == "a") == (found == "a")


@pytest.mark.parametrize(("policy", "fits"), [("Honor", True), ("Ignore", False)])
def test_tainted_nodes_count_unless_taints_are_honoured(policy: str, *, fits: bool) -> None:
    tainted = node("b", "y", taints=[{"key": "k", "effect": "NoSchedule"}])
    found = answer(web("p", nodeTaintsPolicy=policy), node("a", "x", web("1")), tainted)
    assert (found == "a") == fits


def test_match_label_keys_count_one_revision() -> None:
    constraint = spread("web", HOST, matchLabelKeys=["rev"])
    old = pod("o", "web", labels={"rev": "1"})
    wanted = pod("p", "web", labels={"rev": "2"}, cpu="1", topologySpreadConstraints=[constraint])
    assert answer(wanted, node("a", "", old), node("b", "", pod("big", cpu="2"))) == "a"


def test_pods_that_are_going_and_other_namespaces_do_not_count() -> None:
    gone = {"deletionTimestamp": "2030-01-01T00:00:00Z"}
    wanted = pod("p", "web", cpu="1", topologySpreadConstraints=[spread("web")])
    leaving, foreign = pod("1", "web", metadata=gone), pod("2", "web", namespace="other")
    assert answer(wanted, node("a", "x", leaving, foreign), node("b", "y", pod("big", cpu="2"))) == "a"


def test_schedule_anyway_prefers_but_does_not_gate() -> None:
    wanted = web("p", whenUnsatisfiable="ScheduleAnyway")
    assert answer(wanted, node("a", "x", web("1")), node("b", "y", pod("other", cpu="1m"))) == "b"
    assert answer(wanted, node("a", "x", web("1"), web("2"))) == "a"
