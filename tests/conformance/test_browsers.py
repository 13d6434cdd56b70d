"""A browser judges what it can have over a WebSocket: a log, a watch, and exec from a page of this machine only."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin, Subprotocol

from tests.conformance.streams_stage import Stage, stage

EXEC = "pods/web/exec?" + urlencode({"container": "c", "command": "date", "stdout": "true"})


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path, is_in_process=True) as found:
        yield found


def url(running: Stage, path: str) -> str:
    return f"{running.url.replace('http', 'ws', 1)}/api/v1/namespaces/default/{path}"


async def test_a_log_arrives_as_messages(running: Stage) -> None:
    running.log.write_bytes(
        b"2026-01-01T00:00:00.000000000Z stdout F hello\n2026-01-01T00:00:01.000000000Z stderr F you\n"
    )
    where = url(running, "pods/web/log?container=c")
    async with connect(where, subprotocols=[Subprotocol("binary.k8s.io")], proxy=None) as socket:
        messages = [message async for message in socket]
    assert (messages[0], b"".join(message for message in messages if isinstance(message, bytes))) == (
        b"",
        b"hello\nyou\n",
    )


async def test_a_watch_arrives_as_one_message_for_each_event(running: Stage) -> None:
    async with connect(url(running, "pods?watch=true&timeoutSeconds=1"), proxy=None) as socket:
        events = [json.loads(message) async for message in socket]
    assert [(event["type"], event["object"]["metadata"]["name"]) for event in events] == [("ADDED", "web")]


@pytest.mark.parametrize("origin", ["http://localhost", "http://127.0.0.1:8001", "https://[::1]:1"])
async def test_a_program_of_this_machine_may_open_streams(origin: str, running: Stage) -> None:
    protocols = [Subprotocol("channel.k8s.io")]
    async with connect(url(running, EXEC), origin=Origin(origin), subprotocols=protocols, proxy=None) as socket:
        assert [message async for message in socket]


@pytest.mark.parametrize("origin", ["null", "http://evil.example", "http://localhost.evil.example", "file://localhost"])
@pytest.mark.parametrize(
    ("path", "protocol"),
    [(EXEC, "channel.k8s.io"), ("pods/web/log", "binary.k8s.io"), ("pods?watch=true", "binary.k8s.io")],
    ids=["exec", "log", "watch"],
)
async def test_a_page_of_somewhere_else_may_not(origin: str, path: str, protocol: str, running: Stage) -> None:
    protocols = [Subprotocol(protocol)]
    with pytest.raises(InvalidStatus, match="403"):
        await connect(url(running, path), origin=Origin(origin), subprotocols=protocols, proxy=None)
