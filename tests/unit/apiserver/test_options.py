"""Options of requests: judged before anything is done, even when the request would change nothing."""

from typing import Any

import pytest

from .conftest import Asker

Json = dict[str, Any]
MAPS = "/api/v1/namespaces/default/configmaps"
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"


def configmap(name: str, **metadata: Any) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}, "data": {"a": "1"}}


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("dryRun=x", 'dryRun: Unsupported value: []string{"x"}: supported values: "All"'),
        (
            "fieldValidation=x",
            'fieldValidation: Unsupported value: "x": supported values: "", "Ignore", "Strict", "Warn"',
        ),
        ("fieldManager=a%0Ab", 'fieldManager: Invalid value: "a\\nb": should only contain printable characters'),
        ("fieldManager=" + "m" * 129, "fieldManager: Too long: may not be more than 128 bytes"),
    ],
)
async def test_options_of_a_write_are_judged_though_nothing_would_change(ask: Asker, query: str, why: str) -> None:
    await ask("POST", MAPS, configmap("c"))
    for method, path, kind in (
        ("PATCH", f"{MAPS}/c", "PatchOptions"), ("PUT", f"{MAPS}/c", "UpdateOptions"), ("POST", MAPS, "CreateOptions"),
    ):  # fmt: skip
        body = {} if method == "PATCH" else configmap("c")
        answer = await ask(method, f"{path}?{query}", body, **({"media": MERGE} if method == "PATCH" else {}))
        assert (answer["code"], answer["message"]) == (422, f'{kind}.meta.k8s.io "" is invalid: {why}')


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_proxied_query_is_the_applications_own(ask: Asker, method: str) -> None:
    web = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}}
    services = "/api/v1/namespaces/default/services"
    await ask("POST", services, web)
    answer = await ask(method, f"{services}/web/proxy/api?dryRun=true&fieldValidation=off&fieldManager=a%0Ab")
    assert (answer["code"], answer["message"]) == (503, 'no endpoints available for service "web"')


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"dryRun": ["Some"]}, 'dryRun: Unsupported value: []string{"Some"}: supported values: "All"'),
        (
            {"propagationPolicy": "Bogus"},
            'propagationPolicy: Unsupported value: "Bogus": supported values: "Foreground", "Background", "Orphan", '
            '"nil"',
        ),
        (
            {"propagationPolicy": "Orphan", "orphanDependents": True},
            'propagationPolicy: Invalid value: "Orphan": orphanDependents and deletionPropagation cannot be both set',
        ),
    ],
)
async def test_deletion_options_that_contradict_each_other_delete_nothing(ask: Asker, body: Json, why: str) -> None:
    await ask("POST", MAPS, configmap("c"))
    answer = await ask("DELETE", f"{MAPS}/c", body)
    assert (answer["code"], answer["message"]) == (422, f'DeleteOptions.meta.k8s.io "" is invalid: {why}')
    assert (await ask("GET", f"{MAPS}/c"))["kind"] == "ConfigMap"


async def test_an_object_in_the_body_of_a_deletion_deletes_nothing(ask: Asker) -> None:
    await ask("POST", MAPS, configmap("c"))
    assert (await ask("DELETE", f"{MAPS}/c", configmap("c")))["code"] == 400
    assert (await ask("GET", f"{MAPS}/c"))["kind"] == "ConfigMap"


MATCH = "resourceVersionMatch"


@pytest.mark.parametrize(
    ("query", "why"),
    [
        (f"{MATCH}=Exact", f"{MATCH}: Forbidden: {MATCH} is forbidden unless resourceVersion is provided"),
        (f"{MATCH}=Exact&resourceVersion=0",
         f'{MATCH}: Forbidden: {MATCH} "exact" is forbidden for resourceVersion "0"'),
        ("sendInitialEvents=true", "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"),
        (f"watch=1&{MATCH}=NotOlderThan",
         f"{MATCH}: Forbidden: {MATCH} is forbidden for watch unless sendInitialEvents is provided"),
        ("watch=1&sendInitialEvents=false",
         f"{MATCH}: Forbidden: sendInitialEvents requires setting {MATCH} to NotOlderThan"),
    ],
)  # fmt: skip
async def test_options_of_a_list_that_contradict_each_other_are_refused(ask: Asker, query: str, why: str) -> None:
    answer = await ask("GET", f"{MAPS}?{query}")
    assert (answer["code"], answer["message"]) == (422, f'ListOptions.meta.k8s.io "" is invalid: {why}')


async def test_a_watch_is_asked_for_by_the_word_alone(ask: Asker) -> None:
    response = await ask.send("GET", f"{MAPS}?watch&timeoutSeconds=1")
    assert not isinstance(response.body, bytes)
    for no in ("watch=0", "watch=FALSE", ""):
        assert isinstance((await ask.send("GET", f"{MAPS}?{no}")).body, bytes)


async def test_an_expired_list_goes_on_with_the_token_of_its_refusal(ask: Asker) -> None:
    for number in range(4):
        await ask("POST", MAPS, configmap(f"c{number}"))
    first = await ask("GET", f"{MAPS}?limit=2")
    await ask("DELETE", f"{MAPS}/c3")
    await ask.server.store.compact(ask.server.store.revision)
    refused = await ask("GET", f"{MAPS}?limit=2&continue={first['metadata']['continue']}")
    assert (refused["code"], refused["reason"]) == (410, "Expired")
    assert "You can start a new list without the continue parameter, or use the continue token" in refused["message"]
    rest = await ask("GET", f"{MAPS}?limit=2&continue={refused['metadata']['continue']}")
    assert [item["metadata"]["name"] for item in first["items"] + rest["items"]] == ["c0", "c1", "c2"]


async def test_a_new_object_brings_no_resource_version(ask: Asker) -> None:
    refused = await ask("POST", MAPS, configmap("c", resourceVersion="5"))
    assert (refused["code"], refused["message"]) == (400, "resourceVersion should not be set on objects to be created")


async def test_a_body_has_the_name_and_namespace_of_its_path(ask: Asker) -> None:
    await ask("POST", MAPS, configmap("c"))
    nameless = {"apiVersion": "v1", "kind": "ConfigMap"}
    cases: tuple[tuple[Json, str], ...] = (
        (nameless, "the name of the object (c based on URL) was undeterminable: name must be provided"),
        (configmap("d"), "the name of the object (d) does not match the name on the URL (c)"),
        (configmap("c", namespace="e"), "the namespace of the object (e) does not match the namespace on the URL "
                                        "(default)"),
    )  # fmt: skip
    for body, why in cases:
        answer = await ask("PUT", f"{MAPS}/c", body)
        assert (answer["code"], answer["message"]) == (400, why)
    answer = await ask("PATCH", f"{MAPS}/c", {"metadata": {"name": "d"}}, media=MERGE)
    assert (answer["code"], answer["message"]) == (400, cases[1][1])


async def test_an_applied_configuration_says_its_version(ask: Asker) -> None:
    body = {"kind": "ConfigMap", "metadata": {"name": "c"}}
    answer = await ask("PATCH", f"{MAPS}/c?fieldManager=m", body, media=APPLY)
    text = "Incorrect version specified in apply patch. Specified patch version: , expected: v1"
    assert (answer["code"], answer["message"]) == (400, text)


async def test_a_configuration_that_cannot_be_typed_is_named(ask: Asker) -> None:
    body = {**configmap("c"), "dat": {}}
    answer = await ask("PATCH", f"{MAPS}/c?fieldManager=m", body, media=APPLY)
    text = "failed to create typed patch object (default/c; /v1, Kind=ConfigMap): .dat: field not declared in schema"
    assert (answer["code"], answer["message"]) == (400, text)


async def test_the_last_owned_field_takes_the_list_of_owners_with_it(ask: Asker) -> None:
    path, empty = f"{MAPS}/c?fieldManager=m", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    await ask("PATCH", path, configmap("c"), media=APPLY)
    live = await ask("PATCH", path, empty, media=APPLY)
    assert "data" not in live
    assert "managedFields" not in live["metadata"]


EVENTS = "/apis/events.k8s.io/v1/namespaces/default/events"


async def test_fields_of_an_event_are_selected_in_the_version_that_is_asked(ask: Asker) -> None:
    event = {
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"}, "action": "A", "reason": "R",
        "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "x.io/c", "reportingInstance": "i",
        "type": "Normal", "regarding": {"kind": "Pod", "name": "p", "namespace": "default"},
    }  # fmt: skip
    assert (await ask("POST", EVENTS, event))["kind"] == "Event"
    for selector, count in (("regarding.kind=Pod", 1), ("regarding.kind=Job", 0), ("reportingController=x.io/c", 1)):
        assert len((await ask("GET", f"{EVENTS}?fieldSelector={selector}"))["items"]) == count


async def test_a_refusal_names_the_object_that_it_is_about(ask: Asker) -> None:
    await ask("POST", MAPS, configmap("c"))
    assert (await ask("POST", MAPS, configmap("c")))["details"] == {"name": "c", "kind": "configmaps"}
    absent = await ask("POST", "/api/v1/namespaces/none/configmaps", configmap("c"))
    assert absent["details"] == {"name": "none", "kind": "namespaces"}
    fixed = await ask("DELETE", "/api/v1/namespaces/default")
    assert fixed["details"] == {"name": "default", "kind": "namespaces"}
