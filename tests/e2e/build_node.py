"""A builder on real overlayfs and a real runtime, in a temporary directory; for e2e tests (root)."""

import dataclasses
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from knarr.base.errors import NotFound
from knarr.builder.cache_exchange import Import
from knarr.builder.context_store import ContextStore
from knarr.builder.downloads import Downloads
from knarr.builder.progress import Event
from knarr.builder.request import BuildRequest
from knarr.builder.solve import Builder
from knarr.builder.steps.run import Machine
from knarr.builder.trees import ContextTree, Entry
from knarr.cli import build_context
from knarr.images.image_store import Image, ImageStore
from knarr.images.local_content import LocalContent
from knarr.images.names import Names
from knarr.images.overlay import OverlaySnapshots
from knarr.nodeapi import builds
from knarr.nodeapi.messages import ContextEntry
from knarr.oci.platform import Platform
from knarr.oci.reference import Reference
from knarr.oci.reference import parse as reference
from knarr.runtime.cgroups import Cgroups
from knarr.runtime.oci_runtime import OciRuntime, find_programs

CGROUP = "/knarr-e2e-build"


class Node:
    """Builds contexts that are directories; `events` are those of the last build."""

    def __init__(self, builder: Builder, images: ImageStore, snapshots: OverlaySnapshots) -> None:
        self.builder, self.images, self.snapshots = builder, images, snapshots
        self.events: list[Event] = []
        self.imports: Import | None = None
        self.when: Callable[[Event], None] = lambda _event: None

    def may_reach_everything(self) -> None:
        """Let ADD fetch from this test's own server."""
        tools = self.builder.tools
        self.builder.tools = dataclasses.replace(tools, downloads=Downloads(tools.contexts, lambda _address: True))

    def _report(self, event: Event) -> None:
        self.events.append(event)
        self.when(event)

    async def build(self, context: Path, name: str = "test", *, ignores: bool = False, **options: object) -> Image:
        """`ignores`: the context is listed as `knarr build` does it, .dockerignore and all."""
        self.events = []
        contexts = self.builder.tools.contexts
        dockerfile = (context / "Dockerfile").read_text()
        entries = as_the_cli_lists(context, contexts) if ignores else listed(context, contexts)
        tree = ContextTree(entries, contexts)
        request = BuildRequest(dockerfile=dockerfile, context=tree, names=(reference(name),), **options)  # type: ignore[arg-type]
        built = await self.builder.build(request, self._report, _nothing_missing, _no_fetch, self.imports)
        return self.images.image(built.digest)

    def outcomes(self) -> list[str]:
        return [event.outcome for event in self.events if hasattr(event, "outcome")]


def listed(context: Path, contexts: ContextStore) -> dict[str, Entry]:
    entries = {}
    for path in sorted(context.rglob("*")):
        found = path.lstat()
        mode = found.st_mode & 0o7777
        if path.is_symlink():
            entry = Entry("link", mode, mtime=found.st_mtime_ns, link=os.readlink(path))
        elif path.is_dir():
            entry = Entry("directory", mode, mtime=found.st_mtime_ns)
        else:
            with path.open("rb") as file:
                digest = contexts.add(file, found.st_size)
            entry = Entry("file", mode, found.st_size, found.st_mtime_ns, content=digest)
        entries[str(path.relative_to(context))] = entry
    return entries


def as_the_cli_lists(context: Path, contexts: ContextStore) -> dict[str, Entry]:
    sent = build_context.read(context, context / "Dockerfile")
    for path in sent.paths.values():
        with (context / path).open("rb") as file:
            contexts.add(file, (context / path).stat().st_size)
    return dict(builds.entry(msgspec.convert(row, ContextEntry)) for row in sent.rows)


async def _nothing_missing(_digests: list[str]) -> None:
    return


async def _no_fetch(wanted: Reference, _platform: Platform) -> Image:
    raise NotFound(f"image {wanted.familiar} is not here")


@asynccontextmanager
async def node(directory: Path) -> AsyncIterator[Node]:
    run_dir = Path("/run") / f"knarr-e2e-build-{os.getpid()}-{directory.name}"
    run_dir.mkdir(mode=0o700)
    snapshots = OverlaySnapshots(directory / "images")
    images = ImageStore(LocalContent(directory / "images"), Names(directory / "images" / "names.json"), snapshots)
    cgroups = Cgroups()
    runtime = OciRuntime(run_dir / "runtime", find_programs(run_dir / "runtime"), cgroups, f"{CGROUP}/monitors")
    try:
        machine = Machine(runtime, run_dir / "build", CGROUP)
        yield Node(Builder(images, directory / "builder", machine), images, snapshots)
    finally:
        runtime.close()
        shutil.rmtree(run_dir)
        cgroups.remove(f"{CGROUP}/monitors")
        cgroups.remove(CGROUP)
