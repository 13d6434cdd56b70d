"""What a claim is bound to, and what a claim is told that is not."""

from datetime import UTC, datetime

import msgspec
import pytest

from knarr.base.ids import Revision
from knarr.client.cache import Cache
from knarr.client.client import Json
from knarr.controllers import volumebinding
from knarr.controllers.controller import Patch, Plan
from knarr.kinds.core_storage import PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM, STORAGECLASS
from knarr.kinds.lens.storage import PersistentVolumeClaim

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def planned(class_name: str, *, volumes: list[Json] | None = None, classes: list[Json] | None = None) -> Plan:
    spec = {"storageClassName": class_name, "accessModes": ["ReadWriteOnce"]}
    claim = {
        "metadata": {"name": "work", "namespace": "a", "uid": "u"},
        "spec": {**spec, "resources": {"requests": {"storage": "1Gi"}}},
    }
    cache = Cache([PERSISTENTVOLUMECLAIM, PERSISTENTVOLUME, STORAGECLASS])
    content = {PERSISTENTVOLUMECLAIM: [claim], PERSISTENTVOLUME: volumes or [], STORAGECLASS: classes or []}
    for kind in cache.kinds:
        cache.replace(kind, [msgspec.json.encode(one) for one in content[kind]], Revision(1))
    found = cache.get(PersistentVolumeClaim, "a", "work")
    assert found is not None
    return volumebinding.plan_claim(found, cache, NOW)


def storage_class(provisioner: str, mode: str = "Immediate") -> Json:
    return {"metadata": {"name": "fast"}, "provisioner": provisioner, "volumeBindingMode": mode}


def volume(size: str, class_name: str = "") -> Json:
    spec = {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "storageClassName": class_name}
    return {
        "metadata": {"name": f"v{size}{class_name}", "resourceVersion": "1"},
        "spec": {**spec, "hostPath": {"path": "/v"}},
    }


@pytest.mark.parametrize(
    ("class_name", "classes", "told"),
    [
        ("", [], ("Normal", "FailedBinding", volumebinding.NO_VOLUME)),
        ("fast", [], ("Warning", "ProvisioningFailed", 'storageclass.storage.k8s.io "fast" not found')),
        (
            "fast",
            [storage_class("kubernetes.io/no-provisioner")],
            ("Warning", "ProvisioningFailed", "no volume plugin matched name: kubernetes.io/no-provisioner"),
        ),
        (
            "fast",
            [storage_class("kubernetes.io/no-provisioner", "WaitForFirstConsumer")],
            ("Normal", "WaitForFirstConsumer", volumebinding.WAITING),
        ),
    ],
)
def test_a_claim_that_is_not_bound_is_told_why(class_name: str, classes: list[Json], told: tuple[str, ...]) -> None:
    plan = planned(class_name, volumes=[volume("1Mi", class_name)], classes=classes)
    (event,) = plan.events
    assert (event.type, event.reason, event.message) == told
    assert (plan.status, plan.why) == ({"phase": "Pending"}, told[2])


def test_a_claim_whose_class_has_a_provisioner_waits_for_it() -> None:
    (event,) = planned("fast", classes=[storage_class("example.com/disks")]).events
    assert event.reason == "ExternalProvisioning"
    assert "external provisioner 'example.com/disks'" in event.message


def test_a_claim_gets_the_smallest_volume_that_suits_it() -> None:
    plan = planned("", volumes=[volume("9Gi"), volume("1Gi"), volume("1Mi"), volume("1Gi", "fast")])
    of_volume, of_claim = (action for action in plan.actions if isinstance(action, Patch))
    assert of_volume.body["spec"]["claimRef"]["name"] == "work"
    assert of_claim.body["spec"] == {"volumeName": "v1Gi"}
