"""Image garbage collection: when the images' disk is 85 % full, unused images go until it is 80 % full, oldest first.

`to_remove` decides; `ImageCollector` asks the image service and remembers when an image was first seen and last used.
Pinned images stay: those that this machine built and no registry could give back (criserver says so). Numbers are
upstream's. Spec: docs "Garbage Collection, container image lifecycle".
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from knarr.base import logs
from knarr.base.clock import Clock, Instant
from knarr.base.errors import KnarrError
from knarr.cri.messages.config import ImageSpec
from knarr.cri.messages.container import ListContainersRequest
from knarr.cri.messages.image import Image, ListImagesRequest, RemoveImageRequest
from knarr.cri.protocol import ImageService, RuntimeService
from knarr.kubelet.eviction import Signal

_log = logs.log("kubelet")
CHECK_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Policy:
    """Percentages of the disk in use, how old an image must be, and how long nobody may have used it (0: for ever)."""

    high: int = 85
    low: int = 80
    age_seconds: float = 120.0
    age_seconds_max: float = 0.0


@dataclass(frozen=True, slots=True)
class Seen:
    """When an image was first seen here, and when a container last used it (None: never)."""

    first: Instant
    used: Instant | None = None


def excess(disk: Signal, policy: Policy) -> int:
    """Bytes to free so that the disk is at the low mark; 0 below the high one."""
    if disk.capacity <= 0:
        return 0
    used = 100 - disk.available * 100 // disk.capacity
    return max(0, disk.capacity * (100 - policy.low) // 100 - disk.available) if used >= policy.high else 0


def to_remove(
    images: Iterable[Image], seen: Mapping[str, Seen], in_use: set[str], now: Instant, *, age_seconds: float
) -> list[Image]:
    """Images that may go, the least recently used first; of those used at the same time the one seen first."""
    idle = [image for image in images if image.id in seen and image.id not in in_use and not image.pinned]
    old = [image for image in idle if (now - seen[image.id].first).total_seconds() >= age_seconds]
    return sorted(old, key=lambda image: (_last_used(seen[image.id]), seen[image.id].first))


def forgotten(idle: Iterable[Image], seen: Mapping[str, Seen], now: Instant, policy: Policy) -> list[Image]:
    """Those of the images that may go that nobody used for longer than the policy lets them stay. What was before this
    kubelet looked first does not count, as upstream."""
    if not policy.age_seconds_max:
        return []
    last = {image.id: seen[image.id].used or seen[image.id].first for image in idle}
    return [image for image in idle if (now - last[image.id]).total_seconds() > policy.age_seconds_max]


def _last_used(seen: Seen) -> float:
    return seen.used.timestamp() if seen.used is not None else 0.0


class ImageCollector:
    """`free` removes unused images until so many bytes are freed, `forget` those that nobody used for too long."""

    def __init__(self, images: ImageService, runtime: RuntimeService, clock: Clock, policy: Policy) -> None:
        self._images = images
        self._runtime = runtime
        self._clock = clock
        self.policy = policy
        self._seen: dict[str, Seen] = {}

    async def look(self) -> tuple[tuple[Image, ...], set[str]]:
        """All images, and the ids of those that a container is made of."""
        images = (await self._images.list_images(ListImagesRequest())).images
        containers = (await self._runtime.list_containers(ListContainersRequest())).containers
        named = {
            name for c in containers for name in (c.image_ref, c.image_id, c.image.image if c.image else "") if name
        }
        in_use = {image.id for image in images if named & {image.id, *image.repo_tags, *image.repo_digests}}
        now = self._clock.now()
        before = self._seen
        self._seen = {
            image.id: Seen(
                before[image.id].first if image.id in before else now,
                now if image.id in in_use else before[image.id].used if image.id in before else None,
            )
            for image in images
        }
        return images, in_use

    async def free(self, wanted: int, *, age_seconds: float | None = None) -> int:
        """Bytes that were freed, as the images' sizes tell."""
        images, in_use = await self.look()
        least = self.policy.age_seconds if age_seconds is None else age_seconds
        freed = 0
        for image in to_remove(images, self._seen, in_use, self._clock.now(), age_seconds=least):
            if freed >= wanted:
                break
            freed += await self._remove(image)
        return freed

    async def forget(self) -> None:
        """Look, and remove what nobody has used for too long, however empty the disk is."""
        images, in_use = await self.look()
        now = self._clock.now()
        idle = to_remove(images, self._seen, in_use, now, age_seconds=self.policy.age_seconds)
        for image in forgotten(idle, self._seen, now, self.policy):
            await self._remove(image)

    async def _remove(self, image: Image) -> int:
        """The bytes that it was; 0 when the image service refused."""
        try:
            await self._images.remove_image(RemoveImageRequest(image=ImageSpec(image=image.id)))
        except (KnarrError, OSError) as error:
            _log.warning("image was not removed %s", logs.fields(image=image.id, error=error))
            return 0
        _log.info("image removed %s", logs.fields(image=image.id, names=",".join(image.repo_tags), size=image.size))
        return image.size
