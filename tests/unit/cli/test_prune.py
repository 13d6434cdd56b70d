"""What `knarr prune` asks of the node."""

import argparse
from typing import Any

import pytest

from knarr.base.errors import Invalid
from knarr.cli import prune


def asked(*words: str) -> dict[str, Any]:
    parser = argparse.ArgumentParser()
    prune.configure(parser)
    return prune.body(parser.parse_args(words))


def test_filters_and_sizes_bound_the_build_cache() -> None:
    assert asked() == {}
    assert asked("--all")["cache_age_seconds"] == 0.0
    assert asked("--filter", "until=1h30m")["cache_age_seconds"] == 5400.0
    assert asked("--keep-storage", "10GB") == {
        "cache_bytes_max": 10**10, "grace_seconds": 0.0, "cache_age_seconds": None,
    }  # fmt: skip
    assert asked("--filter", "until=2d", "--keep-storage", "1.5m")["cache_bytes_max"] == 1_500_000


@pytest.mark.parametrize("words", [("--filter", "label=x"), ("--filter", "until=soon"), ("--keep-storage", "lots")])
def test_what_is_not_understood_is_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(Invalid):
        asked(*words)
