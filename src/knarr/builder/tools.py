"""What all builds of a node share."""

from dataclasses import dataclass

from knarr.base.clock import Clock
from knarr.builder.cache import Cache
from knarr.builder.context_store import ContextStore
from knarr.builder.downloads import Downloads
from knarr.builder.layering import Layering
from knarr.builder.steps.mounts import CacheMounts
from knarr.builder.steps.run import Machine
from knarr.images.image_store import ImageStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """Stores, caches and the machine; solve.Builder makes them."""

    images: ImageStore
    cache: Cache
    contexts: ContextStore
    cache_mounts: CacheMounts
    layering: Layering
    downloads: Downloads
    machine: Machine
    clock: Clock
