"""The ConfigMaps and Secrets that this node's pods refer to, each watched by name as long as some pod needs it.

A change calls the pod's listener at once, which is how mounted files follow an object within a second. Node-wide
permission to watch everything is not needed this way. Not here: pods and services (kubelet.py keeps those caches).
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from knarr.base import tasks
from knarr.base.clock import Clock
from knarr.client.cache import Cache, Changed
from knarr.client.client import Client
from knarr.client.reflector import Reflector, Selection
from knarr.kinds.core_config import CONFIGMAP, SECRET
from knarr.kinds.lens.config import ConfigMap, Secret
from knarr.kinds.registry import Kind

Listener = Callable[[], None]
Key = tuple[Kind, str, str]


@dataclass(slots=True)
class _Watched:
    cache: Cache
    task: asyncio.Task[None]
    listed: asyncio.Event
    users: dict[str, Listener] = field(default_factory=dict)


class ObjectSources:
    """Watches objects by name. A user is a pod's uid; what nobody uses any more is let go."""

    def __init__(self, client: Client, clock: Clock, wait_seconds: float) -> None:
        self._client = client
        self._clock = clock
        self._wait_seconds = wait_seconds
        self._watched: dict[Key, _Watched] = {}

    def use(self, user: str, namespace: str, names: dict[Kind, set[str]], listener: Listener) -> None:
        """The objects that the user needs now; earlier needs that are not named are dropped."""
        wanted = {(kind, namespace, name) for kind, some in names.items() for name in some}
        for key in [key for key, watched in self._watched.items() if user in watched.users and key not in wanted]:
            self._leave(user, key)
        for key in wanted:
            watched = self._watched.get(key) or self._watch(key)
            watched.users[user] = listener

    def release(self, user: str) -> None:
        for key in [key for key, watched in self._watched.items() if user in watched.users]:
            self._leave(user, key)

    async def listed(self, user: str) -> None:
        """Return once each object that the user needs has been looked up; raises DeadlineExceeded."""
        for (kind, namespace, name), watched in list(self._watched.items()):
            if user in watched.users:
                what = f"looking up {kind.kind} {namespace}/{name}"
                await tasks.deadline(watched.listed.wait(), self._wait_seconds, what)

    def config_maps(self, namespace: str, names: Iterable[str]) -> dict[str, ConfigMap]:
        """Those that exist, by name."""
        found = {}
        for name in names:
            watched = self._watched.get((CONFIGMAP, namespace, name))
            value = watched.cache.get(ConfigMap, namespace, name) if watched else None
            if value is not None:
                found[name] = value
        return found

    def secrets(self, namespace: str, names: Iterable[str]) -> dict[str, Secret]:
        found = {}
        for name in names:
            watched = self._watched.get((SECRET, namespace, name))
            value = watched.cache.get(Secret, namespace, name) if watched else None
            if value is not None:
                found[name] = value
        return found

    async def close(self) -> None:
        """End all watches."""
        for watched in self._watched.values():
            await tasks.cancel(watched.task)
        self._watched.clear()

    def _watch(self, key: Key) -> _Watched:
        kind, namespace, name = key
        cache = Cache([kind])
        listed = asyncio.Event()
        selection = Selection(namespace=namespace, fields=f"metadata.name={name}")
        reflector = Reflector(self._client, cache, self._clock, kind, selection=selection)
        task = asyncio.create_task(reflector.run(listed.set), name=f"watch {kind.kind} {namespace}/{name}")
        watched = self._watched[key] = _Watched(cache, task, listed)

        def tell(_changed: Changed) -> None:
            for listener in list(watched.users.values()):
                listener()

        cache.listen(tell)
        return watched

    def _leave(self, user: str, key: Key) -> None:
        watched = self._watched[key]
        watched.users.pop(user)
        if not watched.users:
            del self._watched[key]
            watched.task.cancel()
