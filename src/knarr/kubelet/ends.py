"""Who waits for the end of a container: followers of its log. They hear it from the kubelet's one stream of events.

A runtime may give each event to one of its listeners only (containerd 1.7 does), so nobody else listens. Whoever waits
asks the runtime itself after each word of the container, and after a gap in the stream, as anything may have happened.
If it cannot be asked just then, there may be no further word: so it is asked again after ASK_AGAIN_SECONDS.
"""

import asyncio
import contextlib
from typing import Final

from knarr.base.errors import KnarrError, NotFound
from knarr.cri.messages.container import ContainerStatusRequest
from knarr.cri.messages.enums import ContainerState
from knarr.cri.protocol import RuntimeService

ASK_AGAIN_SECONDS: Final = 1.0
"""As long as the kubelet waits before it lists again what it could not list."""


class Ends:
    """`heard` and `look` are the kubelet's, `wait` is everybody's."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[asyncio.Event]] = {}

    def heard(self, container: str) -> None:
        """The runtime has news of a container."""
        for woken in self._waiting.get(container, ()):
            woken.set()

    def look(self) -> None:
        """Events may have been missed."""
        for container in self._waiting:
            self.heard(container)

    async def wait(self, runtime: RuntimeService, container: str) -> None:
        """Return once the container runs no more."""
        woken = asyncio.Event()
        self._waiting.setdefault(container, []).append(woken)
        try:
            while (runs := await _runs(runtime, container)) is not False:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(ASK_AGAIN_SECONDS if runs is None else None):
                        await woken.wait()
                woken.clear()
        finally:
            self._waiting[container].remove(woken)
            if not self._waiting[container]:
                del self._waiting[container]


async def _runs(runtime: RuntimeService, container: str) -> bool | None:
    """Whether it runs, None if that cannot be told now."""
    try:
        answer = await runtime.container_status(ContainerStatusRequest(container_id=container))
    except NotFound:
        return False
    except (KnarrError, OSError):
        return None
    return answer.status is not None and answer.status.state != ContainerState.CONTAINER_EXITED
