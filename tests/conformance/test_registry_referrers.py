"""An image carried on whole: all platforms, signatures and what refers to them; to a registry, in an archive."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from knarr.base.errors import Invalid
from knarr.images import archives
from knarr.images.companions import Companions
from knarr.images.content import add
from knarr.images.image_store import ImageStore
from knarr.images.progress import silent
from knarr.images.pull import Puller
from knarr.images.push import Pusher
from knarr.images.registries import RemoteSettings
from knarr.oci import manifest
from knarr.oci import reference as references
from knarr.oci.digest import Digest
from knarr.oci.manifest import Descriptor, Index, Manifest
from knarr.oci.platform import Platform
from knarr.oci.reference import Reference
from knarr.registry.options import Options
from knarr.wire.http_client import Client
from tests.conformance.registries import Gate, build, open_store, served

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="layers have owners")


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    made = Client()
    yield made
    await made.close()


def refer(store: ImageStore, subject: Digest | None, kind: str, name: Reference) -> Digest:
    """A manifest about the subject, with a layer of its own, under its digest or the name's tag."""
    blob = add(store.content, f"{kind} of {subject}".encode())
    part = Descriptor(media_type="application/vnd.example", digest=blob.digest, size=blob.size)
    empty = add(store.content, b"{}")
    digest = store.put(
        Manifest(
            schema_version=2,
            media_type=manifest.OCI_MANIFEST,
            artifact_type=f"application/vnd.example.{kind}",
            config=Descriptor(media_type=manifest.OCI_EMPTY, digest=empty.digest, size=empty.size),
            layers=(part,),
            subject=None if subject is None else described(store, subject),
        )
    )
    store.add(name if name.tag else name.at(digest), digest, "pushed")
    return digest


def described(store: ImageStore, digest: Digest, architecture: str = "") -> Descriptor:
    platform = Platform(architecture=architecture) if architecture else None
    size = store.content.info(digest).size
    return Descriptor(media_type=manifest.OCI_MANIFEST, digest=digest, size=size, platform=platform)


def signed_index(store: ImageStore, name: Reference) -> tuple[Digest, set[Digest]]:
    """An index for two platforms, and what is about it: a signature that is signed itself, an SBOM of one platform's
    image, and a signature under cosign's tag. (the index, the others)"""
    images = {
        arch: build(store, str(name.tagged(arch)), arch.encode(), architecture=arch) for arch in ("amd64", "arm64")
    }
    entries = tuple(described(store, digest, arch) for arch, digest in images.items())
    digest = store.put(Index(schema_version=2, media_type=manifest.OCI_INDEX, manifests=entries))
    store.add(name, digest, "pushed")
    for architecture in images:
        store.names.untag(name.tagged(architecture))
    repository = references.parse(name.repository)
    repository = Reference(repository.domain, repository.path)
    signature = refer(store, digest, "signature", repository)
    about = {
        signature,
        refer(store, signature, "countersignature", repository),
        refer(store, images["amd64"], "sbom", repository),
        refer(store, None, "cosign", name.tagged(f"{digest.replace(':', '-')}.sig")),
    }
    return digest, about


@pytest.mark.parametrize("way", ["api", "fallback tag", "mirror", "proxy"])
async def test_what_was_signed_stays_signed_in_another_registry(tmp_path: Path, client: Client, way: str) -> None:
    gate = Gate(password="", hides_subjects=True, has_referrers=False) if way == "fallback tag" else None
    here = open_store(tmp_path / "here")[0]
    async with served(tmp_path / "first", gate) as first, served(tmp_path / "second") as second:
        name = references.parse(f"{first.domain}/web:1")
        digest, about = signed_index(first.store, name)
        if way == "fallback tag":
            await Pusher(first.store, client).push(name)  # a push to itself keeps the list that the registry does not
        settings = RemoteSettings(mirrors={first.domain: (second.domain,)}) if way == "mirror" else RemoteSettings()
        if way == "mirror":  # it has the image, and knows of no signature
            await Puller(second.store, client).pull(name)
            second.store.tag(str(name), f"{second.domain}/web:1")
        puller = Puller(here, client, settings)
        async with served(tmp_path / "proxy", options=Options(proxies=(f"http://{first.domain}",))) as proxy:
            if way == "proxy":
                name = references.parse(f"{proxy.domain}/web:1")
            await puller.pull(name)
            companions = Companions(here, puller)
            await companions.platforms(name, None, silent)
            assert await companions.referrers(name, None, silent) == len(about)
        here.tag(str(name), f"{second.domain}/mine:1")
        assert await Pusher(here, client).push(references.parse(f"{second.domain}/mine:1")) == digest
        kept = {each.digest for each in second.store.names.repository(f"{second.domain}/mine")}
        assert kept == {digest, *about, *platforms(second.store, digest)}


@pytest.mark.parametrize("spoils", ["all", "the second page"])
async def test_a_list_of_referrers_that_is_none_fails_no_pull(tmp_path: Path, client: Client, spoils: str) -> None:
    here = open_store(tmp_path / "here")[0]
    gate = Gate(password="", spoils_referrers=spoils)
    async with served(tmp_path / "there", gate) as there:
        name = references.parse(f"{there.domain}/web:1")
        _, about = signed_index(there.store, name)
        puller = Puller(here, client)
        await puller.pull(name)
        found = await Companions(here, puller).referrers(name, None, silent)
        assert found == (1 if spoils == "all" else len(about))  # cosign's tag, or all that the first page lists


async def test_what_was_signed_stays_signed_in_an_archive(tmp_path: Path) -> None:
    here = open_store(tmp_path / "here")[0]
    name = references.parse("example.com/web:1")
    digest, about = signed_index(here, name)
    for with_referrers, more in ((True, about), (False, set[Digest]())):
        elsewhere = open_store(tmp_path / f"elsewhere-{with_referrers}")[0]
        loaded = await archives.load(elsewhere, archives.save(here, [str(name)], with_referrers=with_referrers))
        assert {each.digest for each in loaded} == {digest, *more}
        assert {each.parsed.repository for each in loaded} == {"example.com/web"}
        assert all(elsewhere.content.touch(each) for each in platforms(elsewhere, digest))


def platforms(store: ImageStore, digest: Digest) -> set[Digest]:
    parsed = manifest.parse(store.content.path(digest).read_bytes())
    assert isinstance(parsed, Index)
    return {entry.digest for entry in parsed.manifests}


async def test_a_referrer_without_what_it_is_about_is_refused(tmp_path: Path) -> None:
    here, elsewhere = open_store(tmp_path / "here")[0], open_store(tmp_path / "elsewhere")[0]
    digest = build(here, "example.com/web:1", b"x")
    other = build(here, "example.com/other:1", b"y")
    about = refer(here, digest, "signature", Reference("example.com", "web"))
    index = Index(
        schema_version=2, media_type=manifest.OCI_INDEX, manifests=(described(here, other), described(here, about))
    )
    body = b"".join([piece async for piece in archives.save(here, ["example.com/other:1"])])
    contents = tmp_path / "layout"
    contents.mkdir()
    (tmp_path / "archive.tar").write_bytes(body)
    await run("tar", "-xf", str(tmp_path / "archive.tar"), "-C", str(contents))
    (contents / "index.json").write_bytes(manifest.encode(index))
    for blob in (about, *(part.digest for part in _parts(here, about))):
        (contents / "blobs" / blob.replace(":", "/")).write_bytes(here.content.path(blob).read_bytes())
    await run("tar", "-cf", str(tmp_path / "archive.tar"), "-C", str(contents), ".")
    with open(tmp_path / "archive.tar", "rb") as archive, pytest.raises(Invalid, match="which is not in it"):
        archives.load_file(elsewhere, archive)


def _parts(store: ImageStore, digest: Digest) -> tuple[Descriptor, ...]:
    parsed = manifest.parse(store.content.path(digest).read_bytes())
    assert isinstance(parsed, Manifest)
    return (parsed.config, *parsed.layers)


async def test_signatures_go_with_the_last_name_of_their_image(tmp_path: Path) -> None:
    here = open_store(tmp_path / "here")[0]
    name = references.parse("example.com/web:1")
    _, about = signed_index(here, name)
    here.tag(str(name), "example.com/web:2")
    assert len(here.remove(str(name))) == 1
    assert len(here.names) == 1 + len(about)
    assert len(here.remove("example.com/web:2")) == 1 + len(about)
    assert list(here.names) == []


async def run(*command: str) -> None:
    child = await asyncio.create_subprocess_exec(*command)
    async with asyncio.timeout(60):
        assert await child.wait() == 0
