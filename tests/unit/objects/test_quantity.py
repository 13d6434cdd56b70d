"""Quantities: canonical text, order, sums."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knarr.base.errors import Invalid
from knarr.objects import quantity


@pytest.mark.parametrize(
    ("given_text", "canonical"),
    [
        ("1", "1"), ("0", "0"), ("0.5", "500m"), ("1000m", "1"), ("1024", "1024"), ("1024Ki", "1Mi"), ("1Gi", "1Gi"),
        ("1e100", "10e99"),
        ("1500Mi", "1500Mi"), ("2048Mi", "2Gi"), ("1e3", "1e3"), ("1.5Gi", "1536Mi"), ("100u", "100u"), ("1000", "1k"),
        ("-1", "-1"), ("0.5Ki", "512"), ("1n", "1n"), ("12e6", "12e6"),
    ],
)  # fmt: skip
def test_the_canonical_text(given_text: str, canonical: str) -> None:
    assert quantity.parse(quantity.canonical(given_text)) == quantity.parse(given_text)
    assert quantity.canonical(given_text) == canonical


@pytest.mark.parametrize(
    "text", ["", "x", "1x", "1.2.3", "1 ", " 1", "1e", "1Kib", "--1", "1e9999", "\u0661", "9" * 65]
)
def test_what_go_refuses_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="quantities must match"):
        quantity.canonical(text)


TEXTS = st.builds(
    lambda number, suffix: f"{number}{suffix}",
    st.integers(-(10**6), 10**6),
    st.sampled_from(["", "m", "k", "M", "G", "Ki", "Mi", "Gi"]),
)


@given(TEXTS, TEXTS)
def test_order_and_sum_are_those_of_the_numbers(left: str, right: str) -> None:
    difference = quantity.parse(left) - quantity.parse(right)
    assert quantity.compare(left, right) == (difference > 0) - (difference < 0)
    assert quantity.parse(quantity.add(left, right)) == quantity.parse(left) + quantity.parse(right)


@given(TEXTS)
def test_canonical_is_stable_and_keeps_the_value(text: str) -> None:
    once = quantity.canonical(text)
    assert quantity.canonical(once) == once
    assert quantity.parse(once) == quantity.parse(text)


def test_counting_rounds_up() -> None:
    assert (quantity.milli("1n"), quantity.whole("1500m"), quantity.parse("1m")) == (1, 2, Fraction(1, 1000))
