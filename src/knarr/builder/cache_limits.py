"""What the build cache keeps: the newest results, up to a size and an age; and what garbage collection must leave.

`kept` decides, `enforce` and `roots` act on a Cache. The size counts each layer once.
"""

import time
from collections.abc import Iterable

from knarr.builder.cache import Cache, Record
from knarr.images.image_store import Roots

BYTES_MAX = 10 << 30
"""A developer's disk can spare it; `knarr prune --keep-storage` says otherwise."""
DISK_SHARE_MAX = 0.1
"""Of the disk that the cache lies on: garbage collection under disk pressure leaves what the cache holds."""


def allowance(disk_bytes: int) -> int:
    """What the cache may hold on a disk of that size."""
    return min(BYTES_MAX, int(disk_bytes * DISK_SHARE_MAX))


def kept(records: Iterable[tuple[Record, float]], *, oldest: float = 0.0, bytes_max: int = BYTES_MAX) -> list[str]:
    """Keys of the records (each with when it was last used) to keep, in the order they came."""
    chosen: set[str] = set()
    layers: set[str] = set()
    size = 0
    listed = list(records)
    for record, _ in sorted((pair for pair in listed if pair[1] >= oldest), key=lambda pair: pair[1], reverse=True):
        if record.layer is not None and record.layer.digest not in layers:
            if size + record.layer.size > bytes_max:
                continue
            size += record.layer.size
            layers.add(record.layer.digest)
        chosen.add(record.key)
    return [record.key for record, _ in listed if record.key in chosen]


def enforce(cache: Cache, *, age_seconds: float | None = None, bytes_max: int = BYTES_MAX) -> int:
    """Forget what is too old or too much; how many records went."""
    if age_seconds is None and cache.layer_bytes <= bytes_max:
        return 0
    oldest = 0.0 if age_seconds is None else time.time() - age_seconds
    keys = kept(((record, cache.used(record)) for record in cache), oldest=oldest, bytes_max=bytes_max)
    forgotten = len(cache) - len(keys)
    if forgotten:
        cache.keep(keys)
    return forgotten


def roots(cache: Cache) -> Roots:
    """Layers and snapshots that the next build may want."""
    records = list(cache)
    return (
        [record.layer.digest for record in records if record.layer is not None],
        [record.chain for record in records if record.chain],
    )
