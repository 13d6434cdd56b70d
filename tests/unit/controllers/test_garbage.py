"""The garbage collector's verdicts."""

from typing import Any

import msgspec
import pytest

from knarr.base.ids import Revision
from knarr.client.cache import Cache, Held
from knarr.controllers import garbage
from knarr.kinds.apps import REPLICASET
from knarr.kinds.core_config import NAMESPACE, NODE
from knarr.kinds.core_pod import POD
from knarr.kinds.registry import Kind

API_VERSION = {"Pod": "v1", "ReplicaSet": "apps/v1beta9", "Node": "v1", "Unknown": "example.com/v1"}


def owner(name: str, kind: str = "ReplicaSet", *, uid: str = "", blocks: bool = False) -> dict[str, Any]:
    reference: dict[str, Any] = {"apiVersion": API_VERSION[kind], "kind": kind, "name": name, "uid": uid or name}
    return reference | ({"blockOwnerDeletion": True} if blocks else {})


def thing(name: str, *owners: dict[str, Any], ends: str = "", deleted: bool = False, namespace: str = "a") -> bytes:
    metadata: dict[str, Any] = {"name": name, "namespace": namespace, "uid": name, "ownerReferences": list(owners)}
    if ends or deleted:
        metadata["deletionTimestamp"] = "2030-01-01T00:00:00Z"
        metadata["finalizers"] = [ends] if ends else []
    return msgspec.json.encode({"metadata": metadata})


def verdict(content: dict[Kind, list[bytes]], kind: Kind, name: str) -> garbage.Verdict:
    cache = Cache((), metadata_only=(POD, REPLICASET, NODE))
    for one, items in content.items():
        cache.replace(one, items, Revision(1))
    held = cache.held(kind, "" if kind == NODE else "a", name)
    assert held is not None
    return garbage.verdict(held, cache, garbage.Kinds(cache.kinds))


def test_a_dependent_of_an_owner_that_exists_is_kept() -> None:
    assert verdict({POD: [thing("p", owner("r"))], REPLICASET: [thing("r")]}, POD, "p") == garbage.Keep()


def test_a_dependent_of_nobody_is_collected() -> None:
    found = verdict({POD: [thing("p", owner("r"))]}, POD, "p")
    assert isinstance(found, garbage.Collect)
    assert (found.propagation, [one.name for one in found.absent]) == ("Background", ["r"])


def test_a_namesake_of_the_owner_is_not_the_owner() -> None:
    found = verdict({POD: [thing("p", owner("r", uid="before"))], REPLICASET: [thing("r")]}, POD, "p")
    assert isinstance(found, garbage.Collect)


def test_one_owner_is_enough_and_references_to_the_others_go() -> None:
    found = verdict({POD: [thing("p", owner("r"), owner("gone"))], REPLICASET: [thing("r")]}, POD, "p")
    assert isinstance(found, garbage.DropReferences)
    assert found.uids == {"gone"}


def test_an_owner_of_an_unknown_kind_is_never_judged() -> None:
    assert verdict({POD: [thing("p", owner("x", "Unknown"))]}, POD, "p") == garbage.Keep()


def test_a_cluster_scoped_owner_is_found_from_a_namespace() -> None:
    node = {NODE: [thing("n", namespace="")]}
    assert verdict(node | {POD: [thing("p", owner("n", "Node"))]}, POD, "p") == garbage.Keep()


def test_dependents_of_a_foreground_deletion_go_and_hold_it_up_when_they_block() -> None:
    content = {POD: [thing("p", owner("r", blocks=True))], REPLICASET: [thing("r", ends=garbage.FOREGROUND)]}
    assert isinstance(verdict(content, POD, "p"), garbage.Collect)
    assert verdict(content, REPLICASET, "r") == garbage.Keep()


@pytest.mark.parametrize("pods", [[], [thing("p", owner("r"))]])
def test_a_foreground_deletion_ends_when_nothing_blocks_it(pods: list[bytes]) -> None:
    content = {POD: pods, REPLICASET: [thing("r", ends=garbage.FOREGROUND)]}
    assert verdict(content, REPLICASET, "r") == garbage.EndForeground()


def test_an_orphaning_deletion_releases_its_dependents() -> None:
    content = {POD: [thing("p", owner("r"))], REPLICASET: [thing("r", ends=garbage.ORPHAN)]}
    found = verdict(content, REPLICASET, "r")
    assert isinstance(found, garbage.Release)
    assert [one.metadata.name for one in found.dependents] == ["p"]


def test_what_is_on_its_way_is_not_deleted_again() -> None:
    assert verdict({POD: [thing("p", owner("r"), deleted=True)]}, POD, "p") == garbage.Keep()


def test_middle_of_a_foreground_chain_is_deleted_in_the_foreground() -> None:
    middle = thing("q", owner("r"))
    content = {POD: [middle, thing("p", owner("q", "Pod"))], REPLICASET: [thing("r", ends=garbage.FOREGROUND)]}
    found = verdict(content, POD, "q")
    assert isinstance(found, garbage.Collect)
    assert found.propagation == "Foreground"


def test_held_objects_know_their_owners() -> None:
    held = Held(POD, thing("p", owner("r")))
    assert held.owner_uids() == ["r", ""]


def test_a_circle_of_foreground_deletions_is_cut() -> None:
    first = thing("a", owner("b", blocks=True), ends=garbage.FOREGROUND)
    found = verdict({REPLICASET: [first, thing("b", owner("a", blocks=True))]}, REPLICASET, "b")
    assert isinstance(found, garbage.Collect)
    assert found.propagation == "Background"


def test_an_owner_in_another_namespace_is_told_and_none() -> None:
    cache = Cache((), metadata_only=(POD, REPLICASET, NODE, NAMESPACE))
    near, far = thing("r"), thing("far", namespace="b")
    content = {
        NAMESPACE: [thing("a", namespace=""), thing("b", namespace="")],
        REPLICASET: [near, far],
        POD: [thing("p", owner("far"), owner("r"), owner("gone"))],
        NODE: [thing("n", owner("r"), namespace="")],
    }
    for kind, items in content.items():
        cache.replace(kind, items, Revision(1))
    kinds = garbage.Kinds(cache.kinds)
    pod, node = cache.held(POD, "a", "p"), cache.held(NODE, "", "n")
    assert pod is not None
    assert node is not None
    assert [one.name for one in garbage.misplaced(pod, cache, kinds)] == ["far"]
    assert [one.name for one in garbage.misplaced(node, cache, kinds)] == ["r"]
