"""Dockerfiles built for real: overlayfs, containers, layers. Needs root, a runtime and a static busybox."""

import asyncio
import io
import os
import shutil
import tarfile
from pathlib import Path

import pytest

from knarr.base import failpoints, linux
from knarr.builder import cache_limits
from knarr.builder.dockerfile.faults import DockerfileFault
from knarr.builder.progress import Output, StepFailed
from knarr.builder.request import Publication, RunSettings
from knarr.images.image_store import Image
from knarr.oci import digest
from knarr.wire.http import Request, Response
from knarr.wire.http_server import Server
from tests.e2e.build_node import Node

BUSYBOX = shutil.which("busybox")
pytestmark = pytest.mark.skipif(os.getuid() != 0 or BUSYBOX is None, reason="needs root and busybox-static")

BASE = """FROM scratch AS base
COPY busybox /bin/busybox
RUN ["/bin/busybox", "sh", "-c", "/bin/busybox mkdir -p /etc /tmp && /bin/busybox --install -s /bin"]
ENV PATH=/bin
"""


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


def leftovers(node: Node) -> list[object]:
    """Mounts, mount points and unfinished snapshots that no build needs any more."""
    run_dir = node.builder.tools.machine.run_dir
    drafts = [key for key in node.snapshots.keys() if not node.snapshots.is_committed(key)]  # noqa: SIM118
    mounted = linux.mounts_below(run_dir)
    return [*run_dir.iterdir(), *mounted, *drafts]


async def test_scratch_copy_and_run_make_an_image(node: Node, context: Path) -> None:
    (context / "Dockerfile").write_text(BASE + 'RUN echo hello > /hello && id -u > /uid\nCMD ["sh"]\n')
    image = await node.build(context)
    files = tree(node, image, skip=2)
    assert files == {"hello": "644 0:0 hello", "uid": "644 0:0 0"}
    assert image.config.config.cmd == ("sh",)
    layers = [entry for entry in image.config.history if not entry.empty_layer]
    assert len(layers) == len(image.config.rootfs.diff_ids) == 3
    assert node.outcomes() == ["done"] * 3


async def test_a_build_from_the_cache_is_the_same_image(node: Node, context: Path) -> None:
    (context / "Dockerfile").write_text(BASE + "COPY f /f\nRUN cat /proc/sys/kernel/random/uuid > /stamp\nLABEL a=b\n")
    (context / "f").write_text("one")
    first = await node.build(context)
    os.utime(context / "f", (1, 1))
    assert (await node.build(context)).digest == first.digest
    assert node.outcomes() == ["cached"] * 4
    assert (await node.build(context, uses_cache=False)).digest != first.digest
    (context / "f").write_text("two")
    await node.build(context)
    assert node.outcomes() == ["cached", "cached", "done", "done"]


async def test_a_step_whose_layer_is_gone_runs_again(node: Node, context: Path) -> None:
    (context / "Dockerfile").write_text(BASE + "RUN echo x > /x\n")
    first = await node.build(context)
    node.images.content.delete(first.manifest.layers[-1].digest)
    again = await node.build(context)
    assert node.outcomes() == ["cached", "cached", "done"]
    assert tree(node, again, skip=2) == {"x": "644 0:0 x"}


async def test_source_date_epoch_gives_the_same_digest_every_time(node: Node, context: Path) -> None:
    (context / "Dockerfile").write_text(BASE + "COPY f /d/f\nRUN echo x > /x\n")
    (context / "f").write_text("one")
    first = await node.build(context, epoch=1_000_000_000)
    os.utime(context / "f", (1_500_000_000, 1_500_000_000))
    again = await node.build(context, epoch=1_000_000_000, uses_cache=False)
    assert again.digest == first.digest
    assert first.config.created == "2001-09-09T01:46:40Z"


async def test_a_failing_run_tells_line_command_code_and_output(node: Node, context: Path) -> None:
    (context / "Dockerfile").write_text(BASE + "RUN echo before && exit 42\n")
    with pytest.raises(StepFailed) as caught:
        await node.build(context)
    assert caught.value.exit_code == 42
    assert str(caught.value).splitlines() == [
        "Dockerfile:5: RUN echo before && exit 42",
        "the command ended with exit code 42",
        "its last output:",
        "  | before",
    ]


async def test_predefined_arguments_reach_the_command(node: Node, context: Path) -> None:
    (context / "Dockerfile").write_text(
        BASE + "FROM base\nARG SOURCE_DATE_EPOCH\nRUN hostname > /name; echo $SOURCE_DATE_EPOCH > /epoch\n"
    )
    image = await node.build(context, epoch=1_000_000_000, run=RunSettings(hostname="box"))
    assert tree(node, image, skip=2) == {"name": "644 0:0 box", "epoch": "644 0:0 1000000000"}
    image = await node.build(context, epoch=1_000_000_000, publication=Publication(is_index=True))
    assert image.name_digest != image.digest


async def test_onbuild_copies_and_mounts_from_stages_of_the_dockerfile_it_runs_in(node: Node, context: Path) -> None:
    (context / "Dockerfile").write_text(
        BASE
        + "ONBUILD COPY --from=made /out /out\n"
        + "ONBUILD RUN --mount=from=config,source=/settings,target=/s cat /s > /seen\n"
    )
    await node.build(context, "parent")
    (context / "Dockerfile").write_text(
        "FROM base AS source\nRUN echo from-a-stage > /out\nFROM source AS made\nFROM base AS unneeded\nRUN exit 9\n"
        + "FROM base AS config\nRUN echo settings > /settings\nFROM parent\nRUN cat /out >> /seen\n"
    )
    (context / "base").mkdir()
    shutil.copy(context / "busybox", context / "base" / "busybox")
    (context / "base" / "Dockerfile").write_text(BASE)
    await node.build(context / "base", "base")
    image = await node.build(context)
    assert tree(node, image, skip=2) == {"out": "644 0:0 from-a-stage", "seen": "644 0:0 settings\nfrom-a-stage"}
    (context / "Dockerfile").write_text("FROM base AS config\nFROM parent AS x\nFROM base AS made\nFROM x\n")
    with pytest.raises(DockerfileFault, match="--from=made: that stage comes later"):
        await node.build(context)


async def test_mounts_of_run_show_secret_cache_bind_and_tmpfs(node: Node, context: Path) -> None:
    (context / "Dockerfile").write_text(
        BASE
        + "FROM base\n"
        + "RUN --mount=type=secret,id=tok --mount=type=secret,id=tok,target=/t/x,mode=0444,uid=5"
        + " cat /run/secrets/tok > /len; ls -ln /t/x | cut -c1-10 > /mode\n"
        + "RUN --mount=type=secret,id=tok,env=TOKEN echo ${#TOKEN} > /env\n"
        + "RUN --mount=type=cache,target=/c echo x >> /c/n; wc -l < /c/n > /count\n"
        + "RUN --mount=type=cache,target=/c,sharing=locked echo x >> /c/n; wc -l < /c/n > /count2\n"
        + "RUN --mount=type=bind,source=f,target=/m/f --mount=type=tmpfs,target=/scratch"
        + " cat /m/f > /bound; touch /m/f 2>/dev/null || echo readonly >> /bound;"
        + " mount | grep -c ' /scratch ' >> /bound;"
        + " printf '#!/bin/sh\\necho ran' > /scratch/p; chmod +x /scratch/p; /scratch/p >> /bound\n"
        + "RUN --mount=from=base,source=/bin,target=/m/bin ls /m/bin/sh > /from\n"
    )
    (context / "f").write_text("bound\n")
    image = await node.build(context, secrets={"tok": b"topsecret"})
    files = tree(node, image, skip=2)
    assert files == {
        "len": "644 0:0 topsecret",
        "mode": "644 0:0 -r--r--r--",
        "env": "644 0:0 9",
        "count": "644 0:0 1",
        "count2": "644 0:0 2",
        "bound": "644 0:0 bound\nreadonly\n1\nran",
        "from": "644 0:0 /m/bin/sh",
    }


async def test_an_add_of_a_url_is_fetched_checked_and_unpacked_on_demand(node: Node, context: Path) -> None:
    with tarfile.open(context / "pack.tar", "w") as archive:
        archive.add(context / "busybox", "inside")
    content = (context / "pack.tar").read_bytes()

    async def answer(request: Request) -> Response:
        if request.path == "/moved.tar":
            return Response(302, (("location", "/pack.tar"),))
        return Response(200, (("last-modified", "Sun, 09 Sep 2001 01:46:40 GMT"),), content)

    server = Server(answer)
    port = await server.listen_tcp("127.0.0.1", 0)
    url = f"http://127.0.0.1:{port}/moved.tar"
    (context / "Dockerfile").write_text(
        f"FROM scratch\nADD --checksum={digest.of(content)} {url} /got/\nADD --unpack=true --chown=3 {url} /un/\n"
    )
    try:
        with pytest.raises(DockerfileFault, match="ADD must not reach"):
            await node.build(context)
        node.may_reach_everything()
        files = tree(node, await node.build(context))
        assert list(files) == ["got", "got/moved.tar", "un", "un/inside"]
        assert files["un/inside"].startswith("755 3:3")
        (context / "Dockerfile").write_text(f"FROM scratch\nADD --checksum={digest.of(b'other')} {url} /got/\n")
        with pytest.raises(DockerfileFault, match="has not the digest"):
            await node.build(context)
    finally:
        await server.close(grace_seconds=0.1)


async def test_a_cancelled_build_leaves_nothing(node: Node, context: Path) -> None:
    (context / "Dockerfile").write_text(BASE + "RUN echo started; sleep 1000\n")
    started = asyncio.Event()
    node.when = lambda event: started.set() if isinstance(event, Output) else None
    task = asyncio.create_task(node.build(context))
    await asyncio.wait_for(started.wait(), 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert leftovers(node) == []


async def test_stages_that_do_not_wait_for_each_other_run_at_the_same_time(node: Node, context: Path) -> None:
    wait = "RUN --mount=type=cache,id=meet,target=/c touch /c/{0}; i=0; while [ ! -e /c/{1} ]; do i=$((i+1));" \
           " [ $i -lt 500 ] || exit 1; sleep 0.02; done; touch /{0}\n"  # fmt: skip
    (context / "Dockerfile").write_text(
        BASE + "FROM base AS one\n" + wait.format("a", "b") + "FROM base AS two\n" + wait.format("b", "a")
        + "FROM scratch\nCOPY --from=one /a /\nCOPY --from=two /b /\n"
    )  # fmt: skip
    assert sorted(tree(node, await node.build(context))) == ["a", "b"]


async def test_onbuild_of_a_base_runs_in_the_stage_built_on_it(node: Node, context: Path) -> None:
    (context / "Dockerfile").write_text(BASE + "ONBUILD COPY f /f\nONBUILD RUN cat /f > /g\n")
    await node.build(context, "parent")
    (context / "f").write_text("child")
    (context / "Dockerfile").write_text("FROM parent\n")
    files = tree(node, await node.build(context, "child"), skip=2)
    assert files == {"f": "644 0:0 child", "g": "644 0:0 child"}


async def test_the_command_runs_without_network_without_rights_and_with_a_filter(node: Node, context: Path) -> None:
    (context / "Dockerfile").write_text(
        BASE
        + "RUN --network=none grep -E 'CapEff|Seccomp:' /proc/self/status > /status; ls /sys/class/net > /links;"
        + " echo x > /proc/sys/kernel/hostname 2>/dev/null || echo refused > /sysctl\n"
    )
    files = tree(node, await node.build(context), skip=2)
    assert files["links"] == "644 0:0 lo"
    assert files["sysctl"] == "644 0:0 refused"
    assert "Seccomp:\t2" in files["status"]
    assert "00000000000425fb" not in files["status"]


async def test_links_of_an_image_lead_nowhere_outside_it(node: Node, context: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "victim").write_text("before")
    (context / "f").write_text("evil")
    (context / "Dockerfile").write_text(
        BASE
        + f"RUN ln -s {outside} /out; ln -s {outside}/victim /file; ln -s /proc/self/root /self; ln -s ../../.. /up\n"
        + "COPY f /out/victim\nCOPY f /file\nCOPY f /up/victim\nADD f /out/\n"
        + "RUN --mount=type=cache,target=/out/cache echo x > /out/cache/x\n"
        + "RUN --mount=type=bind,source=f,target=/up/bound cat /up/bound > /result\n"
    )
    image = await node.build(context)
    assert [(path.name, path.read_text()) for path in outside.iterdir()] == [("victim", "before")]
    assert tree(node, image, skip=3)["result"] == "644 0:0 evil"
    (context / "Dockerfile").write_text("FROM test\nRUN --mount=type=cache,target=/self/x true\n")
    with pytest.raises(DockerfileFault):
        await node.build(context)
    (context / "bad.tar").write_bytes(_archive_with_link("dev", str(outside)))
    (context / "Dockerfile").write_text(
        'FROM scratch\nADD bad.tar /\nCOPY busybox /busybox\nRUN ["/busybox", "true"]\n'
    )
    with pytest.raises(DockerfileFault, match="/dev is not a directory"):
        await node.build(context)


def _archive_with_link(name: str, target: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = tarfile.SYMTYPE, target
        archive.addfile(member)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "point", ["builder.after_step", "builder.before_commit", "builder.before_record", "builder.before_image"]
)
async def test_a_failure_at_any_point_leaves_nothing_and_the_next_build_is_whole(
    node: Node, context: Path, point: str
) -> None:
    (context / "Dockerfile").write_text(BASE + "RUN echo x > /x\n")
    failpoints.arm(f"{point}=raise*1")
    try:
        with pytest.raises(failpoints.FailpointError):
            await node.build(context)
    finally:
        failpoints.arm("")
    assert leftovers(node) == []
    assert tree(node, await node.build(context), skip=2) == {"x": "644 0:0 x"}


async def test_garbage_collection_leaves_the_build_cache_until_it_is_forgotten(node: Node, context: Path) -> None:
    (context / "Dockerfile").write_text(BASE + "FROM base AS one\nRUN echo x > /x\nFROM base\nCOPY --from=one /x /\n")
    image = await node.build(context)
    node.images.remove("test")
    await node.images.collect(node.snapshots, 0.0)
    assert (await node.build(context)).digest == image.digest
    assert node.outcomes() == ["cached"] * 4
    node.images.remove("test")
    cache_limits.enforce(node.builder.tools.cache, bytes_max=0)
    await node.images.collect(node.snapshots, 0.0)
    assert list(node.images.content.walk()) == []
    await node.build(context)
    assert node.outcomes() == ["done"] * 4


async def test_a_time_stamp_is_every_files_time_and_the_images(node: Node, context: Path) -> None:
    (context / "Dockerfile").write_text(BASE + "COPY f /d/f\nCOPY <<EOF /g\nx\nEOF\nRUN touch /h\n")
    (context / "f").write_text("one")
    first = await node.build(context, epoch=1_000_000_000, sets_times=True)
    os.utime(context / "f", (500_000_000, 500_000_000))
    again = await node.build(context, epoch=1_000_000_000, sets_times=True, uses_cache=False)
    assert again.digest == first.digest
    assert first.config.created == "2001-09-09T01:46:40Z"
    times = set()
    for layer in first.manifest.layers:
        with tarfile.open(node.images.content.path(layer.digest)) as archive:
            times |= {member.mtime for member in archive}
    assert times == {1_000_000_000}
