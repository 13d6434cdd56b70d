"""Blobs by digest: GET, HEAD and DELETE, with byte ranges (OCI distribution specification, pull; RFC 9110 section 14).

All repositories share the content store: a blob that is here is served under every repository name. That is one
developer's machine, where whoever reaches the registry may read all of it. A blob that an image needs is not deleted.
"""

import re

from knarr.base.errors import NotFound
from knarr.images import gc
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
    try:
        blob, path = state.content.info(digest), state.content.path(digest)
    except NotFound as error:
        raise Failure("BLOB_UNKNOWN", str(error)) from error
    state.content.touch(digest)
    start, end = _range(call.request.header("range"), blob.size)
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
    status = 200
    if (start, end) != (0, blob.size):
        status, headers = 206, (*headers, ("content-range", f"bytes {start}-{end - 1}/{blob.size}"))
    if call.request.method == "HEAD":
        return Response(status, headers)
    if blob.size <= _SMALL:
        return Response(status, headers, path.read_bytes()[start:end])
    return Response(status, headers, FileBody(path, start, end - start))


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
