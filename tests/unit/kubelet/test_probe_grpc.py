"""A gRPC probe against the server of examples/probes-grpc: what it answers, and what the probe says of it."""

import asyncio
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from knarr.kubelet.probes import grpc
from knarr.kubelet.probes.result import Result

EXAMPLE = Path(__file__).parents[3] / "examples" / "probes-grpc" / "health.py"
SECONDS = 10.0


@pytest.fixture
def health(tmp_path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("health", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.CLOSED = tmp_path / "closed"  # type: ignore[attr-defined]  # the example's setting, read from its environment
    return module


async def asked(health: ModuleType, service: str) -> Result:
    async with await asyncio.start_server(health.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        return await grpc.attempt("127.0.0.1", port, service, SECONDS)


@pytest.mark.parametrize("service", ["", "orders"])
async def test_a_service_that_serves_is_healthy(health: ModuleType, service: str) -> None:
    assert await asked(health, service) == Result(True, "service healthy")


async def test_a_service_that_does_not_serve_is_told_in_upstreams_words(health: ModuleType) -> None:
    health.CLOSED.write_text("until Monday")
    assert await asked(health, "orders") == Result(False, 'service unhealthy (responded with "NOT_SERVING")')
    assert await asked(health, "") == Result(True, "service healthy")


async def test_an_unknown_service_has_the_servers_code_and_words(health: ModuleType) -> None:
    text = "error: health rpc probe failed: rpc error: code = NotFound desc = unknown service"
    assert await asked(health, "nobody") == Result(False, text)


async def test_a_port_where_nobody_listens_is_a_service_out_of_reach() -> None:
    found = await grpc.attempt("127.0.0.1", 1, "", SECONDS)
    assert found.output.startswith('timeout: failed to connect service "127.0.0.1:1" within 10s: ')
    assert not found.is_success


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("CANCELLED", "Canceled"), ("NOT_FOUND", "NotFound"), ("INTERNAL", "Internal"), ("DATA_LOSS", "DataLoss")],
)
def test_a_code_is_told_as_go_spells_it(name: str, wanted: str) -> None:
    assert grpc.word(name) == wanted
