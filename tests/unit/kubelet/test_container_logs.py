"""Logs in CRI format: which bytes a reader gets, also while the file grows and is rotated."""

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knarr.base.errors import BadRequest, NotFound
from knarr.kubelet import container_logs, log_lines
from knarr.kubelet.log_lines import LineReader, LogOptions

NOW = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)
LOG = (
    b"2026-01-01T00:00:01.000000001+00:00 stdout F one\n"
    b"2026-01-01T00:00:02.000000001+00:00 stderr P tw\n"
    b"2026-01-01T00:00:02.000000002+00:00 stderr F o\n"
    b"torn line\n"
    b"2026-01-01T00:00:03.000000001+00:00 stdout F \n"
    b"2026-01-01T00:00:04.000000001+00:00 stdout F four\n"
)


@pytest.mark.parametrize(
    ("wanted", "answer"),
    [
        (LogOptions(), b"one\ntwo\n\nfour\n"),
        (LogOptions(stream="Stderr"), b"two\n"),
        (LogOptions(since=datetime(2026, 1, 1, 0, 0, 3, tzinfo=UTC)), b"\nfour\n"),
        (LogOptions(limit_bytes=6), b"one\ntw"),
        (
            LogOptions(timestamps=True, stream="Stderr"),
            b"2026-01-01T00:00:02.000000001Z two\n",
        ),
    ],
)
def test_a_reader_gets_what_it_asked_for_whole_and_byte_by_byte(wanted: LogOptions, answer: bytes) -> None:
    assert LineReader(wanted).feed(LOG) == answer
    reader = LineReader(wanted)
    assert b"".join(reader.feed(bytes([byte])) for byte in LOG) == answer


@given(st.binary(max_size=300))
def test_no_bytes_break_a_reader(content: bytes) -> None:
    LineReader(LogOptions(timestamps=True, since=NOW)).feed(content + b"\n")


def test_options_are_read_from_the_query() -> None:
    assert log_lines.options("follow=true&tailLines=3&sinceSeconds=60&limitBytes=9&timestamps=1", NOW) == LogOptions(
        follows=True, tail=3, since=datetime(2026, 1, 1, tzinfo=UTC), limit_bytes=9, timestamps=True
    )
    assert log_lines.options("follow&previous=False&timestamps=yes&tailLines=", NOW) == LogOptions(
        follows=True, timestamps=True
    )
    for query in ("tailLines=x", "tailLines=-1", "sinceTime=yesterday", "stream=stdin", "limitBytes=%D9%A3"):
        with pytest.raises(BadRequest):
            log_lines.options(query, NOW)


@pytest.mark.parametrize("content", [b"", b"a\n", b"a\nb\nc\n", b"a\nb\nc", b"x" * 70_000 + b"\n" + b"y\n" * 5])
def test_the_tail_begins_where_a_dumb_count_says(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(content)
    descriptor = os.open(path, os.O_RDONLY)
    lines = content.splitlines(keepends=True)
    for count in (0, 1, 2, 3, 10):
        expected = b"".join(lines[len(lines) - min(count, len(lines)) :])
        assert content[container_logs.tail_offset(descriptor, count) :] == expected
    assert container_logs.tail_offset(descriptor, None) == 0
    os.close(descriptor)


async def test_following_sees_new_lines_and_rotations_and_ends_with_the_container(tmp_path: Path) -> None:
    path, ended = tmp_path / "0.log", asyncio.Event()
    path.write_bytes(LOG)

    async def end() -> None:
        await ended.wait()

    pieces = container_logs.read_log(tmp_path, path, LogOptions(follows=True, tail=1), end)
    async with asyncio.timeout(5):
        assert await anext(pieces) == b"four\n"
        with path.open("ab") as file:
            file.write(b"2026-01-01T00:00:05Z stdout F five\n")
        assert await anext(pieces) == b"five\n"
        with path.open("ab") as file:
            file.write(b"2026-01-01T00:00:05Z stdout F last of the old\n")
        path.rename(tmp_path / "0.log.1")
        path.write_bytes(b"2026-01-01T00:00:06Z stdout F first of the new\n")
        assert [await anext(pieces), await anext(pieces)] == [b"last of the old\n", b"first of the new\n"]
        with path.open("ab") as file:
            file.write(b"2026-01-01T00:00:07Z stdout F goodbye\n")
        ended.set()
        assert [piece async for piece in pieces] == [b"goodbye\n"]


async def test_a_slow_follower_misses_no_file_that_was_rotated_meanwhile(tmp_path: Path) -> None:
    path, ended = tmp_path / "0.log", asyncio.Event()
    path.write_bytes(b"".join(b"2026-01-01T00:00:00Z stdout F %06d\n" % number for number in range(5000)))
    descriptors = len(os.listdir("/proc/self/fd"))

    async def end() -> None:
        await ended.wait()

    pieces = container_logs.read_log(tmp_path, path, LogOptions(follows=True), end)
    async with asyncio.timeout(5):
        seen = await anext(pieces)  # the first of several pieces: the rest is read when the files have moved on
        for number in range(4):
            path.rename(tmp_path / f"0.log.2026010{number}-000000")
            path.write_bytes(b"2026-01-01T00:00:06Z stdout F rotation %d\n" % number)
        ended.set()
        seen += b"".join([piece async for piece in pieces])
    lines = [b"%06d" % number for number in range(5000)] + [b"rotation %d" % number for number in range(4)]
    assert seen.splitlines() == lines
    assert len(os.listdir("/proc/self/fd")) == descriptors


async def test_a_follower_that_leaves_holds_no_file_open(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_bytes(b"2026-01-01T00:00:00Z stdout F old\n" * 5000)
    descriptors = len(os.listdir("/proc/self/fd"))
    pieces = container_logs.read_log(tmp_path, path, LogOptions(follows=True), asyncio.Event().wait)
    await anext(pieces)
    path.rename(tmp_path / "0.log.20260101-000000")
    path.write_bytes(b"2026-01-01T00:00:06Z stdout F new\n")
    while b"new" not in await anext(pieces):
        pass
    await pieces.aclose()
    assert len(os.listdir("/proc/self/fd")) == descriptors


async def test_a_log_is_a_regular_file_below_its_folder(tmp_path: Path) -> None:
    root = tmp_path / "pods"
    (root / "p").mkdir(parents=True)
    secret = tmp_path / "secret"
    secret.write_text("s")
    (root / "p" / "link").symlink_to(secret)
    os.mkfifo(root / "p" / "fifo")
    for path in (root / "p" / "link", root / "p" / "fifo", secret, root / ".." / "secret", root / "p" / "none", root):
        with pytest.raises(NotFound):
            container_logs.check(root, path)
