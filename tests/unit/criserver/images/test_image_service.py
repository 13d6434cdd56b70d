"""The CRI's ImageService: images by id with all their names, found here first, removed with what nothing needs."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from knarr.base.errors import Invalid, NotFound, Unavailable
from knarr.cri.messages.config import ImageSpec, Int64Value
from knarr.cri.messages.image import (
    AuthConfig,
    ImageFilter,
    ImageFsInfoRequest,
    ImageStatusRequest,
    ListImagesRequest,
    PullImageRequest,
    RemoveImageRequest,
    StreamImagesRequest,
)
from knarr.criserver.images.pull import credentials_of
from knarr.criserver.images.service import ImageServer
from knarr.images.credentials import Credentials
from knarr.images.pull import Puller
from knarr.oci.reference import parse
from knarr.wire.http_client import Client
from tests.unit.images.made import Made, made

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="layers have owners")


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[tuple[Made, ImageServer]]:
    images = made(tmp_path)
    client = Client()
    puller = Puller(images.store, client)
    yield images, ImageServer(images.store, puller, images.snapshots, root=tmp_path, own_domain="localhost:5000")
    await client.close()
    images.content.close()


Node = tuple[Made, ImageServer]


def spec(text: str) -> ImageSpec:
    return ImageSpec(image=text)


async def test_an_image_is_listed_once_with_all_its_names(node: Node) -> None:
    images, server = node
    name = images.image("nginx", "a", user="1000:2000")
    images.store.tag("nginx", "localhost:5000/web:v1")
    images.image("other", "b", user="nobody")
    listed = (await server.list_images(ListImagesRequest())).images
    by_user = {image.username or str(image.uid.value if image.uid else ""): image for image in listed}
    assert set(by_user) == {"1000", "nobody"}
    nginx = by_user["1000"]
    assert nginx.uid == Int64Value(value=1000)
    assert nginx.repo_tags == ("docker.io/library/nginx:latest", "localhost:5000/web:v1")
    assert nginx.repo_digests == (f"docker.io/library/nginx@{name.digest}", f"localhost:5000/web@{name.digest}")
    assert nginx.id == images.store.resolve("nginx").id
    assert nginx.size > 0
    filtered = await server.list_images(ListImagesRequest(filter=ImageFilter(image=spec("nginx"))))
    assert filtered.images == (nginx,)
    streamed = [part async for part in server.stream_images(StreamImagesRequest())]
    assert [image for part in streamed for image in part.images] == list(listed)


async def test_the_status_of_an_image_that_is_not_here_is_empty(node: Node) -> None:
    _, server = node
    assert (await server.image_status(ImageStatusRequest(image=spec("nginx")))).image is None
    assert (await server.list_images(ListImagesRequest(filter=ImageFilter(image=spec("nginx"))))).images == ()


async def test_the_verbose_status_says_how_the_name_came(node: Node) -> None:
    images, server = node
    images.image("nginx", origin="built")
    status = await server.image_status(ImageStatusRequest(image=spec("nginx"), verbose=True))
    assert status.info["origin"] == "built"
    by_id = await server.image_status(ImageStatusRequest(image=spec(images.store.resolve("nginx").id), verbose=True))
    assert by_id.image == status.image


async def test_an_image_is_the_same_by_id_by_every_name_and_by_digest(node: Node) -> None:
    images, server = node
    name = images.image("localhost:5000/web:v1", "a")
    images.store.tag("localhost:5000/web:v1", "other.example/web:v2")
    told = (await server.image_status(ImageStatusRequest(image=spec("localhost:5000/web:v1")))).image
    assert told is not None
    texts = (told.id, told.id.removeprefix("sha256:"), *told.repo_tags, *told.repo_digests)
    assert f"other.example/web@{name.digest}" in texts
    for text in texts:
        assert (await server.image_status(ImageStatusRequest(image=spec(text)))).image == told, text


async def test_an_image_pulled_by_its_digest_has_no_tag(node: Node) -> None:
    images, server = node
    digest = images.manifest("a")
    reference = f"localhost:1/web@{digest}"
    images.store.add(parse(reference), digest, "pulled")
    told = (await server.image_status(ImageStatusRequest(image=spec(reference)))).image
    assert told is not None
    assert (told.repo_tags, told.repo_digests) == ((), (reference,))


async def test_many_removals_at_once_all_succeed_and_none_leaves_the_image(node: Node) -> None:
    images, server = node
    images.image("nginx", "a")
    image = images.store.resolve("nginx").id

    async def remove() -> bool:
        await server.remove_image(RemoveImageRequest(image=spec(image)))
        return (await server.image_status(ImageStatusRequest(image=spec(image)))).image is None

    assert await asyncio.gather(*(remove() for _ in range(5))) == [True] * 5
    assert (await server.list_images(ListImagesRequest())).images == ()


@needs_root
@pytest.mark.parametrize("origin", ["built", "tagged", "loaded", "pushed"])
async def test_what_was_made_here_is_pulled_without_a_network(node: Node, origin: str) -> None:
    images, server = node
    images.image("nginx", "a", origin=origin)  # type: ignore[arg-type]  # one of the Origins
    image = images.store.resolve("nginx")
    assert (await server.pull_image(PullImageRequest(image=spec("nginx")))).image_ref == image.id
    assert images.snapshots.has(image.chain_id)


async def test_what_was_pulled_is_asked_for_again(node: Node) -> None:
    images, server = node
    images.image("localhost:1/web:v1", origin="pulled")
    with pytest.raises(Unavailable, match='failed to pull image "localhost:1/web:v1"'):
        await server.pull_image(PullImageRequest(image=spec("localhost:1/web:v1")))


async def test_what_was_pulled_is_asked_for_again_by_its_digest_too(node: Node) -> None:
    images, server = node
    name = images.image("localhost:1/web:v1", origin="pulled")
    images.store.add(parse(f"localhost:1/web@{name.digest}"), name.digest, "pulled")
    with pytest.raises(Unavailable, match="failed to pull image"):
        await server.pull_image(PullImageRequest(image=spec(f"localhost:1/web@{name.digest}")))


async def test_the_nodes_own_registry_is_not_asked_over_the_network(node: Node) -> None:
    _, server = node
    with pytest.raises(NotFound, match=r"localhost:5000/web:v1.*no such image"):
        await server.pull_image(PullImageRequest(image=spec("localhost:5000/web:v1")))
    with pytest.raises(Invalid):
        await server.pull_image(PullImageRequest())
    with pytest.raises(Invalid):
        await server.pull_image(PullImageRequest(image=spec("NOT A NAME")))


async def test_removing_takes_all_names_and_the_absent_is_no_error(node: Node) -> None:
    images, server = node
    images.image("nginx", "a")
    images.store.tag("nginx", "web")
    await server.remove_image(RemoveImageRequest(image=spec("web")))
    assert len(images.names) == 0
    await server.remove_image(RemoveImageRequest(image=spec("web")))
    await server.remove_image(RemoveImageRequest(image=spec("sha256:" + "0" * 64)))


@needs_root
async def test_usage_counts_blobs_and_file_systems(node: Node) -> None:
    images, server = node
    images.image("nginx", "a")
    await images.store.unpacked(images.store.resolve("nginx"))
    for _ in range(2):
        usage = (await server.image_fs_info(ImageFsInfoRequest())).image_filesystems[0]
        assert usage.used_bytes is not None
        assert usage.inodes_used is not None
        assert usage.used_bytes.value >= sum(blob.size for blob in images.content.walk())
        assert usage.inodes_used.value == 3 + 2


def test_the_cris_credentials_are_read_in_every_form() -> None:
    assert credentials_of(None) is credentials_of(AuthConfig()) is None
    assert credentials_of(AuthConfig(username="a", password="b")) == Credentials("a", "b")
    assert credentials_of(AuthConfig(auth="YTpi")) == Credentials("a", "b")
    assert credentials_of(AuthConfig(identity_token="t")) == Credentials(identity_token="t")
