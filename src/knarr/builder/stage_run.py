"""Run the steps of one stage in order: each from the cache where its key is known, else carried out.

A step's key needs only what is known before it runs; COPY's takes the content of what it selects. Not here: keys
(cache_keys.py), what operations do (steps/), what a stage waits for (solve.py).
"""

import asyncio
import dataclasses
import os
import posixpath
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from knarr.base.errors import Invalid, KnarrError, Unimplemented
from knarr.base.failpoints import failpoint
from knarr.builder import cache_keys, output
from knarr.builder.cache import Record
from knarr.builder.dockerfile import ignore
from knarr.builder.dockerfile.faults import DockerfileFault, fault
from knarr.builder.dockerfile.instructions import RunMount
from knarr.builder.evaluate import PlannedStep
from knarr.builder.graph import Node
from knarr.builder.operations import CopyFiles, MakeDirectory, Operation, Run
from knarr.builder.output import Done, Filesystem, StageResult
from knarr.builder.progress import Output, StepEnded, StepFailed, StepStarted
from knarr.builder.rootfs import Rootfs
from knarr.builder.steps import add, mounts
from knarr.builder.steps import copy as copying
from knarr.builder.steps import run as running
from knarr.builder.trees import ContextTree, Pick, Tree, clean_path, is_remote, outside, select
from knarr.oci.image_config import chain_id

if TYPE_CHECKING:
    from knarr.builder.solve import Solve

Act = Callable[[Path], Awaitable[None]]


class StageRun:
    """One stage of one build."""

    def __init__(self, solve: "Solve", node: Node, base: StageResult) -> None:
        self._solve = solve
        self._tools = solve.tools
        self._request = solve.request
        self._node = node
        self._base = base
        self._filesystem = base.filesystem

    async def run(self, planned: list[PlannedStep]) -> StageResult:
        """The stage's result. Raises what stops the build, with the instruction's place."""
        done = []
        for number, step in enumerate(planned, start=1):
            if step.operation is None:
                done.append(Done(step, has_layer=False))
                continue
            try:
                title = self._title(step, number, len(planned))
                done.append(await self._step(step, step.operation, title))
            except (DockerfileFault, StepFailed):
                raise
            except KnarrError as error:
                raise fault(step.instruction.place, str(error)) from error
        config = planned[-1].config if planned else self._base.config
        return output.after(self._base, self._filesystem, config, done)

    def _title(self, step: PlannedStep, number: int, count: int) -> str:
        stage = self._node.stage
        first = step.instruction.text.partition("\n")[0]
        return f"[{stage.name or f'stage-{stage.number}'} {number}/{count}] {first}"

    async def _step(self, step: PlannedStep, operation: Operation, title: str) -> Done:
        number = self._solve.number()
        self._solve.report(StepStarted(number, title))
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            key, act = await self._prepared(step, operation, number)
            record = self._found(key)
            is_cached = record is not None
            if record is None:
                async with self._solve.steps:
                    record = await self._carried_out(key, act)
        except BaseException:
            self._solve.report(StepEnded(number, "failed", loop.time() - began))
            raise
        self._filesystem = self._after(key, record)
        self._solve.report(StepEnded(number, "cached" if is_cached else "done", loop.time() - began))
        return Done(step, record.layer is not None, record.created)

    def _found(self, key: str) -> Record | None:
        """The record of an earlier run, if what it made is still here."""
        record = self._tools.cache.find(key) if self._request.uses_cache else None
        if record is None or record.layer is None:
            return record
        return record if self._tools.images.content.touch(record.layer.digest) else None

    async def _carried_out(self, key: str, act: Act) -> Record:
        layering = self._tools.layering
        async with layering.draft(self._filesystem) as draft:
            await act(draft.root)
            failpoint("builder.after_step")
            layer = await layering.commit(draft, mtime_max=self._request.epoch)
        failpoint("builder.before_record")
        record = Record(
            key=key,
            created=self._solve.now(),
            diff_id=layer.diff_id,
            layer=None if layer.is_empty else layer.descriptor,
        )
        self._tools.cache.put(record)
        return record

    def _after(self, key: str, record: Record) -> Filesystem:
        before = self._filesystem
        if record.layer is None:
            state = cache_keys.state_after(before.state, key, is_empty=True)
            return Filesystem(before.layers, before.diff_ids, state)
        layered = before.with_layer(record.layer, record.diff_id, "")
        return Filesystem(layered.layers, layered.diff_ids, chain_id(layered.diff_ids))

    async def _prepared(self, step: PlannedStep, operation: Operation, number: int) -> tuple[str, Act]:
        """The key of a step, and how to carry it out."""
        match operation:
            case MakeDirectory():
                return self._directory(operation)
            case CopyFiles():
                return await self._copy(step, operation)
            case Run():
                return await self._run(step, operation, number)
            case _:
                assert_never(operation)

    # WORKDIR

    def _directory(self, operation: MakeDirectory) -> tuple[str, Act]:
        async def act(root: Path) -> None:
            rootfs = Rootfs(root)
            try:
                rootfs.make_directories(clean_path(operation.path))
            finally:
                rootfs.close()

        return cache_keys.directory_key(self._filesystem.state, operation, self._request.epoch), act

    # COPY and ADD

    async def _copy(self, step: PlannedStep, operation: CopyFiles) -> tuple[str, Act]:
        if operation.from_:
            return await self._copy_from(step, operation)
        above = outside(operation.sources)
        if above:
            raise fault(step.instruction.place, f"{above} lies outside the build context", above)
        remote = [source for source in operation.sources if operation.is_add and is_remote(source)]
        local = dataclasses.replace(operation, sources=tuple(s for s in operation.sources if s not in remote))
        tree = self._request.context
        picks = await asyncio.to_thread(self._selected, tree, step, local)
        downloaded, download_picks = await self._downloaded(remote, operation)
        content = await asyncio.to_thread(cache_keys.content_key, tree, picks)
        content += cache_keys.content_key(downloaded, download_picks)

        async def act(root: Path) -> None:
            await self._solve.need([pick.entry.content for pick in picks if pick.entry.kind == "file"])
            await asyncio.to_thread(_copied, root, tree, picks, local)
            if download_picks:
                alone = dataclasses.replace(operation, unpacks=operation.unpacks_downloads, inline=())
                await asyncio.to_thread(_copied, root, downloaded, download_picks, alone)

        return cache_keys.copy_key(self._filesystem.state, operation, content, self._request.epoch), act

    async def _downloaded(self, urls: list[str], operation: CopyFiles) -> tuple[ContextTree, list[Pick]]:
        """The files of URLs as a tree of their own, and what to copy of it."""
        entries, picks = {}, []
        for number, url in enumerate(urls):
            if url.endswith(".git") or ".git#" in url:
                raise Unimplemented(f"ADD {url}: fetching git repositories is not there yet")
            found = await self._tools.downloads.fetch(url, operation.checksum)
            if not found.name and operation.target.endswith("/"):
                raise Invalid(f"{url} has no file name to use in {operation.target}")
            entries[f"download{number}"] = found.entry
            picks.append(Pick(f"download{number}", found.name, found.entry, is_source=True))
        return ContextTree(entries, self._tools.contexts), picks

    async def _copy_from(self, step: PlannedStep, operation: CopyFiles) -> tuple[str, Act]:
        source = (await self._solve.origin(self._node, operation.from_, step.instruction.place)).filesystem
        memory = cache_keys.selection_key(source.state, operation)
        record = self._tools.cache.find(memory)
        if record is None:
            async with self._shown(source) as tree:
                picks = await asyncio.to_thread(self._selected, tree, step, operation)
                content = await asyncio.to_thread(cache_keys.content_key, tree, picks)
            record = Record(key=memory, content=content)
            self._tools.cache.put(record)

        async def act(root: Path) -> None:
            async with self._shown(source) as tree:
                picks = await asyncio.to_thread(self._selected, tree, step, operation)
                await asyncio.to_thread(_copied, root, tree, picks, operation)

        return cache_keys.copy_key(self._filesystem.state, operation, record.content, self._request.epoch), act

    def _selected(self, tree: Tree, step: PlannedStep, operation: CopyFiles) -> list[Pick]:
        try:
            exclude = ignore.of(operation.exclude)
            return select(tree, operation.sources, exclude, keeps_parents=operation.keeps_parents)
        except (Invalid, ValueError) as error:
            place, hint = step.instruction.place, ""
            if not operation.from_:
                hint = " in the build context (or .dockerignore keeps it out)"
            raise fault(place, f"{error}{hint}", next((s for s in operation.sources if s in place.text), "")) from error

    @asynccontextmanager
    async def _shown(self, source: Filesystem) -> AsyncIterator[Rootfs]:
        """Another stage's or an image's file system, mounted to be read."""
        async with self._tools.layering.shown(source) as root:
            rootfs = Rootfs(root)
            try:
                yield rootfs
            finally:
                rootfs.close()

    # RUN

    async def _run(self, step: PlannedStep, operation: Run, number: int) -> tuple[str, Act]:
        mounted = [await self._mounted(step, mount) for mount in operation.mounts if mount.type == "bind"]

        async def act(root: Path) -> None:
            work = self._tools.machine.run_dir / f"mounts-{root.name}"
            async with AsyncExitStack() as stack:
                stack.callback(shutil.rmtree, work, ignore_errors=True)
                binds = _Binds(self, step, stack)
                prepared = await stack.enter_async_context(
                    mounts.prepared(operation, work, self._tools.cache_mounts, self._request.secrets, binds.bind)
                )
                result = await running.run(
                    self._tools.machine, root, operation, prepared.mounts, env=prepared.env, write=self._writer(number)
                )
                if result.exit_code != 0:
                    raise StepFailed(_failure(step, result), result.exit_code)

        return cache_keys.run_key(self._filesystem.state, operation, mounted, self._request.epoch), act

    def _writer(self, number: int) -> running.Write:
        def write(stream: int, piece: bytes) -> None:
            self._solve.report(Output(number, stream, piece.decode("utf-8", "replace")))

        return write

    async def _mounted(self, step: PlannedStep, mount: RunMount) -> str:
        """What a bind mount shows, for the key."""
        if mount.options.get("from"):
            return (
                await self._solve.origin(self._node, mount.options["from"], step.instruction.place)
            ).filesystem.state
        tree = self._request.context
        return cache_keys.content_key(tree, self._selected(tree, step, _selection(mount)))

    async def bind_source(self, step: PlannedStep, mount: RunMount, place: Path, stack: AsyncExitStack) -> Path:
        """What `type=bind` shows, as a path below `place`; gone when the stack ends."""
        path = mount.options.get("source", "")
        if mount.options.get("from"):
            source = (await self._solve.origin(self._node, mount.options["from"], step.instruction.place)).filesystem
            is_written = "true" in (mount.options.get("readwrite"), mount.options.get("rw"))
            if is_written:
                root = (await stack.enter_async_context(self._tools.layering.draft(source))).root
            else:
                root = await stack.enter_async_context(self._tools.layering.shown(source))
        else:
            root, tree = place, self._request.context
            place.mkdir(parents=True, mode=0o755)
            picks = self._selected(tree, step, _selection(mount))
            await self._solve.need([pick.entry.content for pick in picks if pick.entry.kind == "file"])
            target = CopyFiles("", (), _context_target(tree, path))
            await asyncio.to_thread(_copied, place, tree, picks, target)
        rootfs = Rootfs(root)
        try:
            found = rootfs.resolve(clean_path(path))
        finally:
            rootfs.close()
        if found is None:
            raise Invalid(f"--mount: source {path!r} is not there")
        return root / found


class _Binds:
    """Bind mounts of one RUN."""

    def __init__(self, stage: StageRun, step: PlannedStep, stack: AsyncExitStack) -> None:
        self._stage, self._step, self._stack = stage, step, stack

    async def bind(self, mount: RunMount, place: Path) -> Path:
        return await self._stage.bind_source(self._step, mount, place, self._stack)


def _selection(mount: RunMount) -> CopyFiles:
    return CopyFiles("", (mount.options.get("source", "") or ".",), "/")


def _context_target(tree: Tree, path: str) -> str:
    """A bind mount of the context shows the path where it is in the context."""
    resolved = tree.resolve(clean_path(path))
    entry = None if resolved is None else tree.entry(resolved)
    return "/" + (clean_path(path) if entry is not None and entry.kind == "directory" else posixpath.dirname(path))


def _copied(root: Path, tree: Tree, picks: list[Pick], operation: CopyFiles) -> None:
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


def _failure(step: PlannedStep, result: running.RunResult) -> str:
    """Line, command, exit code and the last output of a RUN that failed."""
    place = step.instruction.place
    command = step.instruction.text.partition("\n")[0]
    lines = [f"{place.file}:{place.line}: {command}", f"the command ended with exit code {result.exit_code}"]
    if result.tail:
        lines += ["its last output:", *(f"  | {line}" for line in result.tail)]
    return "\n".join(lines)
