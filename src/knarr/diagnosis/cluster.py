"""Rules about nodes, claims, and objects of any kind that tell by their conditions. Pure."""

from collections.abc import Iterator
from fractions import Fraction

from knarr.diagnosis import scene as scenes
from knarr.diagnosis.finding import Finding, evidence
from knarr.diagnosis.scene import Scene
from knarr.objects import quantity

_PRESSURES = {"MemoryPressure": "memory", "DiskPressure": "disk", "PIDPressure": "process ids"}
_GOOD = ("Ready", "Available", "Established", "NamesAccepted", "ScalingActive", "AbleToScale", "Healthy")


def node_not_ready(scene: Scene) -> Iterator[Finding]:
    ready = scenes.condition(scene.subject, "Ready")
    if ready.get("status") == "True":
        return
    silent = ready.get("status", "Unknown") == "Unknown"
    yield Finding(
        "the node's kubelet no longer reports" if silent else "the node is not ready",
        evidence(
            f"Ready is {ready.get('status', 'not set')}: {ready.get('reason', '')}",
            str(ready.get("message", "")),
            f"last heartbeat {ready.get('lastHeartbeatTime', '')}",
        ),
        "knarr status says whether the node process runs; knarr logs node says why not",
    )


def node_pressed(scene: Scene) -> Iterator[Finding]:
    for type_, what in _PRESSURES.items():
        found = scenes.condition(scene.subject, type_)
        if found.get("status") == "True":
            yield Finding(
                f"the node is short of {what}",
                evidence(str(found.get("message", ""))),
                "delete pods that are not needed; for disk: knarr prune",
            )


def node_cordoned(scene: Scene) -> Iterator[Finding]:
    if scenes.spec(scene.subject).get("unschedulable"):
        yield Finding(
            "the node is cordoned: no new pods are put on it",
            evidence("spec.unschedulable: true"),
            f"kubectl uncordon {scenes.name(scene.subject)}",
        )


def claim_unbound(scene: Scene) -> Iterator[Finding]:
    if scenes.status(scene.subject).get("phase") != "Pending":
        return
    wanted = scenes.spec(scene.subject).get("storageClassName")
    classes = [scenes.name(each) for each in scene.all("StorageClass")]
    said = scene.newest(scene.subject)
    storage = scene.named("StorageClass", str(wanted)) if wanted else None
    shown = evidence(said, f"storage classes: {', '.join(classes) or 'none'}")
    if wanted and storage is None:
        cause, step = f"the claim wants the storage class {wanted!r}, which does not exist", "mend storageClassName"
    elif storage is not None and storage.get("volumeBindingMode") == "WaitForFirstConsumer":
        cause, step = "the claim is bound once a pod uses it (WaitForFirstConsumer)", "create the pod that uses it"
    else:
        cause, step = (
            "the claim is not bound: no volume fits it",
            "create a PersistentVolume that fits, or name a class; knarr makes and mounts no volumes of claims yet: "
            "a pod that is to run needs emptyDir or hostPath",
        )
    yield Finding(cause, shown, step)


def claim_lost(scene: Scene) -> Iterator[Finding]:
    if scenes.status(scene.subject).get("phase") == "Lost":
        volume = scenes.spec(scene.subject).get("volumeName", "")
        yield Finding(f"the claim's volume {volume!r} is gone", (), "delete the claim and create it anew")


def awaited(scene: Scene) -> Iterator[Finding]:
    """What the object's controllers say, where no rule knows more."""
    for controller, said in scene.reasons.items():
        yield Finding(
            f"its controller waits: {said}",
            evidence(f"said by {controller}", scene.newest(scene.subject)),
            "ask again in a few seconds: what it waits for may be on its way",
        )


def quota_full(scene: Scene) -> Iterator[Finding]:
    """A ResourceQuota that lets nothing more in."""
    status = scenes.status(scene.subject)
    hard, used = status.get("hard") or {}, status.get("used") or {}
    full = [name for name in hard if name in used and _amount(used[name]) >= _amount(hard[name])]
    if full:
        yield Finding(
            f"the quota is used up: {', '.join(full)}",
            evidence(*(f"{name}: {used[name]} of {hard[name]}" for name in full)),
            f"delete what is not needed in namespace {scenes.namespace(scene.subject)}, or raise spec.hard",
        )


def _amount(text: object) -> Fraction:
    return quantity.parse(str(text))


def unwell(scene: Scene) -> Iterator[Finding]:
    """A condition that should be True and is not, of any kind of object but pods, which have rules of their own."""
    if scene.kind == "Pod":
        return
    for type_ in _GOOD:
        found = scenes.condition(scene.subject, type_)
        if found and found.get("status") != "True":
            yield Finding(
                f"its condition {type_} is {found.get('status')} ({found.get('reason', 'no reason given')})",
                evidence(str(found.get("message", "")), scene.newest(scene.subject)),
                "mend what the message names",
            )
