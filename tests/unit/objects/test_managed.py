"""The list of managers that goes with every write."""

from typing import Any

from knarr.objects import managed


def test_a_managed_list_that_is_the_live_one_is_left_out_and_any_other_stays() -> None:
    live = {"metadata": {"name": "a", "managedFields": [{"manager": "m"}]}}
    unchanged = {"metadata": {"managedFields": [{"manager": "m"}], "name": "a"}, "data": {}}
    reset = {"metadata": {"name": "a", "managedFields": []}}
    assert managed.without_unchanged(unchanged, live) == {"metadata": {"name": "a"}, "data": {}}
    assert managed.without_unchanged(reset, live) is reset
    assert unchanged["metadata"]["managedFields"], "what is given is never changed"


def updates(many: int, held: Any) -> list[managed.Entry]:
    return [
        managed.Entry(managed.Writer(f"m{index}", f"v{index % 2}"), "Update", f"{index:06}", held(index))
        for index in range(many)
    ]


def test_the_oldest_updates_become_one_entry_of_each_version() -> None:
    applied = managed.Entry(managed.Writer("a", "v1"), "Apply", "", {"f:a": {}})
    kept = managed.encoded([applied, *updates(13, lambda index: {f"f:{index}": {}})])
    assert [(each["manager"], each.get("time", "")) for each in kept] == [
        ("a", ""), ("ancient-changes", "000002"), ("ancient-changes", "000003"),
        *((f"m{index}", f"{index:06}") for index in range(4, 13)),
    ]  # fmt: skip
    assert [each["fieldsV1"] for each in kept[1:3]] == [{"f:0": {}, "f:2": {}}, {"f:1": {}, "f:3": {}}]


def test_many_updates_are_merged_in_one_pass() -> None:
    kept = managed.encoded(updates(20_000, lambda index: {"f:metadata": {f"f:{index}": {}}}))
    merged = [each for each in kept if each["manager"] == managed.ANCIENT]
    assert sum(len(each["fieldsV1"]["f:metadata"]) for each in merged) == 20_000 - managed.UPDATE_MANAGERS_MAX + 1
