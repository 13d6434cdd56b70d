"""Lenses of pods share what is equal, and each is what decoding it alone gives."""

import json
from typing import Any

import msgspec
import pytest

from knarr.client import sharing
from knarr.kinds.lens.pod import Pod


def pod(name: str, token: str, *, labels: dict[str, str] | None = None, **spec: Any) -> bytes:
    mounted = [{"name": token, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": True}]
    own = {"name": "own", "mountPath": "/own"}
    written = {
        "containers": [{"name": "c", "image": "i", "volumeMounts": [own, *mounted]}, {"name": "bare"}],
        "initContainers": [{"name": "first", "volumeMounts": mounted}],
        "ephemeralContainers": [{"name": "look", "volumeMounts": mounted}],
        "volumes": [{"name": "own", "emptyDir": {}}, {"name": token, "projected": {"sources": []}}],
        **spec,
    }
    owners = [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "u", "controller": True}]
    metadata = {"name": name, "namespace": "default", "labels": labels or {"app": "x"}, "ownerReferences": owners}
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no nodes"}
    status = {"phase": "Pending", "conditions": [condition]}
    return json.dumps({"metadata": metadata, "spec": written, "status": status}).encode()


@pytest.fixture(autouse=True)
def nothing_known() -> None:
    """What is known is the process's: other tests' pods would fill it at any moment of these."""
    sharing._known.clear()
    sharing._patterns.clear()


def alone(raw: bytes) -> Pod:
    return msgspec.json.decode(raw, type=Pod)


def test_a_shared_lens_equals_the_one_decoded_alone() -> None:
    rows = [
        pod("a", "kube-api-access-aaaaa"),
        pod("b", "kube-api-access-bbbbb"),
        pod("c", "kube-api-access-ccccc", labels={"app": "y", "b": "1"}),
        pod("d", "kube-api-access-ddddd", nodeName="n1", tolerations=[{"key": "k", "operator": "Exists"}]),
        pod("e", "plain"),
        pod("f", "plain"),
        b"{}",
    ]
    assert [sharing.pod(raw) for raw in rows] == [alone(raw) for raw in rows]
    assert [sharing.pod(raw) for raw in rows] == [alone(raw) for raw in rows]


def test_pods_of_one_template_hold_equal_parts_once() -> None:
    first, second = sharing.pod(pod("a", "kube-api-access-aaaaa")), sharing.pod(pod("b", "kube-api-access-bbbbb"))
    assert first.metadata.labels is second.metadata.labels
    assert first.metadata.owner_references is second.metadata.owner_references
    assert first.spec.containers[1] is second.spec.containers[1]
    assert first.spec.volumes[0] is second.spec.volumes[0]
    assert first.spec.volumes[1].projected is second.spec.volumes[1].projected
    assert first.status.conditions[0].message is second.status.conditions[0].message


def test_a_pod_with_the_volumes_name_elsewhere_keeps_it_there() -> None:
    for token in ("kube-api-access-aaaaa", "kube-api-access-bbbbb"):
        whole = pod("a", token, hostname=token)
        part = pod("a", token, subdomain=f"of {token}")
        second = pod("a", token, volumes=[{"name": token}, {"name": "kube-api-access-zzzzz"}])
        for raw in (whole, part, second):
            assert sharing.pod(raw) == alone(raw)


def test_labels_in_another_order_stay_in_their_order() -> None:
    for labels in ({"a": "1", "b": "2"}, {"b": "2", "a": "1"}):
        assert [*sharing.pod(pod("a", "plain", labels=labels)).metadata.labels] == [*labels]


def test_what_is_known_has_a_bound() -> None:
    for number in range(3 * sharing.KNOWN_MAX):
        raw = pod(f"p{number}", f"kube-api-access-{number:05}", labels={"n": str(number)}, hostname=str(number))
        assert sharing.pod(raw).spec.hostname == str(number)
    assert len(sharing._known) <= sharing.KNOWN_MAX + 2 * sharing.MEMBERS_MAX
    assert len(sharing._patterns) <= sharing.PATTERNS_MAX


def test_a_spec_with_the_name_in_other_fields_is_no_pattern() -> None:
    def with_args(token: str, word: str) -> bytes:
        return pod("a", token, containers=[{"name": "c", "args": [word], "volumeMounts": [{"name": token}]}])

    first, second = "kube-api-access-bbbbb", "kube-api-access-ccccc"
    for token, word in ((first, first), (second, "kube-api-access-?????"), (second, second), (first, second)):
        raw = with_args(token, word)
        assert sharing.pod(raw) == alone(raw)


def test_what_is_long_is_not_kept() -> None:
    long = "x" * (sharing.WORD_MAX + 1)
    condition = {"type": long + "t", "status": long + "s", "reason": long + "r", "message": long + "m"}
    status = {"phase": long + "p", "qosClass": long + "q", "conditions": [condition]}
    owner = {"apiVersion": "v1", "kind": long * 4, "name": "n", "uid": "u"}
    labels = {"k": "v" * sharing.LABELS_MAX}
    metadata = {"namespace": long, "labels": labels, "ownerReferences": [owner]}
    raw = json.dumps({"metadata": metadata, "status": status}).encode()
    assert sharing.pod(raw) == alone(raw)
    assert not sharing._known


def test_the_patterns_bytes_have_a_bound() -> None:
    count = 2 * sharing.PATTERNS_BYTES_MAX // sharing.SPEC_BYTES_MAX
    for number in range(count):
        sharing.pod(pod("a", "plain", hostname=f"{number:07000}"))
        assert sum(map(len, sharing._patterns)) <= sharing.PATTERNS_BYTES_MAX
    assert 0 < len(sharing._patterns) < count
