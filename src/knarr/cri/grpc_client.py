"""The CRI over a Unix socket: RuntimeService and ImageService of another runtime, by the same two Protocols.

Every call has a deadline (`deadline_seconds`); errors come back as those of base/errors.py. What makes or removes
something goes on to its end when its caller gives up, as with knarr's own runtime. Imports gRPC: import this module
only where a foreign runtime is used.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import grpc
import grpc.aio
import msgspec

from knarr.base import tasks
from knarr.base.errors import KnarrError, Unavailable
from knarr.cri import codec, rpc
from knarr.cri.protocol import ImageService, RuntimeService

CALL_SECONDS: Final = 120.0
"""The kubelet's runtime-request-timeout."""
MARGIN_SECONDS: Final = CALL_SECONDS
"""What a call gets beyond the time that its request allows the runtime: the kill and the answer, as upstream gives."""
PULL_SECONDS: Final = 3600.0
CLOSE_SECONDS: Final = 5.0
"""How long the end of a connection waits for calls under way."""
WHOLE: Final = frozenset(
    {
        "run_pod_sandbox", "stop_pod_sandbox", "remove_pod_sandbox",
        "create_container", "start_container", "remove_container",
    }
)  # fmt: skip
"""Calls that are not given up half way: containerd kills the network's plugin then, and its rules stay for ever."""
_OPTIONS: Final = [
    ("grpc.max_receive_message_length", rpc.MESSAGE_MAX),
    ("grpc.max_send_message_length", rpc.MESSAGE_MAX),
]


class Connection:
    """A connection to a CRI socket. `close` it at the end."""

    def __init__(self, socket: Path) -> None:
        self._channel = grpc.aio.insecure_channel(f"unix://{socket}", options=_OPTIONS)
        self._acting: set[asyncio.Task[Any]] = set()

    async def ready(self, seconds: float) -> None:
        """Wait until the socket answers. Raises Unavailable."""
        try:
            async with asyncio.timeout(seconds):
                await self._channel.channel_ready()
        except TimeoutError as error:
            raise Unavailable(f"the CRI socket does not answer within {seconds:g} s") from error

    @property
    def runtime(self) -> RuntimeService:
        return cast(RuntimeService, _Service(self._channel, "RuntimeService", self._acting))

    @property
    def images(self) -> ImageService:
        return cast(ImageService, _Service(self._channel, "ImageService", self._acting))

    async def close(self) -> None:
        if self._acting:
            await asyncio.wait(self._acting, timeout=CLOSE_SECONDS)
        await self._channel.close(None)


class _Service:
    """One service; its methods are made from the table of RPCs. `acting` holds the calls that go on to their end."""

    def __init__(self, channel: grpc.aio.Channel, name: str, acting: "set[asyncio.Task[Any]]") -> None:
        for method in rpc.methods(name):
            make = channel.unary_stream if method.is_stream else channel.unary_unary
            call = make(
                method.path,
                request_serializer=codec.encode,
                response_deserializer=partial(codec.decode, method.response),
            )
            answer = _stream if method.is_stream else _call
            if method.attribute in WHOLE:
                answer = partial(_whole, acting)
            setattr(self, method.attribute, partial(answer, call, method.attribute))


def deadline_seconds(name: str, request: msgspec.Struct) -> float | None:
    """How long a call may take; None for a stream that ends with its reader alone.

    A stop, a command or a checkpoint gets the time that its request names and the margin beyond. A command whose
    request names none may run for ever, as the specification says; the runtime bounds it.
    """
    if name == "pull_image":
        return PULL_SECONDS
    if name == "get_container_events":
        return None
    allowed = max(0, getattr(request, "timeout", 0))
    if name == "exec_sync" and not allowed:
        return None
    return allowed + MARGIN_SECONDS if allowed else CALL_SECONDS


async def _call(call: Callable[..., Any], name: str, request: msgspec.Struct) -> msgspec.Struct:
    try:
        answer: msgspec.Struct = await call(request, timeout=deadline_seconds(name, request))
    except grpc.aio.AioRpcError as error:
        raise _translated(error) from error
    return answer


async def _whole(
    acting: "set[asyncio.Task[Any]]", call: Callable[..., Any], name: str, request: msgspec.Struct
) -> msgspec.Struct:
    async def act() -> msgspec.Struct:
        task = asyncio.current_task()
        assert task is not None
        acting.add(task)
        task.add_done_callback(acting.discard)
        return await _call(call, name, request)

    return await tasks.whole(act(), name)


async def _stream(call: Callable[..., Any], name: str, request: msgspec.Struct) -> AsyncIterator[msgspec.Struct]:
    try:
        async for answer in call(request, timeout=deadline_seconds(name, request)):
            yield answer
    except grpc.aio.AioRpcError as error:
        raise _translated(error) from error


def _translated(error: grpc.aio.AioRpcError) -> KnarrError:
    return rpc.error_of(error.code().name, error.details() or "")
