"""Blob uploads: monolithic, in two steps, chunked, or by mounting (OCI distribution specification, push).

Bytes stream to disk with the digest computed on the way; the blob is visible only when complete and verified. Sessions
are kept by registry/sessions.py.
"""

import re
from collections.abc import Callable

from knarr.base import tasks
from knarr.base.errors import Invalid, Unavailable
from knarr.images.ingestion import copy_in
from knarr.oci.digest import Digest
from knarr.registry import quota
from knarr.registry.call import Call, State, parse_digest
from knarr.registry.errors import Failure
from knarr.registry.grants import Scope
from knarr.registry.sessions import Session
from knarr.wire.http import Headers, Response

_CONTENT_RANGE = re.compile(r"(?:bytes )?([0-9]{1,18})-([0-9]{1,18})(?:/[0-9*]+)?")


async def start(state: State, call: Call) -> Response:
    """POST /v2/<name>/blobs/uploads/: mount, take a whole blob, or open a session."""
    call.repository(state)
    query = call.query
    if "mount" in query:
        mounted = parse_digest(query["mount"])
        source = Scope("repository", query.get("from", ""), frozenset({"pull"}))
        if call.grants.allow(source) and state.content.touch(mounted):
            state.sessions.pushed(call.name, mounted)
            return _created(call, mounted)
    digest = parse_digest(query["digest"]) if "digest" in query else None
    session = state.sessions.open(call.name, state.content)
    if digest is None:
        return Response(202, _progress(call, session))
    try:
        return await _finish(state, call, session, digest)
    finally:
        state.sessions.close(session)  # nobody knows its location, so nobody could go on


async def append(state: State, call: Call) -> Response:
    """PATCH /v2/<name>/blobs/uploads/<id>: one more chunk."""
    call.repository(state)
    session = state.sessions.get(call.name, call.argument)
    await _receive(state, call, session)
    return Response(202, _progress(call, session))


async def finish(state: State, call: Call) -> Response:
    """PUT /v2/<name>/blobs/uploads/<id>?digest=: the last chunk, if any, and the digest of the whole."""
    call.repository(state)
    session = state.sessions.get(call.name, call.argument)
    if "digest" not in call.query:
        raise Failure("DIGEST_INVALID", "the parameter `digest` is missing")
    return await _finish(state, call, session, parse_digest(call.query["digest"]))


async def status(state: State, call: Call) -> Response:
    """GET /v2/<name>/blobs/uploads/<id>: how much has come."""
    call.repository(state)
    return Response(204, _progress(call, state.sessions.get(call.name, call.argument)))


async def cancel(state: State, call: Call) -> Response:
    """DELETE /v2/<name>/blobs/uploads/<id>."""
    call.repository(state)
    state.sessions.close(state.sessions.get(call.name, call.argument))
    return Response(204)


async def _finish(state: State, call: Call, session: Session, digest: Digest) -> Response:
    await _receive(state, call, session)
    session.is_busy = True
    try:
        quota.check_blob(state, call.name, call.repository(state), digest)
        await tasks.in_thread(session.ingest.commit, digest)
    except Invalid as error:
        raise Failure("DIGEST_INVALID", str(error)) from error
    finally:
        session.is_busy = False
        state.sessions.close(session)
    state.sessions.pushed(call.name, digest)
    return _created(call, digest)


async def _receive(state: State, call: Call, session: Session) -> None:
    """Append the request's body, which must continue exactly where the session stands.

    A client that breaks off may go on later; after a failure of the disk nobody can, and its space is given back.
    """
    _check_range(call, session)
    session.is_busy = True
    try:
        room = _room(state, call)
        await copy_in(
            call.request.body if room is None else quota.bounded(call.request.body, room),
            session.ingest,
            progress=lambda _: state.sessions.refresh(session, state.content),
        )
    except (Unavailable, Failure):  # a full disk or quota: what came is of no use to anybody
        state.sessions.close(session)
        raise
    finally:
        session.is_busy = False
        state.sessions.used(session)


def _room(state: State, call: Call) -> Callable[[], int] | None:
    """How much of the body may come. Raises Failure at once where its length says that it is too much."""
    room = quota.room(state, call.name, call.repository(state))
    length = call.request.header("content-length")
    if room is not None and length.isascii() and length.isdigit() and int(length) > (left := room()):
        raise quota.full(f"{length} bytes are to come, there is room for {max(0, left)}")
    return room


def _check_range(call: Call, session: Session) -> None:
    text = call.request.header("content-range")
    if not text:
        return
    match = _CONTENT_RANGE.fullmatch(text)
    length = call.request.header("content-length")
    if match is None or int(match[1]) != session.ingest.size or int(match[2]) < int(match[1]):
        stands = (*_progress(call, session),)
        raise Failure(
            "RANGE_INVALID", f"the chunk {text[:80]!r} does not follow byte {session.ingest.size}", headers=stands
        )
    if length.isascii() and length.isdigit() and int(length) != int(match[2]) - int(match[1]) + 1:
        raise Failure("SIZE_INVALID", f"content-range {text[:80]!r} and content-length {length} differ")


def _progress(call: Call, session: Session) -> Headers:
    return (
        ("location", f"/v2/{call.name}/blobs/uploads/{session.id}"),
        ("range", f"0-{max(0, session.ingest.size - 1)}"),
        ("docker-upload-uuid", session.id),
    )


def _created(call: Call, digest: Digest) -> Response:
    return Response(201, (("location", f"/v2/{call.name}/blobs/{digest}"), ("docker-content-digest", digest)))
