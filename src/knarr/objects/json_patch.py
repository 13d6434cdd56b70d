"""JSON patch (RFC 6902) with the error texts of the Go library that upstream uses. Pure: paths are copied, not objects.

Limits: OPERATIONS_MAX operations, COPIED_BYTES_MAX bytes made by `copy` (a small patch must not make a large object).
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from knarr.base.errors import BadRequest, Cause, Invalid, TooLarge

OPERATIONS_MAX: Final = 10_000
COPIED_BYTES_MAX: Final = 3 * 1024 * 1024
_ABSENT: Final = object()


class _Copied:
    """Bytes that `copy` operations have made so far."""

    def __init__(self) -> None:
        self.size = 0

    def add(self, value: Any) -> None:
        self.size += len(msgspec.json.encode(value))
        if self.size > COPIED_BYTES_MAX:
            raise _failed(
                f"Unable to complete the copy, the accumulated size increase of copy is {self.size},"
                f" exceeding the limit {COPIED_BYTES_MAX}"
            )


def patched(target: Any, operations: Any) -> Any:
    """The target after all operations. Raises BadRequest (no patch), TooLarge, or Invalid (it does not apply)."""
    if not isinstance(operations, list):
        raise BadRequest("error decoding patch: a JSON patch is a list of operations")
    if len(operations) > OPERATIONS_MAX:
        raise TooLarge(f"The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {len(operations)}")
    copied = _Copied()
    for operation in operations:
        if not isinstance(operation, dict):
            raise BadRequest("error decoding patch: an operation of a JSON patch is an object")
        target = _applied(target, operation, copied)
    return target


def _applied(target: Any, operation: dict[str, Any], copied: _Copied) -> Any:
    path = operation.get("path")
    if not isinstance(path, str):
        raise _failed("operation's path is missing")
    where = pointer(path)
    match operation.get("op"):
        case "add":
            return _add(target, where, _value(operation), path)
        case "replace":
            return _replace(target, where, _value(operation), path)
        case "remove":
            return _remove(target, where, path)
        case "test":
            return _tested(target, where, operation, path)
        case "move":
            source = _from(operation)
            if where[: len(source)] == source and where != source:
                raise _failed(f"Unable to move {operation['from']} into itself")
            value = _get(target, source)
            if value is _ABSENT:
                raise _missing("move", operation["from"])
            return _add(_remove(target, source, operation["from"]), where, value, path)
        case "copy":
            value = _get(target, _from(operation))
            if value is _ABSENT:
                raise _missing("copy", operation["from"])
            copied.add(value)
            return _add(target, where, value, path)
        case other:
            raise BadRequest(f"error decoding patch: Unexpected kind: {other}")


def pointer(text: str) -> list[str]:
    """The reference tokens of a JSON pointer (RFC 6901)."""
    if not text:
        return []
    if not text.startswith("/"):
        raise _failed(f"JSON pointer {text} does not begin with /")
    return [token.replace("~1", "/").replace("~0", "~") for token in text[1:].split("/")]


def _value(operation: dict[str, Any]) -> Any:
    if "value" not in operation:
        raise _failed(f"{operation['op']} operation has no value")
    return operation["value"]


def _from(operation: dict[str, Any]) -> list[str]:
    source = operation.get("from")
    if not isinstance(source, str):
        raise _failed(f"{operation['op']} operation has no from")
    return pointer(source)


def _failed(why: str) -> Invalid:
    # kubectl shows causes only, once the status says which object it is about.
    cause = Cause("patch", "FieldValueInvalid", why)
    return Invalid(f"the server rejected our request due to an error in our request: {why}", (cause,))


def _missing(verb: str, path: str) -> Invalid:
    if verb == "remove":
        return _failed(f"Unable to remove nonexistent key: {path.rpartition('/')[2]}: missing value")
    if verb == "replace":
        return _failed(f"replace operation does not apply: doc is missing key: {path}: missing value")
    return _failed(f"{verb} operation does not apply: doc is missing path: {path}: missing value")


def _index(token: str, length: int, path: str) -> int:
    """A list index; negative ones count from the end, as the Go library allows."""
    digits = token.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or (len(digits) > 1 and digits[0] == "0") or len(digits) > 9:
        raise _failed(f"Unable to access invalid index: {token}: invalid index referenced: {path}")
    index = int(token)
    return index + length if index < 0 else index


def _get(target: Any, where: Sequence[str]) -> Any:
    for token in where:
        if isinstance(target, dict):
            target = target.get(token, _ABSENT)
        elif isinstance(target, list):
            index = _index(token, len(target), token)
            if not 0 <= index < len(target):
                return _ABSENT
            target = target[index]
        else:
            return _ABSENT
        if target is _ABSENT:
            return _ABSENT
    return target


def _add(target: Any, where: Sequence[str], value: Any, path: str) -> Any:
    if not where:
        return value
    token, rest = where[0], where[1:]
    if rest:
        return _below(target, (token, rest, path), lambda child: _add(child, rest, value, path), "add")
    if isinstance(target, dict):
        return {**target, token: value}
    if isinstance(target, list):
        index = len(target) if token == "-" else _index(token, len(target) + 1, path)  # noqa: S105  # a pointer token
        if not 0 <= index <= len(target):
            raise _failed(f"Unable to access invalid index: {token}: invalid index referenced")
        return [*target[:index], value, *target[index:]]
    raise _missing("add", path)


def _replace(target: Any, where: Sequence[str], value: Any, path: str) -> Any:
    if not where:
        return value
    token, rest = where[0], where[1:]
    if rest:
        return _below(target, (token, rest, path), lambda child: _replace(child, rest, value, path), "replace")
    if isinstance(target, dict):
        if token not in target:
            raise _missing("replace", path)
        return {**target, token: value}
    if isinstance(target, list):
        index = _index(token, len(target), path)
        if not 0 <= index < len(target):
            raise _missing("replace", path)
        return [*target[:index], value, *target[index + 1 :]]
    raise _missing("replace", path)


def _remove(target: Any, where: Sequence[str], path: str) -> Any:
    if not where:
        return None
    token, rest = where[0], where[1:]
    if rest:
        return _below(target, (token, rest, path), lambda child: _remove(child, rest, path), "remove")
    if isinstance(target, dict):
        if token not in target:
            raise _missing("remove", path)
        return {key: value for key, value in target.items() if key != token}
    if isinstance(target, list):
        index = _index(token, len(target), path)
        if not 0 <= index < len(target):
            raise _failed(f"Unable to access invalid index: {token}: invalid index referenced")
        return [*target[:index], *target[index + 1 :]]
    raise _missing("remove", path)


def _below(target: Any, place: tuple[str, Sequence[str], str], change: Any, verb: str) -> Any:
    """A copy of the target whose child at the token is changed."""
    token, _, path = place
    if isinstance(target, dict) and token in target:
        return {**target, token: change(target[token])}
    if isinstance(target, list):
        index = _index(token, len(target), path)
        if 0 <= index < len(target):
            return [*target[:index], change(target[index]), *target[index + 1 :]]
    raise _failed(f"{verb} operation does not apply: doc is missing path: {path}: missing value")


def _tested(target: Any, where: Sequence[str], operation: dict[str, Any], path: str) -> Any:
    found = _get(target, where)
    wanted = operation.get("value")
    if found is _ABSENT and wanted is None:
        return target
    if found is _ABSENT or not equal(found, wanted):
        raise _failed(f"testing value {path} failed: test failed")
    return target


def equal(left: Any, right: Any) -> bool:
    """JSON equality: 1 is 1.0 but true is not 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(equal(value, right[key]) for key, value in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(equal, left, right))
    return (type(left) is type(right) and bool(left == right)) or (
        isinstance(left, int | float) and isinstance(right, int | float) and left == right
    )
