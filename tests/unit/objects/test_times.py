"""Times: what Go reads is written as Go writes it, and what Go refuses is refused in its words."""

import pytest

from knarr.base.errors import Invalid
from knarr.kinds import registry, schemas
from knarr.objects import times
from knarr.objects.decoding import WrongType, decoded

AS = ' as "2006-01-02T15:04:05Z07:00": cannot parse '
AS_MICRO = ' as "2006-01-02T15:04:05.000000Z07:00": cannot parse '


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2026-11-23T14:00:00Z", "2026-11-23T14:00:00Z"),
        ("2024-02-29T23:59:59Z", "2024-02-29T23:59:59Z"),
        ("2026-11-23T14:00:00.987654321Z", "2026-11-23T14:00:00Z"),
        ("2026-11-23T14:00:00,5Z", "2026-11-23T14:00:00Z"),
        ("2026-11-23T00:30:00+01:00", "2026-11-22T23:30:00Z"),
        ("2026-11-23T4:00:00-00:30", "2026-11-23T04:30:00Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("9999-12-31T22:00:00-01:00", "9999-12-31T23:00:00Z"),
    ],
)
def test_a_time_is_written_in_utc_without_a_fraction(text: str, written: str) -> None:
    assert times.canonical(text, times.SECONDS) == written


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", f'{AS}"" as "2006"'),
        ("yesterday", f'{AS}"yesterday" as "2006"'),
        ("2026", f'{AS}"" as "-"'),
        ("2026-1-01T00:00:00Z", f'{AS}"1-01T00:00:00Z" as "01"'),
        ("2026-13-99T00:00:00Z", ": month out of range"),
        ("2026-00-01T00:00:00Z", ": month out of range"),
        ("2026-12-99T00:00:00Z", ": day out of range"),
        ("2026-02-29T00:00:00Z", ": day out of range"),
        ("2026-01-00T00:00:00Z", ": day out of range"),
        ("2026-01-01", f'{AS}"" as "T"'),
        ("2026-01-01 00:00:00Z", f'{AS}" 00:00:00Z" as "T"'),
        ("2026-01-01t00:00:00z", f'{AS}"t00:00:00z" as "T"'),
        ("2026-01-01T24:00:00Z", ": hour out of range"),
        ("2026-01-01T00:60:00Z", ": minute out of range"),
        ("2026-01-01T00:00:60Z", ": second out of range"),
        ("2026-01-01T00:00:00", f'{AS}"" as "Z07:00"'),
        ("2026-01-01T00:00:00+0100", f'{AS}"+0100" as "Z07:00"'),
        ("2026-01-01T00:00:00+25:00", ": time zone offset hour out of range"),
        ("0000-01-01T00:00:00Z", ": year out of range"),
        ("0000-02-29T00:00:00Z", ": year out of range"),
        ("0000-01-01T0:00:00,5+07:00", ": year out of range"),
        ("0001-01-01T00:00:00+00:01", ": year out of range"),
        ("9999-12-31T23:00:00-02:00", ": year out of range"),
        ("2026-01-01T00:00:00Z\n", ': extra text: "\\x0a"'),
        ("２026-01-01T00:00:00Z", f'{AS}"\\xef\\xbc\\x92026-01-01T00:00:00Z" as "2006"'),
    ],
)  # fmt: skip
def test_what_is_no_time_is_refused_in_the_words_of_go(text: str, why: str) -> None:
    with pytest.raises(Invalid) as refused:
        times.canonical(text, times.SECONDS)
    quoted = text.replace("\n", "\\x0a").replace("２", "\\xef\\xbc\\x92")
    assert str(refused.value) == f'parsing time "{quoted}"{why}'


def test_a_micro_time_has_exactly_six_digits() -> None:
    assert times.canonical("2026-11-23T15:00:00.000001+01:00", times.MICROSECONDS) == "2026-11-23T14:00:00.000001Z"
    for text, rest, called in (
        ("2026-11-23T14:00:00Z", "Z", ".000000"),
        ("2026-11-23T14:00:00.123Z", ".123Z", ".000000"),
        ("2026-11-23T14:00:00.1234567Z", "7Z", "Z07:00"),
    ):
        with pytest.raises(Invalid) as refused:
            times.canonical(text, times.MICROSECONDS)
        assert str(refused.value) == f'parsing time "{text}"{AS_MICRO}"{rest}" as "{called}"'


def test_a_body_with_an_impossible_time_is_refused() -> None:
    lease = registry.row("coordination.k8s.io", "v1", "Lease")
    body = {"metadata": {"name": "x"}, "spec": {"renewTime": "2026-13-99T00:00:00.000000Z"}}
    with pytest.raises(WrongType, match=r'Lease: parsing time "[^"]*": month out of range$'):
        decoded(schemas.of(lease), "Lease", "v1", body)
