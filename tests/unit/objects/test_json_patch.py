"""JSON patch: like the reference implementation where it applies, in Go's words where it does not."""

import copy
from typing import Any

import jsonpatch
import jsonpointer
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knarr.base.errors import BadRequest, Invalid, TooLarge
from knarr.objects import json_patch

KEYS = st.sampled_from(["a", "b", "c/d", "e~f"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["x", "y"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
POINTERS = st.lists(KEYS.map(jsonpointer.escape) | st.sampled_from(["0", "1", "-"]), min_size=1, max_size=3).map(
    lambda parts: "".join(f"/{part}" for part in parts)
)
OPERATIONS = st.lists(
    st.one_of(
        st.fixed_dictionaries({"op": st.sampled_from(["add", "replace", "test"]), "path": POINTERS, "value": VALUES}),
        st.fixed_dictionaries({"op": st.just("remove"), "path": POINTERS}),
        st.fixed_dictionaries({"op": st.sampled_from(["move", "copy"]), "path": POINTERS, "from": POINTERS}),
    ),
    max_size=4,
)


@settings(max_examples=150)
@given(st.dictionaries(KEYS, VALUES, max_size=4), OPERATIONS)
def test_what_the_reference_implementation_applies_gives_the_same(
    target: dict[str, Any], operations: list[dict[str, Any]]
) -> None:
    try:
        expected = jsonpatch.apply_patch(target, operations)
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, TypeError, KeyError, IndexError):
        return
    # Go refuses to move a value into itself, and compares booleans and numbers apart.
    found, why = outcome(target, operations)
    assert json_patch.equal(found, expected) or "into itself" in why or "test failed" in why


def outcome(target: dict[str, Any], operations: list[dict[str, Any]]) -> tuple[Any, str]:
    """(the patched value, why there is none)."""
    try:
        return json_patch.patched(target, operations), ""
    except Invalid as error:
        return None, str(error)


def test_a_patch_changes_neither_its_target_nor_itself() -> None:
    target = {"a": {"b": [1]}}
    patch = [
        {"op": "add", "path": "/c", "value": {"d": []}},
        {"op": "copy", "from": "/c", "path": "/e"},
        {"op": "add", "path": "/c/d/-", "value": 1},
        {"op": "add", "path": "/e/d/-", "value": 2},
        {"op": "move", "from": "/a", "path": "/f"},
        {"op": "add", "path": "/f/b/-", "value": 3},
    ]
    before = copy.deepcopy((target, patch))
    assert json_patch.patched(target, patch) == {"c": {"d": [1]}, "e": {"d": [2]}, "f": {"b": [1, 3]}}
    assert (target, patch) == before


@pytest.mark.parametrize(
    "patch",
    [
        [{"op": "add", "path": "/a" * depth, "value": {"a": {}}} for depth in range(1, 200)],
        [{"op": "copy", "from": "", "path": "/a" * 2**power} for power in range(12)],
        [{"op": "move", "from": "/b", "path": "/a" * depth} for depth in range(1, 200)],
    ],
)
def test_operations_do_not_nest_deeper_than_a_body_may(patch: list[dict[str, Any]]) -> None:
    with pytest.raises((BadRequest, Invalid)):
        json_patch.patched({"a": {}, "b": {}}, patch)


def test_a_patch_leaves_its_target_as_it_was() -> None:
    target = {"a": {"b": [1, 2]}}
    json_patch.patched(target, [{"op": "remove", "path": "/a/b/0"}, {"op": "add", "path": "/a/c", "value": 1}])
    assert target == {"a": {"b": [1, 2]}}


@pytest.mark.parametrize(
    ("operation", "text"),
    [
        ({"op": "test", "path": "/a", "value": 2}, "testing value /a failed: test failed"),
        ({"op": "remove", "path": "/z"}, "Unable to remove nonexistent key: z: missing value"),
        ({"op": "replace", "path": "/z", "value": 1}, "replace operation does not apply: doc is missing key: /z"),
        ({"op": "add", "path": "/z/y", "value": 1}, "add operation does not apply: doc is missing path: /z/y"),
        ({"op": "add", "path": "/l/9", "value": 1}, "invalid index referenced"),
    ],
)
def test_a_refusal_says_what_does_not_apply(operation: dict[str, Any], text: str) -> None:
    with pytest.raises(Invalid, match=text.replace("/", "/")):
        json_patch.patched({"a": 1, "l": [1]}, [operation])


def test_a_test_of_an_absent_field_against_null_holds() -> None:
    assert json_patch.patched({"a": 1}, [{"op": "test", "path": "/z", "value": None}]) == {"a": 1}


def test_numbers_are_not_booleans() -> None:
    with pytest.raises(Invalid, match="test failed"):
        json_patch.patched({"a": 1}, [{"op": "test", "path": "/a", "value": True}])


def test_too_many_operations_are_refused_before_any_is_applied() -> None:
    with pytest.raises(TooLarge, match="10000"):
        json_patch.patched({}, [{"op": "add", "path": "/a", "value": 1}] * 10_001)


def test_copying_in_a_loop_ends_at_the_limit() -> None:
    doubling = [{"op": "copy", "from": "/a", "path": "/a/-"}] * 40
    with pytest.raises(Invalid, match="accumulated size increase"):
        json_patch.patched({"a": ["x" * 1000]}, doubling)


def test_what_is_no_patch_is_a_bad_request() -> None:
    for value in ({}, [1]):
        with pytest.raises(BadRequest):
            json_patch.patched({"a": 1}, value)


def test_an_operation_that_is_none_does_not_apply() -> None:
    for operation, word in (({"op": "frobnicate", "path": "/a"}, "frobnicate"), ({"path": "/a"}, "unknown")):
        with pytest.raises(Invalid, match=f"Unexpected kind: {word}"):
            json_patch.patched({"a": 1}, [operation])
