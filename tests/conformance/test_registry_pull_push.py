"""Pull and push over real connections: authentication, redirects, retries, resumption, and what is never sent where."""

# one call is one line
import asyncio
import hashlib
import os
import random
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from knarr.base.errors import Forbidden, Invalid, KnarrError, NotFound, Unauthenticated, Unavailable
from knarr.images.content import add
from knarr.images.credentials import Credentials
from knarr.images.image_store import ImageStore
from knarr.images.progress import Progress
from knarr.images.pull import Puller
from knarr.images.push import Pusher
from knarr.images.registries import RemoteSettings
from knarr.oci import image_config, manifest
from knarr.oci import reference as references
from knarr.oci.digest import Digest
from knarr.oci.image_config import ImageConfig, RootFs
from knarr.oci.manifest import Descriptor, Index, Manifest
from knarr.oci.platform import Platform
from knarr.wire.http import Request, Response
from knarr.wire.http_client import Client
from knarr.wire.http_server import Server
from tests.conformance.registries import Gate, Served, build, open_store, served

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="layers have owners")
ANN = Credentials("ann", "secret")


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    made = Client()
    yield made
    await made.close()


@pytest.fixture
def here(tmp_path: Path) -> ImageStore:
    return open_store(tmp_path / "here")[0]


def large(seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(3 << 20)


async def test_what_is_pushed_is_pulled_elsewhere_and_unpacked(
    tmp_path: Path, here: ImageStore, client: Client
) -> None:
    async with served(tmp_path / "there") as there:
        name = f"{there.domain}/team/web:v1"
        digest = build(here, name, large(), b"small")
        stages: list[Progress] = []
        assert await Pusher(here, client).push(references.parse(name), report=stages.append) == digest
        assert {stage.stage for stage in stages} == {"uploading", "done"}
        elsewhere, _, snapshots = open_store(tmp_path / "elsewhere")
        image = await Puller(elsewhere, client).pull(references.parse(name))
        assert image.digest == digest
        assert snapshots.has(image.chain_id)
        assert elsewhere.names.find(references.parse(name)) is not None
        again: list[Progress] = []
        await Pusher(here, client).push(references.parse(name), report=again.append)
        assert {stage.stage for stage in again} == {"exists"}


async def test_the_image_for_this_platform_is_pulled(tmp_path: Path, here: ImageStore, client: Client) -> None:
    async with served(tmp_path / "there") as there:
        entries = []
        for architecture in ("arm64", "amd64"):
            digest = build(
                there.store, f"{there.domain}/web:{architecture}", architecture.encode(), architecture=architecture
            )
            size = there.content.info(digest).size
            platform = Platform(architecture=architecture)
            entries.append(Descriptor(media_type=manifest.OCI_MANIFEST, digest=digest, size=size, platform=platform))
        index = there.store.put(Index(schema_version=2, media_type=manifest.OCI_INDEX, manifests=tuple(entries)))
        there.store.add(references.parse(f"{there.domain}/web:v1"), index, "built")
        image = await Puller(here, client).pull(references.parse(f"{there.domain}/web:v1"))
        assert (image.config.architecture, image.name_digest) == ("amd64", index)
        with pytest.raises(NotFound):
            here.content.info(entries[0].digest)
        by_digest = await Puller(here, client).pull(references.parse(f"{there.domain}/web@{index}"))
        assert by_digest == image
        # Only one platform is here, so that one is pushed.
        here.tag(f"{there.domain}/web:v1", f"{there.domain}/copy:v1")
        assert await Pusher(here, client).push(references.parse(f"{there.domain}/copy:v1")) == image.digest


@pytest.mark.parametrize("scheme", ["basic", "bearer"])
async def test_credentials_open_the_registry(tmp_path: Path, here: ImageStore, client: Client, scheme: str) -> None:
    gate = Gate(scheme=scheme)
    async with served(tmp_path / "there", gate) as there:
        reference = references.parse(f"{there.domain}/web:v1")
        digest = build(here, str(reference), b"x")
        assert await Pusher(here, client).push(reference, ANN) == digest
        with pytest.raises((Unauthenticated, Forbidden)):
            await Puller(here, client).pull(references.parse(f"{there.domain}/web:v1"))
        with pytest.raises((Unauthenticated, Forbidden)):
            await Puller(here, client).pull(reference, Credentials("ann", "wrong"))
        assert (await Puller(here, client).pull(reference, ANN)).digest == digest


async def test_a_registry_token_is_sent_as_it_is(tmp_path: Path, here: ImageStore, client: Client) -> None:
    async with served(tmp_path / "there", Gate()) as there:
        digest = build(there.store, f"{there.domain}/web:v1", b"x")
        reference = references.parse(f"{there.domain}/web:v1")
        assert (await Puller(here, client).pull(reference, Credentials(registry_token="token"))).digest == digest


async def test_credentials_do_not_follow_a_redirect(tmp_path: Path, here: ImageStore, client: Client) -> None:
    gate = Gate(redirects_blobs=True)
    async with served(tmp_path / "there", gate) as there:
        build(there.store, f"{there.domain}/web:v1", b"x")
        await Puller(here, client).pull(references.parse(f"{there.domain}/web:v1"), ANN)
        elsewhere = [authorization for _, path, authorization in gate.asked if path.startswith("/elsewhere/")]
        assert elsewhere == ["", ""]


async def test_credentials_do_not_go_to_a_token_server_of_another_host(
    tmp_path: Path, here: ImageStore, client: Client
) -> None:
    gate = Gate(realm_host="127.0.0.1")
    async with served(tmp_path / "there", gate) as there:
        build(there.store, f"{there.domain}/web:v1", b"x")
        with pytest.raises(Unauthenticated):
            await Puller(here, client).pull(references.parse(f"{there.domain}/web:v1"), ANN)
        assert [authorization for _, path, authorization in gate.asked if path == "/token"] == [""]


async def test_a_token_server_in_plain_http_elsewhere_is_refused(
    tmp_path: Path, here: ImageStore, client: Client
) -> None:
    gate = Gate(realm_host="tokens.example")
    async with served(tmp_path / "there", gate) as there:
        with pytest.raises(Forbidden, match=r"tokens\.example"):
            await Puller(here, client).pull(references.parse(f"{there.domain}/web:v1"), ANN)


async def test_a_download_that_breaks_off_goes_on_where_it_stood(
    tmp_path: Path, here: ImageStore, client: Client
) -> None:
    gate = Gate(scheme="basic", cut_after=1 << 20)
    async with served(tmp_path / "there", gate) as there:
        digest = build(there.store, f"{there.domain}/web:v1", large())
        image = await Puller(here, client).pull(references.parse(f"{there.domain}/web:v1"), ANN)
        assert image.digest == digest
        layer = image.manifest.layers[0].digest
        assert len([path for _, path, _ in gate.asked if path.endswith(layer)]) >= 2


async def test_an_upload_that_breaks_off_goes_on_where_it_stood(
    tmp_path: Path, here: ImageStore, client: Client
) -> None:
    gate = Gate(scheme="basic", cuts_uploads_after=2 << 20)
    async with served(tmp_path / "there", gate) as there:
        name = references.parse(f"{there.domain}/web:v1")
        digest = build(here, str(name), large())
        assert await Pusher(here, client).push(name, ANN) == digest
        assert there.store.image(digest).digest == digest
        uploads = [method for method, path, _ in gate.asked if "/blobs/uploads/" in path and method != "POST"]
        assert sorted(uploads) == ["GET", "PATCH", "PUT", "PUT", "PUT"]  # a configuration, and a layer in two parts


async def test_an_upload_of_which_only_the_answer_was_lost_is_only_ended(
    tmp_path: Path, here: ImageStore, client: Client
) -> None:
    gate = Gate(scheme="basic")
    async with served(tmp_path / "there", gate) as there:
        name = references.parse(f"{there.domain}/web:v1")
        digest = build(here, str(name), large())
        gate.cuts_uploads_after = here.image(digest).manifest.layers[0].size - 1  # all of it, and then the wire breaks
        assert await Pusher(here, client).push(name, ANN) == digest
        uploads = [method for method, path, _ in gate.asked if "/blobs/uploads/" in path and method != "POST"]
        assert sorted(uploads) == ["GET", "PUT", "PUT", "PUT"]


async def test_a_piece_that_was_not_asked_for_is_not_taken(tmp_path: Path, here: ImageStore, client: Client) -> None:
    gate = Gate(scheme="basic", cut_after=1 << 20, resumes_elsewhere=True)
    async with served(tmp_path / "there", gate) as there:
        digest = build(there.store, f"{there.domain}/web:v1", large())
        image = await Puller(here, client).pull(references.parse(f"{there.domain}/web:v1"), ANN)
        assert image.digest == digest


async def test_an_upload_is_not_sent_to_an_unsafe_place(tmp_path: Path, here: ImageStore, client: Client) -> None:
    gate = Gate(scheme="basic", location="http://192.0.2.1/elsewhere")
    async with served(tmp_path / "there", gate) as there:
        build(here, f"{there.domain}/web:v1", b"secret")
        with pytest.raises(Forbidden, match=r"sends to http://192\.0\.2\.1, which is not safe"):
            await Pusher(here, client).push(references.parse(f"{there.domain}/web:v1"), ANN)


async def test_what_another_host_answers_is_not_told(tmp_path: Path, here: ImageStore, client: Client) -> None:
    """A hostile registry sends its clients to what only they reach (CVE-2020-8561): nobody reads the answer."""

    async def internal(_request: Request) -> Response:
        return Response(418, (), b'{"errors":[{"code":"KEY","message":"the internal secret"}]}')

    server = Server(internal)
    port = await server.listen_tcp("127.0.0.1", 0)
    for gate in (Gate(scheme="basic", elsewhere=f"http://127.0.0.1:{port}/"), Gate(realm=f"http://127.0.0.1:{port}/")):
        async with served(tmp_path / "there", gate) as there:
            build(there.store, f"{there.domain}/web:v1", b"x")
            with pytest.raises(Unavailable, match=r"no reason given \(status 418\)"):
                await Puller(here, client).pull(references.parse(f"{there.domain}/web:v1"), ANN)
    await server.close(grace_seconds=0.5)


async def test_a_busy_registry_is_asked_again(tmp_path: Path, here: ImageStore, client: Client) -> None:
    gate = Gate(scheme="basic", failures=2)
    async with served(tmp_path / "there", gate) as there:
        digest = build(there.store, f"{there.domain}/web:v1", b"x")
        assert (await Puller(here, client).pull(references.parse(f"{there.domain}/web:v1"), ANN)).digest == digest


async def test_a_blob_is_fetched_once_however_many_pull(tmp_path: Path, here: ImageStore, client: Client) -> None:
    gate = Gate(scheme="basic")
    async with served(tmp_path / "there", gate) as there:
        for tag in ("v1", "v2"):
            build(there.store, f"{there.domain}/web:{tag}", large(), tag.encode())
        puller = Puller(here, client)
        tags = ["v1", "v2", "v1", "v2"]
        pulls = [puller.pull(references.parse(f"{there.domain}/web:{tag}"), ANN) for tag in tags]
        images = await asyncio.gather(*pulls)
        blobs = [path for method, path, key in gate.asked if "/blobs/" in path and key and method == "GET"]
        assert len(blobs) == len(set(blobs)) == 5
        assert images[0].manifest.layers[0] == images[1].manifest.layers[0]


@pytest.mark.parametrize("fault", ["flipped", "longer", "shorter"])
async def test_a_blob_that_is_not_what_the_manifest_says_is_refused(
    tmp_path: Path, here: ImageStore, client: Client, fault: str
) -> None:
    async with served(tmp_path / "there") as there:
        build(there.store, f"{there.domain}/web:v1", large())
        layer = there.store.resolve(f"{there.domain}/web:v1").manifest.layers[0]
        path = there.content.path(layer.digest)
        body = bytearray(path.read_bytes())
        if fault == "flipped":
            body[100] ^= 1
        path.write_bytes({"flipped": body, "longer": body + b"x", "shorter": body[:-1]}[fault])
        with pytest.raises(KnarrError, match=r"blob|digest"):
            await Puller(here, client).pull(references.parse(f"{there.domain}/web:v1"))
        assert len(here.names) == 0
        assert all(info.digest != layer.digest for info in here.content.walk())


async def test_a_digest_of_any_kind_is_verified(tmp_path: Path, here: ImageStore, client: Client) -> None:
    gate = Gate(scheme="basic")
    async with served(tmp_path / "there", gate) as there:
        body = there.content.path(build(there.store, f"{there.domain}/web:v1", b"x")).read_bytes()
        wanted = Digest("sha512:" + hashlib.sha512(body).hexdigest())
        there.store.add(
            references.parse(f"{there.domain}/web@{wanted}"), add(there.content, body, wanted).digest, "pushed"
        )
        name = references.parse(f"{there.domain}/web@{wanted}")
        assert (await Puller(here, client).pull(name, ANN)).manifest == there.store.resolve(
            f"{there.domain}/web:v1"
        ).manifest
        there.content.path(wanted).write_bytes(body + b"\n")  # another manifest under the same digest
        elsewhere = open_store(tmp_path / "elsewhere")[0]
        with pytest.raises(Invalid, match=f"not {wanted}"):
            await Puller(elsewhere, client).pull(name, ANN)


async def test_the_urls_of_a_foreign_layer_are_not_asked(tmp_path: Path, here: ImageStore, client: Client) -> None:
    """They would learn who pulls, and credentials with it (CVE-2020-15157); the registry has the layer, or nobody."""
    asked: list[str] = []

    async def stranger(request: Request) -> Response:
        asked.append(request.path)
        return Response(401, (("www-authenticate", 'Basic realm="give me your password"'),))

    server = Server(stranger)
    port = await server.listen_tcp("127.0.0.1", 0)
    gate = Gate(scheme="basic")
    async with served(tmp_path / "there", gate) as there:
        image = there.store.image(build(there.store, f"{there.domain}/web:v1", b"x"))
        layer = msgspec.structs.replace(image.manifest.layers[0], urls=(f"http://localhost:{port}/layer",))
        digest = there.store.put(msgspec.structs.replace(image.manifest, layers=(layer,)))
        name = references.parse(f"{there.domain}/web:v2")
        there.store.add(name, digest, "pushed")
        assert (await Puller(here, client).pull(name, ANN)).digest == digest
        there.content.delete(layer.digest)
        with pytest.raises(NotFound, match=layer.digest):
            await Puller(open_store(tmp_path / "elsewhere")[0], client).pull(name, ANN)
    await server.close(grace_seconds=0.5)
    assert asked == []


async def test_a_layer_that_is_no_layer_leaves_neither_name_nor_snapshot(
    tmp_path: Path, here: ImageStore, client: Client
) -> None:
    async with served(tmp_path / "there") as there:
        name = f"{there.domain}/web:v1"
        blob = add(there.content, b"no tar at all" * 100)
        config = add(there.content, image_config.encode(ImageConfig(rootfs=RootFs(diff_ids=(blob.digest,)))))
        parsed = Manifest(
            schema_version=2,
            media_type=manifest.OCI_MANIFEST,
            config=Descriptor(media_type=manifest.OCI_CONFIG, digest=config.digest, size=config.size),
            layers=(Descriptor(media_type=manifest.OCI_LAYER, digest=blob.digest, size=blob.size),),
        )
        there.store.add(references.parse(name), there.store.put(parsed), "built")
        with pytest.raises(Invalid, match="not a tar header"):
            await Puller(here, client).pull(references.parse(name))
        assert (len(here.names), here.snapshots.has(blob.digest)) == (0, False)


async def test_layers_known_elsewhere_in_the_registry_are_mounted(
    tmp_path: Path, here: ImageStore, client: Client
) -> None:
    gate = Gate(scheme="basic")
    async with served(tmp_path / "there", gate) as there:
        await push_twice(there, here, client)
        mounts = [path for method, path, _ in gate.asked if method == "PUT" and "/blobs/uploads/" in path]
        assert all("/web/" in path for path in mounts)


async def push_twice(there: Served, here: ImageStore, client: Client) -> None:
    build(here, f"{there.domain}/web:v1", b"x")
    await Pusher(here, client).push(references.parse(f"{there.domain}/web:v1"), ANN)
    here.tag(f"{there.domain}/web:v1", f"{there.domain}/copy:v1")
    await Pusher(here, client).push(references.parse(f"{there.domain}/copy:v1"), ANN)


async def test_nothing_is_sent_to_the_nodes_own_registry(here: ImageStore, client: Client) -> None:
    digest = build(here, "localhost:1/web:v1", b"x")
    assert await Pusher(here, client, own_domain="localhost:1").push(references.parse("localhost:1/web:v1")) == digest
    name = here.names.find(references.parse("localhost:1/web:v1"))
    assert name is not None
    assert name.origin == "pushed"


async def test_what_is_not_there_says_where_it_was_looked_for(tmp_path: Path, here: ImageStore, client: Client) -> None:
    async with served(tmp_path / "there") as there:
        with pytest.raises(NotFound, match=f"{there.domain}/v2/web/manifests/v1: MANIFEST_UNKNOWN"):
            await Puller(here, client).pull(references.parse(f"{there.domain}/web:v1"))
    with pytest.raises(NotFound, match="nginx:latest is not here"):
        await Pusher(here, client).push(references.parse("nginx"))


async def test_a_registry_that_is_not_there_is_unavailable(here: ImageStore, client: Client) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match=f"localhost:{port}"):
            await Puller(here, client).pull(references.parse(f"localhost:{port}/web:v1"))


async def test_a_mirror_is_asked_first_and_gets_no_credentials(
    tmp_path: Path, here: ImageStore, client: Client
) -> None:
    gate, beside = Gate(scheme="basic"), Gate(scheme="basic", username="", password="")
    async with served(tmp_path / "origin", gate) as origin, served(tmp_path / "mirror", beside) as mirror:
        digests = [build(origin.store, f"{origin.domain}/web:{tag}", tag.encode()) for tag in ("both", "origin")]
        build(mirror.store, f"{mirror.domain}/web:both", b"both")
        mirrors = {origin.domain: ("localhost:1", mirror.domain)}
        puller = Puller(here, client, RemoteSettings(mirrors=mirrors))
        for tag, digest in zip(("both", "origin"), digests, strict=True):
            pulled = await puller.pull(references.parse(f"{origin.domain}/web:{tag}"), ANN)
            assert pulled.digest == digest
        assert {authorization for _, _, authorization in beside.asked} == {""}


async def test_a_mirror_that_serves_is_enough(tmp_path: Path, here: ImageStore, client: Client) -> None:
    async with served(tmp_path / "mirror") as mirror:
        digest = build(mirror.store, f"{mirror.domain}/library/web:v1", b"x")
        puller = Puller(here, client, RemoteSettings(mirrors={"docker.io": (mirror.domain,)}))
        assert (await puller.pull(references.parse("web:v1"), ANN)).digest == digest
        assert here.find("web:v1") is not None


async def test_a_layer_is_unpacked_while_it_arrives(tmp_path: Path, here: ImageStore, client: Client) -> None:
    """The registry sends the rest only when the snapshot has what begins in the first chunk: no way without overlap."""
    overlapped = []

    async def until_unpacking() -> None:
        async with asyncio.timeout(20):
            while not list((tmp_path / "here" / "snapshots").glob("*/fs/file-0")):
                await asyncio.sleep(0.01)  # the extractor tells nobody how far it is
        overlapped.append(True)

    gate = Gate(scheme="basic", between=until_unpacking)
    async with served(tmp_path / "there", gate) as there:
        digest = build(there.store, f"{there.domain}/web:v1", large())
        image = await Puller(here, client).pull(references.parse(f"{there.domain}/web:v1"), ANN)
        assert image.digest == digest
        assert here.snapshots.has(image.chain_id)
        assert overlapped == [True]


@pytest.mark.parametrize("hides_subjects", [False, True])
async def test_signatures_go_along_with_the_image(
    tmp_path: Path, here: ImageStore, client: Client, *, hides_subjects: bool
) -> None:
    """By the referrers API where the registry has it, else under the fallback tag."""
    gate = Gate(scheme="basic", hides_subjects=hides_subjects)
    async with served(tmp_path / "there", gate) as there:
        name = references.parse(f"{there.domain}/web:v1")
        digest = build(here, str(name), b"x")
        config = add(here.content, b"{}")
        described = Descriptor(media_type=manifest.OCI_EMPTY, digest=config.digest, size=config.size)
        subject = Descriptor(media_type=manifest.OCI_MANIFEST, digest=digest, size=here.content.info(digest).size)
        signature = Manifest(
            schema_version=2,
            media_type=manifest.OCI_MANIFEST,
            artifact_type="application/vnd.example.signature",
            config=described,
            layers=(described,),
            subject=subject,
        )
        signed = here.put(signature)
        here.add(name.at(signed), signed, "loaded")
        await Pusher(here, client).push(name, ANN)
        kept = {each.reference for each in there.store.names}
        fallback = {f"{name.repository}:{digest.replace(':', '-')}"} if hides_subjects else set()
        assert kept == {str(name), str(name.at(signed))} | fallback
        if hides_subjects:
            index = there.store.names.find(name.tagged(digest.replace(":", "-")))
            assert index is not None
            listed = manifest.parse(there.content.path(index.digest).read_bytes())
            assert isinstance(listed, Index)
            assert [entry.digest for entry in listed.manifests] == [signed]
            await Pusher(here, client).push(name, ANN)  # twice is the same
            assert there.store.names.find(name.tagged(digest.replace(":", "-"))) == index


async def test_an_upload_may_take_longer_than_an_answer(tmp_path: Path, here: ImageStore) -> None:
    gate = Gate(scheme="basic", reads_slowly=True)
    hurried = Client(head_seconds=1.0)
    async with served(tmp_path / "there", gate) as there:
        name = references.parse(f"{there.domain}/web:v1")
        digest = build(here, str(name), random.Random(2).randbytes(8 << 20))
        started = asyncio.get_running_loop().time()
        assert await Pusher(here, hurried).push(name, ANN) == digest
        assert asyncio.get_running_loop().time() - started > 1.0  # or the test proves nothing
    await hurried.close()
