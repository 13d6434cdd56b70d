"""YAML as kubectl and the API server read it (go-yaml v2 behind sigs.k8s.io/yaml): the JSON value it stands for.

`yes` and `on` are booleans, `012` and `0o14` are octal, dates stay strings, `<<` merges, sexagesimal numbers do not
exist, a key set twice is reported. Aliases count as what they expand to: a bomb is refused before it is built.
"""

import re
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from knarr.base.errors import BadRequest, TooLarge
from knarr.wire import strict_json

DEPTH_MAX: Final = 100
EVENTS_MAX: Final = 2 * strict_json.VALUES_MAX
"""A bound on the work; what the value may be in the end, strict_json judges. A mapping's value comes with its key."""
NODES_MAX: Final = 100_000
"""Nodes that aliases may add in one document; upstream's limit is a ratio of the same order."""
_WORDS: Final[dict[str, Any]] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}
_NOT_JSON: Final = {
    *(sign + word for word in (".inf", ".Inf", ".INF") for sign in ("", "+", "-")),
    *(".nan", ".NaN", ".NAN"),
}
_INT: Final = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)", re.ASCII)
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)


def decode(content: bytes) -> Any:
    """The value of the one document. Raises BadRequest on anything that kubectl would refuse, duplicates included."""
    value, duplicates = decode_reporting(content)
    if duplicates:
        raise BadRequest("error converting YAML to JSON: yaml: unmarshal errors:\n  " + "\n  ".join(duplicates))
    return value


def decode_reporting(content: bytes) -> tuple[Any, tuple[str, ...]]:
    """(the value of the first document, a sentence for each key that is set twice; its last value counts)."""
    documents = _documents(content, only_first=True)
    return documents[0] if documents else (None, ())


def decode_all(content: bytes) -> list[Any]:
    """The values of all documents that are not empty; duplicates raise."""
    values = []
    for value, duplicates in _documents(content, only_first=False):
        if duplicates:
            raise BadRequest("error converting YAML to JSON: yaml: unmarshal errors:\n  " + "\n  ".join(duplicates))
        if value is not None:
            values.append(value)
    return values


@dataclass(slots=True)
class _Frame:
    """A collection under construction; `merges` are the values of `<<`, applied under the explicit keys at its end."""

    value: Any
    anchor: str | None
    line: int
    key: Any = None
    has_key: bool = False
    merges: list[Any] = field(default_factory=list)
    nodes: int = 1


_MERGE: Final = object()


class _Document:
    """Builds one value from parse events."""

    def __init__(self) -> None:
        self.anchors: dict[str, tuple[Any, int]] = {}
        self.frames: list[_Frame] = []
        self.result: Any = None
        self.duplicates: list[str] = []
        self.aliased = 0
        self.events = 0

    def take(self, event: Any) -> None:
        line = event.start_mark.line + 1
        self.events += 1
        if self.events > EVENTS_MAX:
            raise TooLarge(f"Request entity too large: it has more than {strict_json.VALUES_MAX} values")
        if isinstance(event, yaml.ScalarEvent):
            self._add(_scalar(event, self._wants_key()), event.anchor, line, 1)
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in self.anchors:
                raise _bad(line, f"unknown anchor '{event.anchor}' referenced")
            value, nodes = self.anchors[event.anchor]
            self.aliased += nodes
            if self.aliased > NODES_MAX:
                raise _bad(line, "document contains excessive aliasing")
            self._add(value, None, line, nodes)
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            if self._wants_key():
                raise _bad(line, "a mapping key must be a scalar")
            if len(self.frames) >= DEPTH_MAX:
                raise _bad(line, f"nested deeper than {DEPTH_MAX} levels")
            value = {} if isinstance(event, yaml.MappingStartEvent) else []
            self.frames.append(_Frame(value, event.anchor, line))
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            frame = self.frames.pop()
            for merged in frame.merges:
                for name, value in merged.items():
                    frame.value.setdefault(name, value)
            self._add(frame.value, frame.anchor, frame.line, frame.nodes)

    def _wants_key(self) -> bool:
        return bool(self.frames) and isinstance(self.frames[-1].value, dict) and not self.frames[-1].has_key

    def _add(self, value: Any, anchor: str | None, line: int, nodes: int) -> None:
        if anchor is not None and value is not _MERGE:
            self.anchors[anchor] = (value, nodes)
        if not self.frames:
            self.result = value
            return
        frame = self.frames[-1]
        frame.nodes += nodes
        if isinstance(frame.value, list):
            frame.value.append(value)
        elif not frame.has_key:
            frame.key, frame.has_key = value, True
            if value is not _MERGE and _key(value, line) in frame.value:
                self.duplicates.append(f'line {line}: key "{_key(value, line)}" already set in map')
        else:
            frame.has_key = False
            if frame.key is _MERGE:
                frame.merges.extend(_merged(value, line))
            else:
                frame.value[_key(frame.key, line)] = value


def _documents(content: bytes, *, only_first: bool) -> list[tuple[Any, tuple[str, ...]]]:
    documents: list[tuple[Any, tuple[str, ...]]] = []
    document = _Document()
    try:
        for event in yaml.parse(content, Loader=yaml.CSafeLoader):
            if isinstance(event, yaml.DocumentStartEvent):
                document = _Document()
            elif isinstance(event, yaml.DocumentEndEvent):
                strict_json.check_shape(document.result)
                documents.append((document.result, tuple(document.duplicates)))
                if only_first:
                    break
            else:
                document.take(event)
    except yaml.YAMLError as error:
        raise BadRequest(f"error converting YAML to JSON: yaml: {_one_line(error)}") from error
    except (UnicodeDecodeError, ValueError) as error:
        raise BadRequest(f"error converting YAML to JSON: yaml: {error}") from error
    return documents


def _scalar(event: Any, is_key: bool) -> Any:
    text = event.value
    line = event.start_mark.line + 1
    if max(text, default="") >= "\ud800" and any("\ud800" <= character <= "\udfff" for character in text):
        raise _bad(line, "invalid Unicode character")
    is_plain = event.style not in ("'", '"', "|", ">")
    match event.tag:
        case None if is_plain:
            return _MERGE if text == "<<" and is_key else _resolve(text, line)
        case None | "!" | "tag:yaml.org,2002:str":
            return text
        case "tag:yaml.org,2002:binary":
            raise _bad(line, "!!binary is not supported")
        case "tag:yaml.org,2002:null" | "tag:yaml.org,2002:bool" | "tag:yaml.org,2002:int" | "tag:yaml.org,2002:float":
            return _resolve(text, line)
        case _:
            return _resolve(text, line) if is_plain else text


def _resolve(text: str, line: int) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if text in _NOT_JSON:
        raise _bad(line, f"{text} has no JSON value")
    first = text[:1]
    if not (first.isdigit() or first in "+-."):
        return text
    plain = text.replace("_", "")
    if _INT.fullmatch(plain) and len(plain) < 80:
        number = _integer(plain)
        if -(2**63) <= number < 2**64:
            return number
    if _FLOAT.fullmatch(plain) and len(plain) < 400:
        number_float = float(plain)
        if number_float in (float("inf"), float("-inf")):
            return text
        return int(number_float) if number_float.is_integer() and abs(number_float) < 2**53 else number_float
    return text


def _integer(text: str) -> int:
    """Go's ParseInt with base 0: a leading 0 alone means octal."""
    sign = -1 if text.startswith("-") else 1
    digits = text.lstrip("+-")
    if len(digits) > 1 and digits[0] == "0" and digits[1].isdigit():
        return sign * int(digits, 8)
    return sign * int(digits, 0)


def _key(value: Any, line: int) -> str:
    """The JSON name of a key: numbers and booleans as their text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    raise _bad(line, "a mapping key must be a string, number or boolean")


def _merged(value: Any, line: int) -> list[dict[str, Any]]:
    found = value if isinstance(value, list) else [value]
    if not all(isinstance(mapping, dict) for mapping in found):
        raise _bad(line, "map merge requires map or sequence of maps as the value")
    return found


def _bad(line: int, message: str) -> BadRequest:
    return BadRequest(f"error converting YAML to JSON: yaml: line {line}: {message}")


def _one_line(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    return f"line {mark.line + 1}: {problem}" if mark is not None else " ".join(problem.split())
