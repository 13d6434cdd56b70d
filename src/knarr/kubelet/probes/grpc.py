"""One gRPC probe attempt: grpc.health.v1.Health/Check answers SERVING. grpcio is loaded at the first attempt only.

The two messages are one string field and one enum field, so they are written and read here by hand.
Spec: the gRPC health checking protocol.
"""

from knarr.kubelet.probes.result import Result
from knarr.kubelet.probes.target import authority
from knarr.wire.varint import varint

SERVING = b"\x08\x01"
"""HealthCheckResponse{status: SERVING} in protobuf."""


async def attempt(host: str, port: int, service: str, timeout_seconds: float) -> Result:
    """Ask the health service about `service` ("" is the server as a whole)."""
    import grpc  # costs 27 MB: only where a pod has such a probe
    from grpc import aio

    request = check_request(service)
    async with aio.insecure_channel(authority(host, port)) as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check", None, None)
        try:
            answer = await check(request, timeout=timeout_seconds)
        except aio.AioRpcError as error:
            return Result(False, _refusal(error, service, authority(host, port), timeout_seconds, grpc.StatusCode))
    if bytes(answer) == SERVING:
        return Result(True, "service healthy")
    return Result(False, f'service unhealthy (responded with "{_status(bytes(answer))}")')


def check_request(service: str) -> bytes:
    """HealthCheckRequest{service} in protobuf: the length is a varint."""
    name = service.encode()
    return b"\x0a" + varint(len(name)) + name if name else b""


def _refusal(error: object, service: str, address: str, seconds: float, codes: object) -> str:
    code = error.code()  # type: ignore[attr-defined]  # grpcio ships no types
    name = code.name
    if name == "UNIMPLEMENTED":
        text = "error: this server does not implement the grpc health protocol (grpc.health.v1.Health)"
        return f"{text}: {error.details()}"  # type: ignore[attr-defined]  # as above
    if name == "DEADLINE_EXCEEDED":
        return f"timeout: health rpc did not complete within {seconds:g}s"
    if name == "UNAVAILABLE":
        return f'timeout: failed to connect service "{address}" within {seconds:g}s: {error.details()}'  # type: ignore[attr-defined]  # as above
    return f"error: health rpc probe failed: rpc error: code = {word(name)} desc = {error.details()}"  # type: ignore[attr-defined]  # as above


def word(name: str) -> str:
    """A status code as Go prints it, which spells one of them its own way."""
    return "Canceled" if name == "CANCELLED" else "".join(part.capitalize() for part in name.split("_"))


def _status(answer: bytes) -> str:
    names = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
    return names.get(answer[1] if len(answer) > 1 else 0, "UNKNOWN")
