"""Which commit a checkout is at, however git keeps it."""

from pathlib import Path

import pytest

from knarr.base.checkout import commit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({"HEAD": f"{COMMIT}\n"}, COMMIT),
        ({"HEAD": "ref: refs/heads/main\n", "refs/heads/main": f"{COMMIT}\n"}, COMMIT),
        ({"HEAD": "ref: refs/heads/main\n", "packed-refs": f"# pack-refs\n{COMMIT} refs/heads/main\n"}, COMMIT),
        ({"HEAD": "ref: refs/heads/new\n", "packed-refs": f"{COMMIT} refs/heads/main\n"}, ""),
        ({"HEAD": "ref: refs/heads/new\n"}, ""),
        ({"HEAD": "what\n"}, ""),
        ({}, ""),
    ],
)
def test_the_commit_is_what_head_says(tmp_path: Path, files: dict[str, str], wanted: str) -> None:
    for name, text in files.items():
        path = tmp_path / ".git" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert commit(tmp_path) == wanted
