"""From a scene to findings: run the tables of rules.py, bring equal findings together, say what was looked at. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from knarr.diagnosis import container as containers
from knarr.diagnosis import rules
from knarr.diagnosis import scene as scenes
from knarr.diagnosis.finding import Diagnosis, Finding
from knarr.diagnosis.scene import Json, Scene

LOGS_MAX: Final = 3
PODS_MAX: Final = 200
"""Pods beyond this many of one object are not looked at: replicas fail alike."""

_REPLACING = ("Deployment", "ReplicaSet", "ReplicationController", "StatefulSet", "DaemonSet", "Service")
"""Kinds behind which a pod that was deleted or failed has a successor: that one tells."""


@dataclass(frozen=True, slots=True)
class LogWanted:
    """The last lines of this container's log; `is_previous` for the run before the present one."""

    namespace: str
    pod: str
    container: str
    is_previous: bool


def diagnose(scene: Scene) -> Diagnosis:
    found = [*_ask(scene, rules.BEFORE_PODS), *_of_pods(scene), *_ask(scene, rules.AFTER_PODS)]
    last = [rule for rule in rules.AFTER_PODS if rule.is_last]
    return Diagnosis(tuple(_together(found or _ask(scene, last, is_last=True))), tuple(_looked_at(scene)))


def logs_wanted(scene: Scene) -> list[LogWanted]:
    """Whose last log lines would tell why: containers that ended badly, one per container name."""
    wanted: dict[str, LogWanted] = {}
    for pod in _pods(scene):
        for each in containers.of_pod(scene, pod):
            started = each.ended.get("reason") not in ("StartError", "ContainerCannotRun")
            unready = each.is_running and not each.status.get("ready")
            if (each.exit_code and started) or unready:
                previous = each.is_running and bool(each.exit_code)
                place = LogWanted(scenes.namespace(pod), scenes.name(pod), each.name, previous)
                wanted.setdefault(each.name, place)
    return list(wanted.values())[:LOGS_MAX]


def needs_all_pods(scene: Scene) -> bool:
    """Whether a pod waits for a node, so that what others hold of the nodes matters."""
    return any(not scenes.spec(pod).get("nodeName") and not scenes.is_over(pod) for pod in _pods(scene))


def _ask(scene: Scene, table: Iterable[rules.SubjectRule], *, is_last: bool = False) -> list[Finding]:
    asked = [rule for rule in table if rule.is_last == is_last and (not rule.kinds or scene.kind in rule.kinds)]
    title = scenes.title(scene.subject)
    return [_signed(finding, rule.look, title) for rule in asked for finding in rule.look(scene)]


def _pods(scene: Scene) -> Sequence[Json]:
    """The pods that may show a fault: not what ended well, was replaced, or belongs to work that is done."""
    found = [pod for pod in scene.pods() if scenes.status(pod).get("phase") != "Succeeded"]
    if scene.kind in ("Job", "CronJob"):
        return _of_job(scene, found)[:PODS_MAX]
    if scene.kind == "PodDisruptionBudget":
        found = [pod for pod in found if not scenes.is_ready(pod)]
    if scene.kind in _REPLACING:
        found = [pod for pod in found if not scenes.metadata(pod).get("deletionTimestamp")]
    if scene.kind in _REPLACING and any(scenes.is_ready(pod) for pod in found):
        found = [pod for pod in found if not scenes.is_over(pod)]
    return found[:PODS_MAX]


def _of_job(scene: Scene, pods: Sequence[Json]) -> Sequence[Json]:
    """Those of the job, of a CronJob its newest one; none of a job that is complete."""
    jobs = [scene.subject] if scene.kind == "Job" else scene.owned("Job")
    newest = max(jobs, key=lambda job: str(scenes.metadata(job).get("creationTimestamp", "")), default=None)
    if newest is None or scenes.condition(newest, "Complete").get("status") == "True":
        return []
    return [pod for pod in pods if scenes.uid(newest) in scenes.owners(pod)]


def _of_pods(scene: Scene) -> list[Finding]:
    found = [finding for pod in _pods(scene) for finding in _of_pod(scene, pod)]
    # Pods of one object fail in several ways at a time; a known cause says more than "not ready yet".
    return sorted(found, key=lambda finding: finding.rule in ("waiting", "not_yet_ready", "crashing"))


def _of_pod(scene: Scene, pod: Json) -> Iterator[Finding]:
    title = scenes.title({"kind": "Pod", **pod})
    for look in rules.POD:
        finding = look(scene, pod)
        if finding is not None:
            yield _signed(finding, look, title)
            return
    found = [finding for each in containers.of_pod(scene, pod) for finding in _of_container(each, title)]
    yield from found
    if not found:
        answers = ((look, look(scene, pod)) for look in rules.POD_AT_LAST)
        yield from [_signed(finding, look, title) for look, finding in answers if finding is not None][:1]


def _of_container(each: containers.Container, title: str) -> Iterator[Finding]:
    for look in rules.CONTAINER:
        finding = look(each)
        if finding is not None:
            yield _signed(finding, look, title)
            return


def _signed(finding: Finding, look: Any, title: str) -> Finding:
    return replace(finding, rule=look.__name__, about=(title,))


def _together(found: Iterable[Finding]) -> list[Finding]:
    """One finding per cause, about all objects that have it; the first one's evidence."""
    merged: dict[str, Finding] = {}
    for finding in found:
        known = merged.get(finding.cause)
        merged[finding.cause] = (
            finding if known is None else replace(known, about=tuple(dict.fromkeys(known.about + finding.about)))
        )
    return list(merged.values())


def _looked_at(scene: Scene) -> list[str]:
    mine, events = len(scene.pods()), len(scene.events(scene.subject))
    said = [scenes.title(scene.subject)]
    said += [f"its pods ({mine})"] if mine and scene.kind != "Pod" else []
    said += [f"its events ({events})"] if events else []
    counts = {kind: len(scene.all(kind)) for kind in ("Node", "Service", "StorageClass", "PodDisruptionBudget")}
    owned = {kind: len(scene.owned(kind)) for kind in ("ReplicaSet", "Job")}
    return said + [f"{kind} ({count})" for kind, count in (owned | counts).items() if count]
