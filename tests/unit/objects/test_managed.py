"""The list of managers that goes with every write."""

from knarr.objects import managed


def test_a_managed_list_that_is_the_live_one_is_left_out_and_any_other_stays() -> None:
    live = {"metadata": {"name": "a", "managedFields": [{"manager": "m"}]}}
    unchanged = {"metadata": {"managedFields": [{"manager": "m"}], "name": "a"}, "data": {}}
    reset = {"metadata": {"name": "a", "managedFields": []}}
    assert managed.without_unchanged(unchanged, live) == {"metadata": {"name": "a"}, "data": {}}
    assert managed.without_unchanged(reset, live) is reset
    assert unchanged["metadata"]["managedFields"], "what is given is never changed"
