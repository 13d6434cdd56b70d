"""Bad input: whatever a client sends is either accepted or refused by a KnarrError, and leaves what is there alone."""

import contextlib
import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knarr.base.errors import KnarrError
from knarr.kinds import registry, schemas, validating, walks
from knarr.kinds.apps import DEPLOYMENT
from knarr.kinds.core_config import CONFIGMAP
from knarr.kinds.core_pod import POD
from knarr.kinds.core_service import SERVICE
from knarr.kinds.registry import Kind
from knarr.objects import apply, labels, managed, patches
from knarr.objects.apply import Applied
from knarr.objects.managed import Writer
from knarr.objects.schema import Schema

Json = dict[str, Any]
KINDS = (POD, DEPLOYMENT, SERVICE, CONFIGMAP, registry.row("batch", "v1", "CronJob"),
         registry.row("networking.k8s.io", "v1", "Ingress"), registry.row("policy", "v1", "PodDisruptionBudget"),
         registry.row("autoscaling", "v2", "HorizontalPodAutoscaler"))  # fmt: skip
TEXTS = st.sampled_from(["", "a", "A_b", "1", "-1", "50%", "1Gi", "RollingUpdate", "Always", "..", "/", "\n", "é"])
SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | TEXTS


def shaped(schema: Schema, depth: int) -> st.SearchStrategy[Any]:
    """Values that mostly fit a schema, and sometimes do not."""
    if depth <= 0:
        return SCALARS
    match schema.form:
        case "struct":
            fields = schema.type.fields
            inner = st.lists(st.sampled_from(sorted(fields)), max_size=4, unique=True).flatmap(
                lambda names: st.fixed_dictionaries({name: shaped(fields[name], depth - 1) for name in names})
            )
            return st.one_of(inner, inner, SCALARS)
        case "list":
            return st.lists(shaped(schema.element, depth - 1), max_size=3)
        case "map":
            return st.dictionaries(TEXTS, shaped(schema.element, depth - 1), max_size=3)
        case "integer":
            return st.integers(-2, 3) | SCALARS
        case "string" if schema.enum:
            return st.sampled_from(schema.enum) | SCALARS
        case _:
            return SCALARS


def objects(kind: Kind) -> st.SearchStrategy[Json]:
    return shaped(schemas.of(kind), 6).filter(lambda value: isinstance(value, dict))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_an_object_is_decoded_and_judged_or_refused(kind: Kind) -> None:
    @settings(max_examples=25)
    @given(objects(kind))
    def check(value: Json) -> None:
        walks.unknown_fields(kind, value)
        with contextlib.suppress(KnarrError):
            made = walks.defaulted(kind, value)
            assert walks.defaulted(kind, made) == made, "defaults settle at once"
            validating.create_faults(kind, made)
            validating.update_faults(kind, made, walks.defaulted(kind, {"metadata": {"name": "x"}}))
            msgspec.json.encode(managed.tracked(schemas.of(kind), made, None, Writer("m", "v1"), "t"))

    check()


LIVE = walks.defaulted(
    POD, {"metadata": {"name": "p", "labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
)
DIRECTIVES = st.sampled_from(
    ["$patch", "$retainKeys", "$setElementOrder/containers", "$deleteFromPrimitiveList/finalizers", "name", "spec",
     "containers", "metadata", "labels", "finalizers", "image"]
)  # fmt: skip
PATCHES = st.recursive(
    SCALARS | st.sampled_from(["replace", "delete", "merge"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(DIRECTIVES, inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=60)
@given(PATCHES)
def test_a_strategic_patch_is_applied_or_refused_and_changes_no_live_object(patch: Any) -> None:
    before = copy.deepcopy(LIVE)
    with contextlib.suppress(KnarrError):
        patches.strategic_merge_patch(schemas.of(POD), LIVE, patch)
    with contextlib.suppress(KnarrError):
        patches.merge_patch(LIVE, patch)
    assert before == LIVE


@settings(max_examples=60)
@given(objects(POD))
def test_a_configuration_is_applied_or_refused(config: Json) -> None:
    before = copy.deepcopy(LIVE)
    if not isinstance(config.get("metadata"), dict):
        config["metadata"] = {}
    with contextlib.suppress(KnarrError):
        walks.decoded(POD, config)
        asked = Applied(config, Writer("m", "v1"), is_forced=True, now="t")
        made = apply.merged(schemas.of(POD), LIVE, asked)
        assert apply.merged(schemas.of(POD), made, asked) == made
    assert before == LIVE


@given(st.text(max_size=40) | st.text(alphabet="ab=!(),<> in", max_size=20))
def test_a_selector_is_parsed_or_refused(text: str) -> None:
    with contextlib.suppress(KnarrError):
        labels.parse(text).matches({"a": "b"})


@pytest.mark.parametrize(
    "entries",
    [
        [{"manager": "m", "operation": "Update", "fieldsV1": {"f:a": 1}}],
        [{"manager": "m", "operation": "Update", "fieldsV1": {"k:{": {}}}],
        [{"manager": "m", "operation": "Update", "fieldsV1": {"x": {}}}],
        [{"manager": "m", "operation": "Update", "fieldsV1": []}],
    ],
)
def test_a_broken_list_of_managers_is_not_believed(entries: Any) -> None:
    schema = schemas.of(CONFIGMAP)
    live = managed.tracked(schema, {"metadata": {"name": "c"}, "data": {"a": "1"}}, None, Writer("a", "v1"), "t")
    new = {"metadata": {"name": "c", "managedFields": entries}, "data": {"a": "2"}}
    found = managed.tracked(schema, new, live, Writer("b", "v1"), "t")["metadata"]["managedFields"]
    assert [entry["manager"] for entry in found] == ["a", "b"] or [entry["manager"] for entry in found] == ["b"]


def test_numbers_past_their_width_are_refused_and_free_ones_become_floats() -> None:
    with pytest.raises(KnarrError, match="of type int32"):
        walks.defaulted(DEPLOYMENT, {"spec": {"replicas": 2**31}})
    revision = registry.row("apps", "v1", "ControllerRevision")
    found = walks.defaulted(revision, {"metadata": {"name": "r"}, "data": {"a": 10**30}})
    assert found["data"] == {"a": 1e30}
