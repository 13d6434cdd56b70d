"""`knarr prune`: forget build results that nobody used for long, then remove what no image and no build needs."""

import asyncio
import time
from typing import Any

from knarr.builder.solve import Builder
from knarr.images import gc
from knarr.images.image_store import ImageStore
from knarr.images.overlay import OverlaySnapshots
from knarr.nodeapi.messages import PruneBody


async def prune(images: ImageStore, snapshots: OverlaySnapshots, builder: Builder, body: PruneBody) -> dict[str, Any]:
    """How much went."""
    cache = builder.tools.cache
    oldest = time.time() - body.cache_age_seconds
    kept = [record for record in cache if cache.used(record) >= oldest]
    forgotten = len(cache) - len(kept)
    cache.keep([record.key for record in kept])
    for record in kept:
        if record.layer is not None:
            # A touched blob is safe for the grace period of the collection that follows.
            images.content.touch(record.layer.digest)
    # What a running build made has no name yet.
    grace_seconds = body.grace_seconds if builder.is_idle else max(body.grace_seconds, gc.GRACE_SECONDS)
    contexts = await asyncio.to_thread(builder.tools.contexts.prune, body.context_bytes_max)
    collected = await asyncio.to_thread(
        gc.collect, images.content, images.names, snapshots, grace_seconds=grace_seconds
    )
    return {
        "build_records": forgotten,
        "blobs": collected.blobs,
        "snapshots": collected.snapshots,
        "freed_bytes": collected.freed_bytes + contexts,
    }
