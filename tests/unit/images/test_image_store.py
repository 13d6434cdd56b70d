"""The image store: what a text means here, when an image is whole, and what forgetting a name takes along."""

import asyncio
import gzip
import os

import pytest

from knarr.base.errors import Conflict, Invalid, NotFound
from knarr.images import unpack
from knarr.images.content import add
from knarr.oci import image_config, manifest
from knarr.oci import reference as references
from knarr.oci.image_config import ImageConfig, RootFs
from knarr.oci.manifest import Manifest
from knarr.oci.reference import Reference
from tests.unit.images.archive import archive, entry
from tests.unit.images.made import Made

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="layers have owners")


def test_an_image_is_found_by_every_text_that_means_it(images: Made) -> None:
    name = images.image("nginx", "a", "b")
    image = images.store.resolve("nginx")
    texts = [
        "nginx:latest",
        "docker.io/library/nginx",
        f"nginx@{name.digest}",
        image.id,
        image.id.removeprefix("sha256:"),
        image.id[:19],
        image.id[7:19],
        name.digest,
    ]
    assert [images.store.resolve(text) for text in texts] == [image] * len(texts)
    assert (image.digest, image.name_digest, len(image.manifest.layers)) == (name.digest, name.digest, 2)


def test_what_is_not_here_is_not_found(images: Made) -> None:
    images.image("nginx")
    for text in ("other", "nginx:2", "sha256:" + "0" * 64, "0123456789ab"):
        assert images.store.find(text) is None
        with pytest.raises(NotFound):
            images.store.resolve(text)
    with pytest.raises(Invalid):
        images.store.find("NOT A NAME")


def test_an_image_that_lacks_a_blob_is_not_whole(images: Made) -> None:
    images.image("nginx", "a", "b")
    images.content.delete(images.store.resolve("nginx").manifest.layers[0].digest)
    assert images.store.find("nginx") is None
    assert images.store.all_images() == []


def test_an_index_means_the_image_for_this_platform(images: Made) -> None:
    mine, other = images.manifest("a"), images.manifest("b", architecture="arm64")
    images.store.add(references.parse("multi"), images.index(arm64=other, amd64=mine), "loaded")
    assert images.store.resolve("multi").digest == mine
    assert images.store.resolve("multi").name_digest not in (mine, other)


def test_an_image_for_another_platform_is_listed_by_nobody(images: Made) -> None:
    images.store.add(
        references.parse("foreign"), images.index(arm64=images.manifest("b", architecture="arm64")), "loaded"
    )
    assert images.store.all_images() == []
    assert images.store.find("foreign") is None


def test_an_artifact_is_no_image(images: Made) -> None:
    config = images.blob(b"{}", manifest.OCI_EMPTY)
    digest = images.store.put(Manifest(schema_version=2, media_type=manifest.OCI_MANIFEST, config=config))
    images.store.add(references.parse("chart"), digest, "pushed")
    assert images.store.all_images() == []


def test_tagging_gives_another_name(images: Made) -> None:
    name = images.image("nginx", "a", origin="pulled")
    assert images.store.tag("nginx", "localhost:5000/web:v1").digest == name.digest
    found = images.store.find_name("localhost:5000/web:v1")
    assert found is not None
    assert (found.origin, found.is_own) == ("tagged", True)
    with pytest.raises(NotFound):
        images.store.tag("nothing", "x")


def test_removing_a_name_leaves_the_others(images: Made) -> None:
    images.image("nginx", "a")
    images.store.tag("nginx", "web")
    assert [str(r) for r in images.store.remove("nginx")] == ["docker.io/library/nginx:latest"]
    assert images.store.find("web") is not None
    with pytest.raises(NotFound):
        images.store.remove("nginx")


def test_removing_by_id_asks_when_there_are_several_names(images: Made) -> None:
    images.image("nginx", "a")
    images.store.tag("nginx", "web")
    identity = images.store.resolve("web").id
    with pytest.raises(Conflict, match="2 names: nginx:latest, web:latest"):
        images.store.remove(identity)
    assert len(images.store.remove(identity, all_names=True)) == 2
    assert len(images.names) == 0


def test_a_digest_name_goes_with_the_last_tag_of_its_repository(images: Made) -> None:
    name = images.image("nginx:1", "a")
    images.store.tag("nginx:1", "nginx:2")
    images.store.tag("nginx:1", f"nginx@{name.digest}")
    images.store.remove("nginx:1")
    assert len(images.names) == 2
    images.store.remove("nginx:2")
    assert len(images.names) == 0


@needs_root
def test_a_signature_stays_while_another_name_keeps_what_it_is_about(images: Made) -> None:
    mine, other = images.manifest("a"), images.manifest("b", architecture="arm64")
    repository = references.parse("example.com/web:1")
    for tag, digest in (("1", images.index(arm64=other, amd64=mine)), ("mine", mine)):
        images.store.add(repository.tagged(tag), digest, "pulled")
    of_mine, of_other = images.signature(mine), images.signature(other)
    countersigned = images.signature(of_mine)
    for digest in (of_mine, of_other, countersigned):
        images.store.add(Reference(repository.domain, repository.path, digest=digest), digest, "pulled")
    for subject in (mine, other):
        images.store.add(repository.tagged(f"{subject.replace(':', '-')}.sig"), images.signature(None), "pulled")
    assert len(images.store.remove("example.com/web:1")) == 3  # itself, and what was about the other platform
    kept = {name.digest for name in images.names if not name.parsed.tag}
    assert kept == {of_mine, countersigned}
    assert len(images.store.remove("example.com/web:mine")) == 4
    assert list(images.names) == []


async def test_an_image_is_unpacked_once_however_many_ask(images: Made) -> None:
    images.image("nginx", "a", "b")
    image = images.store.resolve("nginx")
    keys = await asyncio.gather(*(images.store.unpacked(image) for _ in range(8)))
    assert set(keys) == {image.chain_id}
    assert len(images.snapshots.keys()) == 2
    assert os.listdir(images.snapshots.upper(image.chain_id)) == ["b"]
    for layer in image.manifest.layers:
        images.content.delete(layer.digest)
    assert await images.store.unpacked(images.store.resolve("nginx")) == image.chain_id


async def test_an_image_without_layers_is_the_empty_snapshot(images: Made) -> None:
    images.image("scratch")
    assert await images.store.unpacked(images.store.resolve("scratch")) == ""


@needs_root
@pytest.mark.parametrize("fault", ["diff id", "size", "count", "hostile"])
async def test_a_layer_that_is_not_what_was_promised_leaves_no_snapshot(images: Made, fault: str) -> None:
    layer, diff_id = images.layer("a")
    if fault == "diff id":
        diff_id = images.layer("b")[1]
    if fault == "size":
        layer = type(layer)(media_type=layer.media_type, digest=layer.digest, size=layer.size + 1)
    if fault == "hostile":
        layer = images.blob(gzip.compress(archive(entry("../x", b"y"))), manifest.OCI_LAYER_GZIP)
    diff_ids = (diff_id, diff_id) if fault == "count" else (diff_id,)
    config = images.blob(image_config.encode(ImageConfig(rootfs=RootFs(diff_ids=diff_ids))), manifest.OCI_CONFIG)
    digest = images.store.put(
        Manifest(schema_version=2, media_type=manifest.OCI_MANIFEST, config=config, layers=(layer,))
    )
    with pytest.raises(Invalid):
        await images.store.unpacked(images.store.image(digest))
    assert images.snapshots.keys() == ()


@needs_root
def test_two_threads_that_unpack_the_same_layer_leave_one_snapshot(images: Made) -> None:
    layer, diff_id = images.layer("a")
    chain = unpack.unpack_layers(images.content, images.snapshots, [layer], [diff_id])
    images.snapshots.prepare("late", "")
    unpack.unpack_layers(images.content, images.snapshots, [layer], [diff_id])
    assert images.snapshots.keys() == (chain, "late")


async def test_garbage_is_what_no_name_and_no_holder_needs(images: Made) -> None:
    images.image("keep", "a")
    images.image("drop", "a", "b")
    held = add(images.content, b"held by the build cache").digest
    images.store.hold(lambda: ([held], []))
    images.store.remove("drop")
    assert (await images.store.collect(images.snapshots)).blobs == 0, "young blobs are left alone"
    assert (await images.store.collect(images.snapshots, 0)).blobs == 3
    assert images.store.find("keep") is not None
    assert images.content.info(held).size == 23


@needs_root
async def test_snapshots_go_when_neither_image_nor_container_stands_on_them(images: Made) -> None:
    images.image("drop", "a", "b")
    images.image("keep", "a", "c")
    drop, keep = images.store.resolve("drop"), images.store.resolve("keep")
    await images.store.unpacked(drop)
    await images.store.unpacked(keep)
    images.snapshots.prepare("container", drop.chain_id)
    images.store.remove("drop")
    assert (await images.store.collect(images.snapshots, 0)).snapshots == 0
    images.snapshots.remove("container")
    assert (await images.store.collect(images.snapshots, 0)).snapshots == 1
    assert images.snapshots.has(keep.chain_id)
    assert not images.snapshots.has(drop.chain_id)
