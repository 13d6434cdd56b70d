"""`knarr prune`: forget build results that nobody used for long, then remove what no image and no build needs."""

import asyncio
import time
from typing import Any

from knarr.builder import cache_limits
from knarr.builder.solve import Builder
from knarr.images import gc
from knarr.images.image_store import ImageStore
from knarr.images.overlay import OverlaySnapshots
from knarr.nodeapi.messages import PruneBody

_STARTING_SECONDS = 2.0
"""A build may begin while the context is pruned; what it finds there it has touched."""


async def prune(images: ImageStore, snapshots: OverlaySnapshots, builder: Builder, body: PruneBody) -> dict[str, Any]:
    """How much went. What the build cache still knows is held by the builder itself."""
    tools = builder.tools
    forgotten = cache_limits.enforce(tools.cache, age_seconds=body.cache_age_seconds, bytes_max=body.cache_bytes_max)
    # What a running build made has no name yet.
    grace_seconds = body.grace_seconds if builder.is_idle else max(body.grace_seconds, gc.GRACE_SECONDS)
    used_before = time.time() - (_STARTING_SECONDS if builder.is_idle else gc.GRACE_SECONDS)
    freed = await asyncio.to_thread(tools.contexts.prune, body.context_bytes_max, used_before)
    if body.cache_mounts:
        freed += await tools.cache_mounts.prune()
    collected = await images.collect(snapshots, grace_seconds)
    return {
        "build_records": forgotten,
        "blobs": collected.blobs,
        "snapshots": collected.snapshots,
        "freed_bytes": collected.freed_bytes + freed,
    }
