"""Which blobs of a cache directory go to the node."""

import json
from pathlib import Path

import pytest

from knarr.base.errors import Invalid
from knarr.cli import build_caches

MANIFEST, CONFIG, LAYER, OTHER = ("sha256:" + digit * 64 for digit in "abcd")


def directory(root: Path, manifest: object) -> Path:
    blobs = root / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for digest in (CONFIG, LAYER, OTHER):
        (blobs / digest[7:]).write_bytes(b"content")
    (blobs / MANIFEST[7:]).write_text(json.dumps(manifest))
    return root


def test_the_node_is_sent_what_the_manifest_names_and_no_other_cache(tmp_path: Path) -> None:
    manifest = {"config": {"digest": CONFIG}, "layers": [{"digest": LAYER}, {"digest": LAYER}]}
    sent = build_caches._blobs(directory(tmp_path, manifest), MANIFEST)
    assert sent == [f"blobs/sha256/{digest[7:]}" for digest in (MANIFEST, CONFIG, LAYER)]


@pytest.mark.parametrize(
    "manifest", [[], {}, {"config": 1, "layers": []}, {"config": {"digest": "../x"}, "layers": []}]
)
def test_a_foreign_manifest_is_refused(tmp_path: Path, manifest: object) -> None:
    with pytest.raises(Invalid):
        build_caches._blobs(directory(tmp_path, manifest), MANIFEST)


@pytest.mark.parametrize("digest", ["", "sha256:../../etc/passwd", "md5:aa"])
def test_no_digest_leads_out_of_the_directory(tmp_path: Path, digest: str) -> None:
    with pytest.raises(Invalid):
        build_caches._blobs(tmp_path, digest)


def test_a_blob_that_is_not_there_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    missing = {"config": {"digest": CONFIG}, "layers": [{"digest": "sha256:" + "e" * 64}]}
    with pytest.raises(FileNotFoundError):
        build_caches._blobs(directory(tmp_path, missing), MANIFEST)
