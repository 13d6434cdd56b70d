"""Lines of a CRI log: `TIME STREAM TAGS CONTENT`, and what of them a reader asked for. Pure.

A line with the tag `P` is a part: its content is not the end of a line of the container's output.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Literal
from urllib.parse import parse_qs

from knarr.base import clock
from knarr.base.clock import Instant
from knarr.base.errors import BadRequest
from knarr.wire import parameters

LINE_MAX: Final = 1024 * 1024
"""Bytes of one line; conmon and containerd cut at 8 and 16 KiB, so longer ones are no log."""


Stream = Literal["All", "Stdout", "Stderr"]
_STREAMS: Final[dict[str, Stream]] = {"": "All", "All": "All", "Stdout": "Stdout", "Stderr": "Stderr"}


@dataclass(frozen=True, slots=True)
class LogOptions:
    """What was asked for; None is "no bound"."""

    follows: bool = False
    previous: bool = False
    timestamps: bool = False
    tail: int | None = None
    since: Instant | None = None
    limit_bytes: int | None = None
    stream: Stream = "All"


def options(query: str, now: Instant) -> LogOptions:
    """The options of a request's query (follow, tailLines, sinceSeconds, …). Raises BadRequest."""
    values = {name: found[0] for name, found in parse_qs(query, keep_blank_values=True).items()}
    try:
        since = clock.parse_rfc3339(values["sinceTime"]) if values.get("sinceTime") else None
        if values.get("sinceSeconds"):
            since = now - timedelta(seconds=_number(values["sinceSeconds"]))
    except (ValueError, OverflowError) as error:
        raise BadRequest(f"invalid log options: {error}") from error
    stream = _STREAMS.get(values.get("stream", ""))
    if stream is None:
        raise BadRequest(f"invalid log options: stream {values['stream']!r}")
    try:
        return LogOptions(
            follows=parameters.is_true(values.get("follow")),
            previous=parameters.is_true(values.get("previous")),
            timestamps=parameters.is_true(values.get("timestamps")),
            tail=_number(values["tailLines"]) if values.get("tailLines") else None,
            since=since,
            limit_bytes=_number(values["limitBytes"]) if values.get("limitBytes") else None,
            stream=stream,
        )
    except ValueError as error:
        raise BadRequest(f"invalid log options: {error}") from error


@dataclass(slots=True)
class LineReader:
    """Turns the bytes of a log into those of the answer."""

    wanted: LogOptions
    _is_over: bool = False
    _rest: bytes = b""
    _given: int = 0
    _is_since: bool = False
    _inside: dict[bytes, bool] = field(default_factory=dict)

    def feed(self, content: bytes) -> bytes:
        """The answer's bytes for the log's next bytes; a line that is not whole waits."""
        lines = (self._rest + content).split(b"\n")
        self._rest = lines.pop() if len(lines[-1]) <= LINE_MAX else (lines.pop(), b"")[1]
        return self._cut(b"".join([self._line(line) for line in lines]))

    def is_over(self) -> bool:
        """True once `limit_bytes` are given out."""
        return self._is_over

    def _line(self, line: bytes) -> bytes:
        parts = line.split(b" ", 3)
        if len(parts) != 4 or parts[1] not in (b"stdout", b"stderr"):
            return b""  # torn by a crash, or not ours
        time, stream, tags, content = parts
        if self.wanted.stream != "All" and stream.decode() != self.wanted.stream.lower():
            return b""
        if self.wanted.since is not None and not self._is_since:
            if not _is_since(time, self.wanted.since):
                return b""
            self._is_since = True
        is_part = tags[:1] == b"P"
        continues = self._inside.get(stream, False)
        self._inside[stream] = is_part
        stamp = _stamp(time) + b" " if self.wanted.timestamps and not continues else b""
        return stamp + content + (b"" if is_part else b"\n")

    def _cut(self, content: bytes) -> bytes:
        limit = self.wanted.limit_bytes
        if limit is not None and self._given + len(content) >= limit:
            content = content[: limit - self._given]
            self._is_over = True
        self._given += len(content)
        return content


def _is_since(time: bytes, since: Instant) -> bool:
    try:
        return datetime.fromisoformat(time.decode()).astimezone(UTC) >= since
    except (ValueError, OverflowError):  # a time near year 1 or 9999 leaves the calendar in another zone
        return False


def _stamp(time: bytes) -> bytes:
    """Go's RFC 3339 with nanoseconds: UTC is `Z`."""
    return time[:-6] + b"Z" if time.endswith(b"+00:00") else time


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise ValueError(f"{text!r} is no number")
    return int(text)
