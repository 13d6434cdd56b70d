"""A full disk: the failure says so, nothing half done stays, and reading and deleting go on."""

import gzip
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from knarr.base.errors import Unavailable
from knarr.images import unpack
from knarr.images.content import add
from knarr.images.local_content import LocalContent
from knarr.images.memory_content import MemoryContent
from knarr.images.names import Names
from knarr.images.overlay import OverlaySnapshots
from knarr.oci import digest as digests
from knarr.oci.manifest import OCI_LAYER_GZIP, Descriptor
from knarr.registry.service import Registry
from knarr.wire.http import Request
from tests.unit.images.archive import archive, entry

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
LARGE = os.urandom(2 << 20)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=True, timeout=20)
    yield disk
    subprocess.run(["umount", "-l", disk], check=True, timeout=20)


def test_a_blob_that_does_not_fit_leaves_nothing(small_disk: Path) -> None:
    content = LocalContent(small_disk)
    kept = add(content, b"small")
    with pytest.raises(Unavailable, match="No space left"):
        add(content, LARGE)
    assert list(content.walk()) == [kept]
    assert list((small_disk / "ingest").iterdir()) == []
    content.delete(kept.digest)
    assert add(content, LARGE[: 512 << 10]).size == 512 << 10


def test_a_layer_that_does_not_fit_leaves_no_snapshot(small_disk: Path) -> None:
    content, snapshots = MemoryContent(), OverlaySnapshots(small_disk)
    body = archive(entry("large", LARGE))
    blob = add(content, gzip.compress(body, 1))
    layer = Descriptor(media_type=OCI_LAYER_GZIP, digest=blob.digest, size=blob.size)
    with pytest.raises(Unavailable, match=r"'large'.*No space left"):
        unpack.unpack_layers(content, snapshots, [layer], [digests.of(body)])
    assert snapshots.keys() == ()
    assert list((small_disk / "snapshots").iterdir()) == []
    content.close()


async def test_the_registry_says_unavailable_and_serves_on(small_disk: Path) -> None:
    content = LocalContent(small_disk)
    kept = add(content, b"small")
    registry = Registry(content, Names(), "localhost:5000")
    push = Request("POST", "/v2/web/blobs/uploads/", f"digest={digests.of(LARGE)}", body=LARGE)
    assert (await registry.handler(push)).status == 503
    assert (await registry.handler(Request("GET", f"/v2/web/blobs/{kept.digest}"))).status == 200
    assert list((small_disk / "ingest").iterdir()) == []
    registry.close()
