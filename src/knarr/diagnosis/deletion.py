"""Rules about objects that do not go away: finalizers, namespaces, disruption budgets. Pure."""

from collections.abc import Iterator

from knarr.diagnosis import scene as scenes
from knarr.diagnosis.finding import Finding, evidence
from knarr.diagnosis.scene import Json, Scene
from knarr.objects import labels

# Finalizers whose owner is known: who takes it away, and when.
_KNOWN = {
    "foregroundDeletion": "the garbage collector takes it away once all dependents are gone",
    "orphan": "the garbage collector takes it away once dependents are released",
    "kubernetes.io/pvc-protection": "it goes once no pod uses the claim",
    "kubernetes.io/pv-protection": "it goes once the volume is not bound",
    "batch.kubernetes.io/job-tracking": "the job controller takes it away once it has counted the pod",
}
_NAMESPACE_CONDITIONS = (
    "NamespaceFinalizersRemaining",
    "NamespaceContentRemaining",
    "NamespaceDeletionContentFailure",
    "NamespaceDeletionDiscoveryFailure",
    "NamespaceDeletionGroupVersionParsingFailure",
)


def namespace_terminating(scene: Scene) -> Iterator[Finding]:
    if scenes.status(scene.subject).get("phase") != "Terminating":
        return
    conditions = [scenes.condition(scene.subject, type_) for type_ in _NAMESPACE_CONDITIONS]
    said = [str(each.get("message", "")) for each in conditions if each.get("status") == "True"]
    held = next((text for text in said if "finalizer" in text), "")
    what = "on finalizers of objects in it" if held else "for what is still in it"
    yield Finding(
        f"the namespace is terminating and waits {what}",
        evidence(*said, f"deleted at {scenes.metadata(scene.subject).get('deletionTimestamp', '')}"),
        f"kubectl get all -n {scenes.name(scene.subject)}; knarr why on what is left names its finalizers",
    )


def held_by_finalizers(scene: Scene) -> Iterator[Finding]:
    """Of any kind but Pod, whose own rule says it."""
    found = stuck(scene, scene.subject) if scene.kind != "Pod" else None
    if found is not None:
        yield found


def stuck(scene: Scene, each: Json) -> Finding | None:
    """The object is deleted and finalizers hold it."""
    deleted, finalizers = scenes.metadata(each).get("deletionTimestamp"), scenes.metadata(each).get("finalizers")
    if not deleted or not finalizers:
        return None
    users = _users(scene, each) if "kubernetes.io/pvc-protection" in finalizers else []
    return Finding(
        f"it was deleted and waits for its finalizer {finalizers[0]!r}",
        evidence(
            f"deleted at {deleted}",
            *(
                f"{name}: {_KNOWN.get(name, 'the controller that put it there must take it away')}"
                for name in finalizers
            ),
            f"used by pod {', '.join(users)}" if users else "",
        ),
        "start the controller that owns the finalizer; if it is gone for good: kubectl patch "
        f"{scenes.title(each)}{_in_namespace(each)} --type=merge "
        '-p \'{"metadata":{"finalizers":null}}\'',
    )


def ending_slowly(scene: Scene, pod: Json) -> Finding | None:
    """A deleted pod that no finalizer holds is in its grace period."""
    deleted = scenes.metadata(pod).get("deletionTimestamp")
    if not deleted:
        return None
    held = stuck(scene, pod)
    if held is not None:
        return held
    grace = scenes.metadata(pod).get("deletionGracePeriodSeconds", 30)
    return Finding(
        f"the pod was deleted and its containers have {grace} s to end",
        evidence(f"will be gone by {deleted}", scene.newest(pod, "Killing", "FailedPreStopHook", "FailedKillPod")),
        "let the program end on SIGTERM, or lower terminationGracePeriodSeconds",
    )


def budget_blocks(scene: Scene) -> Iterator[Finding]:
    """A PodDisruptionBudget that lets no pod go."""
    if blocks(scene.subject):
        yield _blocked(scene.subject)


def drain_blocked(scene: Scene) -> Iterator[Finding]:
    """A cordoned node whose pods are held by budgets."""
    if not scenes.spec(scene.subject).get("unschedulable"):
        return
    mine = [pod for pod in scene.all("Pod") if scenes.spec(pod).get("nodeName") == scenes.name(scene.subject)]
    for budget in scene.all("PodDisruptionBudget"):
        near = [pod for pod in mine if scenes.namespace(pod) == scenes.namespace(budget)]
        if blocks(budget) and scenes.selected(near, labels.of(scenes.spec(budget).get("selector"))):
            yield _blocked(budget)


def blocks(budget: Json) -> bool:
    status = scenes.status(budget)
    return bool(status.get("expectedPods")) and status.get("disruptionsAllowed", 0) == 0


def _blocked(budget: Json) -> Finding:
    status, spec = scenes.status(budget), scenes.spec(budget)
    rule = next((f"{key}: {spec[key]}" for key in ("minAvailable", "maxUnavailable") if key in spec), "")
    healthy, wanted = status.get("currentHealthy", 0), status.get("desiredHealthy", 0)
    short = healthy < wanted
    return Finding(
        f"the PodDisruptionBudget {scenes.name(budget)!r} allows no eviction"
        + (": too few of its pods are healthy" if short else ": all its pods are needed"),
        evidence(f"{healthy} healthy, {wanted} wanted of {status.get('expectedPods')}", rule),
        "mend the unhealthy pods" if short else "run more replicas, or relax minAvailable or maxUnavailable",
    )


def _in_namespace(each: Json) -> str:
    return f" -n {scenes.namespace(each)}" if scenes.namespace(each) else ""


def _users(scene: Scene, claim: Json) -> list[str]:
    wanted = scenes.name(claim)
    return [
        scenes.name(pod)
        for pod in scene.here("Pod")
        for volume in scenes.spec(pod).get("volumes") or ()
        if (volume.get("persistentVolumeClaim") or {}).get("claimName") == wanted
    ]
