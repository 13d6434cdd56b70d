"""JSON as a server may accept it: UTF-8, no NaN, no lone surrogates, at most DEPTH_MAX levels, duplicates reported.

`decode` is the fast way (msgspec); `decode_reporting` also names every field that occurs twice, which fast parsers
hide. Unknown fields are the schema's business. Whatever cannot be decoded raises BadRequest that says where.
"""

import json
from typing import Any, Final

import msgspec

from knarr.base.errors import BadRequest

DEPTH_MAX: Final = 100
_decoder: Final = msgspec.json.Decoder()


def decode(content: bytes) -> Any:
    """The value; of a field that occurs twice the last one counts, as in Go."""
    try:
        value = _decoder.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"couldn't parse JSON: {error}") from error
    except RecursionError as error:
        raise BadRequest(f"couldn't parse JSON: nested deeper than {DEPTH_MAX} levels") from error
    # So few brackets cannot nest too deep, and most bodies have fewer.
    if content.count(b"{") + content.count(b"[") > DEPTH_MAX:
        _check_depth(value)
    return value


def decode_reporting(content: bytes) -> tuple[Any, tuple[str, ...]]:
    """(the value, the path of each field that occurs more than once, e.g. `spec.containers[0].image`)."""
    value = decode(content)
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


def _check_depth(value: Any) -> None:
    level: list[Any] = [value]
    for _ in range(DEPTH_MAX + 1):
        following: list[Any] = []
        for container in level:
            if type(container) is dict:
                following.extend(child for child in container.values() if type(child) in (dict, list))
            elif type(container) is list:
                following.extend(child for child in container if type(child) in (dict, list))
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
