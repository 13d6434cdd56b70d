"""wire/strict_yaml.py: go-yaml's reading, as kubectl 1.33 was seen to read the same text."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knarr.base.errors import BadRequest, TooLarge
from knarr.wire import strict_json, strict_yaml

KUBECTL: list[tuple[str, Any]] = [
    ("y", True), ("n", False), ("yes", True), ("On", True), ("off", False), ("~", None), ('""', ""), ("'1'", "1"),
    ("012", 10), ("0o14", 12), ("08", 8), ("0x1F", 31), ("0b11", 3), ("1_000", 1000), ("1e3", 1000), (".5", 0.5),
    ("2001-01-01", "2001-01-01"), ("1:30", "1:30"), ("190:20:30", "190:20:30"), ("5.", 5), ("+7", 7), ("-0x10", -16),
    ("0o8", "0o8"), ("-012", -10), ("00", 0), ("018", 18), ("!!str 12", "12"), ('!!int "5"', 5), ("!!float 3", 3),
    ("0X1f", 31), ("0B1", 1), ("0O7", 7), ("-0o7", -7), ("_1", "_1"), ("1__0", 10), ("1e400", "1e400"), ("=", "="),
    ("123456789012345678901234567890", 1.2345678901234568e29), ("0x_1", 1), ("<<", "<<"), ("12e03", 12000),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), KUBECTL)
def test_a_scalar_is_read_as_kubectl_reads_it(text: str, value: Any) -> None:
    found = strict_yaml.decode(f"v: [{text}]".encode())["v"][0]
    assert found == value
    assert isinstance(found, bool) == isinstance(value, bool)


def test_keys_become_names_and_merges_yield_to_explicit_keys() -> None:
    text = b"base: &b {p: 1, q: 2}\nm: {<<: *b, q: 3}\n1: a\n1.5: b\ntrue: c\n"
    assert strict_yaml.decode(text) == {
        "base": {"p": 1, "q": 2}, "m": {"p": 1, "q": 3}, "1": "a", "1.5": "b", "true": "c",
    }  # fmt: skip


def test_a_key_set_twice_is_an_error_with_its_line() -> None:
    assert strict_yaml.decode_reporting(b"a: 1\nb: 2\na: 3\n") == (
        {"a": 3, "b": 2},
        ('line 3: key "a" already set in map',),
    )
    with pytest.raises(BadRequest, match='line 3: key "a" already set in map'):
        strict_yaml.decode(b"a: 1\nb: 2\na: 3\n")


def test_documents_are_separated_and_empty_ones_dropped() -> None:
    assert strict_yaml.decode_all(b"a: 1\n---\n---\n# nothing\n---\nb: 2\n") == [{"a": 1}, {"b": 2}]
    assert strict_yaml.decode_all(b"") == []


BOMB = b"a: &a [x,x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [%b]\n" % (98 + n, 98 + n, b",".join([b"*%c" % (97 + n)] * 10)) for n in range(8)
)


@pytest.mark.parametrize(
    "text",
    [
        BOMB, b"a: &x [*x]", b"a: *unknown", b"{a: b", b"\t- a", b"? [a]\n: b", b"a: .nan", b"a: .inf", b"\xff\xfe\x00",
        b"[" * 200 + b"]" * 200, b"a: !!binary aGk=", b"m: {<<: 3}", b"a: \x01",
    ],
)  # fmt: skip
def test_what_kubectl_would_refuse_or_choke_on_is_refused(text: bytes) -> None:
    with pytest.raises(BadRequest):
        strict_yaml.decode(text)


@given(st.binary(max_size=80) | st.text("&*a:[]{}-\n !<|>'\"?,#%@", max_size=60).map(str.encode))
def test_any_bytes_are_decoded_or_refused(content: bytes) -> None:
    with contextlib.suppress(BadRequest):
        strict_yaml.decode_all(content)


def test_a_document_of_too_many_values_is_too_large() -> None:
    with pytest.raises(TooLarge, match="more than 100000 values"):
        strict_yaml.decode(b"[" + b"1," * 200_000 + b"1]")


def test_yaml_and_json_have_one_limit() -> None:
    most = b"[" + b"1," * 99_998 + b"1]"
    assert strict_yaml.decode(most) == strict_json.decode(most)
    for decode in (strict_yaml.decode, strict_json.decode):
        with pytest.raises(TooLarge, match="more than 100000 values"):
            decode(most.replace(b"]", b",1]"))
