"""The cache: indexes, progress, listeners, and what a list changes."""

from typing import Any

import msgspec
import pytest

from knarr.base.errors import DeadlineExceeded
from knarr.base.ids import Revision
from knarr.client.cache import Cache, Changed
from knarr.client.client import EventType, WatchEvent
from knarr.kinds.core_config import CONFIGMAP, SECRET
from knarr.kinds.core_pod import POD
from knarr.kinds.lens.config import ConfigMap
from knarr.kinds.lens.pod import Pod


def pod(name: str, revision: int, *, node: str = "", owner: str = "", uid: str = "") -> bytes:
    metadata: dict[str, Any] = {"name": name, "namespace": "a", "uid": uid or f"u-{name}"}
    metadata["resourceVersion"] = str(revision)
    if owner:
        metadata["ownerReferences"] = [{"uid": owner, "controller": True, "kind": "ReplicaSet", "name": "r"}]
    return msgspec.json.encode({"metadata": metadata, "spec": {"nodeName": node}})


def event(kind: EventType, content: bytes) -> WatchEvent:
    return WatchEvent(kind, content)


def names(found: object) -> list[str]:
    return [one.metadata.name for one in found]  # type: ignore[attr-defined]


def test_objects_are_found_by_name_owner_and_node() -> None:
    cache = Cache([POD])
    cache.replace(POD, [pod("b", 2, node="n1", owner="r1"), pod("a", 1)], Revision(2))
    assert names(cache.list(Pod)) == ["a", "b"]
    assert names(cache.list(Pod, "other")) == []
    assert names(cache.owned(Pod, "r1")) == ["b"]
    assert names(cache.owned(Pod, "")) == ["a"]
    assert names(cache.on_node(Pod, "n1")) == ["b"]
    assert names(cache.on_node(Pod, "")) == ["a"]


def test_an_index_follows_a_change() -> None:
    cache = Cache([POD])
    cache.replace(POD, [pod("a", 1, owner="r1")], Revision(1))
    cache.apply(POD, event("MODIFIED", pod("a", 2, node="n1")))
    assert names(cache.owned(Pod, "r1")) == []
    assert names(cache.owned(Pod, "")) == ["a"]
    assert names(cache.on_node(Pod, "n1")) == ["a"]
    cache.apply(POD, event("DELETED", pod("a", 3, node="n1")))
    assert names(cache.list(Pod)) == []
    assert names(cache.on_node(Pod, "n1")) == []


def test_a_lens_is_decoded_once_per_revision() -> None:
    cache = Cache([POD])
    cache.replace(POD, [pod("a", 1)], Revision(1))
    first = cache.get(Pod, "a", "a")
    assert cache.get(Pod, "a", "a") is first
    cache.apply(POD, event("MODIFIED", pod("a", 2)))
    assert cache.get(Pod, "a", "a") is not first


def test_the_view_is_at_the_least_progress_of_its_kinds() -> None:
    cache = Cache([POD, CONFIGMAP])
    cache.replace(POD, [], Revision(7))
    assert cache.revision == 0
    cache.replace(CONFIGMAP, [], Revision(5))
    assert cache.revision == 5
    bookmark = msgspec.json.encode({"metadata": {"resourceVersion": "9"}})
    cache.apply(CONFIGMAP, event("BOOKMARK", bookmark))
    assert cache.revision == 7


def test_a_late_repeat_of_an_event_changes_nothing() -> None:
    cache = Cache([POD])
    cache.replace(POD, [pod("a", 5, node="n1")], Revision(5))
    heard: list[Changed] = []
    cache.listen(heard.append)
    cache.apply(POD, event("MODIFIED", pod("a", 4)))
    cache.apply(POD, event("DELETED", pod("a", 3)))
    assert heard == []
    assert names(cache.on_node(Pod, "n1")) == ["a"]


def test_a_new_list_tells_only_what_differs() -> None:
    cache = Cache([POD])
    cache.replace(POD, [pod("same", 1), pod("gone", 2), pod("changed", 3)], Revision(3))
    heard: list[tuple[str, bool, bool]] = []
    cache.listen(lambda changed: heard.append((changed.held.metadata.name, bool(changed.old), bool(changed.new))))
    cache.replace(POD, [pod("same", 1), pod("changed", 4), pod("new", 5)], Revision(6))
    assert heard == [("gone", True, False), ("changed", True, True), ("new", False, True)]


def test_a_namesake_is_told_as_removal_and_addition() -> None:
    cache = Cache([POD])
    cache.replace(POD, [pod("a", 1, uid="old")], Revision(1))
    heard: list[tuple[bool, bool]] = []
    cache.listen(lambda changed: heard.append((bool(changed.old), bool(changed.new))))
    cache.replace(POD, [pod("a", 2, uid="new")], Revision(2))
    assert heard == [(True, False), (False, True)]


def test_a_removal_is_seen_when_the_object_is_gone_or_terminating() -> None:
    cache = Cache([POD])
    cache.replace(POD, [pod("a", 1)], Revision(1))
    assert not cache.saw_removal(POD, "a", "a", "u-a")
    assert cache.saw_removal(POD, "a", "a", "another uid")
    assert cache.saw_removal(POD, "a", "b", "u-b")


def test_kinds_kept_as_metadata_have_no_content() -> None:
    cache = Cache([CONFIGMAP], metadata_only=[SECRET, CONFIGMAP])
    content = msgspec.json.encode({"metadata": {"name": "s", "namespace": "a", "uid": "u"}, "data": {"k": "v"}})
    cache.replace(SECRET, [content], Revision(1))
    cache.replace(CONFIGMAP, [content], Revision(1))
    held = cache.held(SECRET, "a", "s")
    assert held is not None
    assert (held.raw, held.metadata.uid) == (b"", "u")
    assert cache.raw(ConfigMap, "a", "s") == content


def test_lens_only_kinds_let_go_of_their_content_once_it_is_read() -> None:
    cache = Cache([POD], lens_only=[POD])
    cache.replace(POD, [pod("a", 1)], Revision(1))
    seen = cache.get(Pod, "a", "a")
    held = cache.held(POD, "a", "a")
    assert held is not None
    assert held.raw == b""
    assert cache.get(Pod, "a", "a") is seen
    with pytest.raises(AssertionError, match="the JSON of Pod is not kept"):
        cache.raw(Pod, "a", "a")


async def test_whoever_waits_for_a_revision_is_woken_by_it() -> None:
    cache = Cache([POD])
    cache.replace(POD, [], Revision(1))
    with pytest.raises(DeadlineExceeded, match="the cache of pods reaching revision 2"):
        await cache.reached(POD, Revision(2), seconds=0.0)
    cache.apply(POD, event("ADDED", pod("a", 2)))
    await cache.reached(POD, Revision(2), seconds=0.0)


def test_an_object_that_no_lens_can_read_does_not_end_the_view() -> None:
    cache = Cache([POD])
    heard: list[str] = []
    cache.listen(lambda changed: heard.append(changed.held.lens(Pod).metadata.name))
    broken = msgspec.json.encode({"metadata": {"name": "bad", "namespace": "a", "uid": "x"}, "spec": {"containers": 1}})
    cache.replace(POD, [broken, pod("good", 1)], Revision(1))
    assert heard == ["good"]
