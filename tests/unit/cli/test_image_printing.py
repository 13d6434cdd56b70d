"""Ages, the images table and plain build progress."""

import io
from contextlib import redirect_stderr
from datetime import UTC, datetime

import pytest

from knarr.cli import build_progress, images
from knarr.cli.ages import age

NOW = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31T12:00:00Z", "now"),
        ("2026-01-31T11:59:59Z", "1 second ago"),
        ("2026-01-31T10:00:00+00:00", "2 hours ago"),
        ("2026-01-03T12:00:00Z", "4 weeks ago"),
        ("2020-01-01T00:00:00Z", "6 years ago"),
        ("2027-01-01T00:00:00Z", "now"),
        ("", ""),
        ("nonsense", ""),
        ("2026-01-31T12:00:00", ""),
    ],
)
def test_an_age_is_said_as_people_do(text: str, expected: str) -> None:
    assert age(text, NOW) == expected


def test_repository_and_tag_stand_three_spaces_apart() -> None:
    row = {
        "repository": "localhost:5000/time-date",
        "tag": "v2",
        "digest": "sha256:" + "d" * 64,
        "id": "sha256:" + "1" * 64,
        "created": "",
        "size": 1_234_567,
    }
    table = images.table([row], with_digests=False, now=NOW).splitlines()
    assert "localhost:5000/time-date   v2    111111111111" in table[1]
    assert table[1].endswith("1.235MB")


def test_plain_progress_has_a_line_for_each_thing() -> None:
    plain, out = build_progress.Plain(), io.StringIO()
    with redirect_stderr(out):
        plain.see({"step": 1, "title": "[a 1/2] COPY x /"})
        plain.see({"step": 1, "outcome": "cached", "seconds": 0.0})
        plain.see({"step": 2, "title": "[a 2/2] RUN make"})
        plain.see({"step": 2, "stream": 1, "output": "one\ntw"})
        plain.see({"step": 2, "stream": 2, "output": "o\x1b[2J\nrest"})
        plain.see({"warning": "careful"})
        plain.see({"step": 2, "outcome": "done", "seconds": 1.234})
    assert out.getvalue().splitlines() == [
        "#1 [a 1/2] COPY x / CACHED",
        "#2 [a 2/2] RUN make",
        "#2 | one",
        "#2 | two\\x1b[2J",
        "warning: careful",
        "#2 | rest",
        "#2 DONE 1.23s",
    ]
