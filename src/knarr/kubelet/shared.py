"""What all pod workers of a kubelet share: the seams they act through and the facts of the node."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from knarr.base.backoff import BackoffRule
from knarr.base.clock import Clock
from knarr.client.client import Client
from knarr.client.events import EventRecorder
from knarr.cri.protocol import RuntimeService
from knarr.kinds.lens.service import Service
from knarr.kubelet.allocations import Allocations
from knarr.kubelet.dns import Resolver
from knarr.kubelet.images import ImagePuller
from knarr.kubelet.settings import KubeletSettings
from knarr.kubelet.sources import ObjectSources
from knarr.kubelet.user_namespaces import UserNamespaces

Aside = Callable[[Callable[[], None]], Awaitable[None]]
"""Runs slow file work beside the event loop: asyncio.to_thread, or at once where time is virtual."""


@dataclass(frozen=True, slots=True)
class Shared:
    """`runtime_name` prefixes container ids in statuses; `services` reads the watched Services; `can_recurse`: the
    runtime makes mounts recursively read-only.
    """

    settings: KubeletSettings
    client: Client
    runtime: RuntimeService
    puller: ImagePuller
    sources: ObjectSources
    recorder: EventRecorder
    clock: Clock
    rule: BackoffRule
    allocations: Allocations
    user_namespaces: UserNamespaces
    runtime_name: str
    host_resolver: Resolver
    services: Callable[[], Sequence[Service]]
    memory_capacity: int = 0
    allocatable: tuple[tuple[str, str], ...] = ()
    can_recurse: bool = False
    aside: Aside = asyncio.to_thread
