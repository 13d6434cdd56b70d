"""A server that speaks the gRPC health checking protocol, of the standard library alone.

An application takes the `grpcio` and `grpcio-health-checking` packages instead; this shows what goes over the wire:
HTTP/2 frames, one message each way. Every call counts as grpc.health.v1.Health/Check. The service `orders` is
NOT_SERVING as long as anything is written in $CLOSED (/tmp/closed); the server as a whole (no name) serves.
"""

import asyncio
import os
import signal
from pathlib import Path

PORT = 50051
CLOSED = Path(os.environ.get("CLOSED", "/tmp/closed"))  # noqa: S108  who may exec here may close the shop
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING, GOAWAY = 0, 1, 4, 6, 7
END_STREAM, ACK, END_HEADERS = 1, 1, 4
SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"
OK, NOT_FOUND = 0, 5


def answer(service: str) -> bytes | None:
    """A HealthCheckResponse; None for a service that is not known."""
    if service == "orders":
        return NOT_SERVING if CLOSED.exists() and CLOSED.read_text() else SERVING
    return SERVING if service == "" else None


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def header(name: str, value: str) -> bytes:
    """A header as HPACK's plainest form has it: a literal that nobody indexes."""
    return b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def reply(stream: int, request: bytes) -> bytes:
    """The frames that answer a call whose message is `request` (five bytes of prefix, then field 1: the name)."""
    found = answer(request[7:].decode(errors="replace"))
    ended = header("grpc-status", str(OK if found is not None else NOT_FOUND))
    ended += header("grpc-message", "unknown service") if found is None else b""
    frames = frame(HEADERS, END_HEADERS, stream, b"\x88" + header("content-type", "application/grpc"))
    if found is not None:
        frames += frame(DATA, 0, stream, b"\0" + len(found).to_bytes(4, "big") + found)
    return frames + frame(HEADERS, END_HEADERS | END_STREAM, stream, ended)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    calls: dict[int, bytes] = {}
    try:
        await reader.readexactly(len(PREFACE))
        writer.write(frame(SETTINGS, 0, 0))
        while True:
            head = await reader.readexactly(9)
            kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
            payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
            if kind == SETTINGS and not flags & ACK:
                writer.write(frame(SETTINGS, ACK, 0))
            elif kind == PING and not flags & ACK:
                writer.write(frame(PING, ACK, 0, payload))
            elif kind == DATA:
                calls[stream] = calls.get(stream, b"") + payload
            elif kind == GOAWAY:
                return
            if kind in (DATA, HEADERS) and flags & END_STREAM:
                writer.write(reply(stream, calls.pop(stream, b"")))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        return
    finally:
        writer.close()


async def main() -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with await asyncio.start_server(serve, port=PORT):
        print(f"listening on {PORT}")
        await stopped.wait()


if __name__ == "__main__":
    asyncio.run(main())
