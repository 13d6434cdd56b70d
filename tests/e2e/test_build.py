"""Dockerfiles built for real: overlayfs, containers, layers. Needs root, a runtime and a static busybox."""

import os
import shutil
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from knarr.images.image_store import Image
from tests.e2e import build_node
from tests.e2e.build_node import Node

BUSYBOX = shutil.which("busybox")
pytestmark = pytest.mark.skipif(os.getuid() != 0 or BUSYBOX is None, reason="needs root and busybox-static")

BASE = """FROM scratch AS base
COPY busybox /bin/busybox
RUN ["/bin/busybox", "sh", "-c", "/bin/busybox mkdir -p /etc /tmp && /bin/busybox --install -s /bin"]
ENV PATH=/bin
"""


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with build_node.node(tmp_path) as running:
        yield running


@pytest.fixture
def context(tmp_path: Path) -> Path:
    directory = tmp_path / "context"
    directory.mkdir()
    assert BUSYBOX is not None
    shutil.copy(BUSYBOX, directory / "busybox")
    return directory


def tree(node: Node, image: Image, *, skip: int = 0) -> dict[str, str]:
    """The files of the image's layers but the first `skip`, as `mode uid:gid text`."""
    found: dict[str, str] = {}
    for layer in image.manifest.layers[skip:]:
        with tarfile.open(node.images.content.path(layer.digest)) as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isreg() else None
                text = file.read(200).decode(errors="replace") if file is not None else member.linkname
                found[member.name] = f"{member.mode:o} {member.uid}:{member.gid} {text}".strip()
    return found


async def test_scratch_copy_and_run_make_an_image(node: Node, context: Path) -> None:
    (context / "Dockerfile").write_text(BASE + 'RUN echo hello > /hello && id -u > /uid\nCMD ["sh"]\n')
    image = await node.build(context)
    files = tree(node, image, skip=2)
    assert files == {"hello": "644 0:0 hello", "uid": "644 0:0 0"}
    assert image.config.config.cmd == ("sh",)
    layers = [entry for entry in image.config.history if not entry.empty_layer]
    assert len(layers) == len(image.config.rootfs.diff_ids) == 3
    assert node.outcomes() == ["done"] * 3
