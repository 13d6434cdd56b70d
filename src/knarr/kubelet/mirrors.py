"""Keeps the mirrors of this node's static pods in the API true: one for each, none of what is gone.

What to do is static_pods.mirror_act's. One task a pod acts and tries again until nothing is left to do; a server that
is away costs a retry, never the pod. Vocabulary: a *wanted* pod is a static pod by (namespace, name).
"""

import asyncio
from collections.abc import Callable
from typing import Any

from knarr.base import logs, tasks
from knarr.base.errors import AlreadyExists, KnarrError, NotFound
from knarr.client.client import Client, DeleteOptions
from knarr.kinds.core_pod import POD
from knarr.kinds.lens.pod import Pod
from knarr.kubelet import static_pods

_log = logs.log("kubelet")
Json = dict[str, Any]
Key = tuple[str, str]
Shown = tuple[Pod, bytes]
"""A mirror as the API has it, decoded and as JSON."""
RETRY_SECONDS, RETRY_SECONDS_MAX = 1.0, 30.0
AGAIN_SECONDS = 1.0


class Mirrors:
    """`node` answers the Node's name and uid, "" before it is registered."""

    def __init__(self, client: Client, node: Callable[[], tuple[str, str]]) -> None:
        self._client = client
        self._node = node
        self._wanted: dict[Key, Json] = {}
        self._shown: dict[Key, Shown] = {}
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._woken: dict[Key, asyncio.Event] = {}
        self._made: dict[Key, str] = {}

    def want(self, pod: Json) -> None:
        """Show this static pod from now on."""
        key = _key(pod["metadata"])
        self._wanted[key] = pod
        self._begin(key)

    def forget(self, key: Key, uid: str) -> None:
        """The static pod is gone."""
        if key in self._wanted and self._wanted[key]["metadata"]["uid"] == uid:
            del self._wanted[key]
            self._made.pop(key, None)
            self._begin(key)

    def saw(self, key: Key, shown: Shown | None) -> None:
        """The API has this mirror, or none."""
        if shown is None:
            self._shown.pop(key, None)
        else:
            self._shown[key] = shown
        self._begin(key)

    def mirror_of(self, key: Key, uid: str) -> Shown | None:
        """The API's mirror of the static pod of that uid."""
        shown = self._shown.get(key)
        return shown if shown is not None and static_pods.mirror_act(uid, shown[0]) is None else None

    def _pod(self, key: Key) -> Pod | None:
        shown = self._shown.get(key)
        return shown[0] if shown is not None else None

    async def close(self) -> None:
        for task in list(self._tasks.values()):
            await tasks.cancel(task)

    def _begin(self, key: Key) -> None:
        self._woken.setdefault(key, asyncio.Event()).set()
        if key not in self._tasks:
            self._tasks[key] = asyncio.create_task(self._keep(key), name=f"mirror of {'/'.join(key)}")

    async def _keep(self, key: Key) -> None:
        try:
            await self._act_until_true(key)
        finally:
            del self._tasks[key]
            if key not in self._wanted:
                del self._woken[key]

    async def _act_until_true(self, key: Key) -> None:
        """The watch tells what became of an act."""
        delay = RETRY_SECONDS
        while True:
            self._woken[key].clear()
            wanted = self._wanted.get(key)
            act = static_pods.mirror_act(wanted["metadata"]["uid"] if wanted else None, self._pod(key))
            if act is None:
                return
            try:
                if act == "delete":
                    await self._delete(key)
                elif wanted is not None:
                    await self._create(key, wanted)
                delay = RETRY_SECONDS
            except (KnarrError, OSError) as error:
                _log.warning("mirror pod was not written %s", logs.fields(pod="/".join(key), act=act, error=error))
                delay = min(RETRY_SECONDS_MAX, delay * 2)
            try:
                async with asyncio.timeout(delay):
                    await self._woken[key].wait()
            except TimeoutError:
                continue

    async def _create(self, key: Key, wanted: Json) -> None:
        name, uid = self._node()
        if not uid:
            return  # the owner is not there yet; the next try finds it
        if self._made.get(key) == wanted["metadata"]["uid"]:
            # Somebody deleted the mirror, and waits to see it go: kubectl looks twice, and would take the next one for
            # the same. Upstream's kubelet makes it at its next round, within a second.
            await asyncio.sleep(AGAIN_SECONDS)
            if self._wanted.get(key) is not wanted:
                return
        self._made[key] = wanted["metadata"]["uid"]
        try:
            await self._client.create(POD, key[0], static_pods.mirror(wanted, name, uid))
        except AlreadyExists:
            _log.info("a pod has the static pod's name %s", logs.fields(pod="/".join(key)))

    async def _delete(self, key: Key) -> None:
        options = DeleteOptions(grace_period_seconds=0, uid=self._shown[key][0].metadata.uid)
        try:
            await self._client.delete(POD, key[0], key[1], options)
        except NotFound:
            self._shown.pop(key, None)


def _key(meta: Json) -> Key:
    return meta["namespace"], meta["name"]
