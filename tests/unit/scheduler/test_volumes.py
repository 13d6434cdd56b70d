"""Claims and volumes: where the pods that name them may go, and in whose words not."""

from typing import Any

import msgspec
import pytest

from knarr.kinds.lens.storage import CSINode, PersistentVolume, PersistentVolumeClaim, StorageClass
from knarr.scheduler.schedule import Unschedulable, schedule
from knarr.scheduler.snapshot import Snapshot
from tests.unit.scheduler.building import HOST, ZONE, node, pod

USES = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "store"}}]}


def claim(volume: str = "", name: str = "store", **spec: Any) -> PersistentVolumeClaim:
    given = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **spec}
    body = {
        "metadata": {"name": name, "namespace": "default", "uid": name},
        "spec": {**given, "volumeName": volume},
        "status": {"phase": "Bound" if volume else "Pending"},
    }
    return msgspec.convert(body, PersistentVolumeClaim)


def volume(name: str, host: str = "", size: str = "1Gi", **more: Any) -> PersistentVolume:
    asked = {"matchExpressions": [{"key": HOST, "operator": "In", "values": [host]}]}
    affinity = {"nodeAffinity": {"required": {"nodeSelectorTerms": [asked]}}} if host else {}
    spec = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": size}, **affinity, **more.pop("spec", {})}
    return msgspec.convert({"metadata": {"name": name, **more}, "spec": spec}, PersistentVolume)


def cluster(*objects: Any, **more: Any) -> Snapshot:
    snapshot = Snapshot([node("a", "x", *more.get("on_a", ())), node("b", "y")])
    for each in objects:
        match each:
            case PersistentVolumeClaim():
                snapshot.volumes.claims["default", each.metadata.name] = each
            case PersistentVolume():
                snapshot.volumes.volumes[each.metadata.name] = each
            case StorageClass():
                snapshot.volumes.classes[each.metadata.name] = each
            case CSINode():
                snapshot.volumes.drivers[each.metadata.name] = each
    return snapshot


def local(provisioner: str = "kubernetes.io/no-provisioner", **more: Any) -> StorageClass:
    body = {"metadata": {"name": "local"}, "provisioner": provisioner, "volumeBindingMode": "WaitForFirstConsumer"}
    return msgspec.convert({**body, **more}, StorageClass)


def answer(snapshot: Snapshot, **more: Any) -> str:
    outcome = schedule(pod("p", **{**USES, **more}), snapshot)
    return outcome.message if isinstance(outcome, Unschedulable) else outcome.node


def refused(reason: str) -> str:
    return f"0/2 nodes are available: 2 {reason}."


def test_a_pod_goes_where_its_volume_can_be_used() -> None:
    assert answer(cluster(claim("disk"), volume("disk", "b"))) == "b"
    assert answer(cluster(claim("disk"), volume("disk", "c"))) == refused("node(s) had volume node affinity conflict")


def test_a_volume_that_is_gone_is_named() -> None:
    gone = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
    assert answer(cluster(claim("disk"))) == refused(gone)


def test_a_zone_of_a_volume_holds_for_the_pod() -> None:
    assert answer(cluster(claim("disk"), volume("disk", labels={ZONE: "y__z"}))) == "b"
    far = volume("disk", labels={ZONE: "z"})
    assert answer(cluster(claim("disk"), far)) == refused("node(s) had no available volume zone")


def test_a_claim_waits_for_its_consumer_and_takes_the_smallest_volume_there() -> None:
    waiting, spec = claim(storageClassName="local"), {"storageClassName": "local"}
    volumes = volume("large", "b", "9Gi", spec=spec), volume("small", "b", "2Gi", spec=spec)
    snapshot = cluster(local(), waiting, *volumes, volume("tiny", "a", "1Mi", spec=spec))
    assert answer(snapshot) == "b"
    promises = snapshot.volumes.promises(pod("p", **USES), snapshot.nodes["b"].node)
    assert promises is not None
    assert [each.volume for each in promises] == ["small"]


def test_a_volume_is_promised_once() -> None:
    waiting, other = claim(storageClassName="local"), claim(name="other", storageClassName="local")
    snapshot = cluster(local(), waiting, other, volume("disk", "b", spec={"storageClassName": "local"}))
    promises = snapshot.volumes.promises(pod("p", **USES), snapshot.nodes["b"].node)
    assert promises is not None
    snapshot.volumes.promise(promises)
    uses = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "other"}}]}
    nothing = refused("node(s) didn't find available persistent volumes to bind")
    assert answer(snapshot, **uses) == nothing
    snapshot.volumes.give_up(promises)
    assert answer(snapshot, **uses) == "b"


@pytest.mark.parametrize(("values", "found"), [(["y"], "b"), (["z"], None)])
def test_a_provisioner_makes_volumes_where_its_topologies_allow(values: list[str], found: str | None) -> None:
    topologies = [{"matchLabelExpressions": [{"key": ZONE, "values": values}]}]
    made = local("example.com/disks", allowedTopologies=topologies)
    expected = found or refused("node(s) didn't find available persistent volumes to bind")
    assert answer(cluster(made, claim(storageClassName="local"))) == expected


def test_a_claim_for_one_pod_is_not_shared() -> None:
    mine = claim("disk", accessModes=["ReadWriteOncePod"])
    snapshot = cluster(mine, volume("disk", "a"), on_a=[pod("first", **USES)])
    reason = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
    expected = f"0/2 nodes are available: 1 {reason}, 1 node(s) had volume node affinity conflict."
    assert answer(snapshot) == expected


def test_a_driver_attaches_no_more_volumes_than_it_may() -> None:
    csi = {"csi": {"driver": "d", "volumeHandle": "h1"}}, {"csi": {"driver": "d", "volumeHandle": "h2"}}
    drivers = {"drivers": [{"name": "d", "nodeID": "a", "allocatable": {"count": 1}}]}
    limits = msgspec.convert({"metadata": {"name": "a"}, "spec": drivers}, CSINode)
    uses = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "other"}}]}
    volumes = volume("one", spec=csi[0]), volume("two", spec=csi[1])
    claims = claim("one", "other"), claim("two")
    snapshot = cluster(limits, *claims, *volumes, on_a=[pod("first", **uses)])
    assert answer(snapshot) == "b"
    assert answer(snapshot, **uses, nodeSelector={HOST: "a"}) == "a"
    only = answer(snapshot, nodeSelector={HOST: "a"})
    assert "1 node(s) exceed max volume count" in only
