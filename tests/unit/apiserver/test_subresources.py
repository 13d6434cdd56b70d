"""status, scale, binding, eviction and partial subresources; conversions; negotiation; selectors on watches."""

from typing import Any

from knarr.apiserver.subresources import eviction

PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
Json = dict[str, Any]


def pod(name: str, **labels: str) -> Json:
    spec = {"containers": [{"name": "c", "image": "x"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}


def deployment(name: str) -> Json:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


async def test_a_status_carries_what_of_metadata_its_kind_lets_it(ask: Any) -> None:
    await ask("POST", DEPLOYMENTS, deployment("d"))
    levels = "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations"
    spec = {"type": "Limited", "limited": {"nominalConcurrencyShares": 1, "limitResponse": {"type": "Reject"}}}
    await ask("POST", levels, {"metadata": {"name": "p"}, "spec": spec})
    carried = {"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}}
    found = {}
    for path in (f"{DEPLOYMENTS}/d", f"{levels}/p"):
        written = await ask("PATCH", f"{path}/status", carried, media="application/merge-patch+json")
        metadata = written["metadata"]
        found[path] = (metadata.get("labels"), "c" in metadata.get("annotations", {}))
        owned = {
            key
            for each in metadata["managedFields"]
            if each.get("subresource")
            for key in each["fieldsV1"]["f:metadata"]
        }
        assert "f:labels" not in owned
    assert found == {f"{DEPLOYMENTS}/d": (None, True), f"{levels}/p": (None, False)}


async def test_status_and_spec_are_written_apart(ask: Any) -> None:
    made = await ask("POST", DEPLOYMENTS, {**deployment("d"), "status": {"replicas": 7}})
    assert made.get("status", {}).get("replicas") is None
    assert made["metadata"]["generation"] == 1
    both = {"spec": {"replicas": 3}, "status": {"replicas": 3, "observedGeneration": 1}}
    one = await ask("PATCH", f"{DEPLOYMENTS}/d/status", both, media="application/merge-patch+json")
    assert (one["spec"]["replicas"], one["status"]["replicas"], one["metadata"]["generation"]) == (1, 3, 1)
    both["status"]["replicas"] = 9
    other = await ask("PATCH", f"{DEPLOYMENTS}/d", both, media="application/merge-patch+json")
    assert (other["spec"]["replicas"], other["status"]["replicas"], other["metadata"]["generation"]) == (3, 3, 2)


async def test_scale_reads_and_writes_replicas(ask: Any) -> None:
    await ask("POST", DEPLOYMENTS, deployment("d"))
    scale = await ask("GET", f"{DEPLOYMENTS}/d/scale")
    assert (scale["kind"], scale["spec"], scale["status"]) == (
        "Scale",
        {"replicas": 1},
        {"replicas": 0, "selector": "a=b"},
    )
    scale["spec"]["replicas"] = 5
    assert (await ask("PUT", f"{DEPLOYMENTS}/d/scale", scale))["spec"] == {"replicas": 5}
    live = await ask("GET", f"{DEPLOYMENTS}/d")
    assert (live["spec"]["replicas"], live["metadata"]["generation"]) == (5, 2)
    stale = await ask("PUT", f"{DEPLOYMENTS}/d/scale", scale)
    assert stale["code"] == 409
    patch = {"spec": {"replicas": -1}}
    refused = await ask("PATCH", f"{DEPLOYMENTS}/d/scale", patch, media="application/merge-patch+json")
    assert "spec.replicas: Invalid value: -1: must be greater than or equal to 0" in refused["message"]


async def test_a_pod_is_bound_once(ask: Any) -> None:
    await ask("POST", PODS, pod("p"))
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": "p"},
        "target": {"kind": "Node", "name": "n1"},
    }
    assert (await ask("POST", f"{PODS}/p/binding", binding))["status"] == "Success"
    live = await ask("GET", f"{PODS}/p")
    assert live["spec"]["nodeName"] == "n1"
    assert [(c["type"], c["status"]) for c in live["status"]["conditions"]] == [("PodScheduled", "True")]
    again = await ask("POST", f"{PODS}/p/binding", binding)
    assert (again["code"], again["message"]) == (
        409,
        'Operation cannot be fulfilled on pods/binding "p": pod p is already assigned to node "n1"',
    )


async def test_an_eviction_asks_the_budget(ask: Any) -> None:
    await ask("POST", PODS, pod("p", app="x"))
    running = {"status": {"phase": "Running"}}
    await ask("PATCH", f"{PODS}/p/status", running, media="application/merge-patch+json")
    budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "x"}}}
    await ask(
        "POST",
        budgets,
        {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"}, "spec": spec},
    )
    asked = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
    refused = await ask("POST", f"{PODS}/p/eviction", asked)
    assert (refused["code"], refused["message"]) == (
        429, "Cannot evict pod as it would violate the pod's disruption budget.",
    )  # fmt: skip
    assert "still being processed" in refused["details"]["causes"][0]["message"]
    allowed = {"status": {"disruptionsAllowed": 1, "observedGeneration": 1}}
    await ask("PATCH", f"{budgets}/b/status", allowed, media="application/merge-patch+json")
    rehearsed = {**asked, "deleteOptions": {"dryRun": ["All"]}}
    assert (await ask("POST", f"{PODS}/p/eviction", rehearsed))["status"] == "Success"
    assert (await ask("GET", f"{budgets}/b"))["status"]["disruptionsAllowed"] == 1, "a dry run spends nothing"
    other = {**asked, "metadata": {"name": "q"}}
    assert (await ask("POST", f"{PODS}/p/eviction", other))["message"] == (
        "name in URL does not match name in Eviction object"
    )
    assert (await ask("POST", f"{PODS}/p/eviction", asked))["status"] == "Success"
    assert (await ask("GET", f"{PODS}/p"))["code"] == 404
    assert (await ask("GET", f"{budgets}/b"))["status"]["disruptionsAllowed"] == 0


async def test_an_eviction_of_an_old_client_is_read(ask: Any) -> None:
    await ask("POST", PODS, pod("p"))
    message = b"\n\x03\n\x01p"  # metadata {name: "p"}
    content = b"k8s\x00\n\x1a\n\x0epolicy/v1beta1\x12\x08Eviction\x12" + bytes([len(message)]) + message
    evicted = await ask("POST", f"{PODS}/p/eviction", content, media="application/vnd.kubernetes.protobuf")
    assert evicted["status"] == "Success"
    assert (await ask("GET", f"{PODS}/p"))["code"] == 404


async def test_an_evicted_pod_says_why_it_ends(ask: Any) -> None:
    await ask("POST", PODS, pod("p"))
    held = {"metadata": {"finalizers": ["example.com/x"]}}
    await ask("PATCH", f"{PODS}/p", held, media="application/merge-patch+json")
    await ask("POST", f"{PODS}/p/eviction", {"metadata": {"name": "p"}})
    conditions = (await ask("GET", f"{PODS}/p"))["status"]["conditions"]
    assert [(each["type"], each["reason"]) for each in conditions] == [("DisruptionTarget", "EvictionByEvictionAPI")]


def test_a_second_eviction_does_not_change_the_condition() -> None:
    once = eviction.targeted({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}, "2026-01-01T00:00:00Z")
    assert [each["type"] for each in once["status"]["conditions"]] == ["Ready", "DisruptionTarget"]
    assert eviction.targeted(once, "2026-01-01T00:00:09Z") == once
    once["status"]["conditions"][1]["status"] = "False"
    again = eviction.targeted(once, "2026-01-01T00:00:09Z")["status"]["conditions"][1]
    assert (again["status"], again["lastTransitionTime"]) == ("True", "2026-01-01T00:00:09Z")


async def test_an_eviction_that_says_nothing_new_writes_nothing(ask: Any) -> None:
    await ask("POST", PODS, pod("p"))
    held = {"metadata": {"finalizers": ["example.com/x"]}}
    await ask("PATCH", f"{PODS}/p", held, media="application/merge-patch+json")
    found = []
    for _ in range(2):
        assert (await ask("POST", f"{PODS}/p/eviction", {"metadata": {"name": "p"}}))["status"] == "Success"
        found.append(await ask("GET", f"{PODS}/p"))
    assert found[0] == found[1]


def test_a_budget_guards_an_unhealthy_pod_only_while_healthy_ones_lack() -> None:
    ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    enough = {"status": {"currentHealthy": 2, "desiredHealthy": 2}}
    lacking = {"status": {"currentHealthy": 1, "desiredHealthy": 2}}
    always = {"spec": {"unhealthyPodEvictionPolicy": "AlwaysAllow"}, **lacking}
    found = [eviction.is_guarded(budget, each) for budget in (enough, lacking, always) for each in (ready, {})]
    assert found == [True, False, True, True, True, False]


async def test_an_event_is_served_in_both_groups(ask: Any) -> None:
    core = "/api/v1/namespaces/default/events"
    event = {
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "reason": "R", "message": "M", "type": "Normal",
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"}, "count": 2,
    }  # fmt: skip
    await ask("POST", core, event)
    new = await ask("GET", "/apis/events.k8s.io/v1/namespaces/default/events/e")
    assert (new["apiVersion"], new["note"], new["regarding"]["name"], new["deprecatedCount"]) == (
        "events.k8s.io/v1", "M", "p", 2,
    )  # fmt: skip


async def test_a_watch_with_a_selector_tells_of_those_that_enter_and_leave(ask: Any) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "labels": {"t": "no"}}}
    await ask("POST", CONFIGMAPS, body)
    events = ask.watch(f"{CONFIGMAPS}?watch=True&labelSelector=t%3Dyes&resourceVersion={ask.server.store.revision}")
    for label in ("yes", "yes", "no"):
        body["metadata"]["labels"] = {"t": label, "n": label + str(ask.server.store.revision)}
        await ask("PUT", f"{CONFIGMAPS}/c", body)
    assert [(await anext(events))["type"] for _ in range(3)] == ["ADDED", "MODIFIED", "DELETED"]
    await events.aclose()


async def test_a_list_as_partial_metadata_carries_no_more(ask: Any) -> None:
    await ask(
        "POST", CONFIGMAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "b"}}
    )
    accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    listed = await ask("GET", CONFIGMAPS, accept=accept)
    assert listed["kind"] == "PartialObjectMetadataList"
    assert set(listed["items"][0]) == {"kind", "apiVersion", "metadata"}


async def test_what_cannot_be_answered_is_refused_as_status(ask: Any) -> None:
    assert (await ask("GET", CONFIGMAPS, accept="text/html"))["code"] == 406
    assert (await ask("POST", CONFIGMAPS, {"metadata": {"name": "late"}}, accept="text/html"))["code"] == 406
    assert (await ask("GET", f"{CONFIGMAPS}/late"))["code"] == 404, "who cannot be answered changes nothing"
    assert (await ask("POST", CONFIGMAPS, b"<x/>", media="text/xml"))["code"] == 415
    assert (await ask("PATCH", f"{CONFIGMAPS}/c", b"{}", media="application/json"))["code"] == 415
    assert (await ask("PUT", CONFIGMAPS, {}))["code"] == 405
    assert (await ask("POST", CONFIGMAPS, b"{"))["code"] == 400
    assert (await ask("GET", f"{CONFIGMAPS}?resourceVersion=999999&resourceVersionMatch=Exact"))["code"] == 504
    assert (await ask("GET", f"{CONFIGMAPS}?limit=x"))["code"] == 400
    assert (await ask("GET", f"{CONFIGMAPS}?continue=garbage!"))["code"] == 400
    assert (await ask("POST", CONFIGMAPS, b"[" * 100_000))["code"] == 400
    big = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "x" * 1_600_000}}
    assert (await ask("POST", CONFIGMAPS, big))["code"] in (413, 422)


async def test_a_review_has_no_columns(ask: Any) -> None:
    reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    asked = {"spec": {"nonResourceAttributes": {"verb": "get", "path": "/"}}}
    table = "application/json;as=Table;v=v1;g=meta.k8s.io"
    assert (await ask("POST", reviews, asked, accept=table))["code"] == 406
    assert (await ask("POST", reviews, asked, accept=f"{table},application/json"))["status"]["allowed"]


async def test_deletecollection_deletes_what_the_selector_chooses(ask: Any) -> None:
    for name in ("a", "b"):
        metadata = {"name": name, "labels": {"n": name}}
        await ask("POST", CONFIGMAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    deleted = await ask("DELETE", f"{CONFIGMAPS}?labelSelector=n%3Da")
    assert [item["metadata"]["name"] for item in deleted["items"]] == ["a"]
    left = await ask("GET", CONFIGMAPS)
    assert [item["metadata"]["name"] for item in left["items"]] == ["b"]


async def test_ephemeral_containers_are_only_added(ask: Any) -> None:
    pods, smp = "/api/v1/namespaces/default/pods", "application/strategic-merge-patch+json"
    await ask("POST", pods, {"metadata": {"name": "e"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})

    async def changed(containers: Any, media: str = smp) -> Any:
        return await ask(
            "PATCH", f"{pods}/e/ephemeralcontainers", {"spec": {"ephemeralContainers": containers}}, media=media
        )

    assert (await changed([{"name": "d", "image": "i"}]))["kind"] == "Pod"
    assert (await changed([{"name": "d2", "image": "i"}]))["kind"] == "Pod"
    refused = await changed([{"name": "d", "image": "j"}])
    assert refused["message"] == (
        'Pod "e" is invalid: spec.ephemeralContainers: Forbidden: existing ephemeral containers "d" may not be changed'
    )
    assert (await changed(None, "application/merge-patch+json"))["code"] == 422


async def test_a_pods_status_leaves_its_owners_alone(ask: Any) -> None:
    pods, merge = "/api/v1/namespaces/default/pods", "application/merge-patch+json"
    owner = {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"}
    await ask("POST", pods, {"metadata": {"name": "o"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
    change = {"metadata": {"ownerReferences": [owner], "labels": {"a": "b"}}, "status": {"phase": "Running"}}
    written = await ask("PATCH", f"{pods}/o/status", change, media=merge)
    assert ("ownerReferences" in written["metadata"], written["status"]["phase"]) == (False, "Running")
