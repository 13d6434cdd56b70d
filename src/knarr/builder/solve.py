"""Build: stages as tasks that wait for each other, steps answered from the cache or carried out.

`Builder` is the edge that holds images, cache and machine; what the stages are and mean is decided in graph.py and
evaluate.py, what a result is called in cache_keys.py, what is put out in publish.py. One build is one `Solve` for each
platform (stage_run.py runs a stage's steps).
"""

import asyncio
import itertools
import os
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import ParamSpec, TypeVar

from knarr.base.clock import Clock, SystemClock, rfc3339
from knarr.base.errors import Invalid
from knarr.base.removal import drop_tree
from knarr.builder import cache_exchange, cache_limits, copy_step, graph, publish
from knarr.builder import evaluate as evaluating
from knarr.builder.bases import Bases, Fetch
from knarr.builder.cache import Cache, Record
from knarr.builder.cache_exchange import Import, Imported
from knarr.builder.context_store import ContextStore
from knarr.builder.dockerfile import checks, ignore, parser
from knarr.builder.dockerfile.faults import Place
from knarr.builder.dockerfile.findings import Finding, undefined_variable
from knarr.builder.dockerfile.parser import Dockerfile
from knarr.builder.downloads import Downloads
from knarr.builder.evaluate import PROXY_ARGUMENTS, Arguments, PlannedStep, evaluate, global_arguments
from knarr.builder.graph import Node
from knarr.builder.layering import Layering
from knarr.builder.output import StageResult
from knarr.builder.progress import Report, Warned
from knarr.builder.request import (
    CACHE_NAMESPACE_ARGUMENT,
    HOSTNAME_ARGUMENT,
    INDEX_ARGUMENT,
    BuildRequest,
    Built,
)
from knarr.builder.stage_run import StageRun
from knarr.builder.steps.mounts import CacheMounts
from knarr.builder.steps.run import Machine
from knarr.builder.tools import Tools
from knarr.builder.trees import ContextTree
from knarr.images.image_store import ImageStore
from knarr.oci import platform
from knarr.oci.platform import Platform

Need = Callable[[list[str]], Awaitable[None]]
"""Waits until the content with these digests is in the context store."""
BUILDS_MAX = 8
STEPS_AT_ONCE = 4
PLATFORMS_MAX = 16
ASIDE_LENGTH = 16 << 10
P = ParamSpec("P")
T = TypeVar("T")


class Builder:
    """Builds images into one image store. `state_dir` keeps the cache, `machine` runs commands."""

    def __init__(self, images: ImageStore, state_dir: Path, machine: Machine, clock: Clock | None = None) -> None:
        contexts = ContextStore(state_dir / "context")
        drop_tree(state_dir / copy_step.GIT_DIRECTORY)
        self.tools = Tools(
            images=images,
            cache=Cache(state_dir / "cache.jsonl"),
            contexts=contexts,
            cache_mounts=CacheMounts(state_dir / "mounts"),
            layering=Layering(images, machine.run_dir),
            downloads=Downloads(contexts),
            machine=machine,
            clock=clock or SystemClock(),
        )
        self._slots = asyncio.Semaphore(BUILDS_MAX)
        self._running = 0
        disk = os.statvfs(state_dir)
        self._cache_bytes_max = cache_limits.allowance(disk.f_blocks * disk.f_frsize)
        machine.run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        images.hold(lambda: cache_limits.roots(self.tools.cache))

    @property
    def is_idle(self) -> bool:
        """Whether no build runs or waits."""
        return self._running == 0

    async def build(
        self, request: BuildRequest, report: Report, need: Need, fetch: Fetch, imports: Import | None = None
    ) -> Built:
        """The image, stored and named. Raises DockerfileFault, StepFailed, NotFound, Invalid, Unavailable."""
        self._running += 1
        try:
            if self._slots.locked():
                report(Warned(f"{BUILDS_MAX} builds run already; this one waits for its turn"))
            async with self._slots:
                return await _build(self.tools, request, report=report, need=need, fetch=fetch, imports=imports)
        finally:
            self._running -= 1
            # A build may have made more than the cache is to hold.
            cache_limits.enforce(self.tools.cache, bytes_max=self._cache_bytes_max)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What the platforms of one build share."""

    tools: Tools
    request: BuildRequest
    report: Report
    need: Need
    bases: Bases
    numbers: Iterator[int]
    imported: Imported
    steps: asyncio.Semaphore
    warnings: "Warnings"


class Warnings:
    """The checks of one build: each finding is told once, and stops the build where the Dockerfile says so."""

    def __init__(self, dockerfile: Dockerfile, request: BuildRequest) -> None:
        given = request.arguments.get(checks.DIRECTIVE_ARGUMENT, "")
        self._directive = checks.directive(dockerfile, given)
        self._report: Report = lambda _event: None
        is_ignored = ignore.read(request.ignored, ".dockerignore").excludes if request.ignored else None
        self._told = dict.fromkeys(checks.check(dockerfile, is_ignored, given))
        predefined = [*platform_arguments(platform.host(), ""), *PROXY_ARGUMENTS, *SPECIAL_ARGUMENTS]
        self._unused = checks.unused_arguments(dockerfile, list(request.arguments), predefined)

    def tell(self, report: Report) -> None:
        """What the Dockerfile alone says, now; what comes later, when it comes."""
        self._report = report
        for finding in self._told:
            report(Warned(str(finding)))
        for name in self._unused:
            report(Warned(f"--build-arg {name}: no ARG asks for it"))

    def undefined(self, step: PlannedStep) -> None:
        """Variables that nothing sets. Raises DockerfileFault where the directive makes findings errors."""
        for name, near in step.undefined:
            finding = undefined_variable(step.instruction.place, name, near)
            if self._directive.keeps(finding.rule):
                checks.refuse([finding], self._directive)
                self._tell(finding)

    def _tell(self, finding: Finding) -> None:
        if finding not in self._told:
            self._told[finding] = None
            self._report(Warned(str(finding)))


async def _build(
    tools: Tools, request: BuildRequest, *, report: Report, need: Need, fetch: Fetch, imports: Import | None
) -> Built:
    wanted = [platform.parse(text) for text in request.platforms] or [platform.host()]
    wanted = list(dict.fromkeys(wanted))
    if len(wanted) > PLATFORMS_MAX:
        raise Invalid(f"--platform: {len(wanted)} platforms are more than {PLATFORMS_MAX}")
    dockerfile = await aside(request, parser.parse, request.dockerfile, request.file)
    warnings = await aside(request, Warnings, dockerfile, request)
    warnings.tell(report)
    numbers = itertools.count(1)
    stages = [stage.name for stage in dockerfile.stages if stage.name]
    running = Running(
        tools=tools,
        request=request,
        report=report,
        need=need,
        bases=Bases(tools.images, fetch, report, numbers, pulls=request.pulls, stages=stages),
        numbers=numbers,
        imported=await cache_exchange.imported(request.cache_from, imports, report),
        steps=asyncio.Semaphore(STEPS_AT_ONCE),
        warnings=warnings,
    )
    solves = [Solve(running, dockerfile, each) for each in wanted]
    results = [(solve.result_platform, await solve.run()) for solve in solves]
    return publish.publish(tools, request, results, solves[0].now(), [record for s in solves for record in s.used])


async def aside(request: BuildRequest, decide: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """What is decided from the Dockerfile; of a long one on a thread, so that nobody else waits for it."""
    if len(request.dockerfile) <= ASIDE_LENGTH:
        return decide(*arguments, **named)
    return await asyncio.to_thread(decide, *arguments, **named)


class Solve:
    """One build for one platform. `used` are the records of its steps: of the image's own stage first."""

    def __init__(self, running: Running, dockerfile: Dockerfile, wanted: Platform) -> None:
        self.running = running
        self.tools = running.tools
        self.request = running.request
        self.report = running.report
        self.need = running.need
        self.steps = running.steps
        self.platform = wanted
        self.result_platform = wanted
        self.used: list[tuple[bool, Record]] = []
        self._dockerfile = dockerfile
        self._contexts = {
            name.lower(): "" if isinstance(context, ContextTree) else context
            for name, context in running.request.contexts.items()
        }
        self._arguments = Arguments()
        self._results: dict[int, asyncio.Future[StageResult]] = {}
        self._group: asyncio.TaskGroup

    async def run(self) -> StageResult:
        dockerfile, request = self._dockerfile, self.request
        predefined = dict(platform_arguments(self.platform, request.target))
        if request.epoch is not None:
            predefined["SOURCE_DATE_EPOCH"] = str(request.epoch)
        arguments = Arguments(request.arguments, predefined)
        globals_ = global_arguments(dockerfile.arguments, arguments, dockerfile.escape)
        arguments = Arguments(arguments.given, arguments.platform, globals_)
        self._arguments = arguments
        nodes = graph.needed(dockerfile, arguments, request.target, self._contexts)
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                self._begin(nodes, last=nodes[-1])
        except ExceptionGroup as failures:
            raise _first(failures) from None
        finally:
            for future in self._results.values():
                future.cancel()
        return self._results[nodes[-1].stage.number].result()

    def _begin(self, nodes: Iterable[Node], last: Node | None = None) -> None:
        """A task for each stage that has none."""
        new = [node for node in nodes if node.stage.number not in self._results]
        loop = asyncio.get_running_loop()
        self._results |= {node.stage.number: loop.create_future() for node in new}
        for node in new:
            self._group.create_task(self._stage(node, is_last=node is last), name=f"stage {node.stage.number}")

    def number(self) -> int:
        return next(self.running.numbers)

    def context(self, node: Node, text: str) -> ContextTree | None:
        """The named context that is a directory, if `--from=text` means one."""
        name = node.origins.get(text) if text else ""
        if not text:
            return self.request.context
        found = self.request.contexts.get(name) if isinstance(name, str) else None
        return found if isinstance(found, ContextTree) else None

    async def origin(self, node: Node, text: str, place: Place) -> StageResult:
        """What `--from=text` means: a stage that may still be built, or an image."""
        number = node.origins.get(text)
        if isinstance(number, int):
            return await asyncio.shield(self._results[number])
        image = node.images.get(text.lower(), text)
        return await self.running.bases.image(image, place, self.platform, self._group)

    async def _stage(self, node: Node, *, is_last: bool) -> None:
        own = platform.parse(node.platform) if node.platform else self.platform
        if isinstance(node.base, int):
            base = await asyncio.shield(self._results[node.base])
        else:
            base = await self.running.bases.image(node.base, node.stage.base.place, own, self._group)
        if is_last:
            self.result_platform = own
        node = self._triggered(node, base)
        instructions, escape = node.stage.instructions, self._dockerfile.escape
        planned = await aside(self.request, evaluate, instructions, base.config, self._arguments, escape)
        for step in planned:
            self.running.warnings.undefined(step)
        result = await StageRun(self, node, base, own, is_last=is_last).run(planned)
        self._results[node.stage.number].set_result(result)

    def _triggered(self, node: Node, base: StageResult) -> Node:
        """With the stages that ONBUILD of its base copies from, which are built from now on."""
        triggers = evaluating.triggers(base.config, node.stage.instructions)
        if not triggers:
            return node
        node = graph.with_triggers(node, triggers, self._dockerfile, self._contexts)
        for number in node.needs - self._results.keys():
            self._begin(graph.needed(self._dockerfile, self._arguments, str(number), self._contexts))
        return node

    def now(self) -> str:
        """The time that new records get."""
        now = rfc3339(self.tools.clock.now())
        if self.request.epoch is None:
            return now
        return min(now, rfc3339(datetime.fromtimestamp(self.request.epoch, UTC)))


SPECIAL_ARGUMENTS = (
    *("SOURCE_DATE_EPOCH", "BUILDKIT_SYNTAX", "BUILDKIT_INLINE_CACHE", checks.DIRECTIVE_ARGUMENT, HOSTNAME_ARGUMENT),
    *(CACHE_NAMESPACE_ARGUMENT, INDEX_ARGUMENT, "BUILDKIT_CONTEXT_KEEP_GIT_DIR", "BUILDKIT_BUILD_NAME"),
)
"""Build arguments that say how to build; no ARG needs to ask for them."""


def platform_arguments(target: Platform, stage: str) -> Mapping[str, str]:
    """The predefined arguments; BUILD… say what this machine is."""
    values = {"TARGETSTAGE": stage or "default"}
    for prefix, meant in (("TARGET", target), ("BUILD", platform.host())):
        values[f"{prefix}PLATFORM"] = str(meant)
        values[f"{prefix}OS"] = meant.os
        values[f"{prefix}ARCH"] = meant.architecture
        values[f"{prefix}VARIANT"] = meant.variant
    return values


def _first(failures: BaseExceptionGroup[Exception]) -> Exception:
    error: BaseException = failures
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, Exception)
    return error
