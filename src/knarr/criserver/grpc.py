"""The CRI on a Unix socket by gRPC, for crictl and any kubelet. Imports gRPC: import this module when it is asked for.

An RPC that the table does not have is answered with Unimplemented, on which clients fall back. Whoever can open the
socket is root on this machine, so it is 0600.
"""

import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import grpc
import grpc.aio
import msgspec

from knarr.base import logs
from knarr.base.errors import KnarrError
from knarr.cri import codec, rpc
from knarr.cri.protocol import ImageService, RuntimeService

if TYPE_CHECKING:
    _Handler = grpc.RpcMethodHandler[msgspec.Struct, msgspec.Struct]
    _Context = grpc.aio.ServicerContext[msgspec.Struct, msgspec.Struct]

STREAMS_MAX: Final = 1000
_log = logs.log("criserver")
_OPTIONS: Final = [
    ("grpc.max_receive_message_length", rpc.MESSAGE_MAX),
    ("grpc.max_send_message_length", rpc.MESSAGE_MAX),
    ("grpc.max_concurrent_streams", STREAMS_MAX),
    ("grpc.so_reuseport", 0),
]


async def start(socket: Path, runtime: RuntimeService, images: ImageService) -> grpc.aio.Server:
    """Serve on the socket and return once it listens; `await server.stop(grace)` ends it."""
    server = grpc.aio.server(options=_OPTIONS)
    server.add_generic_rpc_handlers((_Handlers({"RuntimeService": runtime, "ImageService": images}),))
    socket.unlink(missing_ok=True)
    before = os.umask(0o177)
    try:
        server.add_insecure_port(f"unix://{socket}")
        await server.start()
    finally:
        os.umask(before)
    return server


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic only in the stubs
    """Finds the handler of a path."""

    def __init__(self, services: dict[str, Any]) -> None:
        self._handlers = {
            method.path: _handler(method, getattr(service, method.attribute))
            for name, service in services.items()
            for method in rpc.methods(name)
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "_Handler | None":
        return self._handlers.get(handler_call_details.method)


def _handler(method: rpc.Method, serve: Callable[[msgspec.Struct], Any]) -> "_Handler":
    make = grpc.unary_stream_rpc_method_handler if method.is_stream else grpc.unary_unary_rpc_method_handler
    return make(
        partial(_stream if method.is_stream else _answer, serve, method.path),
        request_deserializer=partial(codec.decode, method.request),
        response_serializer=codec.encode,
    )


async def _answer(
    serve: Callable[[msgspec.Struct], Awaitable[msgspec.Struct]],
    path: str,
    request: msgspec.Struct,
    context: "_Context",
) -> msgspec.Struct:
    try:
        return await serve(request)
    except Exception as error:
        await _abort(context, path, error)
        raise


async def _stream(
    serve: Callable[[msgspec.Struct], AsyncIterator[msgspec.Struct]],
    path: str,
    request: msgspec.Struct,
    context: "_Context",
) -> AsyncIterator[msgspec.Struct]:
    answers = serve(request)
    try:
        async for answer in answers:
            yield answer
    except Exception as error:
        await _abort(context, path, error)
        raise
    finally:
        with contextlib.suppress(AttributeError):
            await answers.aclose()  # type: ignore[attr-defined]  # an async generator ends its subscription so


async def _abort(context: "_Context", path: str, error: Exception) -> None:
    if isinstance(error, KnarrError):
        await context.abort(grpc.StatusCode[rpc.code_of(error)], str(error))
    _log.exception("failed an RPC %s", logs.fields(path=path))
    await context.abort(grpc.StatusCode.INTERNAL, f"internal error: {type(error).__name__}")
