"""Archives: what is saved is loaded again; broken and hostile ones are refused and give no name."""

import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from knarr.base.errors import Invalid, KnarrError, NotFound
from knarr.images import archives
from knarr.oci import digest as digests
from knarr.oci import image_config, manifest
from knarr.oci.image_config import ImageConfig, RootFs
from tests.unit.images.archive import archive, entry, symlink
from tests.unit.images.made import Made, made


async def stream(body: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def saved(images: Made, *texts: str) -> bytes:
    return b"".join([chunk async for chunk in archives.save(images.store, texts)])


def docker_archive(**row: object) -> bytes:
    """A docker archive of one image with one layer, its members under docker's old names."""
    layer = archive(entry("file", b"x"))
    config = image_config.encode(ImageConfig(rootfs=RootFs(diff_ids=(digests.of(layer),))))
    described = {"Config": "abc.json", "RepoTags": ["web:v1"], "Layers": ["1/layer.tar"], **row}
    return archive(
        entry("1/layer.tar", layer),
        symlink("2/layer.tar", "../1/layer.tar"),
        symlink("loop", "loop"),
        entry("abc.json", config),
        entry("manifest.json", json.dumps([described]).encode()),
        entry("repositories", b"{}"),
    )


@pytest.mark.parametrize("packed", [False, True])
async def test_what_is_saved_is_loaded_elsewhere(images: Made, tmp_path: Path, packed: bool) -> None:
    first, second = images.image("nginx", "a", "b"), images.image("localhost:5000/web:v1", "a")
    body = await saved(images, "nginx", "localhost:5000/web:v1")
    elsewhere = made(tmp_path / "elsewhere")
    loaded = await archives.load(elsewhere.store, stream(gzip.compress(body) if packed else body))
    assert [(name.reference, name.digest) for name in loaded] == [
        (first.reference, first.digest),
        (second.reference, second.digest),
    ]
    assert all(name.origin == "loaded" for name in loaded)
    assert elsewhere.store.resolve("nginx") == images.store.resolve("nginx")
    elsewhere.content.close()


async def test_saving_twice_gives_the_same_bytes(images: Made) -> None:
    images.image("nginx", "a")
    assert await saved(images, "nginx") == await saved(images, "nginx")


async def test_saving_what_is_not_here_fails_before_the_first_byte(images: Made) -> None:
    with pytest.raises(NotFound):
        await saved(images, "nothing")


async def test_an_image_without_a_name_is_kept_by_its_digest(images: Made, tmp_path: Path) -> None:
    images.image("nginx", "a")
    body = await saved(images, images.store.resolve("nginx").id)
    elsewhere = made(tmp_path / "elsewhere")
    names = await archives.load(elsewhere.store, stream(body))
    assert [name.reference for name in names] == [f"{archives.UNNAMED}@{names[0].digest}"]
    elsewhere.content.close()


async def test_a_docker_archive_keeps_its_configuration(images: Made) -> None:
    names = await archives.load(images.store, stream(docker_archive()))
    assert [name.reference for name in names] == ["docker.io/library/web:v1"]
    image = images.store.resolve("web:v1")
    assert [layer.media_type for layer in image.manifest.layers] == [manifest.OCI_LAYER]
    await archives.load(images.store, stream(docker_archive(RepoTags=["linked:1"], Layers=["2/layer.tar"])))
    assert images.store.resolve("linked:1").id == image.id


REFUSED = {
    "nothing": b"",
    "no tar": b"x" * 5000,
    "no image": archive(entry("readme", b"x")),
    "index that is no index": archive(entry("index.json", b"[]")),
    "index of nothing": archive(entry("index.json", b'{"schemaVersion":2,"manifests":[]}')),
    "manifest that is no list": archive(entry("manifest.json", b"{}")),
    "blob with a wrong digest": archive(entry("blobs/sha256/" + "0" * 64, b"x")),
    "layer that is not there": docker_archive(Layers=["3/layer.tar"]),
    "layer outside": docker_archive(Layers=["../../etc/passwd"]),
    "layer in a loop": docker_archive(Layers=["loop"]),
    "too many layers": docker_archive(Layers=["1/layer.tar", "1/layer.tar"]),
    "configuration that is not there": docker_archive(Config="none.json"),
    "configuration that is a layer": docker_archive(Config="1/layer.tar"),
    "name that is none": docker_archive(RepoTags=["NOT A NAME"]),
    "cut short": docker_archive()[:3000],
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_broken_archive_gives_no_name(images: Made, case: str) -> None:
    with pytest.raises((Invalid, KnarrError)):
        await archives.load(images.store, stream(REFUSED[case]))
    assert len(images.names) == 0
