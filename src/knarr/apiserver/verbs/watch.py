"""Watch: the store's changes as a stream of events, in the form that was accepted.

An event is encoded once for all watchers of one form (`Frames`). With selectors an object that begins or ceases to
match is ADDED or DELETED. Bookmarks tell how far the watch is; WatchList (sendInitialEvents) begins with the state.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass

from knarr.apiserver import answers, metrics, options, origins, presenting, reading, selecting, status
from knarr.apiserver.context import RequestContext, integer
from knarr.apiserver.negotiation import Accepted, accepted
from knarr.apiserver.resources import Resource
from knarr.apiserver.selecting import Selection
from knarr.base.errors import Expired
from knarr.base.ids import Revision
from knarr.store.store import Change, Watcher
from knarr.wire import http, upgrades, websocket_reading

BOOKMARK_SECONDS = 60.0
TIMEOUT_SECONDS = 1800
"""Without timeoutSeconds a watch ends after 30 to 60 minutes, as upstream."""
FRAMES_MAX = 1024
SHAPES_MAX = 1024
INITIAL_EVENTS_END = "k8s.io/initial-events-end"
HEADERS: http.Headers = (("cache-control", "no-cache, private"), ("content-type", "application/json;stream=watch"))


class Frames:
    """The last encoded events by (revision, shape): what one watcher encoded, the others send.

    A *shape* is a number for a resource in a form: every watcher asks at every event, and numbers are found fast."""

    def __init__(self) -> None:
        self._frames: dict[tuple[Revision, int], bytes] = {}
        self._shapes: dict[tuple[Resource, Accepted, str], int] = {}
        self._last_shape = 0

    def shape(self, context: RequestContext, form: Accepted) -> int:
        key = (context.resource, form, context.query.get("includeObject", ""))
        found = self._shapes.get(key)
        if found is None:
            if len(self._shapes) >= SHAPES_MAX:
                self._shapes.clear()
            self._last_shape += 1  # a number is never used twice, so a frame is never taken for another's
            found = self._shapes[key] = self._last_shape
        return found

    def get(self, stream: "_Stream", change: Change) -> bytes:
        key = (change.revision, stream.shape)
        frame = self._frames.get(key)
        if frame is None:
            frame = _plain(stream.context, stream.form, change)
            if len(self._frames) >= FRAMES_MAX:
                for old in tuple(self._frames)[: FRAMES_MAX // 4]:
                    del self._frames[old]
            self._frames[key] = frame
        return frame


@dataclass(frozen=True, slots=True)
class _Stream:
    """One watch as it runs."""

    context: RequestContext
    form: Accepted
    chosen: Selection
    watcher: Watcher
    initial: tuple[bytes, ...]
    bookmarks: bool
    seconds: float
    shape: int


async def watch(context: RequestContext) -> http.Response:
    """Answer with the endless body, or one of a lone 410 when the revision is compacted. Raises BadRequest."""
    options.check_list(context)
    if upgrades.is_websocket(context.request):
        origins.check(context.request)
    form = accepted(context.request.header("accept"))
    if form.form == "yaml":
        form = Accepted("json")
    seconds = integer("timeoutSeconds", context.query.get("timeoutSeconds", ""))
    if not seconds:
        seconds = random.randint(TIMEOUT_SECONDS, 2 * TIMEOUT_SECONDS)
    try:
        stream = _opened(context, form, float(seconds))
        # The generator's own `finally` never runs if nobody reads of it: a HEAD, a handshake that is refused.
        body: AsyncIterator[bytes] = http.Followed(_events(stream), stream.watcher.close)
    except Expired as error:
        body = _refusal(error)  # the answer is 200 and the 410 an event, as upstream: that is where clients look for it
    if upgrades.is_websocket(context.request):
        return await websocket_reading.lines(context.request, body)
    kind = (
        "application/json"
        if form.form == "json"
        else f"application/json;as={_AS[form.form]};v={form.version};g=meta.k8s.io"
    )
    headers = (HEADERS[0], ("content-type", kind))
    return http.Response(200, headers, body)


_AS = {"table": "Table", "partial": "PartialObjectMetadata", "partial-list": "PartialObjectMetadataList"}


def _opened(context: RequestContext, form: Accepted, seconds: float) -> _Stream:
    query, store = context.query, context.server.store
    prefix = context.resource.list_prefix(context.route.namespace)
    chosen = selecting.of(context)
    shape = context.server.frames.shape(context, form)
    if chosen.name and (context.route.namespace or not context.resource.kind.is_namespaced):
        prefix = context.resource.key(context.route.namespace, chosen.name)
    version = query.get("resourceVersion", "")
    wants_state = _wants_initial_events(context, version)
    if version not in ("", "0"):
        since = reading.check_not_in_future(context)
    if not wants_state:
        try:
            watcher = store.watch(prefix, since if version not in ("", "0") else store.revision)
        except Expired as error:
            raise Expired(f"too old resource version: {version} ({error.oldest})") from error
        return _Stream(context, form, chosen, watcher, (), context.is_asked("allowWatchBookmarks"), seconds, shape)
    listed = store.list(prefix)
    watcher = store.watch(prefix, listed.revision)
    initial = [
        _event(context, form, "ADDED", entry.value, entry.modified)
        for entry in listed.entries
        if chosen.is_everything or chosen.matches(entry.value)
    ]
    bookmarks = context.is_asked("allowWatchBookmarks")
    if bookmarks and context.is_asked("sendInitialEvents"):
        initial.append(_bookmark(context, form, listed.revision, is_end=True))
    return _Stream(context, form, chosen, watcher, tuple(initial), bookmarks, seconds, shape)


def _wants_initial_events(context: RequestContext, version: str) -> bool:
    if "sendInitialEvents" in context.query:
        return context.is_asked("sendInitialEvents")
    return version in ("", "0")


class _Alarm:
    """Nudges a watcher when a bookmark is due, and at its end; a timer each, so that events cost nothing for it."""

    def __init__(self, watcher: Watcher, seconds: float) -> None:
        self._watcher = watcher
        self._loop = asyncio.get_running_loop()
        self.is_over = False
        self._end = self._loop.call_later(seconds, self._finish)
        self._bookmark = self._next()

    def _next(self) -> asyncio.TimerHandle:
        return self._loop.call_later(BOOKMARK_SECONDS * random.uniform(0.8, 1.2), self._remind)

    def _remind(self) -> None:
        self._bookmark = self._next()
        self._watcher.nudge()

    def _finish(self) -> None:
        self.is_over = True
        self._watcher.nudge()

    def cancel(self) -> None:
        self._end.cancel()
        self._bookmark.cancel()


async def _events(stream: _Stream) -> AsyncIterator[bytes]:
    watcher, counts = stream.watcher, stream.context.server.metrics
    key, sent, resource = metrics.key_of(stream.context), counts.watch_events, stream.context.resource
    counts.running[key] += 1
    alarm = _Alarm(watcher, stream.seconds)
    try:
        for start in range(0, len(stream.initial), 200):
            yield b"".join(stream.initial[start : start + 200])
        while not alarm.is_over:
            changes = await watcher.batch()
            if changes:
                if frames := [frame for change in changes if (frame := _frame(stream, change))]:
                    sent[resource] += len(frames)
                    yield b"".join(frames)
            elif stream.bookmarks and not alarm.is_over:
                yield _bookmark(stream.context, stream.form, stream.context.server.store.revision)
    except (Expired, StopAsyncIteration) as error:
        yield _error(error)
    finally:
        alarm.cancel()
        watcher.close()
        counts.running[key] -= 1


def _frame(stream: _Stream, change: Change) -> bytes:
    """The event that a change is to this watch; b"" if it is none."""
    chosen, context = stream.chosen, stream.context
    if chosen.is_everything:
        return context.server.frames.get(stream, change)
    was = change.previous is not None and chosen.matches(change.previous)
    now = change.value is not None and chosen.matches(change.value)
    if was and now:
        return context.server.frames.get(stream, change)
    if now:
        assert change.value is not None
        return _event(context, stream.form, "ADDED", change.value, change.revision)
    if was:
        assert change.previous is not None
        return _event(context, stream.form, "DELETED", change.previous, change.revision)
    return b""


def _plain(context: RequestContext, form: Accepted, change: Change) -> bytes:
    if change.value is None:
        assert change.previous is not None
        return _event(context, form, "DELETED", change.previous, change.revision)
    return _event(context, form, "ADDED" if change.previous is None else "MODIFIED", change.value, change.revision)


def _event(context: RequestContext, form: Accepted, kind: str, value: bytes, revision: Revision) -> bytes:
    return b'{"type":"%b","object":%b}\n' % (
        kind.encode(),
        presenting.object_bytes(context, form, value, revision),
    )


def _bookmark(context: RequestContext, form: Accepted, revision: Revision, *, is_end: bool = False) -> bytes:
    kind = context.resource.kind
    metadata: dict[str, object] = {"resourceVersion": str(revision), "creationTimestamp": None}
    if is_end:
        metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
    obj = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}
    if form.form == "table":
        content = context.server.tables.encode(context, form, [], {"resourceVersion": str(revision)}, bookmark=obj)
    else:
        if form.form in ("partial", "partial-list"):
            obj |= {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{form.version}"}
        content = answers.encoded(obj)
    return b'{"type":"BOOKMARK","object":%b}\n' % content


async def _refusal(error: Expired) -> AsyncIterator[bytes]:
    yield _error(error)


def _error(error: Exception) -> bytes:
    expired = error if isinstance(error, Expired) else Expired("the watch is over")
    return b'{"type":"ERROR","object":%b}\n' % answers.encoded(status.of(expired))
