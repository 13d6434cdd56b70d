"""Where files of a build come from beside its directory, and where its result goes: real builds, root and a runtime."""

import asyncio
import gzip
import io
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from knarr.base.errors import NotFound
from knarr.builder import cache_exchange, export
from knarr.builder.cache_exchange import Found
from knarr.builder.dockerfile.faults import DockerfileFault
from knarr.builder.progress import Output, Warned
from knarr.builder.request import Publication, RunSettings
from knarr.builder.trees import ContextTree
from knarr.images.content import read
from knarr.oci import manifest
from knarr.oci.manifest import Descriptor, Index
from knarr.oci.reference import Reference
from knarr.oci.reference import parse as reference
from knarr.wire.http import Request, Response
from knarr.wire.http_server import Server
from tests.e2e import build_node
from tests.e2e.build_node import Node
from tests.e2e.test_build import BASE, BUSYBOX, leftovers, tree

GIT = shutil.which("git")
pytestmark = pytest.mark.skipif(os.getuid() != 0 or BUSYBOX is None, reason="needs root and busybox-static")
needs_git = pytest.mark.skipif(GIT is None, reason="needs git")


def git(directory: Path, *words: str) -> str:
    identity = ["-c", "user.name=T", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"]
    environment = {**os.environ, "GIT_COMMITTER_DATE": "@1000000000 +0000", "GIT_AUTHOR_DATE": "@1000000000 +0000"}
    command = [str(GIT), *identity, "-C", str(directory), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with two commits, a tag on the first and a branch on the second."""
    work = tmp_path / "served" / "work"
    (work / "dir").mkdir(parents=True)
    git(work, "init", "-q")
    (work / "file").write_text("one\n")
    (work / "dir" / "inner").write_text("inner\n")
    (work / "dir" / "tool").write_text("#!/bin/sh\n")
    (work / "dir" / "tool").chmod(0o755)
    git(work, "add", "-A")
    git(work, "commit", "-q", "-m", "one")
    git(work, "tag", "-a", "v1", "-m", "first")
    (work / "file").write_text("two\n")
    git(work, "commit", "-q", "-am", "two")
    git(work, "branch", "next")
    bare = tmp_path / "served" / "repo.git"
    git(work, "clone", "-q", "--bare", str(work), str(bare))
    git(bare, "update-server-info")
    return bare


async def files_server(root: Path) -> tuple[Server, str]:
    """Plain files over HTTP: git's dumb protocol needs no more."""

    async def answer(request: Request) -> Response:
        path = root / request.path.lstrip("/")
        return Response(200, (), path.read_bytes()) if path.is_file() else Response(404, (), b"")

    server = Server(answer)
    port = await server.listen_tcp("127.0.0.1", 0)
    return server, f"http://127.0.0.1:{port}/repo.git"


@needs_git
async def test_an_add_of_a_repository_takes_a_ref_and_a_directory_of_it(
    node: Node, context: Path, repository: Path
) -> None:
    server, url = await files_server(repository.parent)
    try:
        (context / "Dockerfile").write_text(f"FROM scratch\nADD {url} /main/\n")
        with pytest.raises(DockerfileFault, match="ADD must not reach"):
            await node.build(context)
        node.may_reach_everything()
        files = tree(node, await node.build(context))
        assert files["main/file"] == "644 0:0 two"
        assert sorted(files) == ["main", "main/dir", "main/dir/inner", "main/dir/tool", "main/file"]
        (context / "Dockerfile").write_text(f"FROM scratch\nADD --chown=3 {url}#v1:dir /d/\nADD {url}#v1 /one/\n")
        files = tree(node, await node.build(context))
        assert files["d/tool"] == "755 3:3 #!/bin/sh"
        assert files["one/file"] == "644 0:0 one"
        again = await node.build(context)
        assert node.outcomes() == ["cached", "cached"]
        assert (await node.build(context, uses_cache=False, epoch=1_000_000_000)).manifest.layers[0].digest == (
            await node.build(context, uses_cache=False, epoch=1_000_000_000)
        ).manifest.layers[0].digest
        assert again.manifest.layers
    finally:
        await server.close(grace_seconds=0.1)
    assert leftovers(node) == []
    assert not list(node.builder.tools.contexts.root.with_name("git").glob("*"))


@needs_git
async def test_an_add_of_a_repository_checks_the_commit_and_may_keep_its_history(
    node: Node, context: Path, repository: Path
) -> None:
    node.may_reach_everything()
    server, url = await files_server(repository.parent)
    first, second = git(repository, "rev-parse", "v1^{}"), git(repository, "rev-parse", "next")
    try:
        (context / "Dockerfile").write_text(f"FROM scratch\nADD --checksum={second} --keep-git-dir=true {url} /r/\n")
        files = tree(node, await node.build(context))
        assert files["r/.git/HEAD"].endswith(second)
        (context / "Dockerfile").write_text(f"FROM scratch\nADD --checksum={first} {url} /r/\n")
        with pytest.raises(DockerfileFault, match=f"it is at commit {second}, not at {first}"):
            await node.build(context)
        (context / "Dockerfile").write_text(f"FROM scratch\nADD {url}#{first} /r/\n")
        assert tree(node, await node.build(context))["r/file"] == "644 0:0 one"
        (context / "Dockerfile").write_text(f"FROM scratch\nADD {url}#nowhere /r/\n")
        with pytest.raises(DockerfileFault, match="has no branch or tag 'nowhere'"):
            await node.build(context)
    finally:
        await server.close(grace_seconds=0.1)


async def test_an_agents_socket_is_there_for_the_command_alone(node: Node, context: Path, tmp_path: Path) -> None:
    server = await asyncio.start_unix_server(lambda _reader, writer: writer.close(), str(tmp_path / "agent.sock"))
    mounts = "--mount=type=ssh,uid=5,mode=0600 --mount=type=ssh,id=other,target=/o"
    (context / "Dockerfile").write_text(
        BASE
        + f"RUN {mounts} test -S /o && echo $SSH_AUTH_SOCK > /name; ls -ln $SSH_AUTH_SOCK | cut -c1-18 > /mode\n"
        + "RUN ls /run/buildkit /o 2>/dev/null || :\n"
    )
    agents = {"default": tmp_path / "agent.sock", "other": tmp_path / "agent.sock"}
    try:
        files = tree(node, await node.build(context, ssh=agents), skip=2)
    finally:
        server.close()
    assert files["name"] == "644 0:0 /run/buildkit/ssh_agent.0"
    assert files["mode"].startswith("644 0:0 srw-------")
    assert set(files) == {"name", "mode"}
    assert leftovers(node) == []
    (context / "Dockerfile").write_text(BASE + "RUN --mount=type=ssh,required=true true\n")
    with pytest.raises(DockerfileFault, match="--ssh default"):
        await node.build(context)


async def test_named_contexts_stand_for_stages_images_and_directories(
    node: Node, context: Path, tmp_path: Path
) -> None:
    (context / "Dockerfile").write_text(BASE + "RUN echo image > /mark\n")
    await node.build(context, "given")
    other = tmp_path / "other"
    other.mkdir()
    (other / "f").write_text("other\n")
    contexts = node.builder.tools.contexts
    (context / "Dockerfile").write_text(
        "FROM nowhere/at:all AS mine\nFROM mine\nCOPY --from=Dir f /f\n"
        "RUN --mount=from=dir,target=/m cat /m/f > /bound\n"
        "RUN --mount=type=cache,from=dir,id=seeded,target=/c cat /c/f > /seeded\n"
        "COPY --from=image /mark /mark\n"
    )
    named = {
        "dir": ContextTree(build_node.listed(other, contexts), contexts),
        "mine": "given",
        "image": "given",
    }
    files = tree(node, await node.build(context, contexts=named), skip=3)
    assert files == {
        "f": "644 0:0 other",
        "bound": "644 0:0 other",
        "seeded": "644 0:0 other",
        "mark": "644 0:0 image",
    }
    (context / "Dockerfile").write_text("FROM dir\n")
    with pytest.raises(DockerfileFault, match="is a directory; FROM needs an image"):
        await node.build(context, contexts=named)


async def test_what_reaches_beyond_the_container_needs_the_users_word(node: Node, context: Path) -> None:
    (context / "Dockerfile").write_text(BASE + "RUN --network=host ls /sys/class/net\n")
    with pytest.raises(DockerfileFault, match=r"--allow network\.host"):
        await node.build(context)
    await node.build(context, run=RunSettings(allows=frozenset({"network.host"})))
    (context / "Dockerfile").write_text(BASE + "RUN --security=insecure grep CapEff /proc/self/status > /caps\n")
    with pytest.raises(DockerfileFault, match=r"--allow security\.insecure"):
        await node.build(context)
    allowed = RunSettings(allows=frozenset({"security.insecure"}))
    assert tree(node, await node.build(context, run=allowed), skip=2)["caps"] != "CapEff:\t00000000000425fb"


async def test_hosts_shared_memory_and_limits_of_the_request_hold_in_run(node: Node, context: Path) -> None:
    (context / "Dockerfile").write_text(
        BASE
        + "RUN grep foo /etc/hosts > /h; df -k /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2 > /s; ulimit -n > /u\n"
    )
    settings = RunSettings(hosts=(("foo", "1.2.3.4"),), shm_bytes=32 << 20, ulimits={"nofile": (100, 200)})
    files = tree(node, await node.build(context, run=settings), skip=2)
    assert files == {"h": "644 0:0 1.2.3.4\tfoo", "s": "644 0:0 32768", "u": "644 0:0 100"}


async def test_several_platforms_make_an_index_and_run_needs_an_emulator(node: Node, context: Path) -> None:
    (context / "Dockerfile").write_text(
        BASE.replace("FROM scratch", "FROM --platform=$BUILDPLATFORM scratch")
        + "ARG TARGETARCH\nRUN echo $TARGETARCH > /arch\n"
        + "FROM scratch\nARG TARGETPLATFORM\nCOPY --from=base /arch /\nENV P=$TARGETPLATFORM\n"
    )
    await node.build(context, "many", platforms=("linux/amd64", "linux/s390x"))
    name = node.images.names.find(reference("many"))
    assert name is not None
    index = manifest.parse(read(node.images.content, name.digest, manifest.SIZE_MAX))
    assert isinstance(index, Index)
    assert json.loads(manifest.encode(index))["manifests"][0]["platform"] == {"os": "linux", "architecture": "amd64"}
    packed = b"".join([piece async for piece in export.tree(node.images, node.builder.tools.layering, name.digest)])
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        texts = {m.name: archive.extractfile(m).read() for m in archive if m.isreg()}  # type: ignore[union-attr]
    assert texts == {"linux_amd64/arch": b"amd64\n", "linux_s390x/arch": b"s390x\n"}
    (context / "Dockerfile").write_text('FROM scratch\nCOPY busybox /\nRUN ["/busybox", "true"]\n')
    with pytest.raises(DockerfileFault, match="no emulator is registered"):
        await node.build(context, platforms=("linux/s390x",))


async def test_provenance_is_an_attestation_in_the_index_and_holds_no_secret(node: Node, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM scratch\nARG A\nCOPY Dockerfile /\n")
    publication = Publication(provenance="max", annotations={"a": "b"}, index_annotations={"c": "d"})
    secrets = {"tok": b"topsecret"}
    await node.build(context, "proved", publication=publication, arguments={"A": "value"}, secrets=secrets)
    name = node.images.names.find(reference("proved"))
    assert name is not None
    index = manifest.parse(read(node.images.content, name.digest, manifest.SIZE_MAX))
    assert isinstance(index, Index)
    image, attestation = index.manifests
    assert index.annotations == {"c": "d"}
    assert attestation.annotations["vnd.docker.reference.digest"] == image.digest
    inner = manifest.parse(read(node.images.content, attestation.digest, manifest.SIZE_MAX))
    assert isinstance(inner, manifest.Manifest)
    statement = read(node.images.content, inner.layers[0].digest, manifest.SIZE_MAX)
    predicate = json.loads(statement)["predicate"]
    assert predicate["invocation"]["parameters"]["args"] == {"build-arg:A": "value"}
    assert b"topsecret" not in statement
    assert node.images.resolve("proved").manifest.annotations == {"a": "b"}


async def test_an_exported_cache_answers_steps_of_another_machine(node: Node, context: Path, tmp_path: Path) -> None:
    stamp = "RUN cat /proc/sys/kernel/random/uuid > /stamp\n"
    text = BASE + f"FROM base AS one\n{stamp}FROM base\nCOPY --from=one /stamp /got\nRUN echo x > /x\n"
    (context / "Dockerfile").write_text(text)
    exported = reference("localhost:5000/cache:1")
    first = await node.build(context, cache_to=((exported, True),), publication=Publication(has_inline_cache=True))
    async with build_node.node(tmp_path / "second") as second:
        fetched: list[str] = []

        async def imports(wanted: Reference) -> Found:
            return _cache_of(node, second, wanted, fetched)

        second.imports = imports
        image = await second.build(context, cache_from=(exported,))
        assert second.outcomes() == ["cached"] * 5
        assert image.config.rootfs == first.config.rootfs
        assert {layer.digest for layer in first.manifest.layers} <= set(fetched)
    inline = first.manifest.annotations[cache_exchange.INLINE]
    assert len(cache_exchange.decode(cache_exchange.of_annotation(inline))) >= 3


async def test_a_cache_that_cannot_be_had_costs_a_warning(node: Node, context: Path) -> None:
    async def imports(_wanted: Reference) -> Found:
        raise NotFound("it is not there")

    node.imports = imports
    (context / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    await node.build(context, cache_from=(reference("localhost:5000/none"),))
    assert [event.text for event in node.events if isinstance(event, Warned)] == [
        "--cache-from localhost:5000/none:latest: it is not there"
    ]


def _cache_of(source: Node, target: Node, wanted: Reference, fetched: list[str]) -> Found:
    name = source.images.names.find(wanted)
    assert name is not None
    parsed = manifest.parse(read(source.images.content, name.digest, manifest.SIZE_MAX))
    assert isinstance(parsed, manifest.Manifest)

    async def fetch(part: Descriptor) -> None:
        fetched.append(part.digest)
        ingest = target.images.content.ingest()
        ingest.write(source.images.content.path(part.digest).read_bytes())
        ingest.commit(part.digest)

    return Found(read(source.images.content, parsed.config.digest, cache_exchange.LIST_MAX), fetch)


async def test_the_steps_of_one_stage_alone_run_again(node: Node, context: Path) -> None:
    (context / "Dockerfile").write_text(
        BASE + "FROM base AS one\nRUN echo 1 > /1\nFROM base AS two\nRUN echo 2 > /2\n"
        "FROM scratch\nCOPY --from=one /1 /\nCOPY --from=two /2 /\n"
    )
    await node.build(context)
    await node.build(context, uncached=("two",))
    ended = {e.number: e.outcome for e in node.events if hasattr(e, "outcome")}
    titles = {e.number: e.title for e in node.events if hasattr(e, "title")}
    assert {titles[n] for n, outcome in ended.items() if outcome == "done"} == {"[two 1/1] RUN echo 2 > /2"}


async def test_undefined_variables_are_told_with_the_base_images_environment_known(node: Node, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM scratch\nENV KNOWN=1 HOME_DIR=/h\n")
    await node.build(context, "base")
    (context / "Dockerfile").write_text(
        "FROM base\nARG A=$KNOWN\nENV B=$HOMEDIR C='$NOT' D=${E:-x}\nWORKDIR $A\nCMD [\"$F\"]\n"
    )
    await node.build(context)
    assert [event.text for event in node.events if isinstance(event, Warned)] == [
        "Dockerfile:3: UndefinedVar: usage of undefined variable '$HOMEDIR' (did you mean $HOME_DIR?)"
    ]


async def test_secrets_are_in_no_layer_no_history_no_cache_and_no_command_line(node: Node, context: Path) -> None:
    canary = "c4n4ry-of-the-build"
    (context / "Dockerfile").write_text(
        BASE
        + "RUN --mount=type=secret,id=a cat /run/secrets/a > /dev/null; tr '\\0' ' ' < /proc/1/cmdline; ps\n"
        + 'RUN --mount=type=secret,id=a,env=A test -n "$A" && echo seen\n'
        + "RUN --mount=type=secret,id=a,target=/root/.token test -s /root/.token\n"
        + "RUN ls -la /run /root > /left 2>&1 || :\n"
    )
    image = await node.build(context, secrets={"a": canary.encode()}, publication=Publication(provenance="max"))
    texts = [event.text for event in node.events if isinstance(event, Output)]
    assert canary not in "".join(texts)
    blobs = [image.id, *(layer.digest for layer in image.manifest.layers)]
    places = [node.builder.tools.contexts.root.parent, *map(node.images.content.path, blobs)]
    for place in places:
        for path in [p for p in place.rglob("*") if p.is_file()] if place.is_dir() else [place]:
            content = path.read_bytes()
            unpacked = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
            assert canary.encode() not in unpacked, path
    assert leftovers(node) == []
