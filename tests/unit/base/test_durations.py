"""Durations as Go reads and prints them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knarr.base import durations
from knarr.base.errors import Invalid


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("0", 0), ("-0", 0), ("5s", 5 * 10**9), ("1h30m", 5400 * 10**9), ("1.5s", 15 * 10**8), (".5ms", 500_000),
        ("1.s", 10**9), ("-2m", -120 * 10**9), ("+1us", 1000), ("1µs", 1000), ("1m0.25s", 60_250_000_000),
    ],
)  # fmt: skip
def test_a_duration_is_read(text: str, found: int) -> None:
    assert durations.nanoseconds(text) == found


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", 'time: invalid duration ""'),
        ("3", 'time: missing unit in duration "3"'),
        ("1d", 'time: unknown unit "d" in duration "1d"'),
        ("s", 'time: invalid duration "s"'),
        (".s", 'time: invalid duration ".s"'),
        ("1s ", 'time: unknown unit "s " in duration "1s "'),
        ("٣s", 'time: invalid duration "٣s"'),
        ("9999999999h", 'time: invalid duration "9999999999h"'),
        ("--1s", 'time: invalid duration "--1s"'),
    ],
)
def test_what_is_none_is_refused_as_go_refuses_it(text: str, fault: str) -> None:
    with pytest.raises(Invalid) as refused:
        durations.nanoseconds(text)
    assert str(refused.value) == fault


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (0, "0s"), (1, "1ns"), (1100, "1.1µs"), (350 * 10**6, "350ms"), (1500 * 10**6, "1.5s"), (80 * 10**9, "1m20s"),
        (300 * 10**9, "5m0s"), (3600 * 10**9, "1h0m0s"), (-(10**9), "-1s"), (3_661_000_000_001, "1h1m1.000000001s"),
    ],
)  # fmt: skip
def test_a_duration_is_printed(duration: int, text: str) -> None:
    assert durations.shown(duration) == text


@given(st.integers(-(2**63) + 1, 2**63 - 1))
def test_what_is_printed_is_read_back(duration: int) -> None:
    assert durations.nanoseconds(durations.shown(duration)) == duration
