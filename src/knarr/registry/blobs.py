"""Blobs by digest: GET, HEAD and DELETE, with byte ranges (OCI distribution specification, pull; RFC 9110 section 14).

All repositories share the content store: a blob that is here is served under every repository name. That is one
developer's machine, where whoever reaches the registry may read all of it. A blob that an image needs is not deleted.
"""

import re
from functools import partial

from knarr.base.errors import NotFound
from knarr.images import gc
from knarr.oci.digest import Digest
from knarr.registry import quota
from knarr.registry.call import Call, State, parse_digest
from knarr.registry.errors import Failure
from knarr.wire.http import Headers, Response
from knarr.wire.http_file import FileBody

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
_SMALL = 64 << 10


async def get(state: State, call: Call) -> Response:
    """GET and HEAD /v2/<name>/blobs/<digest>."""
    call.repository(state)
    digest = parse_digest(call.argument)
    if not state.content.touch(digest):
        return await _from_upstream(state, call, digest)
    size, path = state.content.info(digest).size, state.content.path(digest)
    start, end = _range(call.request.header("range"), size)
    response = _head(call, digest, size, start, end)
    if call.request.method == "HEAD" or response.status == 304:
        return response
    response.body = path.read_bytes()[start:end] if size <= _SMALL else FileBody(path, start, end - start)
    return response


async def _from_upstream(state: State, call: Call, digest: Digest) -> Response:
    """The blob of a registry that this one stands for, while it arrives."""
    if state.upstream is None:
        raise Failure("BLOB_UNKNOWN", f"blob {digest} is not here")
    ns = call.query.get("ns", "")
    if call.request.method == "HEAD":
        size = await state.upstream.size(call.name, ns, digest)
        return _head(call, digest, size, 0, size)
    arrival = await state.upstream.blob(call.name, ns, digest, partial(quota.check_fetch, state))
    start, end = _range(call.request.header("range"), arrival.size)
    response = _head(call, digest, arrival.size, start, end)
    if response.status != 304:
        response.body = arrival.read(start, end)
    return response


def _head(call: Call, digest: Digest, size: int, start: int, end: int) -> Response:
    headers: Headers = (
        ("content-type", "application/octet-stream"),
        ("content-length", str(end - start)),
        ("docker-content-digest", digest),
        ("etag", f'"{digest}"'),
        ("cache-control", "max-age=31536000"),
        ("accept-ranges", "bytes"),
    )
    if call.request.header("if-none-match") == f'"{digest}"':
        return Response(304, headers[3:5])
    if (start, end) == (0, size):
        return Response(200, headers)
    return Response(206, (*headers, ("content-range", f"bytes {start}-{end - 1}/{size}")))


async def delete(state: State, call: Call) -> Response:
    """DELETE /v2/<name>/blobs/<digest>."""
    call.repository(state)
    digest = parse_digest(call.argument)
    try:
        state.content.info(digest)
    except NotFound as error:
        raise Failure("BLOB_UNKNOWN", str(error)) from error
    if digest in gc.needed(state.content, state.names):
        raise Failure("UNSUPPORTED", f"blob {digest} is needed by an image")
    state.content.delete(digest)
    return Response(202)


def _range(text: str, size: int) -> tuple[int, int]:
    """Half-open bounds of the one range asked for; everything when none, several or another unit is."""
    match = _RANGE.fullmatch(text.replace(" ", ""))
    if match is None or match[1] == match[2] == "":
        return 0, size
    if match[1] == "":
        start, end = max(0, size - int(match[2])), size
    else:
        start, end = int(match[1]), min(int(match[2]) + 1, size) if match[2] else size
        if match[2] and int(match[2]) < start:
            return 0, size
    if start >= end:
        unsatisfied = (("content-range", f"bytes */{size}"),)
        raise Failure("RANGE_INVALID", f"range {text[:80]!r} is outside of {size} bytes", headers=unsatisfied)
    return start, end
