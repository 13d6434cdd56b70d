"""Server-side apply: ownership, conflicts, removal, migration; and what other writes leave in managedFields."""

import functools
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knarr.base.errors import BadRequest
from knarr.kinds import schemas, walks
from knarr.kinds.apps import DEPLOYMENT
from knarr.kinds.core_config import CONFIGMAP
from knarr.kinds.core_storage import PERSISTENTVOLUME
from knarr.objects import apply, fields, managed
from knarr.objects.apply import Applied, Conflicts
from knarr.objects.decoding import WrongType
from knarr.objects.managed import Writer

Json = dict[str, Any]
EARLY, LATE = "2026-01-01T00:00:00Z", "2026-02-02T00:00:00Z"


def deployment(image: str = "x:1", *, replicas: int | None = 1, **container: Any) -> Json:
    spec: Json = {
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": image, **container}]},
        },
    }
    if replicas is not None:
        spec["replicas"] = replicas
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


def applied(live: Json | None, config: Json, who: str, *, force: bool = False, now: str = EARLY) -> Json:
    made = apply.merged(schemas.of(DEPLOYMENT), live, Applied(config, Writer(who, "apps/v1"), is_forced=force, now=now))
    return walks.defaulted(DEPLOYMENT, made)


def updated(old: Json, new: Json, who: str, subresource: str = "") -> Json:
    return managed.tracked(schemas.of(DEPLOYMENT), new, old, Writer(who, "apps/v1", subresource), LATE)


def owners(obj: Json, path: str) -> list[str]:
    """The managers that own a path, as messages write it."""
    entries = managed.parsed(obj["metadata"]["managedFields"])
    return sorted(entry.writer.manager for entry in entries if path in fields.paths(entry.fields))


def container(obj: Json) -> Json:
    return obj["spec"]["template"]["spec"]["containers"][0]  # type: ignore[no-any-return]  # JSON


IMAGE = '.spec.template.spec.containers[name="c"].image'


def test_a_conflict_names_the_owner_and_the_field() -> None:
    live = applied(None, deployment(), "other")
    with pytest.raises(Conflicts) as found:
        applied(live, deployment("x:2"), "third")
    assert str(found.value) == f'Apply failed with 1 conflict: conflict with "other": {IMAGE}'
    assert [(cause.field, cause.message) for cause in found.value.causes] == [(IMAGE, 'conflict with "other"')]


def test_several_conflicts_are_listed_by_owner() -> None:
    live = applied(None, deployment(), "other")
    with pytest.raises(Conflicts) as found:
        applied(live, deployment("x:2", replicas=3), "third")
    assert str(found.value) == (f'Apply failed with 2 conflicts: conflicts with "other":\n- .spec.replicas\n- {IMAGE}')


def test_equal_values_are_shared() -> None:
    live = applied(applied(None, deployment(), "a"), deployment(), "b")
    assert owners(live, IMAGE) == ["a", "b"]


def test_force_takes_a_field_over() -> None:
    live = applied(applied(None, deployment(), "a"), deployment("x:2"), "b", force=True)
    assert container(live)["image"] == "x:2"
    assert owners(live, IMAGE) == ["b"]
    assert owners(live, ".spec.replicas") == ["a", "b"]


def test_what_is_applied_no_more_goes_unless_another_owns_it() -> None:
    live = applied(applied(None, deployment(replicas=3), "a"), deployment(replicas=None), "b")
    assert applied(live, deployment(replicas=None), "a")["spec"]["replicas"] == 1  # the default again
    shared = applied(applied(None, deployment(replicas=3), "a"), deployment(replicas=3), "b")
    assert applied(shared, deployment(replicas=None), "a")["spec"]["replicas"] == 3


def test_a_removed_struct_takes_its_defaults_with_it() -> None:
    live = applied(None, deployment(readinessProbe={"httpGet": {"port": 80}}), "a")
    assert container(live)["readinessProbe"]["periodSeconds"] == 10
    assert "readinessProbe" not in container(applied(live, deployment(), "a"))


def test_an_entry_goes_with_its_only_owner_whoever_owns_a_field_of_it() -> None:
    two = deployment()
    two["spec"]["template"]["spec"]["containers"].append({"name": "side", "image": "s:1"})
    live = applied(None, two, "a")
    changed = msgspec.json.decode(msgspec.json.encode(live))
    changed["spec"]["template"]["spec"]["containers"][1]["image"] = "s:2"
    live = updated(live, changed, "editor")
    left = applied(live, deployment(), "a")["spec"]["template"]["spec"]["containers"]
    assert [(each["name"], each["image"]) for each in left] == [("c", "x:1")]


def test_applying_again_changes_nothing_not_even_the_time() -> None:
    live = applied(None, deployment(), "a")
    assert applied(live, deployment(), "a", now=LATE) == live


def test_what_an_apply_leaves_alone_is_shared_with_the_live_object_and_the_whole_is_as_if_decoded() -> None:
    live = {**applied(None, deployment(), "a"), "status": {"replicas": 1}}
    made = apply.merged(schemas.of(DEPLOYMENT), live, Applied(deployment("x:2"), Writer("a", "apps/v1"), False, LATE))
    assert made["status"] is live["status"]
    assert made == walks.decoded(DEPLOYMENT, made)


@pytest.mark.parametrize(("held", "given"), [(True, 1), (True, 1.0)])
def test_a_value_of_a_wrong_type_is_refused_though_it_equals_the_live_one(held: Any, given: Any) -> None:
    live = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "immutable": held}
    with pytest.raises(WrongType):
        apply.merged(schemas.of(CONFIGMAP), live, Applied({**live, "immutable": given}, Writer("a", "v1"), False, LATE))


def test_the_key_of_a_port_has_its_default_protocol() -> None:
    live = applied(None, deployment(ports=[{"containerPort": 80}]), "a")
    same = applied(live, deployment(ports=[{"containerPort": 80, "protocol": "TCP", "name": "http"}]), "a")
    assert container(same)["ports"] == [{"containerPort": 80, "protocol": "TCP", "name": "http"}]


def test_entries_of_others_stay_before_the_applied_ones_that_follow_them() -> None:
    live = applied(None, deployment(env=[{"name": "A", "value": "1"}]), "a")
    both = applied(live, deployment(env=[{"name": "B", "value": "2"}]), "b")
    assert [each["name"] for each in container(both)["env"]] == ["A", "B"]


def test_an_update_takes_what_it_changes_from_the_applier() -> None:
    live = applied(None, deployment(), "a")
    scaled = updated(live, {**live, "spec": {**live["spec"], "replicas": 5}}, "scaler")
    assert owners(scaled, ".spec.replicas") == ["scaler"]
    with pytest.raises(Conflicts) as found:
        applied(scaled, deployment(), "a")
    assert str(found.value) == ('Apply failed with 1 conflict: conflict with "scaler" using apps/v1: .spec.replicas')


def test_status_is_owned_through_its_subresource() -> None:
    live = applied(None, deployment(), "a")
    reported = updated(live, {**live, "status": {"replicas": 1}}, "controller", "status")
    entry = next(each for each in reported["metadata"]["managedFields"] if each["operation"] == "Update")
    assert (entry["manager"], entry["subresource"], entry["fieldsV1"]) == (
        "controller", "status", {"f:status": {"f:replicas": {}}},
    )  # fmt: skip


def test_fields_of_an_object_that_nobody_tracked_belong_to_before_first_apply() -> None:
    live = walks.defaulted(DEPLOYMENT, deployment())
    with pytest.raises(Conflicts, match="before-first-apply"):
        applied(live, deployment("x:2"), "a")


def test_kubectl_takes_over_what_it_applied_on_the_client_side() -> None:
    config = deployment()
    plain = {
        **config,
        "metadata": {"name": "web", "annotations": {apply.LAST_APPLIED: msgspec.json.encode(config).decode()}},
    }
    created = walks.defaulted(DEPLOYMENT, plain)
    live = managed.tracked(schemas.of(DEPLOYMENT), created, None, Writer("kubectl-client-side-apply", "apps/v1"), EARLY)
    with pytest.raises(Conflicts):
        applied(live, deployment("x:2"), "somebody")
    taken = applied(live, deployment("x:2"), "kubectl")
    assert container(taken)["image"] == "x:2"
    assert '"x:2"' in taken["metadata"]["annotations"][apply.LAST_APPLIED]
    client_side = next(each for each in taken["metadata"]["managedFields"] if each["operation"] == "Update")
    owned = client_side["fieldsV1"]["f:spec"]["f:template"]["f:spec"]["f:containers"]['k:{"name":"c"}']
    assert ("f:image" in owned, "f:name" in owned) == (False, True)  # it loses what changed and no more


def test_kubectl_takes_over_nothing_that_has_another_value_by_now() -> None:
    config = deployment()
    annotations = {
        apply.LAST_APPLIED: msgspec.json.encode({**config, "spec": {**config["spec"], "replicas": 3}}).decode()
    }
    scaled = {
        **config,
        "spec": {**config["spec"], "replicas": 100},
        "metadata": {"name": "web", "annotations": annotations},
    }
    live = updated(None, walks.defaulted(DEPLOYMENT, scaled), "somebody")
    wanted = deployment("x:2")
    with pytest.raises(Conflicts) as refused:
        applied(live, {**wanted, "spec": {**wanted["spec"], "replicas": 5}}, "kubectl")
    del wanted["spec"]["replicas"]
    assert [path for _, path in refused.value.found] == [".spec.replicas"]
    assert container(applied(live, wanted, "kubectl"))["image"] == "x:2"


def test_a_reset_forgets_all_owners() -> None:
    live = applied(None, deployment(), "a")
    reset = {**live, "metadata": {**live["metadata"], "managedFields": [{}]}}
    assert "managedFields" not in updated(live, reset, "b")["metadata"]


def test_a_write_of_a_part_writes_no_list_of_owners() -> None:
    live = applied(None, deployment(), "a")
    stranger = [{"manager": "x", "operation": "Update", "apiVersion": "apps/v1", "fieldsV1": {"f:spec": {}}}]
    given = {**live, "metadata": {**live["metadata"], "managedFields": stranger}, "status": {"replicas": 1}}
    written = updated(live, given, "controller", "status")
    assert [each["manager"] for each in written["metadata"]["managedFields"]] == ["a", "controller"]


def test_at_most_ten_updaters_are_remembered_by_name() -> None:
    schema = schemas.of(CONFIGMAP)
    live: Json = {"metadata": {"name": "c"}, "data": {}}
    for number in range(14):
        new = {**live, "data": {**live["data"], f"k{number}": "1"}}
        time = f"2026-01-{number + 1:02}T00:00:00Z"
        live = managed.tracked(schema, new, live if number else None, Writer(f"m{number}", "v1"), time)
    names = [entry["manager"] for entry in live["metadata"]["managedFields"]]
    assert len(names) == 10
    assert "ancient-changes" in names
    assert "m13" in names


@pytest.mark.parametrize(
    ("container_fields", "why"),
    [
        ({"env": [{"name": "A"}, {"name": "A"}]}, 'duplicate entries for key [name="A"]'),
        ({"env": [{"value": "1"}]}, 'omits key field "name"'),
        ({"imago": "x"}, "field not declared in schema"),
    ],
)
def test_a_configuration_that_cannot_be_typed_is_refused(container_fields: Json, why: str) -> None:
    with pytest.raises(BadRequest) as found:
        applied(None, deployment(**container_fields), "a")
    assert why in str(found.value)


DATA = st.dictionaries(st.sampled_from("abcd"), st.sampled_from(["1", "2"]), max_size=4)


def config_map(held: dict[str, str]) -> Json:
    made: Json = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    return {**made, "data": held} if held else made


@settings(max_examples=100)
@given(st.lists(st.tuples(st.sampled_from(["x", "y", "z"]), DATA), min_size=1, max_size=6))
def test_every_owner_sees_its_last_configuration_and_nothing_unowned_remains(steps: list[tuple[str, Any]]) -> None:
    schema = schemas.of(CONFIGMAP)
    live: Json | None = None
    last: dict[str, dict[str, str]] = {}
    for who, held in steps:
        asked = Applied(config_map(held), Writer(who, "v1"), is_forced=True, now=EARLY)
        live = apply.merged(schema, live, asked)
        assert apply.merged(schema, live, asked) == live, "applying again changes nothing"
        # A forced apply takes the fields that others wanted otherwise.
        last = {name: {k: v for k, v in d.items() if held.get(k, v) == v} for name, d in last.items()}
        last[who] = held
        expected = {key: value for each in last.values() for key, value in each.items()}
        assert (live.get("data") or {}) == expected


PATHS = st.recursive(st.just({}), lambda inner: st.dictionaries(
    st.sampled_from(["f:a", "f:b", 'k:{"n":"x"}', "."]), inner, min_size=1, max_size=3), max_leaves=6)  # fmt: skip


def members(held: Json) -> set[str]:
    return set(fields.paths(held))


def rooted(node: Json) -> Json:
    return {"f:r": _clean(node)}


def _clean(node: Json) -> Json:
    made = {key: {} if key == "." else _clean(each) for key, each in node.items()}
    return {} if made.keys() == {"."} else made


@given(PATHS, PATHS)
def test_sets_of_fields_behave_as_sets(left: Json, right: Json) -> None:
    a, b = rooted(left), rooted(right)
    assert members(fields.union(a, b)) == members(a) | members(b)
    assert fields.union_all([a, b]) == fields.union(a, b)
    assert members(fields.difference(a, b)) == members(a) - members(b)
    assert members(fields.intersection(a, b)) == members(a) & members(b)


@given(st.lists(PATHS, max_size=4))
def test_many_sets_of_fields_are_united_as_one_after_the_other(held: list[Json]) -> None:
    sets = [rooted(each) for each in held]
    assert fields.union_all(sets) == functools.reduce(fields.union, sets, {})


def managed_by(obj: Json, who: str) -> Json:
    return next(entry for entry in obj["metadata"]["managedFields"] if entry["manager"] == who)


def test_an_entry_has_no_time_until_its_manager_changes_something() -> None:
    live = applied(None, deployment(), "a")
    both = applied(live, deployment(), "b", now=LATE)
    assert "time" not in managed_by(both, "b")
    assert managed_by(applied(both, deployment("x:2"), "b", force=True, now=LATE), "b")["time"] == LATE


def test_who_only_gives_up_what_others_own_too_keeps_his_time() -> None:
    live = applied(applied(None, deployment(replicas=3), "a"), deployment(replicas=3), "b")
    left = applied(live, deployment(replicas=None), "a", now=LATE)
    assert managed_by(left, "a")["time"] == EARLY


def test_an_update_that_only_takes_away_leaves_no_trace_of_its_writer() -> None:
    live = applied(None, deployment(env=[{"name": "A", "value": "1"}]), "a")
    without = msgspec.json.decode(msgspec.json.encode(live))
    del container(without)["env"]
    left = updated(live, without, "editor")
    assert [entry["manager"] for entry in left["metadata"]["managedFields"]] == ["a"]
    assert owners(left, '.spec.template.spec.containers[name="c"].env[name="A"]') == []


def test_an_empty_list_is_owned_by_nobody() -> None:
    made = applied(None, deployment(env=[], readinessProbe={"httpGet": {"port": 80, "httpHeaders": []}}), "a")
    assert owners(made, '.spec.template.spec.containers[name="c"].env') == []
    assert owners(made, '.spec.template.spec.containers[name="c"].readinessProbe.httpGet.port') == ["a"]


def test_an_owner_reference_is_owned_as_a_whole() -> None:
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": "u"}
    made = applied(None, {**deployment(), "metadata": {"name": "web", "ownerReferences": [owner]}}, "a")
    assert managed_by(made, "a")["fieldsV1"]["f:metadata"] == {"f:ownerReferences": {'k:{"uid":"u"}': {}}}


def test_a_null_takes_away_a_value_but_not_the_entries_of_others() -> None:
    live = applied(None, deployment(env=[{"name": "A", "value": "1"}], workingDir="/a"), "a")
    both = applied(live, deployment(env=None, workingDir=None), "b", force=True)
    assert container(both)["env"] == [{"name": "A", "value": "1"}]
    assert "workingDir" not in container(both)


def test_entries_of_both_come_in_the_applied_order() -> None:
    live = applied(None, {**deployment(), "metadata": {"name": "web", "finalizers": ["a/x", "c/x", "b/x"]}}, "a")
    wanted = {**deployment(), "metadata": {"name": "web", "finalizers": ["b/x", "a/x"]}}
    assert applied(live, wanted, "b")["metadata"]["finalizers"] == ["c/x", "b/x", "a/x"]


def test_places_are_named_before_what_is_below_them() -> None:
    held = {"f:z": {}, "f:a": {".": {}, "f:b": {}}, "f:m": {"f:n": {}}}
    assert list(fields.paths(held)) == [".a", ".z", ".a.b", ".m.n"]


def test_entries_of_one_name_are_one_value_and_leave_the_others_alone() -> None:
    twice = [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}, {"name": "B", "value": "3"}]
    created = walks.defaulted(DEPLOYMENT, deployment(env=twice))
    live = managed.tracked(schemas.of(DEPLOYMENT), created, None, Writer("editor", "apps/v1"), EARLY)
    path = '.spec.template.spec.containers[name="c"].env'
    assert owners(live, f'{path}[name="A"]') == ["editor"]
    assert owners(live, f'{path}[name="A"].value') == []
    assert owners(live, f'{path}[name="B"].value') == ["editor"]
    more = applied(live, deployment(env=[{"name": "C", "value": "4"}]), "a")
    assert container(more)["env"] == [*twice, {"name": "C", "value": "4"}]
    alone = applied(live, deployment(env=[{"name": "A", "value": "5"}]), "a", force=True)
    assert container(alone)["env"] == [{"name": "A", "value": "5"}, {"name": "B", "value": "3"}]


def test_a_place_may_be_merged_though_its_type_is_one_value_elsewhere() -> None:
    """A volume's claimRef is an ObjectReference, which is atomic in every other place."""
    claim = {"kind": "PersistentVolume", "spec": {"claimRef": {"namespace": "default", "name": "c"}}}
    owned = fields.of(schemas.of(PERSISTENTVOLUME), claim)
    assert owned["f:spec"] == {"f:claimRef": {"f:namespace": {}, "f:name": {}}}


def test_who_gives_up_all_of_metadata_takes_nothing_of_it_that_nobody_owns() -> None:
    live = applied(None, {**deployment(), "metadata": {"name": "web", "finalizers": ["a/x"]}}, "a")
    stored = {**live, "metadata": {**live["metadata"], "uid": "u", "labels": {"of": "nobody"}}}
    left = applied(stored, deployment(), "a")["metadata"]
    assert (left["uid"], left["labels"], "finalizers" in left) == ("u", {"of": "nobody"}, False)


def test_what_was_there_before_the_first_apply_is_held_as_far_as_the_way_of_writing_reaches() -> None:
    live = walks.defaulted(DEPLOYMENT, {**deployment(), "status": {"replicas": 1}})
    assert "f:status" not in managed_by(applied(live, deployment(), "a"), managed.BEFORE_FIRST_APPLY)["fieldsV1"]


def test_through_status_annotations_are_applied_and_a_deployments_labels_are_not() -> None:
    live = applied(None, deployment(), "a")
    config = {"apiVersion": "apps/v1", "kind": "Deployment", "status": {"replicas": 3},
              "metadata": {"name": "web", "annotations": {"a": "b"}, "labels": {"c": "d"}}}  # fmt: skip
    asked = Applied(config, Writer("s", "apps/v1", "status"), is_forced=False, now=LATE)
    made = apply.merged(schemas.of(DEPLOYMENT), live, asked)
    assert managed_by(made, "s")["fieldsV1"] == {
        "f:metadata": {"f:annotations": {"f:a": {}}}, "f:status": {"f:replicas": {}}
    }  # fmt: skip


def test_conflicts_are_told_in_the_order_of_their_owners_identifiers() -> None:
    claim = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "annotations": {"a": "1"}}}
    live = applied(applied(None, deployment(), "a"), deployment(), "b")
    through = Applied(claim, Writer("a", "apps/v1", "status"), is_forced=False, now=LATE)
    live = apply.merged(schemas.of(DEPLOYMENT), live, through)
    wanted = deployment("x:2")
    wanted["metadata"]["annotations"] = {"a": "2"}
    with pytest.raises(Conflicts) as found:
        applied(live, wanted, "b")
    assert [line for line in str(found.value).splitlines() if "conflicts with" in line] == [
        'Apply failed with 2 conflicts: conflicts with "a" with subresource "status":',
        'conflicts with "a":',
    ]


@pytest.mark.parametrize(
    ("held", "wrong"),
    [("containers", each) for each in ("", 0, False, {})]
    + [("securityContext", each) for each in ("", 0, False, [])]
    + [("nodeSelector", each) for each in ("", 0, False, [])],
)
def test_an_empty_value_of_a_wrong_type_is_not_applied(held: str, wrong: Any) -> None:
    config = deployment()
    live = applied(None, deployment(), "a")
    live["spec"]["template"]["spec"] |= {"nodeSelector": {"a": "b"}, "securityContext": {"runAsUser": 1}}
    config["spec"]["template"]["spec"][held] = wrong
    for before in (None, live):
        with pytest.raises(WrongType, match=rf"PodSpec\.spec\.template\.spec\.{held} of type"):
            applied(before, config, "b", force=True)


def test_a_conflict_with_many_owners_is_told_in_one_pass() -> None:
    live = applied(None, deployment(), "a")
    entry = live["metadata"]["managedFields"][0]
    live["metadata"]["managedFields"] = [{**entry, "manager": f"m{index}"} for index in range(20_000)]
    with pytest.raises(Conflicts) as found:
        applied(live, deployment("x:2"), "b")
    assert len(found.value.causes) == 20_000
    assert len(str(found.value).splitlines()) == 40_000
