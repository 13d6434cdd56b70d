"""Probes over time: the grid, thresholds, eager attempts; and one attempt of each kind against a real listener."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knarr.kubelet.probes import http, state, tcp
from knarr.kubelet.probes.state import ProbeState, Rule
from knarr.kubelet.probes.target import HttpTarget, port_number
from tests.unit.kubelet.test_pod_plan import pod

START = datetime(2030, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def fed(rule: Rule, results: list[bool]) -> ProbeState:
    """The state after one result at each moment of the grid."""
    current = state.begin(rule, START, START)
    for result in results:
        current = state.after(current, result, current.due, on_grid=True)
    return current


@settings(max_examples=60)
@given(
    st.sampled_from(["readiness", "liveness", "startup"]),
    st.integers(1, 4),
    st.integers(1, 4),
    st.lists(st.booleans(), max_size=30),
)
def test_a_verdict_needs_its_threshold_of_equal_results_in_a_row(
    kind: state.ProbeKind, success: int, failure: int, results: list[bool]
) -> None:
    found = fed(Rule(kind, success_threshold=success, failure_threshold=failure), results).verdict
    wanted, streak, last = None, 0, None
    for result in results:
        streak, last = (streak + 1, result) if result is last else (1, result)
        if streak >= (success if result else failure):
            wanted = result
    assert found is wanted


@settings(max_examples=60)
@given(st.integers(0, 60), st.integers(1, 60), st.lists(st.floats(0, 300), max_size=20))
def test_attempts_keep_to_the_grid_and_never_pile_up(delay: int, period: int, lateness: list[float]) -> None:
    current = state.begin(Rule("liveness", initial_delay=delay, period=period), START, START)
    assert state.next_due(current) == at(delay)
    for late in lateness:
        now = current.due + timedelta(seconds=late)
        after = state.after(current, True, now, on_grid=True)
        assert now < after.due <= now + timedelta(seconds=period)
        current = after


def test_a_readiness_probe_is_tried_at_once_and_eagerly_until_it_passes() -> None:
    rule = Rule("readiness", period=10, is_eager=True)
    current = state.begin(rule, START, START)
    assert state.next_due(current) == START
    current = state.after(current, False, at(0.001), on_grid=True)
    assert state.next_due(current) == at(0.03)
    current = state.after(current, False, at(0.031), on_grid=False)
    assert (state.next_due(current), current.streak) == (at(0.06), 1)
    current = state.after(current, True, at(0.061), on_grid=False)
    assert state.is_ready(current)
    assert state.next_due(current) == at(10)


def test_eager_failures_never_count() -> None:
    current = state.begin(Rule("startup", period=5, failure_threshold=1, is_eager=True), START, START)
    current = state.after(current, True, START, on_grid=False)
    fresh = state.begin(Rule("startup", period=5, failure_threshold=2, is_eager=True), START, START)
    for moment in state.EAGER_SECONDS:
        fresh = state.after(fresh, False, at(moment), on_grid=False)
    assert (state.has_failed(fresh), fresh.verdict, current.verdict) == (False, None, True)


def test_an_attempt_that_could_not_be_made_counts_as_neither() -> None:
    current = fed(Rule("liveness", failure_threshold=2), [False])
    after = state.after(current, None, current.due, on_grid=True)
    assert (after.streak, after.verdict, after.last) == (1, None, False)


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(serve: Serve) -> AsyncIterator[int]:
    """A listener on loopback; every connection is closed before it is left."""
    done: list[asyncio.StreamWriter] = []

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        done.append(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await serve(reader, writer)

    server = await asyncio.start_server(served, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.sleep(0.01)  # lets the last connection be accepted, so that it can be closed
        for writer in done:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A listener that answers every connection with these bytes."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with listening(serve) as port:
        yield port, asked


def target(port: int, path: str = "/ready", **headers: str) -> HttpTarget:
    return HttpTarget("http", "127.0.0.1", port, path, tuple(headers.items()))


@pytest.mark.parametrize(
    ("answer", "success", "output"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", True, "ok"),
        (b"HTTP/1.1 399 X\r\n\r\n", True, ""),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", False, "HTTP probe failed with statuscode: 404"),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", False, "HTTP probe failed with statuscode: 500"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n" + b"x" * 20000, True, "x" * 10240),
    ],
)
async def test_an_http_attempt(answer: bytes, success: bool, output: str) -> None:
    async with answering(answer) as (port, asked):
        result = await http.attempt(target(port, Host="example.com", Empty=""), 2)
    assert (result.is_success, result.output) == (success, output)
    assert b"GET /ready HTTP/1.1\r\n" in asked[0]
    assert b"Host: example.com\r\n" in asked[0]
    assert b"User-Agent: kube-probe/" in asked[0]
    assert b"Empty" not in asked[0]


async def test_a_redirect_to_another_host_is_success_with_a_warning() -> None:
    answer = b"HTTP/1.1 302 Found\r\nLocation: http://192.0.2.9/x\r\nContent-Length: 2\r\n\r\nhi"
    async with answering(answer) as (port, _):
        result = await http.attempt(target(port), 2)
    assert result.is_success
    assert result.warning == "Probe terminated redirects, Response body: hi"


async def test_redirects_on_the_same_host_are_followed_so_far() -> None:
    async with answering(b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n") as (port, asked):
        result = await http.attempt(target(port), 2)
    assert (result.is_success, len(asked)) == (False, 10)
    assert "stopped after 10 redirects" in result.output


async def test_a_closed_port_and_a_silent_one_are_told_apart() -> None:
    async with answering(b"") as (port, _):
        pass
    closed = await tcp.attempt("127.0.0.1", port, 1)
    assert closed.output == f"dial tcp 127.0.0.1:{port}: connect: connection refused"
    refused = await http.attempt(target(port), 1)
    assert refused.output == f'Get "http://127.0.0.1:{port}/ready": {closed.output}'

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with listening(silent) as number:
        assert (await tcp.attempt("127.0.0.1", number, 1)).is_success
        late = await http.attempt(target(number), 0.05)
    assert "context deadline exceeded (Client.Timeout exceeded while awaiting headers)" in late.output


async def test_what_is_not_http_is_a_failure() -> None:
    async with answering(b"SSH-2.0-OpenSSH\r\n") as (port, _):
        result = await http.attempt(target(port), 2)
    assert not result.is_success
    assert "malformed HTTP response" in result.output


def test_ports_are_found_by_name() -> None:
    container = pod(containers=[{"name": "c", "image": "i", "ports": [{"name": "web", "containerPort": 8080}]}]).spec
    assert port_number("web", container.containers[0]) == 8080
    assert port_number("81", container.containers[0]) == 81


def test_a_container_that_ran_before_the_kubelet_is_probed_on_its_own_grid() -> None:
    rule = Rule("liveness", initial_delay=3, period=10)
    due = [state.begin(rule, START, at(seconds)).due for seconds in (0, 3.5, 12.9, 13, 13.5, 1000)]
    assert due == [at(3), at(3.5), at(12.9), at(23), at(23), at(1003)]
