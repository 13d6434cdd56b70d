"""Strategic merge patch: directives, merge keys, order."""

from typing import Any

import pytest

from knarr.base.errors import BadRequest
from knarr.kinds import schemas
from knarr.kinds.apps import DEPLOYMENT
from knarr.kinds.core_pod import POD
from knarr.objects import merge_patch, patches

Json = dict[str, Any]


def patched(spec: Json, patch: Json) -> Json:
    made = patches.strategic_merge_patch(schemas.of(POD), {"spec": spec}, {"spec": patch})
    return made["spec"]  # type: ignore[no-any-return]  # JSON


def containers(*names: str) -> list[Json]:
    return [{"name": name, "image": f"{name}:1"} for name in names]


def test_a_list_with_a_merge_key_merges_by_it_and_puts_new_entries_first() -> None:
    found = patched({"containers": containers("x")}, {"containers": [{"name": "side", "image": "y"}]})
    assert [each["name"] for each in found["containers"]] == ["side", "x"]


def test_an_entry_is_changed_in_its_place() -> None:
    found = patched({"containers": containers("a", "b")}, {"containers": [{"name": "b", "image": "b:2"}]})
    assert found["containers"] == [{"name": "a", "image": "a:1"}, {"name": "b", "image": "b:2"}]


def test_set_element_order_decides_and_the_servers_own_keep_their_place() -> None:
    found = patched(
        {"containers": containers("a", "injected", "b")},
        {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": [{"name": "a", "image": "n"}]},
    )
    assert [each["name"] for each in found["containers"]] == ["injected", "b", "a"]


def test_delete_removes_an_entry_and_replace_the_whole_list() -> None:
    gone = patched({"containers": containers("a", "b")}, {"containers": [{"$patch": "delete", "name": "a"}]})
    assert gone["containers"] == containers("b")
    replaced = patched(
        {"containers": containers("a", "b")}, {"containers": [{"$patch": "replace"}, {"name": "c", "image": "c:1"}]}
    )
    assert replaced["containers"] == containers("c")


def test_replace_in_an_object_forgets_what_was_there() -> None:
    found = patched({"securityContext": {"runAsUser": 1}}, {"securityContext": {"$patch": "replace", "fsGroup": 2}})
    assert found == {"securityContext": {"fsGroup": 2}}


def test_retain_keys_clears_the_other_members_of_a_union() -> None:
    schema = schemas.of(DEPLOYMENT)
    old = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert patches.strategic_merge_patch(schema, old, patch)["spec"]["strategy"] == {"type": "Recreate"}
    wrong = {"spec": {"strategy": {"$retainKeys": ["type"], "rollingUpdate": {}}}}
    with pytest.raises(BadRequest, match="not in retainKeys"):
        patches.strategic_merge_patch(schema, old, wrong)


def test_a_set_of_primitives_grows_and_shrinks() -> None:
    schema = schemas.of(POD)
    old = {"metadata": {"finalizers": ["a/1", "b/2"]}}
    grown = patches.strategic_merge_patch(schema, old, {"metadata": {"finalizers": ["c/3"]}})
    assert sorted(grown["metadata"]["finalizers"]) == ["a/1", "b/2", "c/3"]
    shrunk = patches.strategic_merge_patch(schema, old, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/1"]}})
    assert shrunk["metadata"]["finalizers"] == ["b/2"]


def test_atomic_lists_are_replaced_and_null_removes() -> None:
    found = patched({"containers": [{"name": "a", "args": ["1", "2"], "image": "i"}]},
                    {"containers": [{"name": "a", "args": ["3"], "image": None}]})  # fmt: skip
    assert found["containers"] == [{"name": "a", "args": ["3"]}]


def test_an_entry_without_its_merge_key_is_refused() -> None:
    with pytest.raises(BadRequest, match="does not contain declared merge key: name"):
        patched({"containers": containers("a")}, {"containers": [{"image": "x"}]})


def test_a_merge_patch_replaces_lists_and_removes_by_null() -> None:
    old = {"a": {"b": 1, "c": [1, 2]}, "d": 1}
    assert merge_patch.merged(old, {"a": {"c": [3], "b": None}, "e": {"f": None}}) == {"a": {"c": [3]}, "d": 1, "e": {}}
    assert old == {"a": {"b": 1, "c": [1, 2]}, "d": 1}
