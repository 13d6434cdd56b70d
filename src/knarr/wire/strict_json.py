"""JSON as a server may accept it: UTF-8, no NaN, no lone surrogates, bounded in depth and number, duplicates reported.

`decode` is the fast way (msgspec); `decode_reporting` also names every field that occurs twice, which fast parsers
hide; it parses again only what may have one. Unknown fields are the schema's business. Whatever cannot be decoded
raises BadRequest that says where; more than VALUES_MAX values raise TooLarge.
"""

import json
from typing import Any, Final

import msgspec

from knarr.base.errors import BadRequest, TooLarge

DEPTH_MAX: Final = 100
VALUES_MAX: Final = 100_000
"""Values in one body. Each costs microseconds of decoding, defaulting and validating while nobody else is served.
Upstream bounds bytes alone: an object of more but tiny values that it would store is refused here."""
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that it cannot read; whoever decodes what others wrote expects all three."""
_decoder: Final = msgspec.json.Decoder()
_encode: Final = msgspec.json.Encoder().encode


class Unreadable(BadRequest):
    """A body that is no JSON; `why` without saying so."""

    def __init__(self, why: str) -> None:
        super().__init__(f"couldn't parse JSON: {why}")
        self.why = why


def decode(content: bytes) -> Any:
    """The value; of a field that occurs twice the last one counts, as in Go."""
    try:
        value = _decoder.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unreadable(str(error)) from error
    except RecursionError as error:
        raise BadRequest(f"couldn't parse JSON: nested deeper than {DEPTH_MAX} levels") from error
    # So few brackets cannot nest too deep, and most bodies have fewer; so short a body cannot have too many values.
    if content.count(b"{") + content.count(b"[") > DEPTH_MAX or len(content) > 2 * VALUES_MAX:
        check_shape(value)
    return value


def decode_reporting(content: bytes) -> tuple[Any, tuple[str, ...]]:
    """(the value, the path of each field that occurs more than once, e.g. `spec.containers[0].image`)."""
    value = decode(content)
    if not _may_repeat(content, value):
        return value, ()
    twice: list[tuple[dict[str, Any], str]] = []

    def pairs(fields: list[tuple[str, Any]]) -> dict[str, Any]:
        mapping = dict(fields)
        if len(mapping) != len(fields):
            seen: set[str] = set()
            for name, _ in fields:
                if name in seen:
                    twice.append((mapping, name))
                seen.add(name)
        return mapping

    # msgspec has accepted the text: the standard parser only counts its fields.
    again = json.loads(content, object_pairs_hook=pairs)
    if not twice:
        return value, ()
    return value, tuple(_paths(again, twice))


def _may_repeat(content: bytes, value: Any) -> bool:
    """False for a text that sets no field twice: it has as many colons as its value has when it is written again.

    Each field has one, and strings have theirs in both; a field that was set twice took its colons away. A colon that
    is written as an escape is not counted, so such texts may repeat fields.
    """
    if b"\\" in content and (b"\\u003a" in content or b"\\u003A" in content):
        return True
    return content.count(b":") != _encode(value).count(b":")


def check_shape(value: Any) -> None:
    """Raise BadRequest for a value that is nested too deep, and TooLarge for one of too many values."""
    level: list[Any] = [value]
    count = 1
    for _ in range(DEPTH_MAX + 1):
        following: list[Any] = []
        for container in level:
            if type(container) is dict or type(container) is list:
                count += len(container)
                if count > VALUES_MAX:
                    raise TooLarge(f"Request entity too large: it has more than {VALUES_MAX} values")
                children = container.values() if type(container) is dict else container
                following.extend([child for child in children if type(child) in (dict, list)])
        if not following:
            return
        level = following
    raise BadRequest(f"couldn't parse JSON: nested deeper than {DEPTH_MAX} levels")


def _paths(root: Any, twice: list[tuple[dict[str, Any], str]]) -> list[str]:
    names: dict[int, list[str]] = {}
    for mapping, name in twice:
        known = names.setdefault(id(mapping), [])
        if name not in known:
            known.append(name)
    paths: list[str] = []
    pending: list[tuple[Any, str]] = [(root, "")]
    while pending:
        value, path = pending.pop()
        if isinstance(value, dict):
            prefix = f"{path}." if path else ""
            paths.extend(f"{prefix}{name}" for name in names.get(id(value), ()))
            pending.extend((child, f"{prefix}{name}") for name, child in reversed(value.items()))
        elif isinstance(value, list):
            pending.extend((child, f"{path}[{index}]") for index, child in reversed(list(enumerate(value))))
    return paths
