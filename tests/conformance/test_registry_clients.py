"""Stock clients as judges of the registry and the archives: skopeo, podman and buildah, each skipped where it is missing.

What one tool pushed, another pulls; digests stay the same; archives are read in both directions.
"""

# ruff: noqa: E501  # one command is one line
import asyncio
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from knarr.images import archives
from knarr.images.pull import Puller
from knarr.oci import reference as references
from knarr.registry import passwords
from knarr.registry.options import Options
from knarr.wire.http_client import Client
from tests.conformance.registries import Served, build, open_store, served

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="the clients' storage needs root"),
    pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed"),
    pytest.mark.timeout(180),
]
needs_podman = pytest.mark.skipif(shutil.which("podman") is None, reason="podman is not installed")
_COMMAND_SECONDS = 60.0


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path / "there") as registry:
        yield registry


@pytest.fixture
async def layout(tmp_path: Path) -> Path:
    """An OCI layout of an image with two layers, as skopeo wrote it."""
    store, _, _ = open_store(tmp_path / "maker")
    build(store, "localhost/made:1", b"hello", os.urandom(2 << 20))
    with open(tmp_path / "made.tar", "wb") as file:
        async for chunk in archives.save(store, ["localhost/made:1"]):
            file.write(chunk)
    await run("skopeo", "copy", "-q", f"oci-archive:{tmp_path / 'made.tar'}", f"oci:{tmp_path / 'layout'}:made")
    return tmp_path / "layout"


@pytest.fixture
def podman() -> Iterator[tuple[str, ...]]:
    """podman with a storage of its own; its paths may not be longer than 50 characters."""
    with tempfile.TemporaryDirectory(prefix="p") as root:
        yield ("podman", "--root", f"{root}/r", "--runroot", f"{root}/n", "--storage-driver", "vfs")


async def run(*command: str) -> str:
    """Standard output of a command that must succeed."""
    child = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(_COMMAND_SECONDS):
        out, errors = await child.communicate()
    assert child.returncode == 0, errors.decode()
    return out.decode()


async def digest_of(place: str) -> str:
    secure = () if place.startswith("oci") else ("--tls-verify=false",)
    return (await run("skopeo", "inspect", *secure, "--format", "{{.Digest}}", place)).strip()


async def test_skopeo_copies_in_and_out_without_changing_the_digest(
    there: Served, layout: Path, tmp_path: Path
) -> None:
    remote = f"docker://{there.domain}/team/made:1"
    await run("skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{layout}:made", remote)
    assert await digest_of(remote) == await digest_of(f"oci:{layout}:made")
    await run("skopeo", "copy", "-q", "--src-tls-verify=false", remote, f"oci:{tmp_path / 'out'}:made")
    assert await digest_of(f"oci:{tmp_path / 'out'}:made") == await digest_of(remote)
    assert json.loads(await run("skopeo", "list-tags", "--tls-verify=false", remote.rsplit(":", 1)[0]))["Tags"] == ["1"]
    name = there.store.find_name(f"{there.domain}/team/made:1")
    assert name is not None
    assert name.origin == "pushed"
    assert await there.store.unpacked(there.store.resolve(name.reference))


async def test_a_schema_that_docker_speaks_is_taken_too(there: Served, layout: Path) -> None:
    remote = f"docker://{there.domain}/made:v2s2"
    await run("skopeo", "copy", "-q", "--format", "v2s2", "--dest-tls-verify=false", f"oci:{layout}:made", remote)
    raw = json.loads(await run("skopeo", "inspect", "--raw", "--tls-verify=false", remote))
    assert raw["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"
    assert there.store.find(f"{there.domain}/made:v2s2") is not None


async def test_zstd_layers_are_pulled_and_run(there: Served, layout: Path, tmp_path: Path) -> None:
    remote = f"docker://{there.domain}/made:zstd"
    flags = ("-q", "--dest-tls-verify=false", "--dest-compress-format", "zstd")
    await run("skopeo", "copy", *flags, f"oci:{layout}:made", remote)
    store, _, snapshots = open_store(tmp_path / "elsewhere")
    client = Client()
    image = await Puller(store, client).pull(references.parse(f"{there.domain}/made:zstd"))
    await client.close()
    assert (snapshots.upper(image.config.rootfs.diff_ids[0]) / "file-0").read_bytes() == b"hello"


async def test_skopeo_deletes(there: Served, layout: Path) -> None:
    remote = f"docker://{there.domain}/made:1"
    await run("skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{layout}:made", remote)
    await run("skopeo", "delete", "--tls-verify=false", remote)
    assert len(there.store.names) == 0


@needs_podman
async def test_podman_pulls_and_pushes(there: Served, layout: Path, podman: tuple[str, ...]) -> None:
    await run(
        "skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{layout}:made", f"docker://{there.domain}/made:1"
    )
    await run(*podman, "pull", "-q", "--tls-verify=false", f"{there.domain}/made:1")
    await run(*podman, "push", "-q", "--tls-verify=false", f"{there.domain}/made:1", f"{there.domain}/again:1")
    first, second = (there.store.resolve(f"{there.domain}/{name}:1") for name in ("made", "again"))
    assert first.config.rootfs == second.config.rootfs


@pytest.mark.parametrize("form", ["oci-archive", "docker-archive"])
async def test_archives_are_read_in_both_directions(tmp_path: Path, layout: Path, form: str) -> None:
    store, _, _ = open_store(tmp_path / "here")
    given = tmp_path / "given.tar"
    await run("skopeo", "copy", "-q", f"oci:{layout}:made", f"{form}:{given}:example.com/made:1")
    names = await archives.load(store, file_of(given))
    assert [(name.reference, name.origin) for name in names] == [("example.com/made:1", "loaded")]
    image = store.resolve("example.com/made:1")
    await store.unpacked(image)
    assert (store.snapshots.upper(image.config.rootfs.diff_ids[0]) / "file-0").read_bytes() == b"hello"
    saved = tmp_path / "saved.tar"
    with open(saved, "wb") as file:
        async for chunk in archives.save(store, ["example.com/made:1"]):
            file.write(chunk)
    assert await digest_of(f"oci-archive:{saved}") == image.digest
    await run("skopeo", "inspect", f"docker-archive:{saved}:example.com/made:1")
    again, _, _ = open_store(tmp_path / "again")
    assert [name.digest for name in await archives.load(again, file_of(saved))] == [image.digest]


async def file_of(path: Path) -> AsyncIterator[bytes]:
    yield path.read_bytes()


@needs_podman
async def test_podman_inspects_lists_and_pulls_by_digest(there: Served, layout: Path, podman: tuple[str, ...]) -> None:
    name = f"{there.domain}/made"
    await run("skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{layout}:made", f"docker://{name}:1")
    listed = await run(*podman, "search", "--tls-verify=false", "--list-tags", name)
    assert listed.split()[-2:] == [name, "1"]
    raw = json.loads(await run("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{name}:1"))
    image = there.store.resolve(f"{name}:1")
    assert [layer["digest"] for layer in raw["layers"]] == [layer.digest for layer in image.manifest.layers]
    await run(*podman, "pull", "-q", "--tls-verify=false", f"{name}@{image.digest}")
    shown = json.loads(await run(*podman, "image", "inspect", f"{name}@{image.digest}"))
    assert [each["Digest"] for each in shown] == [image.digest]
    await run(*podman, "rmi", f"{name}@{image.digest}")


@needs_podman
@pytest.mark.parametrize("auth", ["basic", "token"])
async def test_podman_logs_in(tmp_path: Path, layout: Path, podman: tuple[str, ...], auth: str) -> None:
    passwords.write(tmp_path / "users", "ann", "secret")
    told = Options(htpasswd=str(tmp_path / "users"), auth=auth)  # type: ignore[arg-type]  # one of the two
    async with served(tmp_path / "locked", options=told) as locked:
        file = f"--authfile={tmp_path / 'auth.json'}"
        await run(*podman, "login", file, "--tls-verify=false", "-u", "ann", "-p", "secret", locked.domain)
        first, second = f"{locked.domain}/made:1", f"{locked.domain}/again:1"
        flags = ("-q", "--dest-tls-verify=false", "--dest-creds=ann:secret")
        await run("skopeo", "copy", *flags, f"oci:{layout}:made", f"docker://{first}")
        await run(*podman, "pull", "-q", file, "--tls-verify=false", first)
        await run(*podman, "push", "-q", file, "--tls-verify=false", first, second)
        assert locked.store.find(second) is not None
