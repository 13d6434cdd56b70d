"""Rules about whole pods: ended by the kubelet or a deadline, on a lost node, waiting. Pure."""

from knarr.diagnosis import scene as scenes
from knarr.diagnosis.finding import Finding, evidence
from knarr.diagnosis.scene import Json, Scene

_ENDED = {
    "Evicted": (
        "the node was short of a resource and evicted the pod",
        "set requests and limits, free space on the node",
    ),
    "DeadlineExceeded": ("the pod ran longer than its activeDeadlineSeconds", "raise activeDeadlineSeconds"),
    "Preempting": ("a pod of higher priority took its place", "raise its priorityClassName, or lower requests"),
    "NodeAffinity": ("the node no longer matches the pod's node affinity", "label the node as the pod asks"),
    "NodeShutdown": ("the node shut down", "the pod's controller makes a new one"),
}


def ended_by_node(scene: Scene, pod: Json) -> Finding | None:
    found = _ENDED.get(str(scenes.status(pod).get("reason", "")))
    if found is None:
        return None
    return Finding(found[0], evidence(str(scenes.status(pod).get("message", ""))), found[1])


def on_lost_node(scene: Scene, pod: Json) -> Finding | None:
    wanted = str(scenes.spec(pod).get("nodeName", ""))
    node = scene.named("Node", wanted) if wanted else None
    if not wanted or scenes.is_over(pod) or not scene.all("Node"):
        return None
    if node is None:
        return Finding(f"the pod's node {wanted!r} is gone", (), "kubectl delete pod with --force if it stays")
    ready = scenes.condition(node, "Ready")
    if ready.get("status") == "True" or not ready:
        return None
    return Finding(
        f"the pod's node {wanted!r} is not ready",
        evidence(f"Ready is {ready.get('status')}: {ready.get('reason', '')}", str(ready.get("message", ""))),
        f"knarr why node/{wanted}; knarr status",
    )


def waiting(scene: Scene, pod: Json) -> Finding | None:
    """It has a node, is not ready, and nothing more is known."""
    if scenes.is_over(pod) or scenes.is_ready(pod) or scenes.metadata(pod).get("deletionTimestamp"):
        return None
    said = scene.newest(pod)
    return Finding(
        f"the pod is not ready yet (phase {scenes.status(pod).get('phase', 'Pending')})",
        evidence(str(scenes.condition(pod, "Ready").get("message", "")), f"last event: {said}" if said else ""),
        "ask again in a few seconds; kubectl describe pod shows its events",
    )
