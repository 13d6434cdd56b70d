"""Errors of the registry: knarr's error tree → HTTP status and the distribution specification's error code.

A handler raises `Failure` where the specification names a code; every other error of base/errors.py is mapped by its
class. The body is the specification's `{"errors": [{code, message, detail}]}`.
"""

import json
import math

from knarr.base import errors
from knarr.wire.http import Headers, Response

STATUS_OF_CODE = {
    "BLOB_UNKNOWN": 404,
    "BLOB_UPLOAD_INVALID": 400,
    "BLOB_UPLOAD_UNKNOWN": 404,
    "DENIED": 403,
    "DIGEST_INVALID": 400,
    "MANIFEST_BLOB_UNKNOWN": 404,
    "MANIFEST_INVALID": 400,
    "MANIFEST_UNKNOWN": 404,
    "NAME_INVALID": 400,
    "NAME_UNKNOWN": 404,
    "RANGE_INVALID": 416,
    "SIZE_INVALID": 400,
    "TAG_INVALID": 400,
    "TOOMANYREQUESTS": 429,
    "UNAUTHORIZED": 401,
    "UNSUPPORTED": 405,
    "UNAVAILABLE": 503,
    "UNKNOWN": 500,
}
"""Code → status (OCI distribution specification 1.1, error codes)."""

_CODE_OF_ERROR: tuple[tuple[type[errors.KnarrError], int, str], ...] = (
    (errors.NotFound, 404, "NAME_UNKNOWN"),
    (errors.TooLarge, 413, "SIZE_INVALID"),
    (errors.Conflict, 409, "BLOB_UPLOAD_INVALID"),
    (errors.Forbidden, 403, "DENIED"),
    (errors.Unauthenticated, 401, "UNAUTHORIZED"),
    (errors.TooMany, 429, "TOOMANYREQUESTS"),
    (errors.Unimplemented, 405, "UNSUPPORTED"),
    (errors.Unavailable, 503, "UNAVAILABLE"),
    (errors.BadRequest, 400, "BLOB_UPLOAD_INVALID"),
    (errors.KnarrError, 400, "MANIFEST_INVALID"),
)


class Failure(errors.KnarrError):
    """An outcome that the specification gives a code; `status` overrides the code's own."""

    def __init__(self, code: str, message: str, *, status: int = 0, headers: Headers = ()) -> None:
        super().__init__(message)
        self.code = code
        self.status = status or STATUS_OF_CODE[code]
        self.headers = headers


def response(error: errors.KnarrError) -> Response:
    """The answer that tells a client of the error."""
    if isinstance(error, Failure):
        return _response(error.status, error.code, str(error), error.headers)
    for kind, status, code in _CODE_OF_ERROR:
        if isinstance(error, kind):
            wait = (("retry-after", str(math.ceil(error.after))),) if isinstance(error, errors.TooMany) else ()
            return _response(status, code, str(error), wait)
    raise AssertionError(f"no row for {error!r}")


def _response(status: int, code: str, message: str, headers: Headers) -> Response:
    body = json.dumps({"errors": [{"code": code, "message": message, "detail": {}}]}).encode()
    return Response(status, (("content-type", "application/json"), *headers), body)
