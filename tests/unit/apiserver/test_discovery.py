"""Discovery's older documents: which version objects are stored in, told by upstream's hash of it."""

import msgspec

from knarr.apiserver.discovery import Discovery
from knarr.apiserver.server import served_kinds
from knarr.kinds import metrics, registry

# What a stock cluster answers.
HASHES = {
    ("/api/v1", "pods"): "xPOwRZ+Yhw8=",
    ("/api/v1", "events"): "r2yiGXH7wu8=",
    ("/apis/events.k8s.io/v1", "events"): "r2yiGXH7wu8=",
    ("/apis/apps/v1", "deployments"): "8aSe+NMegvE=",
    ("/apis/autoscaling/v1", "horizontalpodautoscalers"): "qwQve8ut294=",
    ("/apis/autoscaling/v2", "horizontalpodautoscalers"): "qwQve8ut294=",
    ("/api/v1", "pods/status"): None,
    ("/api/v1", "bindings"): None,
    ("/api/v1", "componentstatuses"): None,
    ("/apis/authorization.k8s.io/v1", "subjectaccessreviews"): None,
    ("/apis/metrics.k8s.io/v1beta1", "nodes"): None,
}


def test_discovery_says_in_which_version_a_kind_is_stored() -> None:
    discovery = Discovery([*served_kinds(), *metrics.ROWS])
    found = {}
    for path, name in HASHES:
        answer = discovery.answer(path, "")
        assert answer is not None, path
        (row,) = (each for each in msgspec.json.decode(answer[1])["resources"] if each["name"] == name)
        found[path, name] = row.get("storageVersionHash")
    assert found == HASHES


def test_groups_that_do_nothing_yet_are_in_no_document() -> None:
    discovery = Discovery([*served_kinds(), *metrics.ROWS])
    answer = discovery.answer("/apis", "")
    assert answer is not None
    groups = {group["name"] for group in msgspec.json.decode(answer[1])["groups"]}
    assert "apps" in groups
    assert not groups & registry.LATER_GROUPS
    for group in registry.LATER_GROUPS:
        assert discovery.answer(f"/apis/{group}", "") is None
        assert discovery.answer(f"/apis/{group}/v1", "") is None
