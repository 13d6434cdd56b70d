"""Build: stages as tasks that wait for each other, steps answered from the cache or carried out.

`Builder` is the edge that holds images, cache and machine; what the stages are and mean is decided in graph.py and
evaluate.py, what a result is called in cache_keys.py. One build is one `Solve` (stage_run.py runs a stage's steps).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from knarr.base.clock import Clock, SystemClock, rfc3339
from knarr.base.errors import KnarrError, Unimplemented
from knarr.base.failpoints import failpoint
from knarr.builder import cache_keys, graph, output
from knarr.builder.cache import Cache, Record
from knarr.builder.context_store import ContextStore
from knarr.builder.dockerfile import checks, parser
from knarr.builder.dockerfile.faults import Place, fault
from knarr.builder.dockerfile.parser import Dockerfile
from knarr.builder.downloads import Downloads
from knarr.builder.evaluate import PROXY_ARGUMENTS, SCRATCH, Arguments, evaluate, global_arguments
from knarr.builder.graph import Node
from knarr.builder.layering import Layering
from knarr.builder.output import Filesystem, StageResult
from knarr.builder.progress import Report, StepEnded, StepStarted, Warned
from knarr.builder.request import BuildRequest, Built
from knarr.builder.stage_run import StageRun
from knarr.builder.steps.mounts import CacheMounts
from knarr.builder.steps.run import Machine
from knarr.images.content import add
from knarr.images.image_store import Image, ImageStore
from knarr.oci import image_config, platform
from knarr.oci import reference as references
from knarr.oci.manifest import OCI_CONFIG, Descriptor
from knarr.oci.platform import Platform
from knarr.oci.reference import Reference

Fetch = Callable[[Reference], Awaitable[Image]]
"""Brings an image that is not here."""
Need = Callable[[list[str]], Awaitable[None]]
"""Waits until the content with these digests is in the context store."""
BUILDS_MAX = 8
STEPS_AT_ONCE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What all builds of a node share."""

    images: ImageStore
    cache: Cache
    contexts: ContextStore
    cache_mounts: CacheMounts
    layering: Layering
    downloads: Downloads
    machine: Machine
    clock: Clock


class Builder:
    """Builds images into one image store. `state_dir` keeps the cache, `machine` runs commands."""

    def __init__(self, images: ImageStore, state_dir: Path, machine: Machine, clock: Clock | None = None) -> None:
        contexts = ContextStore(state_dir / "context")
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
        machine.run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)

    @property
    def is_idle(self) -> bool:
        """Whether no build runs or waits."""
        return self._running == 0

    async def build(self, request: BuildRequest, report: Report, need: Need, fetch: Fetch) -> Built:
        """The image, stored and named. Raises DockerfileFault, StepFailed, NotFound, Invalid, Unavailable."""
        self._running += 1
        try:
            async with self._slots:
                return await Solve(self.tools, request, report=report, need=need, fetch=fetch).run()
        finally:
            self._running -= 1


class Solve:
    """One build."""

    def __init__(self, tools: Tools, request: BuildRequest, *, report: Report, need: Need, fetch: Fetch) -> None:
        self.tools = tools
        self.request = request
        self.report = report
        self.need = need
        self.steps = asyncio.Semaphore(STEPS_AT_ONCE)
        self.platform = _platform(request.platform)
        self._fetch = fetch
        self._results: dict[int, asyncio.Future[StageResult]] = {}
        self._images: dict[str, asyncio.Task[StageResult]] = {}
        self._numbers = 0
        self._group: asyncio.TaskGroup

    async def run(self) -> Built:
        dockerfile = parser.parse(self.request.dockerfile, self.request.file)
        arguments = Arguments(self.request.arguments, platform_arguments(self.platform, self.request.target))
        globals_ = global_arguments(dockerfile.arguments, arguments, dockerfile.escape)
        arguments = Arguments(arguments.given, arguments.platform, globals_)
        nodes = graph.needed(dockerfile, arguments, self.request.target)
        self._warn(dockerfile, arguments)
        self._results = {node.stage.number: asyncio.get_running_loop().create_future() for node in nodes}
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for node in nodes:
                    group.create_task(
                        self._stage(node, arguments, dockerfile.escape), name=f"stage {node.stage.number}"
                    )
        except ExceptionGroup as failures:
            raise _first(failures) from None
        finally:
            for future in self._results.values():
                future.cancel()
        return self._put(self._results[nodes[-1].stage.number].result())

    def number(self) -> int:
        self._numbers += 1
        return self._numbers

    async def origin(self, node: Node, text: str, place: Place) -> StageResult:
        """What `--from=text` means: a stage that may still be built, or an image."""
        if text in node.origins:
            return await asyncio.shield(self._results[node.origins[text]])
        return await self.image(text, place)

    async def image(self, text: str, place: Place) -> StageResult:
        """An image as the base of a stage; each is looked up once in a build."""
        if text == graph.SCRATCH:
            return StageResult(Filesystem(), SCRATCH, ())
        if text not in self._images:
            self._images[text] = self._group.create_task(self._found(text, place), name=f"image {text}")
        return await asyncio.shield(self._images[text])

    async def _stage(self, node: Node, arguments: Arguments, escape: str) -> None:
        if isinstance(node.base, int):
            base = await asyncio.shield(self._results[node.base])
        else:
            if node.platform and platform.parse(node.platform) != self.platform:
                raise Unimplemented(f"FROM --platform={node.platform}: this builder builds for {self.platform} alone")
            base = await self.image(node.base, node.stage.base.place)
        planned = evaluate(node.stage.instructions, base.config, arguments, escape)
        self._results[node.stage.number].set_result(await StageRun(self, node, base).run(planned))

    async def _found(self, text: str, place: Place) -> StageResult:
        try:
            return await self._find(text)
        except KnarrError as error:
            raise fault(place, f"image {text}: {error}", text) from error

    async def _find(self, text: str) -> StageResult:
        reference = references.parse(text)
        image = self.tools.images.find(text)
        name = self.tools.images.find_name(text)
        is_own = name is not None and name.is_own
        if image is None or (self.request.pulls and not is_own):
            image = await self._fetched(reference)
        config = image.config
        chain = image.chain_id
        return StageResult(
            Filesystem(image.manifest.layers, config.rootfs.diff_ids, chain),
            config.config,
            config.history,
            config.author,
            config.created if self.request.epoch is None else self._limited(config.created),
        )

    async def _fetched(self, reference: Reference) -> Image:
        number = self.number()
        began = asyncio.get_running_loop().time()
        self.report(StepStarted(number, f"pull {reference.familiar}"))
        try:
            image = await self._fetch(reference)
        except BaseException:
            self.report(StepEnded(number, "failed", asyncio.get_running_loop().time() - began))
            raise
        self.report(StepEnded(number, "done", asyncio.get_running_loop().time() - began))
        return image

    def now(self) -> str:
        """The time that new records get."""
        now = self.tools.clock.now()
        return rfc3339(now) if self.request.epoch is None else self._limited(rfc3339(now))

    def _limited(self, created: str) -> str:
        assert self.request.epoch is not None
        return min(created, rfc3339(datetime.fromtimestamp(self.request.epoch, UTC)))

    def _put(self, result: StageResult) -> Built:
        images = self.tools.images
        failpoint("builder.before_image")
        config = output.image_config(result, self.platform, dict(self.request.labels), self._created(result))
        body = image_config.encode(config)
        blob = add(images.content, body)
        descriptor = Descriptor(media_type=OCI_CONFIG, digest=blob.digest, size=blob.size)
        digest = images.put(output.image_manifest(descriptor, result.filesystem.layers))
        for reference in self.request.names:
            name = images.names.find(reference)
            if name is None or name.digest != digest or name.origin != "built":
                images.add(reference, digest, "built")
        return Built(digest, blob.digest, self.request.names)

    def _created(self, result: StageResult) -> str:
        """One time for the same result, kept, so that the same build gives the same digest."""
        plain = output.image_config(result, self.platform, dict(self.request.labels), "")
        key = cache_keys.key_of("created", image_config.encode(plain).decode(), self.request.epoch)
        record = self.tools.cache.find(key)
        if record is None:
            record = Record(key=key, created=self.now())
            self.tools.cache.put(record)
        return record.created

    def _warn(self, dockerfile: Dockerfile, arguments: Arguments) -> None:
        for finding in checks.check(dockerfile):
            self.report(Warned(str(finding)))
        predefined = [*arguments.platform, *PROXY_ARGUMENTS, "SOURCE_DATE_EPOCH"]
        for name in checks.unused_arguments(dockerfile, list(arguments.given), predefined):
            self.report(Warned(f"--build-arg {name}: no ARG asks for it"))


def platform_arguments(target: Platform, stage: str) -> Mapping[str, str]:
    """The predefined arguments; build and target platform are the same machine here."""
    values = {"TARGETSTAGE": stage or "default"}
    for prefix in ("TARGET", "BUILD"):
        values[f"{prefix}PLATFORM"] = str(target)
        values[f"{prefix}OS"] = target.os
        values[f"{prefix}ARCH"] = target.architecture
        values[f"{prefix}VARIANT"] = target.variant
    return values


def _platform(text: str) -> Platform:
    host = platform.host()
    if not text:
        return host
    wanted = platform.parse(text)
    if platform.fitness(wanted, host) == 0:
        raise Unimplemented(f"--platform={text}: this machine is {host}, and builds for another need emulation")
    return wanted


def _first(failures: BaseExceptionGroup[Exception]) -> Exception:
    error: BaseException = failures
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, Exception)
    return error
