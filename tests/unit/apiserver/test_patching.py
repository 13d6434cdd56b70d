"""Patches beyond the plain ones: apply to scale, force, wrong types, strict faults in one answer, field managers."""

from datetime import UTC, datetime, timedelta
from typing import Any

from knarr.apiserver.context import User
from knarr.apiserver.pipeline import Pipeline
from knarr.apiserver.rbac import Rbac
from knarr.apiserver.server import ApiServer
from knarr.store.memory import MemoryStore
from tests.unit.apiserver.conftest import Asker

DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY, MERGE, JSON = "application/apply-patch+yaml", "application/merge-patch+json", "application/json-patch+json"


async def deployment(ask: Asker) -> dict[str, Any]:
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    return await ask("POST", f"{DEPLOYMENTS}?fieldManager=maker", {"metadata": {"name": "web"}, "spec": spec})


def scale(replicas: int) -> dict[str, Any]:
    return {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "web"},
            "spec": {"replicas": replicas}}  # fmt: skip


async def test_an_apply_to_scale_owns_the_replicas_through_scale(ask: Asker) -> None:
    await deployment(ask)
    path = f"{DEPLOYMENTS}/web/scale?fieldManager=scaler"

    refused = await ask("PATCH", path, scale(5), media=APPLY)
    taken = await ask("PATCH", f"{path}&force=true", scale(5), media=APPLY)
    found = await ask("GET", f"{DEPLOYMENTS}/web")

    assert (refused["code"], refused["details"]["causes"][0]["field"]) == (409, ".spec.replicas")
    assert 'conflict with "maker"' in refused["message"]
    assert (taken["kind"], taken["spec"]) == ("Scale", {"replicas": 5})
    (entry,) = (each for each in found["metadata"]["managedFields"] if each["manager"] == "scaler")
    assert entry | {"time": ""} == {
        "manager": "scaler", "operation": "Apply", "apiVersion": "apps/v1", "time": "", "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {"f:replicas": {}}}, "subresource": "scale",
    }  # fmt: skip
    assert found["spec"]["replicas"] == 5
    assert found["metadata"]["generation"] == 2


async def test_an_apply_to_scale_makes_nothing_and_refuses_a_negative_number(ask: Asker) -> None:
    path = f"{DEPLOYMENTS}/web/scale?fieldManager=scaler"
    absent = await ask("PATCH", path, scale(1), media=APPLY)
    await deployment(ask)
    negative = await ask("PATCH", path, scale(-1), media=APPLY)
    nameless = await ask("PATCH", f"{DEPLOYMENTS}/web/scale", scale(1), media=APPLY)

    assert (absent["code"], negative["code"], nameless["code"]) == (404, 422, 422)
    assert "is required for apply patch" in nameless["message"]


async def test_force_is_for_applies_only(ask: Asker) -> None:
    await ask("POST", CONFIGMAPS, {"metadata": {"name": "c"}})

    refused = await ask("PATCH", f"{CONFIGMAPS}/c?force=true", {"data": {}}, media=MERGE)

    assert refused["code"] == 422
    assert refused["message"] == (
        'PatchOptions.meta.k8s.io "" is invalid: force: Forbidden: may not be specified for non-apply patch'
    )


async def test_a_patch_that_makes_a_wrong_type_is_invalid(ask: Asker) -> None:
    await deployment(ask)
    wrong = {"spec": {"replicas": "many"}}
    merged = await ask("PATCH", f"{DEPLOYMENTS}/web", wrong, media=MERGE)
    operation = [{"op": "replace", "path": "/spec/replicas", "value": "many"}]
    by_json = await ask("PATCH", f"{DEPLOYMENTS}/web", operation, media=JSON)
    scaled = await ask("PATCH", f"{DEPLOYMENTS}/web/scale", wrong, media=MERGE)
    created = await ask("POST", CONFIGMAPS, {"metadata": {"name": "c"}, "data": 1})

    assert [each["code"] for each in (merged, by_json, scaled, created)] == [422, 422, 422, 400]
    assert merged["message"].startswith(' "" is invalid: patch: Invalid value: "{')
    assert "json: cannot unmarshal string into Go struct field" in merged["message"]
    assert merged["details"]["causes"][0]["field"] == "patch"
    assert r"\"replicas\":\"many\"" in by_json["message"]  # what the patch makes, not the patch


async def test_a_strategic_patch_that_makes_a_wrong_type_is_told_in_its_own_words(ask: Asker) -> None:
    await deployment(ask)
    wrong = {
        "map[metadata:map[labels:invalid]]": "cannot restore map from string",
        "map[spec:map[replicas:many]]": "unrecognized type: int32",
        "map[spec:map[paused:1 replicas:2]]": "unrecognized type: bool",
        "map[spec:map[selector:[a 1.5 <nil>]]]": "cannot restore struct from: slice",
        "map[spec:map[template:map[spec:map[nodeName:1]]]]": "cannot convert int64 to string",
        "map[spec:map[strategy:map[rollingUpdate:map[maxSurge:true]]]]": (
            "json: cannot unmarshal bool into Go value of type int32"
        ),
    }
    patches = [
        {"metadata": {"labels": "invalid"}},
        {"spec": {"replicas": "many"}},
        {"spec": {"replicas": 2, "paused": 1}},
        {"spec": {"selector": ["a", 1.5, None]}},
        {"spec": {"template": {"spec": {"nodeName": 1}}}},
        {"spec": {"strategy": {"rollingUpdate": {"maxSurge": True}}}},
    ]
    told = [await ask("PATCH", f"{DEPLOYMENTS}/web", patch, media=STRATEGIC) for patch in patches]
    assert [(each["code"], each["message"]) for each in told] == [
        (422, f' "" is invalid: patch: Invalid value: "{shown}": {why}') for shown, why in wrong.items()
    ]


async def test_unknown_and_duplicate_fields_are_told_in_one_answer(ask: Asker) -> None:
    body = b'{"metadata":{"name":"c"},"data":{"a":"1","a":"2"},"datum":1}'
    refused = await ask("POST", f"{CONFIGMAPS}?fieldValidation=Strict", body)
    warned = await ask.send("POST", f"{CONFIGMAPS}?fieldValidation=Warn", body)

    assert refused["code"] == 400
    assert refused["message"] == (
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: '
        'duplicate field "data.a", unknown field "datum"'
    )
    assert [value for key, value in warned.headers if key == "warning"] == [
        '299 - "duplicate field \\"data.a\\""', '299 - "unknown field \\"datum\\""'
    ]  # fmt: skip


async def test_duplicates_of_a_scale_are_told_as_well(ask: Asker) -> None:
    await deployment(ask)
    body = b'{"spec":{"replicas":1,"replicas":2}}'

    refused = await ask("PATCH", f"{DEPLOYMENTS}/web/scale?fieldValidation=Strict", body, media=MERGE)

    assert 'duplicate field "spec.replicas"' in refused["message"]


async def test_a_field_manager_that_cannot_be_kept_is_refused(ask: Asker) -> None:
    long = await ask("POST", f"{CONFIGMAPS}?fieldManager={'x' * 129}", {"metadata": {"name": "c"}})
    odd = await ask("POST", f"{CONFIGMAPS}?fieldManager=a%0Ab", {"metadata": {"name": "c"}})

    assert "fieldManager: Too long: may not be more than 128 bytes" in long["message"]
    assert "should only contain printable characters" in odd["message"]


async def test_impersonation_holds_on_paths_that_nobody_serves(ask: Asker) -> None:
    from knarr.wire import http

    ask.server.access = Rbac(ask.server.store)
    admin = User("admin", ("system:masters",))
    headers = (("impersonate-user", "jane"),)

    response = await ask.pipeline.handle_as(http.Request("GET", "/apis/none.example/v1/things", "", headers), admin)

    assert response.status == 403
    assert b'User \\"jane\\" cannot get path' in (response.body if isinstance(response.body, bytes) else b"")


class Ticking:
    """A clock that is a second later each time it is asked."""

    def __init__(self) -> None:
        self._last = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        self._last += timedelta(seconds=1)
        return self._last


async def test_applying_what_is_written_in_another_way_again_is_no_change() -> None:
    """A zero that is not stored, and a quantity in another form: the server-side apply of every run of a pipeline."""
    ask = Asker(Pipeline(ApiServer(MemoryStore(), clock=Ticking())))
    path = "/api/v1/namespaces/default/configmaps/c?fieldManager=m"
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}}
    await ask("POST", "/api/v1/namespaces", namespace)
    zero = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "immutable": False, "data": {"a": "b"}}
    first = await ask("PATCH", path, zero, media=APPLY)
    assert await ask("PATCH", path, zero, media=APPLY) == first
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "q"},
        "spec": {"hard": {"pods": "1000m"}},
    }
    path = "/api/v1/namespaces/default/resourcequotas/q?fieldManager=m"
    first = await ask("PATCH", path, quota, media=APPLY)
    assert first["spec"]["hard"] == {"pods": "1"}
    assert await ask("PATCH", path, quota, media=APPLY) == first


async def test_a_zero_that_takes_the_place_of_anothers_value_is_a_conflict(ask: Asker) -> None:
    held = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"paused": True}}
    await deployment(ask)
    await ask("PATCH", f"{DEPLOYMENTS}/web?fieldManager=a", held, media=APPLY)
    refused = await ask("PATCH", f"{DEPLOYMENTS}/web?fieldManager=b", {**held, "spec": {"paused": False}}, media=APPLY)
    assert refused["message"] == 'Apply failed with 1 conflict: conflict with "a": .spec.paused'


async def test_an_empty_list_of_owners_forgets_them(ask: Asker) -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}}
    await ask("PATCH", f"{CONFIGMAPS}/c?fieldManager=a", config, media=APPLY)

    await ask("PUT", f"{CONFIGMAPS}/c", {**config, "metadata": {"name": "c", "managedFields": []}})
    found = await ask("PATCH", f"{CONFIGMAPS}/c", {"data": {"a": "2"}}, media=MERGE)
    refused = await ask(
        "PATCH", f"{CONFIGMAPS}/c?fieldManager=a",
        {**config, "metadata": {"name": "c", "managedFields": []}}, media=APPLY,
    )  # fmt: skip

    assert (found["data"], "managedFields" in found["metadata"]) == ({"a": "2"}, False)
    assert refused["message"] == "metadata.managedFields must be nil"


async def test_an_object_that_its_owners_make_too_large_goes_without_them(ask: Asker) -> None:
    data = {f"a-key-so-long-that-the-list-of-owners-grows-as-large-as-what-it-is-about-{n}": "A" for n in range(9999)}
    made = await ask("POST", CONFIGMAPS, {"metadata": {"name": "c"}, "data": data})
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    refused = await ask("PATCH", f"{CONFIGMAPS}/c?fieldManager=a", config, media=APPLY)

    assert (len(made["data"]), "managedFields" in made["metadata"]) == (9999, False)
    assert refused["code"] == 413  # the apply would own what was there before
