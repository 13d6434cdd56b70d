"""Create, get, list, watch, update, patch and delete as clients see them."""

from collections.abc import Callable
from typing import Any

from knarr.wire import http

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
Json = dict[str, Any]
Make = Callable[..., Json]


async def test_a_created_object_gets_the_servers_fields_and_is_read_back(ask: Any, configmap: Make) -> None:
    created = await ask("POST", CONFIGMAPS, configmap("c1", a="1"))
    metadata = created["metadata"]
    assert (metadata["name"], metadata["namespace"], created["data"]) == ("c1", "default", {"a": "1"})
    assert len(metadata["uid"]) == 36
    assert metadata["resourceVersion"] == str(ask.server.store.revision)
    assert metadata["creationTimestamp"].endswith("Z")
    assert await ask("GET", f"{CONFIGMAPS}/c1") == created


async def test_refusals_carry_upstreams_words(ask: Any, configmap: Make) -> None:
    await ask("POST", CONFIGMAPS, configmap("c1"))
    twice = await ask("POST", CONFIGMAPS, configmap("c1"))
    assert (twice["code"], twice["reason"], twice["message"]) == (
        409, "AlreadyExists", 'configmaps "c1" already exists',
    )  # fmt: skip
    absent = await ask("GET", f"{CONFIGMAPS}/nope")
    assert (absent["code"], absent["message"]) == (404, 'configmaps "nope" not found')
    assert absent["details"] == {"name": "nope", "kind": "configmaps"}
    nowhere = await ask("POST", "/api/v1/namespaces/nowhere/configmaps", configmap("c1"))
    assert (nowhere["code"], nowhere["message"]) == (404, 'namespaces "nowhere" not found')


async def test_a_stale_resource_version_conflicts(ask: Any, configmap: Make) -> None:
    created = await ask("POST", CONFIGMAPS, configmap("c1", a="1"))
    updated = await ask("PUT", f"{CONFIGMAPS}/c1", {**created, "data": {"a": "2"}})
    assert updated["data"] == {"a": "2"}
    assert updated["metadata"]["uid"] == created["metadata"]["uid"]
    stale = await ask("PUT", f"{CONFIGMAPS}/c1", {**created, "data": {"a": "3"}})
    assert (stale["code"], stale["message"]) == (
        409,
        'Operation cannot be fulfilled on configmaps "c1": the object has been modified; '
        "please apply your changes to the latest version and try again",
    )


async def test_a_list_is_cut_and_continued_at_one_revision(ask: Any, configmap: Make) -> None:
    for name in ("a", "b", "c"):
        await ask("POST", CONFIGMAPS, configmap(name))
    first = await ask("GET", f"{CONFIGMAPS}?limit=2")
    assert first["kind"] == "ConfigMapList"
    assert [item["metadata"]["name"] for item in first["items"]] == ["a", "b"]
    assert first["metadata"]["remainingItemCount"] == 1
    await ask("DELETE", f"{CONFIGMAPS}/c")
    second = await ask("GET", f"{CONFIGMAPS}?limit=2&continue={first['metadata']['continue']}")
    assert [item["metadata"]["name"] for item in second["items"]] == ["c"]
    assert second["metadata"] == {"resourceVersion": first["metadata"]["resourceVersion"]}


async def test_a_watch_tells_what_happens(ask: Any, configmap: Make) -> None:
    events = ask.watch(f"{CONFIGMAPS}?watch=true&resourceVersion={ask.server.store.revision}&timeoutSeconds=5")
    created = await ask("POST", CONFIGMAPS, configmap("c1", a="1"))
    updated = await ask("PUT", f"{CONFIGMAPS}/c1", {**created, "data": {"a": "2"}})
    await ask("DELETE", f"{CONFIGMAPS}/c1")
    assert await anext(events) == {"type": "ADDED", "object": created}
    assert await anext(events) == {"type": "MODIFIED", "object": updated}
    gone = await anext(events)
    assert gone["type"] == "DELETED"
    assert gone["object"]["metadata"]["resourceVersion"] == str(ask.server.store.revision)
    await events.aclose()


async def test_a_watch_from_a_compacted_revision_says_410_in_its_only_event(ask: Any, configmap: Make) -> None:
    await ask("POST", CONFIGMAPS, configmap("a"))
    oldest = ask.server.store.revision
    await ask.server.store.compact(oldest)
    found = [event async for event in ask.watch(f"{CONFIGMAPS}?watch=true&resourceVersion=1")]
    assert [event["type"] for event in found] == ["ERROR"]
    status = found[0]["object"]
    assert (status["code"], status["reason"]) == (410, "Expired")
    assert status["message"] == f"too old resource version: 1 ({oldest})"


async def test_a_watchlist_begins_with_the_state_and_its_bookmark(ask: Any, configmap: Make) -> None:
    created = await ask("POST", CONFIGMAPS, configmap("c1"))
    events = ask.watch(
        f"{CONFIGMAPS}?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    )
    assert await anext(events) == {"type": "ADDED", "object": created}
    bookmark = await anext(events)
    assert bookmark["type"] == "BOOKMARK"
    assert bookmark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert bookmark["object"]["metadata"]["resourceVersion"] == created["metadata"]["resourceVersion"]
    await events.aclose()


async def test_finalizers_hold_a_deletion_until_the_last_is_gone(ask: Any, configmap: Make) -> None:
    body = configmap("c1")
    body["metadata"]["finalizers"] = ["example.com/x"]
    await ask("POST", CONFIGMAPS, body)
    held = await ask("DELETE", f"{CONFIGMAPS}/c1")
    assert held["metadata"]["deletionTimestamp"]
    live = await ask("GET", f"{CONFIGMAPS}/c1")
    live["metadata"]["finalizers"] = []
    await ask("PUT", f"{CONFIGMAPS}/c1", live)
    assert (await ask("GET", f"{CONFIGMAPS}/c1"))["code"] == 404


async def test_a_dry_run_stores_nothing(ask: Any, configmap: Make) -> None:
    before = ask.server.store.revision
    answer = await ask("POST", f"{CONFIGMAPS}?dryRun=All", configmap("c1", a="1"))
    assert answer["metadata"]["name"] == "c1"
    assert ask.server.store.revision == before


async def test_a_pod_without_node_goes_at_once_and_a_bound_one_waits(ask: Any) -> None:
    pods = "/api/v1/namespaces/default/pods"

    def pod(name: str, node: str) -> Json:
        spec = {"containers": [{"name": "c", "image": "x"}], "nodeName": node}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}

    await ask("POST", pods, pod("free", ""))
    await ask("DELETE", f"{pods}/free")
    assert (await ask("GET", f"{pods}/free"))["code"] == 404
    await ask("POST", pods, pod("bound", "n1"))
    marked = await ask("DELETE", f"{pods}/bound")
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 30
    await ask("DELETE", f"{pods}/bound", {"gracePeriodSeconds": 0})
    assert (await ask("GET", f"{pods}/bound"))["code"] == 404


async def test_a_body_without_kind_is_what_the_path_says(ask: Any) -> None:
    created = await ask("POST", CONFIGMAPS, {"metadata": {"name": "c1"}})
    assert (created["apiVersion"], created["kind"]) == ("v1", "ConfigMap")
    other = await ask("POST", CONFIGMAPS, {"kind": "Secret", "metadata": {"name": "c2"}})
    assert other["code"] == 400


async def test_strict_decoding_names_what_could_not_be_read(ask: Any) -> None:
    path, strict = "/api/v1/namespaces/default/configmaps", "?fieldValidation=Strict"
    wrong = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "dataa": {}}
    plain = 'strict decoding error: unknown field "dataa"'
    whole = f'ConfigMap in version "v1" cannot be handled as a ConfigMap: {plain}'
    assert (await ask("POST", path + strict, wrong))["message"] == whole
    await ask("POST", path, {"metadata": {"name": "c"}})
    assert (await ask("PUT", f"{path}/c{strict}", wrong))["message"] == whole
    patched = await ask("PATCH", f"{path}/c{strict}", {"dataa": {}}, media="application/merge-patch+json")
    assert patched["message"] == plain


async def test_a_refusal_is_short_even_if_thousands_of_fields_are_wrong(ask: Any, configmap: Make) -> None:
    wrong = configmap("a", **{f"{number}/": "" for number in range(2000)})
    found = await ask("POST", CONFIGMAPS, wrong)
    assert found["code"] == 422
    assert len(found["details"]["causes"]) == 500
    assert len(found["message"]) < 70_000
    unknown = configmap("a") | {f"unknown{number}": 1 for number in range(200)}
    found = await ask("POST", f"{CONFIGMAPS}?fieldValidation=Strict", unknown)
    assert found["message"].count("unknown field") == 100


async def test_a_query_of_too_many_parameters_is_a_bad_request(ask: Any) -> None:
    assert (await ask("GET", f"{CONFIGMAPS}?{'a&' * 20_000}"))["code"] == 400


async def test_version_zero_names_none(ask: Any) -> None:
    body = {"metadata": {"name": "c", "resourceVersion": "0"}}
    made = await ask("POST", CONFIGMAPS, body)
    replaced = await ask("PUT", f"{CONFIGMAPS}/c", {**body, "data": {"a": "1"}})
    patched = await ask("PATCH", f"{CONFIGMAPS}/c", {**body, "data": {"a": "2"}}, media="application/merge-patch+json")
    assert [each.get("data") for each in (made, replaced, patched)] == [None, {"a": "1"}, {"a": "2"}]
    lease = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
    await ask("POST", lease, {"metadata": {"name": "l"}})
    refused = await ask("PUT", f"{lease}/l", {"metadata": {"name": "l", "resourceVersion": "0"}})
    assert "metadata.resourceVersion: Invalid value: 0x0: must be specified for an update" in refused["message"]


async def test_a_body_that_is_no_json_is_told_with_its_beginning(ask: Any) -> None:
    told = [
        (await ask("POST", "/api/v1/namespaces", body, media="application/json"))["message"]
        for body in (b"apiVersion: v1\nkind: Namespace\n...", b'{"apiVersion":"v1","kind":"Namespace"', b"")
    ]
    start = "the object provided is unrecognized (must be of type Namespace): couldn't get version/kind; json parse"
    assert [text.startswith(start) for text in told] == [True] * 3
    assert [text.rpartition("(")[2] for text in told] == [
        "61706956657273696f6e3a2076310a6b696e643a204e616d657370616365 ...)",
        '{"apiVersion":"v1","kind":"Nam ...)',
        "<empty>)",
    ]


async def test_a_deletion_that_waits_is_202_for_who_wants_no_orphans(ask: Any, configmap: Make) -> None:
    held = configmap("c")
    held["metadata"]["finalizers"] = ["example.com/wait"]
    codes = []
    for path, body in (("", {}), ("?orphanDependents=false", {}), ("", {"orphanDependents": False})):
        await ask("POST", CONFIGMAPS, held)
        codes.append((await ask.send("DELETE", f"{CONFIGMAPS}/c{path}", body)).status)
    await ask("POST", CONFIGMAPS, configmap("free"))
    codes.append((await ask.send("DELETE", f"{CONFIGMAPS}/free", {"orphanDependents": False})).status)
    assert codes == [200, 202, 202, 200]


async def test_documents_about_the_api_are_private_and_the_aggregated_ones_have_a_tag(ask: Any) -> None:
    aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    found = [dict((await ask.send("GET", path)).headers) for path in ("/api", "/apis/apps/v1", "/openapi/v2")]
    first = await ask.send("GET", "/apis", accept=aggregated)
    tagged = dict(first.headers)
    headers = (("accept", aggregated), ("if-none-match", tagged["etag"]))
    again = await ask.pipeline.handle_as(http.Request("GET", "/apis", headers=headers), ask.user)
    assert [each["cache-control"] for each in (*found, tagged)] == ["no-cache, private"] * 4
    assert (first.status, again.status, again.body, "etag" in found[0]) == (200, 304, b"", False)


async def test_a_cluster_wide_object_goes_without_the_namespace_that_its_manifest_names(ask: Any) -> None:
    path = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
    body = {"metadata": {"name": "r", "namespace": "default"}, "rules": []}
    made = await ask("POST", path, body)
    replaced = await ask("PUT", f"{path}/r", {**body, "metadata": {**body["metadata"], "labels": {"a": "b"}}})
    config = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", **body}
    applied = await ask("PATCH", f"{path}/r?fieldManager=a", config, media="application/apply-patch+yaml")
    assert ["namespace" in each["metadata"] for each in (made, replaced, applied)] == [False] * 3
    assert applied["metadata"]["name"] == "r"


async def test_what_is_made_for_the_answer_alone_has_no_names(ask: Any) -> None:
    paths = ("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "/api/v1/namespaces/default/bindings")
    named = [(await ask.send(method, f"{path}/a")).status for path in paths for method in ("GET", "PUT", "DELETE")]
    assert (named, [(await ask.send("GET", path)).status for path in paths]) == ([404] * 6, [405] * 2)


async def test_the_core_group_may_be_written_with_its_slash(ask: Any) -> None:
    made = await ask("POST", CONFIGMAPS, {"apiVersion": "/v1", "kind": "ConfigMap", "metadata": {"name": "c"}})
    assert (made["apiVersion"], made["metadata"]["name"]) == ("v1", "c")
    body = {"apiVersion": "/apps/v1", "kind": "Deployment", "metadata": {"name": "d"}}
    assert (await ask("POST", "/apis/apps/v1/namespaces/default/deployments", body))["code"] == 400


async def test_an_owner_that_is_named_twice_is_kept_once_and_warned_of(ask: Any) -> None:
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": "u-1"}
    body = {"metadata": {"name": "c", "ownerReferences": [owner, owner]}}
    add = [{"op": "add", "path": "/metadata/ownerReferences/-", "value": owner}]
    asked = (
        ("POST", CONFIGMAPS, body, "application/json"),
        ("PUT", f"{CONFIGMAPS}/c", body, "application/json"),
        ("PATCH", f"{CONFIGMAPS}/c", add, "application/json-patch+json"),
    )
    told = []
    for method, path, content, media in asked:
        response = await ask.send(method, path, content, media=media)
        told.append([value for key, value in response.headers if key == "warning"])
        assert b'"ownerReferences":[{' in response.body
        assert response.body.count(b'"uid":"u-1"') == 1
    assert [len(each) for each in told] == [1, 1, 1]
    assert "duplicate UID(s) observed: u-1" in told[0][0]
    assert "after mutating admission" in told[2][0]
    for wrong in (5, "owners", {"a": 1, "b": 2}, [1, 1]):
        body = {"metadata": {"name": "w", "ownerReferences": wrong}}
        assert (await ask.send("POST", CONFIGMAPS, body)).status == 400
