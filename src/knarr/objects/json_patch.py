"""JSON patch (RFC 6902) with the error texts of the Go library that upstream uses. Pure: the target is never changed.

What a patch changes is copied once and then changed in place, so that 10,000 operations on a large map do not copy it
10,000 times. Limits: OPERATIONS_MAX operations, COPIED_BYTES_MAX bytes made by `copy` (a small patch must not make a
large object), and the depth and number of values of a body.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from knarr.base.errors import BadRequest, Cause, Invalid, TooLarge
from knarr.wire import strict_json

OPERATIONS_MAX: Final = 10_000
COPIED_BYTES_MAX: Final = 3 * 1024 * 1024
_ABSENT: Final = object()


def patched(target: Any, operations: Any) -> Any:
    """The target after all operations. Raises BadRequest (no patch), TooLarge, or Invalid (it does not apply)."""
    if not isinstance(operations, list):
        raise BadRequest("error decoding patch: a JSON patch is a list of operations")
    if len(operations) > OPERATIONS_MAX:
        raise TooLarge(f"The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {len(operations)}")
    document = _Document(target)
    for operation in operations:
        if not isinstance(operation, dict):
            raise BadRequest("error decoding patch: an operation of a JSON patch is an object")
        _apply(document, operation)
    if document.has_grown:
        strict_json.check_shape(document.root)
    return document.root


class _Document:
    """The value as far as it is patched; `root` shares with the target what no operation has changed."""

    def __init__(self, target: Any) -> None:
        self.root = target
        self.has_grown = False
        self._own: dict[int, Any] = {}
        self._copied_bytes = 0

    def copy(self, value: Any) -> Any:
        """A value like this one that shares nothing with it."""
        strict_json.check_shape(value)
        content = msgspec.json.encode(value)
        self._copied_bytes += len(content)
        if self._copied_bytes > COPIED_BYTES_MAX:
            raise _failed(
                f"Unable to complete the copy, the accumulated size increase of copy is {self._copied_bytes},"
                f" exceeding the limit {COPIED_BYTES_MAX}"
            )
        return msgspec.json.decode(content)

    def parent(self, where: Sequence[str], verb: str, path: str) -> Any:
        """What holds the last token, ours to change. Raises Invalid when the document has no such place."""
        self.root = holder = self._owned(self.root)
        for token in where[:-1]:
            if isinstance(holder, dict) and token in holder:
                holder[token] = child = self._owned(holder[token])
            elif isinstance(holder, list) and 0 <= (index := _index(token, len(holder), path)) < len(holder):
                holder[index] = child = self._owned(holder[index])
            else:
                raise _failed(f"{verb} operation does not apply: doc is missing path: {path}: missing value")
            holder = child
        return holder

    def _owned(self, value: Any) -> Any:
        if not isinstance(value, dict | list) or id(value) in self._own:
            return value
        copied: Any = value.copy()
        self._own[id(copied)] = copied  # kept, so that its id stays its own
        return copied


def _apply(document: _Document, operation: dict[str, Any]) -> None:
    path = operation.get("path")
    if not isinstance(path, str):
        raise _failed("operation's path is missing")
    where = pointer(path)
    match operation.get("op"):
        case "add":
            _add(document, where, _value(operation), path)
        case "replace":
            _replace(document, where, _value(operation), path)
        case "remove":
            _remove(document, where, path)
        case "test":
            _test(document.root, where, operation, path)
        case "move":
            source = _from(operation)
            if where[: len(source)] == source and where != source:
                raise _failed(f"Unable to move {operation['from']} into itself")
            value = _get(document.root, source)
            if value is _ABSENT:
                raise _missing("move", operation["from"])
            _remove(document, source, operation["from"])
            _add(document, where, value, path)
        case "copy":
            value = _get(document.root, _from(operation))
            if value is _ABSENT:
                raise _missing("copy", operation["from"])
            _add(document, where, document.copy(value), path)
        case other:
            raise _failed(f"Unexpected kind: {other if isinstance(other, str) else 'unknown'}")


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


def _add(document: _Document, where: Sequence[str], value: Any, path: str) -> None:
    document.has_grown |= isinstance(value, dict | list)
    if not where:
        document.root = value
        return
    token, holder = where[-1], document.parent(where, "add", path)
    if isinstance(holder, dict):
        holder[token] = value
    elif isinstance(holder, list):
        index = len(holder) if token == "-" else _index(token, len(holder) + 1, path)  # noqa: S105  # a pointer token
        if not 0 <= index <= len(holder):
            raise _failed(f"Unable to access invalid index: {token}: invalid index referenced")
        holder.insert(index, value)
    else:
        raise _missing("add", path)


def _replace(document: _Document, where: Sequence[str], value: Any, path: str) -> None:
    document.has_grown |= isinstance(value, dict | list)
    if not where:
        document.root = value
        return
    token, holder = where[-1], document.parent(where, "replace", path)
    if isinstance(holder, dict) and token in holder:
        holder[token] = value
    elif isinstance(holder, list) and 0 <= (index := _index(token, len(holder), path)) < len(holder):
        holder[index] = value
    else:
        raise _missing("replace", path)


def _remove(document: _Document, where: Sequence[str], path: str) -> None:
    if not where:
        document.root = None
        return
    token, holder = where[-1], document.parent(where, "remove", path)
    if isinstance(holder, dict) and token in holder:
        del holder[token]
    elif isinstance(holder, list):
        index = _index(token, len(holder), path)
        if not 0 <= index < len(holder):
            raise _failed(f"Unable to access invalid index: {token}: invalid index referenced")
        del holder[index]
    else:
        raise _missing("remove", path)


def _test(target: Any, where: Sequence[str], operation: dict[str, Any], path: str) -> None:
    found = _get(target, where)
    wanted = operation.get("value")
    if found is _ABSENT and wanted is None:
        return
    if found is _ABSENT or not equal(found, wanted):
        raise _failed(f"testing value {path} failed: test failed")


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
