"""From a Status to the error that it means."""

import msgspec
import pytest

from knarr.base import errors
from knarr.client import refusals


def status(code: int, reason: str, **rest: object) -> bytes:
    return msgspec.json.encode({"kind": "Status", "code": code, "reason": reason, "message": "m", **rest})


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (404, "NotFound", errors.NotFound),
        (409, "AlreadyExists", errors.AlreadyExists),
        (409, "Conflict", errors.Conflict),
        (403, "Forbidden", errors.Forbidden),
        (410, "Expired", errors.Expired),
        (401, "Unauthorized", errors.Unauthenticated),
        (405, "MethodNotAllowed", errors.Unimplemented),
        (500, "InternalError", errors.Unavailable),
    ],
)
def test_the_reason_names_the_error(code: int, reason: str, kind: type[errors.KnarrError]) -> None:
    found = refusals.error(code, status(code, reason))
    assert type(found) is kind
    assert str(found) == "m"


def test_the_code_counts_where_there_is_no_status() -> None:
    found = refusals.error(404, b"<html>not here</html>")
    assert type(found) is errors.NotFound
    assert str(found) == "HTTP 404: <html>not here</html>"


def test_an_invalid_object_keeps_its_causes() -> None:
    causes = [{"field": "spec.replicas", "reason": "FieldValueInvalid", "message": "must not be negative"}]
    found = refusals.error(422, status(422, "Invalid", details={"causes": causes}))
    assert isinstance(found, errors.Invalid)
    assert found.causes == (errors.Cause("spec.replicas", "FieldValueInvalid", "must not be negative"),)


def test_too_many_requests_say_when_to_come_back() -> None:
    found = refusals.error(429, status(429, "TooManyRequests", details={"retryAfterSeconds": 7}))
    assert isinstance(found, errors.TooMany)
    assert found.after == 7


def test_an_error_event_of_a_watch_has_its_code_in_the_status() -> None:
    assert isinstance(refusals.error(0, status(410, "")), errors.Expired)
