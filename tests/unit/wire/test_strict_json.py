"""wire/strict_json.py: what is refused, and which fields are reported twice."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from knarr.base.errors import BadRequest, TooLarge
from knarr.wire import strict_json

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_every_json_value_is_read_as_the_standard_parser_reads_it(value: Any) -> None:
    text = json.dumps(value).encode()
    assert strict_json.decode_reporting(text) == (json.loads(text), ())


@given(st.binary(max_size=60))
def test_any_bytes_are_decoded_or_refused(content: bytes) -> None:
    with contextlib.suppress(BadRequest):
        strict_json.decode_reporting(content)


@pytest.mark.parametrize(
    "text",
    [
        b"", b"{", b'{"a":NaN}', b'{"a":Infinity}', b'{"a":-Infinity}', b'"\\ud800"', b'{"\\udc00":1}', b"\xff",
        b"{}{}",
        b"[" * 102 + b"]" * 102, b"[" * 1_000_000, b'{"a":' * 200_000, b"'a'", b"{a:1}", b"01", b"1" * 10_000,
    ],
)  # fmt: skip
def test_what_no_server_may_accept_is_refused(text: bytes) -> None:
    with pytest.raises(BadRequest):
        strict_json.decode(text)


def test_a_hundred_levels_are_accepted() -> None:
    strict_json.decode(b"[" * 100 + b"]" * 100)


def test_fields_set_twice_are_named_by_path_and_the_last_counts() -> None:
    text = b'{"a":1,"spec":{"list":[{},{"image":"x","image":"y","image":"z"}]},"a":2}'
    value, twice = strict_json.decode_reporting(text)
    assert value == {"a": 2, "spec": {"list": [{}, {"image": "z"}]}}
    assert twice == ("a", "spec.list[1].image")


@pytest.mark.parametrize("text", [b"[" + b"{}," * 100_000 + b"{}]", b"[" + b"1," * 100_000 + b"1]"])
def test_a_body_of_too_many_values_is_too_large(text: bytes) -> None:
    with pytest.raises(TooLarge, match="more than 100000 values"):
        strict_json.decode(text)


NAMES = st.text(alphabet='a\\":{ \t', max_size=4)
PAIRS: st.SearchStrategy[Any] = st.recursive(
    NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(NAMES, inner), max_size=3).map(tuple),
    max_leaves=12,
)


def written(value: Any, colon: str, text_colon: str) -> str:
    """JSON of pairs (a tuple is an object, whose names may be the same); `text_colon` is a colon in a string."""
    if isinstance(value, tuple):
        pairs = ((json.dumps(name).replace(":", text_colon), written(each, colon, text_colon)) for name, each in value)
        return "{" + ",".join(f"{name}{colon}{each}" for name, each in pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(written(each, colon, text_colon) for each in value) + "]"
    return json.dumps(value).replace(":", text_colon)


def repeats(value: Any) -> bool:
    if isinstance(value, tuple):
        names = [name for name, _ in value]
        return len({*names}) < len(names) or any(repeats(each) for _, each in value)
    return isinstance(value, list) and any(map(repeats, value))


@given(PAIRS, st.sampled_from((":", ": ", " :", "\t:\n", "\r\n: ")), st.sampled_from((":", "\\u003a", "\\u003A")))
@example((("", ":"), ("", "")), "\r\n: ", ":")
@example((("a", ""), ("a", ":")), ":", "\\u003a")
def test_no_field_that_is_set_twice_is_missed(value: Any, colon: str, text_colon: str) -> None:
    text = written(value, colon, text_colon)
    assert bool(strict_json.decode_reporting(text.encode())[1]) == repeats(value)
