"""Run the steps of one stage in order: each from the cache where its key is known, else carried out.

A step's key needs only what is known before it runs; COPY's takes the content of what it selects. Not here: keys
(cache_keys.py), what steps need and do (copy_step.py, run_step.py), what a stage waits for (solve.py).
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from knarr.base.errors import KnarrError
from knarr.base.failpoints import failpoint
from knarr.builder import cache_keys, copy_step, output, run_step
from knarr.builder.cache import Record
from knarr.builder.dockerfile.faults import DockerfileFault, fault
from knarr.builder.evaluate import PlannedStep
from knarr.builder.graph import Node
from knarr.builder.operations import CopyFiles, MakeDirectory, Operation, Run
from knarr.builder.output import Done, Filesystem, StageResult
from knarr.builder.progress import StepEnded, StepFailed, StepStarted
from knarr.builder.rootfs import Rootfs
from knarr.builder.trees import clean_path
from knarr.oci.image_config import chain_id
from knarr.oci.platform import Platform

if TYPE_CHECKING:
    from knarr.builder.solve import Solve

Act = Callable[[Path], Awaitable[None]]


class StageRun:
    """One stage of one build. `is_last`: the image is this stage."""

    def __init__(self, solve: "Solve", node: Node, base: StageResult, platform: Platform, *, is_last: bool) -> None:
        self.solve = solve
        self.node = node
        self.platform = platform
        self.filesystem = base.filesystem
        self._base = base
        self._is_last = is_last
        stage = node.stage
        uncached = {name.lower() for name in solve.request.uncached}
        is_filtered = bool(uncached & {stage.name, str(stage.number)} - {""})
        self._uses_cache = solve.request.uses_cache and not is_filtered

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
        return output.after(self._base, self.filesystem, config, done)

    def _title(self, step: PlannedStep, number: int, count: int) -> str:
        stage = self.node.stage
        first = step.instruction.text.partition("\n")[0]
        name = stage.name or f"stage-{stage.number}"
        several = f"{self.platform} " if len(self.solve.request.platforms) > 1 else ""
        return f"[{several}{name} {number}/{count}] {first}"

    async def _step(self, step: PlannedStep, operation: Operation, title: str) -> Done:
        number = self.solve.number()
        self.solve.report(StepStarted(number, title))
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            key, act = await self._prepared(step, operation, number)
            record = await self._found(key)
            is_cached = record is not None
            if record is None:
                async with self.solve.steps:
                    record = await self._carried_out(key, act)
        except BaseException:
            self.solve.report(StepEnded(number, "failed", loop.time() - began))
            raise
        self.solve.used.append((self._is_last, record))
        self.filesystem = self._after(key, record)
        self.solve.report(StepEnded(number, "cached" if is_cached else "done", loop.time() - began))
        return Done(step, record.layer is not None, record.created)

    async def _found(self, key: str) -> Record | None:
        """The record of an earlier run, if what it made is still here or can be fetched."""
        if not self._uses_cache:
            return None
        tools = self.solve.tools
        record = tools.cache.find(key)
        if record is not None and (record.layer is None or tools.images.content.touch(record.layer.digest)):
            return record
        record = await self.solve.running.imported.find(key)
        if record is not None:
            tools.cache.put(record)
        return record

    async def _carried_out(self, key: str, act: Act) -> Record:
        request, layering = self.solve.request, self.solve.tools.layering
        async with layering.draft(self.filesystem) as draft:
            await act(draft.root)
            failpoint("builder.after_step")
            layer = await layering.commit(draft, mtime_max=request.epoch, sets_times=request.sets_times)
        failpoint("builder.before_record")
        record = Record(
            key=key,
            created=self.solve.now(),
            diff_id=layer.diff_id,
            layer=None if layer.is_empty else layer.descriptor,
            chain="" if layer.is_empty else chain_id([*self.filesystem.diff_ids, layer.diff_id]),
        )
        self.solve.tools.cache.put(record)
        return record

    def _after(self, key: str, record: Record) -> Filesystem:
        before = self.filesystem
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
                return await copy_step.CopyStep(self.solve, self.node, step).prepared(operation, self.filesystem)
            case Run():
                run = run_step.RunStep(self.solve, self.node, step, self.platform)
                return await run.prepared(operation, self.filesystem, number)
            case _:
                assert_never(operation)

    def _directory(self, operation: MakeDirectory) -> tuple[str, Act]:
        async def act(root: Path) -> None:
            rootfs = Rootfs(root)
            try:
                rootfs.make_directories(clean_path(operation.path))
            finally:
                rootfs.close()

        return cache_keys.directory_key(self.filesystem.state, operation, self.solve.request.times), act
