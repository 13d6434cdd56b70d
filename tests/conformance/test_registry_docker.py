"""Docker's own daemon and command as judges of the registry; skipped where they are not installed.

The daemon is the test's own: a directory of its own, no bridge, no firewall rules, copies instead of overlays.
"""

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from knarr.images import archives
from knarr.registry import passwords
from knarr.registry.options import Options
from tests.conformance.registries import Gate, Served, build, open_store, served

_MISSING = [program for program in ("dockerd", "docker", "containerd") if shutil.which(program) is None]
pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="the daemon needs root"),
    pytest.mark.skipif(bool(_MISSING), reason=f"not installed (package docker.io): {', '.join(_MISSING)}"),
    pytest.mark.timeout(180),
]
_START_SECONDS = 60.0


@pytest.fixture(scope="module")
def mirror_port() -> int:
    """A port for the test that serves a mirror: the daemon is told of it when it starts."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture(scope="module")
def daemon(mirror_port: int) -> Iterator[str]:
    """The address of a daemon that this module owns."""
    with tempfile.TemporaryDirectory(prefix="dockerd-") as directory:
        address = f"unix://{directory}/docker.sock"
        places = ["--data-root", f"{directory}/root", "--exec-root", f"{directory}/exec", "-p", f"{directory}/pid"]
        alone = ["--storage-driver=vfs", "--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false"]
        mirror = [f"--registry-mirror=http://localhost:{mirror_port}", "--insecure-registry=localhost"]
        log = Path(directory) / "log"
        with open(log, "wb") as output:
            child = subprocess.Popen(["dockerd", "-H", address, *places, *alone, *mirror], stderr=output)
        try:
            _until_it_answers(address, child, log)
            yield address
        finally:
            child.terminate()
            child.wait(30)


def _until_it_answers(address: str, child: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while subprocess.run(["docker", "-H", address, "version"], capture_output=True, check=False).returncode:
        if child.poll() is not None or time.monotonic() > end:
            pytest.fail(f"dockerd does not come up:\n{log.read_text()[-2000:]}")
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(0.2)  # the daemon announces itself to systemd alone


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path / "there") as registry:
        yield registry


@pytest.fixture
async def archive(tmp_path: Path) -> Path:
    """An archive with an image of two layers, `made:1`."""
    store, _, _ = open_store(tmp_path / "maker")
    build(store, "docker.io/library/made:1", b"hello", os.urandom(2 << 20))
    with open(tmp_path / "made.tar", "wb") as file:
        async for chunk in archives.save(store, ["made:1"]):
            file.write(chunk)
    return tmp_path / "made.tar"


async def docker(daemon: str, *words: str) -> str:
    """Output of a command without anybody's credentials."""
    return await _docker(daemon, "--config", "/nonexistent/docker", *words)


async def _docker(daemon: str, *words: str, text: str = "") -> str:
    child = await asyncio.create_subprocess_exec(
        "docker",
        "-H",
        daemon,
        *words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, errors = await child.communicate(text.encode())
    assert child.returncode == 0, errors.decode()
    return out.decode().strip()


async def test_docker_loads_pushes_pulls_and_inspects(daemon: str, there: Served, archive: Path) -> None:
    name = f"{there.domain}/team/made:1"
    await docker(daemon, "load", "-i", str(archive))
    await docker(daemon, "tag", "made:1", name)
    await docker(daemon, "push", "-q", name)
    pushed = there.store.resolve(name)
    assert await there.store.unpacked(pushed)
    own = await docker(daemon, "image", "inspect", "-f", "{{.Id}}", name)
    assert own == pushed.id
    await docker(daemon, "rmi", name, "made:1")
    await docker(daemon, "pull", "-q", name)
    assert await docker(daemon, "image", "inspect", "-f", "{{.Id}}", name) == own
    digests = await docker(daemon, "image", "inspect", "-f", "{{index .RepoDigests 0}}", name)
    assert digests == f"{there.domain}/team/made@{pushed.digest}"
    assert pushed.digest in await docker(daemon, "manifest", "inspect", "--insecure", "-v", name)
    await docker(daemon, "rmi", name)


async def test_docker_sends_nothing_that_another_repository_has(daemon: str, there: Served, archive: Path) -> None:
    first, second = f"{there.domain}/one:1", f"{there.domain}/two:1"
    await docker(daemon, "load", "-i", str(archive))
    for name in (first, second):
        await docker(daemon, "tag", "made:1", name)
    await docker(daemon, "push", first)
    said = await docker(daemon, "push", second)
    assert (said.count("Layer already exists") + said.count("Mounted from one"), said.count(": Pushed")) == (2, 0)
    await docker(daemon, "rmi", first, second, "made:1")


async def test_docker_runs_what_is_built_here(daemon: str, there: Served) -> None:
    """Pull an OCI image by tag and by digest; containers need a network stack of docker's, so none is started."""
    name = f"{there.domain}/built:1"
    digest = build(there.store, name, b"built here")
    await docker(daemon, "pull", "-q", name)
    await docker(daemon, "pull", "-q", f"{there.domain}/built@{digest}")
    assert await docker(daemon, "image", "inspect", "-f", "{{.Id}}", name) == there.store.resolve(name).id
    saved = await docker(daemon, "create", "--network=none", name, "/none")
    await docker(daemon, "rm", saved)
    await docker(daemon, "rmi", "-f", name)


@pytest.mark.parametrize("auth", ["basic", "token"])
async def test_docker_logs_in(daemon: str, tmp_path: Path, archive: Path, auth: str) -> None:
    passwords.write(tmp_path / "users", "ann", "secret")
    told = Options(htpasswd=str(tmp_path / "users"), auth=auth)  # type: ignore[arg-type]  # one of the two
    async with served(tmp_path / "locked", options=told) as there:
        name = f"{there.domain}/made:1"
        await docker(daemon, "load", "-i", str(archive))
        await docker(daemon, "tag", "made:1", name)
        with pytest.raises(AssertionError, match=r"no basic auth credentials|authentication is required"):
            await docker(daemon, "push", "-q", name)
        config = ("--config", str(tmp_path / "docker"))
        words = ("login", "-u", "ann", "--password-stdin", there.domain)
        await _docker(daemon, *config, *words, text="secret")
        await _docker(daemon, *config, "push", "-q", name)
        await _docker(daemon, *config, "pull", "-q", name)
        assert there.store.find(name) is not None
        await docker(daemon, "rmi", name, "made:1")


async def test_docker_pulls_through_a_mirror(daemon: str, tmp_path: Path, mirror_port: int) -> None:
    async with served(tmp_path / "hub", Gate(password="")) as hub:
        build(hub.store, f"{hub.domain}/library/made:7", b"from afar")
        told = Options(proxies=(f"http://{hub.domain}",))
        async with served(tmp_path / "mirror", options=told, port=mirror_port) as mirror:
            await docker(daemon, "pull", "-q", "made:7")
            assert [name.reference for name in mirror.store.names if name.parsed.tag] == [
                f"{hub.domain}/library/made:7"
            ]
            await docker(daemon, "rmi", "made:7")
