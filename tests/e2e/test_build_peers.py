"""The same Dockerfiles built by buildah and by knarr: configuration and file tree must agree.

Compared: path, kind, mode, owner, link and content of the merged tree; the configuration's members. Not compared:
times, history, number of layers, and mount points that buildah leaves in the root. KNARR_TEST_BUILDAH names another
buildah than the one that is installed.
"""

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from knarr.images import archives
from knarr.images.image_store import Image
from tests.e2e import build_cases, build_node
from tests.e2e.build_node import Node

BUILDAH, BUSYBOX = shutil.which(os.environ.get("KNARR_TEST_BUILDAH", "buildah")), shutil.which("busybox")
pytestmark = [
    pytest.mark.skipif(os.getuid() != 0 or not BUILDAH or not BUSYBOX, reason="needs root, buildah, busybox-static"),
    pytest.mark.timeout(900),
]
BASE = """FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "sh", "-c", "/bin/busybox mkdir -p /etc /tmp /opt/sub /root && /bin/busybox --install -s /bin"]
RUN ["/bin/sh", "-c", "echo issue > /etc/issue; echo in > /opt/sub/in; chmod 1777 /tmp; \
echo root:x:0:0:root:/root:/bin/sh > /etc/passwd; echo app:x:100:101::/home/app:/bin/sh >> /etc/passwd; \
echo nobody:x:65534:65534::/:/bin/false >> /etc/passwd; echo root:x:0: > /etc/group; \
echo staff:x:50:app >> /etc/group; echo app:x:101: >> /etc/group"]
ENV PATH=/bin
CMD ["sh"]
"""
# buildah sleeps up to the next whole second in each build: more of them than cores fill the wait.
WORKERS = 4
KNARR_FAILED = "knarr failed"
MEMBERS = (
    "User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal", "OnBuild",
    "Healthcheck", "Shell",
)  # fmt: skip
STUBS = {
    "proc",
    "sys",
    "dev",
    "run",
    "etc/hosts",
    "etc/hostname",
    "etc/resolv.conf",
    "run/.containerenv",
    "run/secrets",
}

# Where buildah 1.28 is known to differ from the Dockerfile reference and BuildKit, and why.
EXPLAINED = {
    "maintainer": "buildah writes a label as well",
    "volume": "buildah makes the directories of a JSON VOLUME",
    "shell": "buildah does not use SHELL for CMD",
    "run named user": "chroot isolation gives the user's own group as a supplementary one too",
    "env in volume": "buildah makes the directories of a VOLUME that a RUN follows",
    "expose a range": "buildah keeps the range as it is written; docker and BuildKit write each port",
    "run mount bind": "buildah leaves the mount point in the layer",
    "run mount from a stage": "buildah leaves the mount point in the layer",
    "run network none": "buildah 1.28 knows no flag of RUN but --mount",
    "stage names in capitals": "buildah compares names of stages with their case; the reference does not",
    "add chown of an archive": "buildah does not apply --chown to what an archive holds",
    "escape directive": "buildah takes backslashes out of ENV whatever the directive says",
}


class Peer:
    """buildah with a storage of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._options = ["--root", str(directory / "root"), "--runroot", str(directory / "run")]
        self._options += ["--storage-driver", "vfs"]

    def run(self, *arguments: str) -> str:
        command = [str(BUILDAH), *self._options, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self._directory)
        if done.returncode != 0:
            raise RuntimeError(f"buildah {arguments[0]}: {done.stderr[-2000:]}")
        return done.stdout.strip()

    def take_base(self, archive: Path) -> None:
        self.run("tag", self.run("pull", "-q", f"oci-archive:{archive}"), "localhost/base:latest")

    def build(self, context: Path, file: Path) -> tuple[dict[str, Any], dict[str, str]]:
        options = ["--isolation", "chroot", "--format", "docker", "-q", "--build-arg", "GIVEN=given"]
        image = self.run("build", *options, "-f", str(file), str(context))
        target = self._directory / "pushed"
        shutil.rmtree(target, ignore_errors=True)
        self.run("push", "-q", image, f"dir:{target}")
        manifest = json.loads((target / "manifest.json").read_text())
        config = json.loads((target / manifest["config"]["digest"].split(":")[1]).read_text())
        layers = [target / layer["digest"].split(":")[1] for layer in manifest["layers"]]
        return config["config"], merged(layers)


def merged(layers: list[Path]) -> dict[str, str]:
    """The tree that layers add up to: path → what is compared."""
    tree: dict[str, str] = {}
    for layer in layers:
        with tarfile.open(layer) as archive:
            for member in archive:
                path = member.name.removeprefix("./").strip("/")
                parent, _, name = path.rpartition("/")
                if name.startswith(".wh."):
                    gone = parent if name == ".wh..wh..opq" else f"{parent}/{name[4:]}".lstrip("/")
                    keeps = {gone} if name == ".wh..wh..opq" else set()
                    tree = {p: v for p, v in tree.items() if p in keeps or not (p == gone or p.startswith(f"{gone}/"))}
                elif path:
                    if not member.isdir():
                        tree = {p: v for p, v in tree.items() if not p.startswith(f"{path}/")}
                    tree[path] = described(archive, member, tree)
    return {path: text for path, text in tree.items() if path not in STUBS}


def described(archive: tarfile.TarFile, member: tarfile.TarInfo, tree: dict[str, str]) -> str:
    if member.islnk():
        return tree[member.linkname.removeprefix("./").strip("/")]
    file = archive.extractfile(member) if member.isreg() else None
    content = hashlib.sha256(file.read()).hexdigest()[:12] if file is not None else member.linkname
    mode = 0o777 if member.issym() else member.mode & 0o7777
    return f"{member.type.decode()} {mode:o} {member.uid}:{member.gid} {content}"


def config_of(image: Image) -> dict[str, Any]:
    return dict(msgspec.to_builtins(image.config.config))


def compared(config: dict[str, Any]) -> dict[str, Any]:
    kept = {key: config.get(key) for key in MEMBERS if config.get(key)}
    kept["Labels"] = {k: v for k, v in (kept.get("Labels") or {}).items() if not k.startswith("io.buildah")}
    kept["Env"] = sorted(kept.get("Env") or [])
    kept["WorkingDir"] = kept.get("WorkingDir") or "/"
    return json.loads(json.dumps(kept))  # type: ignore[no-any-return]


@pytest.fixture
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Node]:
    async with build_node.node(tmp_path_factory.mktemp("knarr")) as running:
        yield running


async def test_buildah_and_knarr_agree(node: Node, tmp_path: Path) -> None:
    archive = await _base(node, tmp_path)
    cases = {name: (build_cases.whole(text), "") for name, text in build_cases.CASES.items()}
    cases |= {f"ignore {name}": (build_cases.whole("COPY . /c/"), text) for name, text in build_cases.IGNORED.items()}
    assert not set(EXPLAINED) - set(cases), "explained differences of cases that are gone"
    only = os.environ.get("KNARR_CASES", "").split(",")
    left = iter({name: case for name, case in cases.items() if any(part in name for part in only)}.items())
    found: list[str] = []

    async def work(directory: Path) -> None:
        """Cases one after the other, until none are left for any worker."""
        directory.mkdir()
        peer = Peer(directory)
        await asyncio.to_thread(peer.take_base, archive)
        context = directory / "context"
        build_cases.make_context(context)
        for name, (dockerfile, ignored) in left:
            (context / "Dockerfile").write_text(dockerfile)
            (context / ".dockerignore").write_text(f"Dockerfile\n.dockerignore\n{ignored}\n")
            difference = await _difference(node, peer, context)
            if difference and (name not in EXPLAINED or difference.startswith(KNARR_FAILED)):
                found.append(f"{name}:\n{difference}")

    async with asyncio.TaskGroup() as workers:
        for number in range(WORKERS):
            workers.create_task(work(tmp_path / f"worker{number}"))
    assert not found, "\n\n".join(sorted(found))


async def _base(node: Node, directory: Path) -> Path:
    """The base image, built by knarr and saved for buildah."""
    context = directory / "base"
    context.mkdir()
    shutil.copy(str(BUSYBOX), context / "busybox")
    (context / "Dockerfile").write_text(BASE)
    await node.build(context, "localhost/base:latest")
    archive = directory / "base.tar"
    with open(archive, "wb") as file:
        async for piece in archives.save(node.images, ["localhost/base:latest"]):
            file.write(piece)
    return archive


async def _difference(node: Node, peer: Peer, context: Path) -> str:
    """What differs. knarr builds first: that buildah cannot build a case does not excuse knarr."""
    name = f"localhost/{context.parent.name}"
    try:
        image = await node.build(context, name, ignores=True, arguments={"GIVEN": "given"})
    except Exception as error:
        return f"{KNARR_FAILED}: {error}"
    try:
        theirs_config, theirs = await asyncio.to_thread(peer.build, context, context / "Dockerfile")
    except RuntimeError as error:
        return str(error)
    ours = merged([node.images.content.path(layer.digest) for layer in image.manifest.layers])
    lines = [f"-{path} {theirs.get(path)}\n+{path} {ours.get(path)}" for path in sorted({*theirs, *ours})
             if theirs.get(path) != ours.get(path)]  # fmt: skip
    before, after = compared(theirs_config), compared(config_of(image))
    lines += [f"-{key} {before.get(key)}\n+{key} {after.get(key)}" for key in sorted({*before, *after})
              if before.get(key) != after.get(key)]  # fmt: skip
    return "\n".join(lines)
