"""Images that a build starts from or copies from: looked up once, fetched where they are not here.

What a name means (a stage, a named context, an image) is decided in graph.py. An image is looked up for a platform,
since one build may make images for several.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Final

from knarr.base.errors import KnarrError, NotFound
from knarr.builder.dockerfile.faults import Place, close, fault
from knarr.builder.evaluate import SCRATCH
from knarr.builder.graph import SCRATCH as SCRATCH_NAME
from knarr.builder.output import Filesystem, StageResult
from knarr.builder.progress import Report, StepEnded, StepStarted, Warned
from knarr.images.image_store import Image, ImageStore
from knarr.oci import platform as platforms
from knarr.oci import reference as references
from knarr.oci.platform import Platform
from knarr.oci.reference import Reference

Fetch = Callable[[Reference, Platform], Awaitable[Image]]
"""Brings an image that is not here."""


NEAR: Final = 0.75
"""How alike two names are at least, of 1, for one to be a mistyped other: nginx:1.91 and nginx:1.19 are."""


def absent(reference: Reference, error: KnarrError, known: Iterable[str]) -> str:
    """Why an image cannot be had that is not here, and which of the known names may have been meant. Pure."""
    wanted = reference.familiar.removesuffix(":latest")
    near = close(wanted, (name.removesuffix(":latest") for name in known), NEAR)
    meant = f"; did you mean {near}?" if near else ""
    return f"it is not here, and {reference.domain} does not give it: {error}{meant}"


class Bases:
    """The images of one build. `pulls`: the registry is asked even for an image that is here."""

    def __init__(
        self,
        images: ImageStore,
        fetch: Fetch,
        report: Report,
        numbers: Iterator[int],
        *,
        pulls: bool,
        stages: Iterable[str] = (),
    ) -> None:
        """`stages` are the names that the Dockerfile's stages have: one mistyped is taken for an image's."""
        self._images = images
        self._fetch = fetch
        self._report = report
        self._numbers = numbers
        self._pulls = pulls
        self._stages = tuple(stages)
        self._found: dict[tuple[str, Platform], asyncio.Task[StageResult]] = {}

    async def image(self, text: str, place: Place, wanted: Platform, group: asyncio.TaskGroup) -> StageResult:
        """An image as the base of a stage. Raises DockerfileFault for one that cannot be had."""
        if text == SCRATCH_NAME:
            return StageResult(Filesystem(), SCRATCH, ())
        key = text, wanted
        if key not in self._found or self._found[key].cancelled():
            self._found[key] = group.create_task(self._look(text, place, wanted), name=f"image {text}")
        return await asyncio.shield(self._found[key])

    async def _look(self, text: str, place: Place, wanted: Platform) -> StageResult:
        try:
            image = await self._find(text, wanted)
        except KnarrError as error:
            raise fault(place, f"image {text}: {error}", text) from error
        config = image.config
        offered = Platform(os=config.os, architecture=config.architecture, variant=config.variant)
        if config.architecture and not platforms.fitness(offered, wanted):
            what = f"{place.file}:{place.line}: InvalidBaseImagePlatform: {text} is for {offered}, not for {wanted}"
            self._report(Warned(what))
        return StageResult(
            Filesystem(image.manifest.layers, config.rootfs.diff_ids, image.chain_id),
            config.config,
            config.history,
            config.author,
            config.created,
        )

    async def _find(self, text: str, wanted: Platform) -> Image:
        reference = references.parse(text)
        store = self._images
        if wanted != store.platform:
            store = ImageStore(store.content, store.names, store.snapshots, wanted)
        image = store.find(text)
        name = store.find_name(text)
        is_own = name is not None and name.is_own
        if image is not None and (is_own or not self._pulls):
            return image
        try:
            return await self._fetched(reference, wanted)
        except KnarrError as error:
            if image is not None:
                raise
            here = (name.parsed.familiar for name in self._images.names)
            raise NotFound(absent(reference, error, [*self._stages, *here])) from error

    async def _fetched(self, reference: Reference, wanted: Platform) -> Image:
        number = next(self._numbers)
        clock = asyncio.get_running_loop().time
        began = clock()
        self._report(StepStarted(number, f"pull {reference.familiar}"))
        try:
            image = await self._fetch(reference, wanted)
        except BaseException:
            self._report(StepEnded(number, "failed", clock() - began))
            raise
        self._report(StepEnded(number, "done", clock() - began))
        return image
