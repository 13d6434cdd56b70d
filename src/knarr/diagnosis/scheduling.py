"""Rules about pods without a node: the scheduler's reason, and a verdict per node from what the nodes offer. Pure.

The scheduler's own sentence leads; the verdicts add what it leaves out: how much is asked and how much is free.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import msgspec

from knarr.diagnosis import scene as scenes
from knarr.diagnosis.finding import Finding, evidence
from knarr.diagnosis.scene import Json, Scene
from knarr.kinds import nodes
from knarr.kinds.lens.scheduling import Taint, Toleration
from knarr.objects import quantity

NODES_SHOWN: Final = 10
# A resource's name may have dots (example.com/gpu); one that ends the sentence is followed by a space or by nothing.
_SHORT = re.compile(r"Insufficient ([\w./-]+?)(?=[,;]|\.?(?:\s|$))", re.ASCII)
_TAINT = re.compile(r"untolerated taint\(?s?\)? ?\{([^}]*)\}")


@dataclass(frozen=True, slots=True)
class _Row:
    """If the scheduler's sentence has `words`: the cause (of pod and sentence) and the next step."""

    words: str
    cause: Callable[[Json, str], str]
    next_step: str


def gated(scene: Scene, pod: Json) -> Finding | None:
    gates = [str(gate.get("name")) for gate in scenes.spec(pod).get("schedulingGates") or ()]
    if not gates:
        return None
    return Finding(
        f"the pod is held back by its scheduling gate {gates[0]!r}",
        evidence(f"spec.schedulingGates: {', '.join(gates)}"),
        "whoever set the gate must take it out of spec.schedulingGates",
    )


def unschedulable(scene: Scene, pod: Json) -> Finding | None:
    if scenes.spec(pod).get("nodeName") or scenes.is_over(pod):
        return None
    condition = scenes.condition(pod, "PodScheduled")
    said = str(condition.get("message", "")) if condition.get("reason") == "Unschedulable" else ""
    said = said or scene.newest(pod, "FailedScheduling")
    if not said and not scene.all("Node"):
        said = "no nodes available to schedule pods"
    if not said:
        return None
    row = next((row for row in _ROWS if row.words in said.split(" preemption:")[0]), _OTHER)
    verdicts = [verdict(scene, pod, node) for node in list(scene.all("Node"))[:NODES_SHOWN]]
    return Finding(row.cause(pod, said), evidence(said, *verdicts), row.next_step)


def unscheduled(scene: Scene, pod: Json) -> Finding | None:
    """No node and no word from a scheduler."""
    if scenes.spec(pod).get("nodeName") or scenes.is_over(pod):
        return None
    scheduler = scenes.spec(pod).get("schedulerName", "default-scheduler")
    return Finding(
        f"no scheduler has looked at the pod yet (schedulerName: {scheduler})",
        (),
        "check spec.schedulerName, and that the cluster runs: knarr status",
    )


def verdict(scene: Scene, pod: Json, node: Json) -> str:
    """`node vm: cpu: 100 asked, 3.5 of 4 free; nodeSelector disk=ssd not among its labels`."""
    faults = [*_standing(node), *_labels(pod, node), *_taints(pod, node), *_resources(scene, pod, node)]
    faults += _ports(scene, pod, node)
    return f"node {scenes.name(node)}: {'; '.join(faults) or 'nothing against it in resources, labels, taints, ports'}"


def _standing(node: Json) -> list[str]:
    ready = scenes.condition(node, "Ready").get("status", "Unknown")
    said = [] if ready == "True" else [f"not ready (Ready is {ready})"]
    return [*said, "cordoned"] if scenes.spec(node).get("unschedulable") else said


def _labels(pod: Json, node: Json) -> list[str]:
    labels = scenes.metadata(node).get("labels") or {}
    wanted = scenes.spec(pod).get("nodeSelector") or {}
    return [
        f"label {key} is {labels.get(key, 'not set')!r}, not {value!r}"
        for key, value in wanted.items()
        if labels.get(key) != value
    ]


def _taints(pod: Json, node: Json) -> list[str]:
    tolerations = msgspec.convert(scenes.spec(pod).get("tolerations") or (), tuple[Toleration, ...])
    taints = msgspec.convert(scenes.spec(node).get("taints") or (), tuple[Taint, ...])
    bad = [each for each in taints if each.effect != "PreferNoSchedule" and not nodes.is_tolerated(each, tolerations)]
    return [f"taint {taint.key}={taint.value}:{taint.effect} not tolerated" for taint in bad]


def _resources(scene: Scene, pod: Json, node: Json) -> list[str]:
    mine = [each for each in scene.all("Pod") if scenes.spec(each).get("nodeName") == scenes.name(node)]
    running = [each for each in mine if not scenes.is_over(each)]
    said = []
    for name, asked in requests(pod).items():
        total = quantity.parse(str((scenes.status(node).get("allocatable") or {}).get(name, "0")))
        free = total - sum((requests(each).get(name, Fraction(0)) for each in running), Fraction(0))
        if asked > free:
            said.append(f"{name}: {_shown(name, asked)} asked, {_shown(name, free)} of {_shown(name, total)} free")
    return said


def requests(pod: Json) -> dict[str, Fraction]:
    """What the pod asks: the sum of its containers, or the largest init container where that is more."""
    total: dict[str, Fraction] = {}
    for container in scenes.spec(pod).get("containers") or ():
        for name, amount in _asked(container).items():
            total[name] = total.get(name, Fraction(0)) + amount
    for container in scenes.spec(pod).get("initContainers") or ():
        for name, amount in _asked(container).items():
            total[name] = max(total.get(name, Fraction(0)), amount)
    return total


def _asked(container: Json) -> dict[str, Fraction]:
    resources = container.get("resources") or {}
    merged = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return {name: quantity.parse(str(amount)) for name, amount in merged.items()}


def _shown(name: str, amount: Fraction) -> str:
    if name == "cpu" and amount.denominator != 1:
        return f"{float(amount):.3g}"
    if name == "memory" and amount >= 2**20:
        return f"{int(amount / 2**20)}Mi"
    return str(int(amount))


def _ports(scene: Scene, pod: Json, node: Json) -> list[str]:
    wanted = host_ports(pod)
    said = []
    for other in scene.all("Pod"):
        is_there = scenes.spec(other).get("nodeName") == scenes.name(node) and not scenes.is_over(other)
        taken = sorted(wanted & host_ports(other)) if is_there else []
        said += [f"host port {port} is taken by pod {scenes.name(other)}" for port in taken]
    return said


def host_ports(pod: Json) -> set[int]:
    containers: Sequence[Json] = scenes.spec(pod).get("containers") or ()
    return {int(port["hostPort"]) for each in containers for port in each.get("ports") or () if port.get("hostPort")}


def _short(pod: Json, said: str) -> str:
    short = list(dict.fromkeys(_SHORT.findall(said)))
    asked = requests(pod)
    words = [f"{name} ({_shown(name, asked[name])} asked)" if name in asked else name for name in short]
    return f"no node has enough free {' and '.join(words)}"


def _selector(pod: Json, _: str) -> str:
    wanted = ", ".join(f"{key}={value}" for key, value in (scenes.spec(pod).get("nodeSelector") or {}).items())
    return f"no node has the labels of nodeSelector {wanted}" if wanted else "no node matches the pod's node affinity"


def _tainted(_: Json, said: str) -> str:
    found = _TAINT.search(said)
    taint = found[1].strip().rstrip(":") if found else ""
    if taint.startswith(("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")):
        return "the node is not ready, and nothing new is put on it"
    return f"every fitting node has a taint that the pod does not tolerate: {taint}"


# Words of the scheduler's sentence, what they mean, what to do; the first that holds answers. What the pod asks comes
# before what others did to the nodes.
_ROWS = (
    _Row(
        "no nodes available",
        lambda _, __: "the cluster has no node",
        "knarr status; a cluster that is up --api-only runs no pods: knarr up",
    ),
    _Row(
        "didn't match Pod's node affinity/selector",
        _selector,
        "kubectl label node NODE KEY=VALUE, or mend nodeSelector or affinity",
    ),
    _Row("Insufficient", _short, "lower resources.requests, or stop pods that hold the resource"),
    _Row("Too many pods", lambda _, __: "every node runs as many pods as it may", "delete pods that are not needed"),
    _Row(
        "free ports",
        lambda pod, _: f"the pod's host port {', '.join(map(str, sorted(host_ports(pod))))} is taken on every node",
        "use another hostPort, or none: a Service reaches pods without it",
    ),
    _Row(
        "untolerated taint",
        _tainted,
        "tolerate the taint in spec.tolerations, or take it away: kubectl taint node NODE KEY-; for not-ready: "
        "knarr why node/NODE",
    ),
    _Row("were unschedulable", lambda _, __: "every node is cordoned", "kubectl uncordon NODE"),
    _Row(
        "unbound immediate PersistentVolumeClaims",
        lambda pod, _: f"the pod waits for a claim that is not bound to a volume ({', '.join(_claims(pod))})",
        "knarr why pvc/NAME: the claim needs a volume or a storage class that makes one",
    ),
    _Row(
        "volume node affinity conflict",
        lambda pod, _: f"the volume of its claim ({', '.join(_claims(pod))}) can be used on other nodes only",
        "kubectl get pv -o wide: the volume's nodeAffinity names its nodes",
    ),
    _Row(
        "available persistent volumes to bind",
        lambda pod, _: f"no volume on any node suits the pod's claim ({', '.join(_claims(pod))})",
        "create a PersistentVolume of the claim's class, size and access modes: kubectl describe pvc",
    ),
    _Row(
        "persistentvolumeclaim",
        lambda _, said: "the pod uses a claim that does not exist: " + _quoted(said),
        "create the claim, or mend claimName: kubectl get pvc",
    ),
    _Row(
        "pod affinity rules",
        lambda _, __: "no node has the pods beside it that podAffinity asks for",
        "start those pods first, or mend podAffinity's selector",
    ),
    _Row(
        "anti-affinity",
        lambda _, __: "on every node runs a pod that podAntiAffinity keeps it away from",
        "use preferredDuringScheduling, or fewer replicas than nodes",
    ),
    _Row(
        "topology spread",
        lambda _, __: "no node keeps the pods as even as topologySpreadConstraints asks",
        "raise maxSkew, or use whenUnsatisfiable: ScheduleAnyway",
    ),
)
_OTHER = _Row("", lambda _, __: "no node suits the pod", "mend what the scheduler's sentence names")


def _claims(pod: Json) -> list[str]:
    volumes = scenes.spec(pod).get("volumes") or ()
    named = [(each.get("persistentVolumeClaim") or {}).get("claimName") for each in volumes]
    made = [f"{scenes.name(pod)}-{each.get('name')}" for each in volumes if each.get("ephemeral")]
    return [*(str(name) for name in named if name), *made]


def _quoted(said: str) -> str:
    found = re.search(r'"([^"]+)"', said)
    return found[1] if found else said
