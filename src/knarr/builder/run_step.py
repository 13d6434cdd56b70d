"""Prepare RUN: the key with what its mounts show, and the command in a container with all of that mounted.

How the container is made is steps/run.py's; cache, secret and agent mounts are steps/mounts.py's.
"""

import dataclasses
import posixpath
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from knarr.base import tasks
from knarr.base.errors import Forbidden, Invalid
from knarr.base.ids import hex_id
from knarr.base.removal import drop_tree
from knarr.builder import cache_keys, emulation, request
from knarr.builder.copy_step import CopyStep, copied
from knarr.builder.dockerfile.instructions import RunMount
from knarr.builder.evaluate import PlannedStep
from knarr.builder.graph import Node
from knarr.builder.operations import CopyFiles, Run
from knarr.builder.output import Filesystem
from knarr.builder.progress import Output, StepFailed
from knarr.builder.rootfs import Rootfs
from knarr.builder.steps import mounts
from knarr.builder.steps import run as running
from knarr.builder.trees import Tree, clean_path
from knarr.oci.platform import Platform

if TYPE_CHECKING:
    from knarr.builder.solve import Solve

Act = Callable[[Path], Awaitable[None]]


class RunStep:
    """One RUN of one build."""

    def __init__(self, solve: "Solve", node: Node, step: PlannedStep, platform: Platform) -> None:
        self._solve = solve
        self._node = node
        self._step = step
        self._platform = platform
        self._copy = CopyStep(solve, node, step)

    async def prepared(self, operation: Run, filesystem: Filesystem, number: int) -> tuple[str, Act]:
        """The key on top of this file system, and how to carry it out. Raises Forbidden for what nobody allowed."""
        settings = self._solve.request.run
        if operation.network == "default" and settings.network != "default":
            operation = dataclasses.replace(operation, network=settings.network)
        _check(operation, settings)
        mounted = [await self._mounted(mount) for mount in operation.mounts if mount.options.get("from") or
                   mount.type == "bind"]  # fmt: skip

        async def act(root: Path) -> None:
            await emulation.check(self._platform)
            work = self._solve.tools.machine.run_dir / f"mounts-{hex_id()[:16]}"
            async with AsyncExitStack() as stack:
                stack.callback(drop_tree, work)
                await self._run(operation, root, work, stack, number=number)

        times = self._solve.request.times
        extra: list[object] = [settings.hosts, settings.shm_bytes, sorted(settings.ulimits.items())]
        if settings.hostname != request.HOSTNAME:
            extra.append(settings.hostname)
        if settings.cache_namespace and any(mount.type == "cache" for mount in operation.mounts):
            extra.append(["cache", settings.cache_namespace])
        platform = "" if self._platform == emulation.HOST else str(self._platform)
        return cache_keys.run_key(filesystem.state, operation, mounted, [times, extra, platform]), act

    async def _run(self, operation: Run, root: Path, work: Path, stack: AsyncExitStack, *, number: int) -> None:
        asked, tools = self._solve.request, self._solve.tools

        async def bind(mount: RunMount, place: Path) -> Path:
            return await self._bind_source(mount, place, stack)

        async def seed(mount: RunMount, place: Path) -> None:
            await self._seed(mount, place)

        given = mounts.Given(asked.secrets, asked.ssh, bind, seed, asked.run.cache_namespace)
        prepared = await stack.enter_async_context(mounts.prepared(operation, work, tools.cache_mounts, given))
        result = await running.run(
            tools.machine, root, operation, asked.run, prepared.mounts, env=prepared.env, write=self._writer(number)
        )
        if result.exit_code != 0:
            raise StepFailed(_failure(self._step, result), result.exit_code)

    def _writer(self, number: int) -> running.Write:
        def write(stream: int, piece: bytes) -> None:
            self._solve.report(Output(number, stream, piece.decode("utf-8", "replace")))

        return write

    async def _mounted(self, mount: RunMount) -> str:
        """What a mount shows of a context, stage or image, for the key."""
        from_ = mount.options.get("from", "")
        tree = self._solve.context(self._node, from_)
        if tree is None:
            return (await self._solve.origin(self._node, from_, self._step.instruction.place)).filesystem.state
        return cache_keys.content_key(tree, self._copy.selected(tree, _selection(mount)))

    async def _bind_source(self, mount: RunMount, place: Path, stack: AsyncExitStack) -> Path:
        """What `type=bind` shows, as a path; gone when the stack ends."""
        from_, path = mount.options.get("from", ""), mount.options.get("source", "")
        layering = self._solve.tools.layering
        tree = self._solve.context(self._node, from_)
        if tree is None:
            source = (await self._solve.origin(self._node, from_, self._step.instruction.place)).filesystem
            is_written = mount.options.get("readonly") == "false"
            if is_written:
                root = (await stack.enter_async_context(layering.draft(source))).root
            else:
                root = await stack.enter_async_context(layering.shown(source))
        else:
            root = place
            place.mkdir(parents=True, mode=0o755)
            picks = self._copy.selected(tree, _selection(mount))
            await self._solve.need([pick.entry.content for pick in picks if pick.entry.kind == "file"])
            target = CopyFiles("", (), _context_target(tree, path))
            await tasks.in_thread(copied, place, tree, picks, target)
        rootfs = Rootfs(root)
        try:
            found = rootfs.resolve(clean_path(path))
        finally:
            rootfs.close()
        if found is None:
            raise Invalid(f"--mount: source {path!r} is not there")
        return root / found

    async def _seed(self, mount: RunMount, place: Path) -> None:
        """Fill the new directory of a cache with what `from=` and `source=` name."""
        async with AsyncExitStack() as stack:
            shown = place.with_name(f"{place.name}.seed")
            stack.callback(drop_tree, shown)
            source = await self._bind_source(mount, shown, stack)
            tree = Rootfs(source)
            try:
                whole = CopyFiles("", (".",), "/")
                picks = await tasks.in_thread(self._copy.selected, tree, whole)
                await tasks.in_thread(copied, place, tree, picks, whole)
            finally:
                tree.close()


def _check(operation: Run, settings: request.RunSettings) -> None:
    """What reaches beyond the container needs the user's word, not the Dockerfile's alone."""
    is_given = settings.network == "host" or request.NETWORK_HOST in settings.allows
    if operation.network == "host" and not is_given:
        raise Forbidden(
            f"RUN --network=host shares this machine's network: allow it with --allow {request.NETWORK_HOST}"
        )
    if operation.is_insecure and request.INSECURE not in settings.allows:
        raise Forbidden(f"RUN --security=insecure could own this machine: allow it with --allow {request.INSECURE}")


def _selection(mount: RunMount) -> CopyFiles:
    return CopyFiles("", (mount.options.get("source", "") or ".",), "/")


def _context_target(tree: Tree, path: str) -> str:
    """A bind mount of the context shows the path where it is in the context."""
    resolved = tree.resolve(clean_path(path))
    entry = None if resolved is None else tree.entry(resolved)
    return "/" + (clean_path(path) if entry is not None and entry.kind == "directory" else posixpath.dirname(path))


def _failure(step: PlannedStep, result: running.RunResult) -> str:
    """Line, command, exit code and the last output of a RUN that failed."""
    place = step.instruction.place
    command = step.instruction.text.partition("\n")[0]
    lines = [f"{place.file}:{place.line}: {command}", f"the command ended with exit code {result.exit_code}"]
    if result.tail:
        lines += ["its last output:", *(f"  | {line}" for line in result.tail)]
    return "\n".join(lines)
