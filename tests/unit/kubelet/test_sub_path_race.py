"""A subPath while somebody exchanges a directory of the volume for a link that leads out of it (TRUST SEC-28).

KNARR_RACE_TRIES makes it a soak (the claim: 100,000 tries without an escape).
"""

import os
from pathlib import Path

import pytest

from knarr.base.errors import Invalid
from knarr.kubelet import mounting
from knarr.kubelet.volumes import sub_path
from tests.races.exchange import exchanged

TRIES = int(os.environ.get("KNARR_RACE_TRIES", "300"))
pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="needs root to mount")


@pytest.mark.parametrize("at", ["a", "a/deep", "a/deep/file"])
def test_no_exchange_leads_a_sub_path_out_of_its_volume(tmp_path: Path, at: str) -> None:
    volume, outside = tmp_path / "volume", tmp_path / "outside"
    for top, text in ((volume / "a", "inside"), (outside, "outside")):
        (top / "deep").mkdir(parents=True)
        (top / "deep" / "file").write_text(text)
    below = at.removeprefix("a").strip("/")
    (volume / "link").symlink_to(outside / below)
    found = {"inside": 0, "refused": 0}
    with exchanged(volume / at, volume / "link"):
        for _ in range(TRIES):
            found[_mounted(volume, tmp_path / "target")] += 1
    assert sum(found.values()) == TRIES
    assert found["inside"] > 0, "the attacker let nothing through"


def test_no_exchange_makes_a_directory_outside_of_the_volume(tmp_path: Path) -> None:
    volume, outside = tmp_path / "volume", tmp_path / "outside"
    (volume / "a").mkdir(parents=True)
    outside.mkdir()
    (volume / "link").symlink_to(outside)
    target = tmp_path / "target"
    with exchanged(volume / "a", volume / "link"):
        for number in range(TRIES):
            try:
                sub_path.prepare(volume, f"a/new-{number}/deep", target)
            except Invalid:
                continue
            mounting.unmount(target)
    assert list(outside.iterdir()) == []


def _mounted(volume: Path, target: Path) -> str:
    """What a container would read by the subPath, or "refused"."""
    try:
        sub_path.prepare(volume, "a/deep/file", target)
    except Invalid:
        return "refused"
    text = target.read_text()
    mounting.unmount(target)
    return text
