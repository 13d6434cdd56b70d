"""Prepare COPY and ADD: what the sources select, the key of that, and how it is written.

Sources are files of the build context, of a named context, of another stage or image; for ADD also URLs and git
repositories. Each kind is one function that answers what it contributes to the key and a writer.
"""

import asyncio
import dataclasses
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from knarr.base import tasks
from knarr.base.errors import Invalid
from knarr.base.ids import hex_id
from knarr.builder import cache_keys, git
from knarr.builder.cache import Record
from knarr.builder.dockerfile import ignore
from knarr.builder.dockerfile.faults import fault
from knarr.builder.evaluate import PlannedStep
from knarr.builder.graph import Node
from knarr.builder.operations import CopyFiles
from knarr.builder.output import Filesystem
from knarr.builder.rootfs import Rootfs
from knarr.builder.steps import add
from knarr.builder.steps import copy as copying
from knarr.builder.trees import ContextTree, Pick, Tree, is_remote, outside, select

if TYPE_CHECKING:
    from knarr.builder.solve import Solve

GIT_DIRECTORY = "git"
"""Beside the context store: work trees while they are copied from."""
Act = Callable[[Path], Awaitable[None]]
Part = tuple[str, Act]
"""What some sources contribute to the key, and what writes them."""


class CopyStep:
    """One COPY or ADD of one build."""

    def __init__(self, solve: "Solve", node: Node, step: PlannedStep) -> None:
        self._solve = solve
        self._node = node
        self._step = step
        self._place = step.instruction.place

    async def prepared(self, operation: CopyFiles, filesystem: Filesystem) -> tuple[str, Act]:
        """The key on top of this file system, and how to carry it out."""
        parts = [part async for part in self._parts(operation)]
        content = "".join(content for content, _ in parts)

        async def act(root: Path) -> None:
            for _, write in parts:
                await write(root)

        return cache_keys.copy_key(filesystem.state, operation, content, self._solve.request.times), act

    async def _parts(self, operation: CopyFiles) -> AsyncIterator[Part]:
        context = self._solve.context(self._node, operation.from_)
        if context is None:
            yield await self._of_filesystem(operation)
            return
        if not operation.from_ and (above := outside(operation.sources)):
            raise fault(self._place, f"{above} lies outside the build context", above)
        remote = [source for source in operation.sources if operation.is_add and is_remote(source)]
        local = tuple(source for source in operation.sources if source not in remote)
        yield await self._of_context(dataclasses.replace(operation, sources=local), context)
        alone = dataclasses.replace(operation, unpacks=operation.unpacks_downloads, inline=())
        for url in remote:
            source = self._git_source(url, operation)
            yield await (self._of_url(url, alone) if source is None else self._of_git(source, alone))

    async def _of_context(self, operation: CopyFiles, tree: ContextTree) -> Part:
        picks = await asyncio.to_thread(self.selected, tree, operation)

        async def write(root: Path) -> None:
            await self._solve.need([pick.entry.content for pick in picks if pick.entry.kind == "file"])
            await tasks.in_thread(copied, root, tree, picks, operation)

        return await asyncio.to_thread(cache_keys.content_key, tree, picks), write

    async def _of_url(self, url: str, operation: CopyFiles) -> Part:
        found = await self._solve.tools.downloads.fetch(url, operation.checksum)
        if not found.name and operation.target.endswith("/"):
            raise Invalid(f"{url} has no file name to use in {operation.target}")
        tree = ContextTree({"download": found.entry}, self._solve.tools.contexts)
        picks = [Pick("download", found.name, found.entry, is_source=True)]

        async def write(root: Path) -> None:
            await tasks.in_thread(copied, root, tree, picks, operation)

        return cache_keys.content_key(tree, picks), write

    def _git_source(self, url: str, operation: CopyFiles) -> git.GitSource | None:
        source = git.parse(url)
        if source is None:
            return None
        if operation.keeps_git:
            source = dataclasses.replace(source, keeps_git=True)
        if operation.checksum:
            source = dataclasses.replace(source, checksum=operation.checksum.removeprefix("sha1:"))
        return source

    async def _of_git(self, source: git.GitSource, operation: CopyFiles) -> Part:
        request, tools = self._solve.request, self._solve.tools
        access = git.Access(
            tools.downloads.address,
            agent=request.ssh.get("default"),
            token=request.secrets.get("GIT_AUTH_TOKEN", b"").decode("utf-8", "replace").strip(),
        )
        commit = await git.commit_of(source, access)

        async def write(root: Path) -> None:
            work = tools.contexts.root.with_name(GIT_DIRECTORY) / hex_id()[:16]
            async with git.checkout(work, source, commit, access) as place:
                tree = git.Checkout(place.root, place.time_ns, keeps_git=source.keeps_git)
                try:
                    whole = dataclasses.replace(operation, sources=(source.subdir or ".",), unpacks=False)
                    picks = await tasks.in_thread(self.selected, tree, whole)
                    await tasks.in_thread(copied, root, tree, picks, whole)
                finally:
                    tree.close()

        exclude = sorted(operation.exclude)
        return cache_keys.key_of("git", commit, source.subdir, source.keeps_git, source.submodules, exclude), write

    async def _of_filesystem(self, operation: CopyFiles) -> Part:
        """Of another stage or an image, whose content for this selection is remembered."""
        tools = self._solve.tools
        source = (await self._solve.origin(self._node, operation.from_, self._place)).filesystem
        memory = cache_keys.selection_key(source.state, operation)
        record = tools.cache.find(memory) or await self._solve.running.imported.find(memory)
        if record is None:
            async with self._shown(source) as tree:
                picks = await tasks.in_thread(self.selected, tree, operation)
                content = await tasks.in_thread(cache_keys.content_key, tree, picks)
            record = Record(key=memory, content=content)
            tools.cache.put(record)
        self._solve.used.append((True, record))

        async def write(root: Path) -> None:
            async with self._shown(source) as tree:
                picks = await tasks.in_thread(self.selected, tree, operation)
                await tasks.in_thread(copied, root, tree, picks, operation)

        return record.content, write

    def selected(self, tree: Tree, operation: CopyFiles) -> list[Pick]:
        """Raises DockerfileFault where a source is not there."""
        try:
            exclude = ignore.of(operation.exclude)
            return select(tree, operation.sources, exclude, keeps_parents=operation.keeps_parents)
        except (Invalid, ValueError) as error:
            hint = "" if operation.from_ else " in the build context (or .dockerignore keeps it out)"
            at = next((source for source in operation.sources if source in self._place.text), "")
            raise fault(self._place, f"{error}{hint}", at) from error

    @asynccontextmanager
    async def _shown(self, source: Filesystem) -> AsyncIterator[Rootfs]:
        """Another stage's or an image's file system, mounted to be read."""
        async with self._solve.tools.layering.shown(source) as root:
            rootfs = Rootfs(root)
            try:
                yield rootfs
            finally:
                rootfs.close()


def copied(root: Path, tree: Tree, picks: list[Pick], operation: CopyFiles) -> None:
    """Write the picks and the here-documents into the mounted root file system; archives of ADD are unpacked."""
    rootfs = Rootfs(root)
    try:
        if operation.unpacks:
            picks = _unpacked(rootfs, tree, picks, operation)
        copying.copy_picks(rootfs, tree, picks, operation)
        copying.copy_inline(rootfs, operation)
    finally:
        rootfs.close()


def _unpacked(rootfs: Rootfs, tree: Tree, picks: list[Pick], operation: CopyFiles) -> list[Pick]:
    """Unpacks the sources that are archives; what is left to copy."""
    left = []
    for pick in picks:
        if not pick.is_source or pick.entry.kind != "file":
            left.append(pick)
            continue
        descriptor = tree.open(pick.path)
        try:
            if add.is_archive(descriptor):
                add.unpack(rootfs, descriptor, operation.target, copying.placing(rootfs, operation))
            else:
                left.append(pick)
        finally:
            os.close(descriptor)
    return left
