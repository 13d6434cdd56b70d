"""Rules about what a controller may not create: quota, PodSecurity, LimitRange, service account. Pure.

The refusals are in the FailedCreate events of what creates: ReplicaSet, StatefulSet, DaemonSet, Job; a Deployment
says of its set in a condition.
"""

from collections.abc import Iterator

from knarr.diagnosis import scene as scenes
from knarr.diagnosis.finding import Finding, evidence
from knarr.diagnosis.scene import Json, Scene

# Words of the refusal, what they mean ({its} is what is created), what to do. The first that holds answers.
_ROWS = (
    (
        "exceeded quota",
        "{its} would exceed a ResourceQuota of the namespace",
        "kubectl describe quota -n NAMESPACE; delete what is not needed, lower requests, or raise the quota",
    ),
    (
        "failed quota",
        "a ResourceQuota wants requests or limits that {its} do not set",
        "set resources.requests and limits in the pod template, or a LimitRange with defaults",
    ),
    (
        "violates PodSecurity",
        "{its} violate the namespace's Pod Security level",
        "mend the fields that the message names, or the namespace's label pod-security.kubernetes.io/enforce",
    ),
    (
        "usage per",
        "{its} are outside the bounds of a LimitRange",
        "kubectl describe limitrange -n NAMESPACE; set requests and limits within them",
    ),
    (
        "max limit/request ratio",
        "{its} are outside the bounds of a LimitRange",
        "bring requests and limits nearer to each other",
    ),
    ("serviceaccount", "{its} name a service account that does not exist", "kubectl create serviceaccount NAME"),
    ("PriorityClass", "{its} name a PriorityClass that does not exist", "create it, or mend priorityClassName"),
    ("webhook", "an admission webhook refuses {its}", "mend what the webhook says, or the webhook"),
)
_OTHER = ("", "{its} cannot be created", "mend what the message names in the pod template")
_CREATORS = ("Deployment", "ReplicaSet", "ReplicationController", "StatefulSet", "DaemonSet", "Job")
# What the others create is pods.
_CREATED = {"Deployment": "its ReplicaSet"}


def refused(scene: Scene) -> Iterator[Finding]:
    creators = [scene.subject] if scene.kind in _CREATORS else []
    creators += [each for kind in _CREATORS for each in scene.owned(kind)]
    for creator in creators:
        said = scene.newest(creator, "FailedCreate", "FailedDaemonPod") if _is_short(scene, creator) else ""
        said = said or str(_failure(creator).get("message", ""))
        if said:
            _, cause, step = next((row for row in _ROWS if row[0] in said), _OTHER)
            yield Finding(
                cause.format(its=_CREATED.get(str(creator.get("kind")), "its pods")),
                evidence(said, f"said of {scenes.title(creator)}"),
                step.replace("NAMESPACE", scenes.namespace(creator)),
            )
            return


def _failure(creator: Json) -> Json:
    if creator.get("kind") == "Deployment":
        found = scenes.condition(creator, "Progressing")
        return found if found.get("reason") == "ReplicaSetCreateError" else {}
    found = scenes.condition(creator, "ReplicaFailure")
    return found if found.get("status") == "True" else {}


def _is_short(scene: Scene, creator: Json) -> bool:
    spec, status = scenes.spec(creator), scenes.status(creator)
    if creator.get("kind") == "Deployment":
        return False  # Its sets speak for themselves.
    if creator.get("kind") == "Job":
        over = any(scenes.condition(creator, type_).get("status") == "True" for type_ in ("Complete", "Failed"))
        return not over and not status.get("active")
    if creator.get("kind") == "DaemonSet":
        return bool(status.get("currentNumberScheduled", 0) < status.get("desiredNumberScheduled", 0))
    return bool(status.get("replicas", 0) < spec.get("replicas", 1))
