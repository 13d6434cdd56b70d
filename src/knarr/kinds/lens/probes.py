"""Lens: Probes and lifecycle hooks of a container.

Typed, frozen views for readers. Field names and zero values follow the Go types: a field that Go holds
by pointer is None when absent, any other has its zero value. Only what some reader needs stands here; the
stored JSON keeps everything else. Facts: kinds/facts/types.json (a test compares).
"""

from msgspec import Struct


class ExecAction(Struct, frozen=True, kw_only=True, rename="camel"):
    command: tuple[str, ...] = ()


class HTTPHeader(Struct, frozen=True, kw_only=True, rename="camel"):
    name: str = ""
    value: str = ""


class HTTPGetAction(Struct, frozen=True, kw_only=True, rename="camel"):
    host: str = ""
    http_headers: tuple[HTTPHeader, ...] = ()
    path: str = ""
    port: int | str = 0
    protocol: str | None = None
    scheme: str = ""


class TCPSocketAction(Struct, frozen=True, kw_only=True, rename="camel"):
    host: str = ""
    port: int | str = 0


class GRPCAction(Struct, frozen=True, kw_only=True, rename="camel"):
    mode: str | None = None
    port: int = 0
    service: str | None = None


class SleepAction(Struct, frozen=True, kw_only=True, rename="camel"):
    seconds: int = 0


class Probe(Struct, frozen=True, kw_only=True, rename="camel"):
    exec: ExecAction | None = None
    failure_threshold: int = 0
    grpc: GRPCAction | None = None
    http_get: HTTPGetAction | None = None
    initial_delay_seconds: int = 0
    period_seconds: int = 0
    success_threshold: int = 0
    tcp_socket: TCPSocketAction | None = None
    termination_grace_period_seconds: int | None = None
    timeout_seconds: int = 0


class LifecycleHandler(Struct, frozen=True, kw_only=True, rename="camel"):
    exec: ExecAction | None = None
    http_get: HTTPGetAction | None = None
    sleep: SleepAction | None = None
    tcp_socket: TCPSocketAction | None = None


class Lifecycle(Struct, frozen=True, kw_only=True, rename="camel"):
    post_start: LifecycleHandler | None = None
    pre_stop: LifecycleHandler | None = None
    stop_signal: str | None = None
