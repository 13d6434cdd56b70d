"""Preferences: fewer PreferNoSchedule taints, more weight of preferred node affinity, the image already there."""

from knarr.kinds.lens.pod import Pod
from knarr.scheduler.filters.node_affinity import matches
from knarr.scheduler.filters.taints import is_tolerated
from knarr.scheduler.snapshot import NodeState


def score(pod: Pod, state: NodeState) -> float:
    """The more the better; each part weighs 0…100 as upstream's plugins do."""
    disliked = [
        taint
        for taint in state.node.spec.taints
        if taint.effect == "PreferNoSchedule" and not is_tolerated(taint, pod.spec.tolerations)
    ]
    affinity = pod.spec.affinity and pod.spec.affinity.node_affinity
    preferred = affinity.preferred_during_scheduling_ignored_during_execution if affinity else ()
    weight = sum(term.weight for term in preferred if matches(term.preference, state.node))
    present = {name for image in state.node.status.images for name in image.names}
    images = [container.image for container in pod.spec.containers]
    locality = 100 * sum(image in present for image in images) / max(1, len(images))
    return 300 * (not disliked) + 2 * min(100, weight) + locality
