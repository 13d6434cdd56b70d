"""kill -9 at the worst moments: what is half done is never visible, and the next attempt succeeds."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from knarr.base import failpoints
from knarr.images.local_content import LocalContent
from knarr.images.names import Names
from knarr.images.overlay import OverlaySnapshots
from tests.unit.images.archive import archive, entry

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="layers have owners")

ADD = """
import sys
from pathlib import Path
from knarr.images.content import add
from knarr.images.image_store import ImageStore
from knarr.images.local_content import LocalContent
from knarr.images.names import Names
from knarr.images.overlay import OverlaySnapshots
from knarr.images.unpack import unpack_layers
from knarr.oci import digest, reference
from knarr.oci.manifest import OCI_LAYER, Descriptor

root = Path(sys.argv[1])
body = Path(sys.argv[2]).read_bytes()
content, snapshots, names = LocalContent(root), OverlaySnapshots(root), Names(root / "names.json")
blob = add(content, body)
layer = Descriptor(media_type=OCI_LAYER, digest=blob.digest, size=blob.size)
unpack_layers(content, snapshots, [layer], [blob.digest])
names.tag(reference.parse("web"), blob.digest, media_type=OCI_LAYER, size=blob.size, origin="built")
"""


@pytest.mark.parametrize(
    ("failpoint", "blobs"),
    [("content.before_rename", 0), ("snapshots.before_record", 1), ("images.before_snapshot_commit", 1)],
)
def test_a_kill_leaves_nothing_half_done(tmp_path: Path, failpoint: str, blobs: int) -> None:
    body = tmp_path / "layer.tar"
    body.write_bytes(archive(entry("file", b"x" * 100_000)))
    root = tmp_path / "store"
    assert add(root, body, {failpoints.ENVIRONMENT: f"{failpoint}=exit"}) == -signal.SIGKILL
    content, snapshots = LocalContent(root), OverlaySnapshots(root)
    assert len(list(content.walk())) == blobs
    assert snapshots.keys() == ()
    assert len(Names(root / "names.json")) == 0
    assert add(root, body, {}) == 0
    snapshots = OverlaySnapshots(root)
    assert [snapshots.is_committed(key) for key in tuple(snapshots.keys())] == [True]
    assert len(Names(root / "names.json")) == 1
    assert list((root / "ingest").iterdir()) == []
    assert len(list((root / "snapshots").iterdir())) == len(list((root / "l").iterdir())) == 1


def add(root: Path, body: Path, environment: dict[str, str]) -> int:
    """Exit status of a process that stores, unpacks and names one layer."""
    source = str(Path(__file__).parents[3] / "src")
    done = subprocess.run(
        [sys.executable, "-c", ADD, str(root), str(body)],
        env={**os.environ, "PYTHONPATH": source, **environment},
        check=False,
        timeout=30,
    )
    return done.returncode
