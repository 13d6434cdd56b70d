"""Rules about Deployments, ReplicaSets, StatefulSets, DaemonSets: what keeps a roll-out from its end. Pure."""

from collections.abc import Iterator

from knarr.diagnosis import scene as scenes
from knarr.diagnosis.finding import Finding, evidence
from knarr.diagnosis.scene import Json, Scene
from knarr.objects import labels


def scaled_to_zero(scene: Scene) -> Iterator[Finding]:
    if scenes.spec(scene.subject).get("replicas", 1) == 0:
        yield Finding(
            "it is scaled to zero",
            evidence("spec.replicas: 0"),
            f"kubectl scale {scenes.title(scene.subject)} --replicas=1",
        )


def selector_mismatch(scene: Scene) -> Iterator[Finding]:
    spec = scenes.spec(scene.subject)
    selector, template = spec.get("selector") or {}, scenes.metadata(spec.get("template") or {}).get("labels") or {}
    if scene.kind == "ReplicationController":
        selector = {"matchLabels": selector}
    if not selector or labels.of(selector).matches(template):
        return
    yield Finding(
        "its selector does not match the labels of its own pod template",
        evidence(f"selector: {selector.get('matchLabels', selector)}", f"template labels: {template}"),
        "give spec.template.metadata.labels what spec.selector asks for",
    )


def paused(scene: Scene) -> Iterator[Finding]:
    if not scenes.spec(scene.subject).get("paused"):
        return
    status = scenes.status(scene.subject)
    yield Finding(
        "the Deployment is paused: changes of its template are not rolled out",
        evidence(f"{status.get('updatedReplicas', 0)} of {status.get('replicas', 0)} pods have the newest template"),
        f"kubectl rollout resume {scenes.title(scene.subject)}",
    )


def unseen(scene: Scene) -> Iterator[Finding]:
    generation, seen = scenes.metadata(scene.subject).get("generation"), scenes.status(scene.subject)
    observed = seen.get("observedGeneration")
    if generation is None or (observed is not None and observed >= generation):
        return
    if scene.kind not in ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"):
        return
    yield Finding(
        "its controller has not seen the newest change yet",
        evidence(f"generation {generation}, observedGeneration {observed or 0}"),
        "ask again in a second; if it stays: knarr status",
    )


def rollout_blocked(scene: Scene) -> Iterator[Finding]:
    """Bad new pods under a rule that lets no old pod go."""
    rolling = (scenes.spec(scene.subject).get("strategy") or {}).get("rollingUpdate") or {}
    status, wanted = scenes.status(scene.subject), scenes.spec(scene.subject).get("replicas", 1)
    updated = status.get("updatedReplicas", 0)
    old = status.get("replicas", 0) - updated
    if str(rolling.get("maxUnavailable", "25%")) not in ("0", "0%") or old <= 0 or not updated:
        return
    yield Finding(
        "the roll-out waits: maxUnavailable is 0, so old pods stay until new ones are available",
        evidence(
            f"{updated} new pods, {old} old ones, {status.get('availableReplicas', 0)} available of {wanted}",
            f"maxSurge: {rolling.get('maxSurge', '25%')}",
        ),
        f"mend the new pods, or go back: kubectl rollout undo {scenes.title(scene.subject)}",
    )


def progress_deadline(scene: Scene) -> Iterator[Finding]:
    found = scenes.condition(scene.subject, "Progressing")
    if found.get("reason") != "ProgressDeadlineExceeded":
        return
    seconds = scenes.spec(scene.subject).get("progressDeadlineSeconds", 600)
    yield Finding(
        f"the roll-out made no progress for {seconds} s (progressDeadlineSeconds)",
        evidence(str(found.get("message", ""))),
        f"mend the new pods, or go back: kubectl rollout undo {scenes.title(scene.subject)}",
    )


def ordinal(scene: Scene) -> Iterator[Finding]:
    """An ordered StatefulSet whose next pod waits for the one before."""
    spec = scenes.spec(scene.subject)
    wanted, pods = int(spec.get("replicas", 1)), {scenes.name(pod): pod for pod in scene.pods()}
    if spec.get("podManagementPolicy", "OrderedReady") != "OrderedReady" or len(pods) >= wanted:
        return
    first = int((spec.get("ordinals") or {}).get("start", 0))
    base = scenes.name(scene.subject)
    for number in range(first, first + wanted):
        pod = pods.get(f"{base}-{number}")
        if pod is not None and not scenes.is_ready(pod):
            after = next((n for n in range(first, first + wanted) if f"{base}-{n}" not in pods), number + 1)
            yield Finding(
                f"{base}-{after} waits until {base}-{number} is ready: pods start one after the other",
                evidence(f"podManagementPolicy: OrderedReady, {len(pods)} of {wanted} pods made"),
                f"knarr why pod/{base}-{number}; Parallel starts all at once",
            )
            return


def held_revision(scene: Scene) -> Iterator[Finding]:
    """OnDelete, or a partition, keeps old pods."""
    spec, status = scenes.spec(scene.subject), scenes.status(scene.subject)
    strategy = spec.get("updateStrategy") or {}
    partition = (strategy.get("rollingUpdate") or {}).get("partition", 0)
    known = _count(status, "updatedNumberScheduled", "updatedReplicas")
    total = _count(status, "desiredNumberScheduled", "replicas")
    why = "updateStrategy: OnDelete" if strategy.get("type") == "OnDelete" else f"partition: {partition}"
    if known >= total or (strategy.get("type") != "OnDelete" and not partition):
        return
    yield Finding(
        f"{total - known} pods keep the old template: {why}",
        evidence(f"{known} of {total} pods have the newest template"),
        "delete the old pods yourself" if "OnDelete" in why else "lower spec.updateStrategy.rollingUpdate.partition",
    )


def no_node_wanted(scene: Scene) -> Iterator[Finding]:
    if scenes.status(scene.subject).get("desiredNumberScheduled", 1) or not scene.all("Node"):
        return
    pod_spec = (scenes.spec(scene.subject).get("template") or {}).get("spec") or {}
    yield Finding(
        "no node is meant for the DaemonSet's pods",
        evidence(f"nodeSelector: {pod_spec.get('nodeSelector', 'none')}", f"{len(scene.all('Node'))} nodes"),
        "label a node as its nodeSelector asks, or tolerate the nodes' taints",
    )


def too_few(scene: Scene) -> Iterator[Finding]:
    """Fewer ready pods than asked for, and nothing more is known."""
    spec, status = scenes.spec(scene.subject), scenes.status(scene.subject)
    wanted = _count({**status, "replicas": spec.get("replicas", 1)}, "desiredNumberScheduled", "replicas")
    ready = _count(status, "numberReady", "readyReplicas")
    if ready < wanted:
        said = scene.newest(scene.subject)
        yield Finding(
            f"{ready} of {wanted} pods are ready",
            evidence(f"last event: {said}" if said else ""),
            "ask again in a few seconds: pods may still be starting",
        )


def _count(each: Json, of_daemons: str, of_replicas: str) -> int:
    """The number under a DaemonSet's word or the other kinds'; 0 if neither is there."""
    return int(each[of_daemons] if of_daemons in each else each.get(of_replicas, 0))
