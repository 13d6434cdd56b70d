"""Pods that want company, and pods that want none."""

from typing import Any

import pytest

from tests.unit.scheduler.building import HOST, ZONE, answer, node, pod, preferred, required, term

AFFINITY = "0/1 nodes are available: 1 node(s) didn't match pod affinity rules."
ANTI_AFFINITY = "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules."
EXISTING = "0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules."


def near(*terms: dict[str, Any]) -> dict[str, Any]:
    return required("podAffinity", *terms)


def far(*terms: dict[str, Any]) -> dict[str, Any]:
    return required("podAntiAffinity", *terms)


def test_a_pod_goes_where_its_company_is() -> None:
    states = node("a", "x"), node("b", "y", pod("db", "db"))
    assert answer(pod("p", affinity=near(term("db"))), *states) == "b"


def test_company_in_the_zone_is_enough_for_a_zone_term() -> None:
    full = node("b", "y", pod("db", "db", cpu="2"))
    states = node("a", "x"), full, node("c", "y")
    assert answer(pod("p", affinity=near(term("db", ZONE)), cpu="1"), *states) == "c"


def test_without_company_a_pod_is_refused_in_upstreams_words() -> None:
    assert answer(pod("p", affinity=near(term("db"))), node("a", "", pod("web", "web"))) == AFFINITY


def test_all_terms_need_company_that_meets_all_of_them() -> None:
    both = near(term("db"), {"topologyKey": HOST, "labelSelector": {"matchLabels": {"tier": "1"}}})
    alone, meets = pod("d", "db"), pod("e", "db", labels={"tier": "1"})
    assert answer(pod("p", affinity=both), node("a", "", alone, pod("t", labels={"tier": "1"}))) == AFFINITY
    assert answer(pod("p", affinity=both), node("a", "", meets)) == "a"


def test_the_first_of_a_group_is_its_own_company_but_needs_the_label() -> None:
    assert answer(pod("p", "web", affinity=near(term("web"))), node("a")) == "a"
    assert answer(pod("p", "web", affinity=near(term("web", ZONE))), node("a")) == AFFINITY


def test_a_pod_keeps_away_from_those_it_avoids() -> None:
    avoids = pod("p", affinity=far(term("db")))
    assert answer(avoids, node("a", "", pod("d", "db"))) == ANTI_AFFINITY
    assert answer(avoids, node("a", "", pod("d", "db")), node("b")) == "b"


def test_a_placed_pod_keeps_others_away() -> None:
    hermit = pod("h", affinity=far(term("web", ZONE)))
    assert answer(pod("p", "web"), node("a", "x", hermit)) == EXISTING
    assert answer(pod("p", "web"), node("a", "x", hermit), node("b", "x"), node("c", "y")) == "c"


@pytest.mark.parametrize(
    ("more", "is_met"),
    [
        ({}, False),
        ({"namespaces": ["other"]}, True),
        ({"namespaceSelector": {}}, True),
        ({"namespaceSelector": {"matchLabels": {"team": "a"}}}, True),
        ({"namespaceSelector": {"matchLabels": {"team": "b"}}}, False),
    ],
)
def test_a_term_looks_into_the_namespaces_it_names(more: dict[str, Any], *, is_met: bool) -> None:
    there = node("a", "", pod("d", "db", namespace="other"))
    found = answer(pod("p", affinity=near(term("db", **more))), there, other={"team": "a"})
    assert found == ("a" if is_met else AFFINITY)


def test_match_label_keys_narrow_a_term_to_the_pods_own_revision() -> None:
    keyed = far(term("web", matchLabelKeys=["rev"]))
    old, new = pod("o", "web", labels={"rev": "1"}), pod("n", "web", labels={"rev": "2"})
    asks = pod("p", "web", labels={"rev": "2"}, affinity=keyed)
    assert (answer(asks, node("a", "", old)), answer(asks, node("a", "", new))) == ("a", ANTI_AFFINITY)


def test_mismatch_label_keys_mean_the_others() -> None:
    keyed = far(term("web", mismatchLabelKeys=["tenant"]))
    asks = pod("p", "web", labels={"tenant": "1"}, affinity=keyed)
    mine, theirs = pod("m", "web", labels={"tenant": "1"}), pod("t", "web", labels={"tenant": "2"})
    assert (answer(asks, node("a", "", mine)), answer(asks, node("a", "", theirs))) == ("a", ANTI_AFFINITY)


def test_a_term_without_selector_means_nobody() -> None:
    assert answer(pod("p", affinity=far({"topologyKey": HOST})), node("a", "", pod("d", "db"))) == "a"


def test_preferred_company_draws_and_disliked_company_repels() -> None:
    states = node("a", "", pod("d", "db")), node("b", "", pod("w", "web"))
    assert answer(pod("p", affinity=preferred("podAffinity", 10, term("web"))), *states) == "b"
    assert answer(pod("p", affinity=preferred("podAntiAffinity", 10, term("db"))), *states) == "b"


def test_placed_pods_draw_those_whom_they_like() -> None:
    fan = pod("fan", affinity=preferred("podAffinity", 50, term("web")))
    assert answer(pod("p", "web"), node("a"), node("b", "", fan)) == "b"
