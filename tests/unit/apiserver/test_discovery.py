"""Discovery's older documents: which version objects are stored in, told by upstream's hash of it."""

import msgspec

from knarr.apiserver.discovery import Discovery
from knarr.apiserver.server import served_kinds
from knarr.kinds import metrics

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
