"""`knarr why KIND/NAME`: why an object is not where its spec wants it: cause, evidence, next step.

Reads the object and what is around it by the API (cli/api_access.py), in few requests, and what its controllers say
about it; the deciding is diagnosis/diagnose.py's. Exit code 0 whatever is found: the question was answered.
"""

import argparse
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from knarr.cli import api_access, api_reading, printing, resources, target
from knarr.cli.api_reading import Api
from knarr.cli.printing import Failure
from knarr.cli.resources import Resource
from knarr.diagnosis import diagnose
from knarr.diagnosis.finding import Diagnosis, Finding
from knarr.diagnosis.scene import Json, Scene

LOG_LINES, LOG_BYTES = 10, 8192
OBJECTS_MAX = 2000
"""Of each kind around the object; more are not looked at."""
ATTEMPTS_SHOWN = 12
"""Lines of a pod's probes."""
OTHERS_SHOWN = 4
"""Findings after the first that are shown as well; -o json has all."""

# What is read beside an object of a kind: kinds of the same namespace, and of the whole cluster. Pods, events and nodes
# come with everything that has pods.
_PODS = ("Pod", "Event", "Node")
_AROUND: dict[str, tuple[str, ...]] = {
    "Pod": _PODS,
    "Deployment": ("ReplicaSet", *_PODS),
    "ReplicaSet": _PODS,
    "ReplicationController": _PODS,
    "StatefulSet": _PODS,
    "DaemonSet": _PODS,
    "Job": _PODS,
    "CronJob": ("Job", *_PODS),
    "Service": ("EndpointSlice", *_PODS),
    "Ingress": ("Service", "Event"),
    "PodDisruptionBudget": _PODS,
    "PersistentVolumeClaim": ("Pod", "Event", "StorageClass"),
    "Node": ("Pod", "PodDisruptionBudget"),
    "Namespace": (),
}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("object", metavar="KIND/NAME", nargs="+", help="the object: deployment/web, or pod web-1")
    parser.add_argument("-n", "--namespace", default="default", help="its namespace (default: default)")
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text", help="how to print (default: text)")
    target.configure(parser)


def run(arguments: argparse.Namespace) -> int:
    word, name = asked(arguments.object)
    with api_access.connected(arguments) as api:
        resource = resources.called(word, api)
        scene = _scene(api, resource, arguments.namespace if resource.is_namespaced else "", name)
        diagnosis = diagnose.diagnose(scene)
        attempts = _attempts(api, scene.subject)
    if arguments.output == "json":
        printing.show(json.dumps({**as_json(scene, diagnosis), "probes": attempts}, indent=2))
    else:
        printing.show("\n".join([*text(scene, diagnosis), *time_line(attempts)]))
    return 0


def asked(words: Sequence[str]) -> tuple[str, str]:
    """The words for kind and name."""
    kind, _, name = "/".join(words).partition("/")
    if not kind or not name or "/" in name:
        raise Failure(
            f"{' '.join(words)!r} names no object", "", "knarr why KIND/NAME, as deployment/web", printing.EXIT_USAGE
        )
    return kind, name


def _scene(api: Api, resource: Resource, namespace: str, name: str) -> Scene:
    subject = api.get(resource.path(namespace, name))
    if subject is None:
        where = f" in namespace {namespace!r}" if namespace else ""
        hint = (
            f"kubectl get {resource.plural} --all-namespaces lists them"
            if namespace
            else f"kubectl get {resource.plural}"
        )
        raise Failure(f"there is no {resource.singular} {name!r}{where}", "", hint, printing.EXIT_MISSING)
    around = {word: _list(api, word, namespace) for word in _AROUND.get(resource.kind, ("Event",))}
    now = datetime.now(UTC)
    scene = Scene({"kind": resource.kind, **subject}, around, now=now)
    if diagnose.needs_all_pods(scene):
        around["Pod"] = _list(api, "Pod", "")
    logs = {(each.pod, each.container): _log(api, each) for each in diagnose.logs_wanted(scene)}
    return Scene(scene.subject, around, logs, now, _reasons(api, resource, namespace, name))


def _reasons(api: Api, resource: Resource, namespace: str, name: str) -> dict[str, str]:
    """What the object's controllers say; nothing where the server is not knarr's, or does not tell us."""
    words = [resource.group, resource.kind, namespace, name]
    answer = api.text("/knarr/why/" + "/".join(api_reading.quoted(word or "-") for word in words))
    try:
        found = json.loads(answer or "{}")
    except ValueError:
        return {}
    if not isinstance(found, dict):
        return {}
    return {key: value for key, value in found.items() if isinstance(value, str)}


def _list(api: Api, word: str, namespace: str) -> list[Json]:
    """The objects of that kind in the namespace ("" or a cluster's kind: everywhere), each with its kind named."""
    answer = api.get(f"{resources.of_kind(word).path(namespace)}?limit={OBJECTS_MAX}") or {}
    return [{"kind": word, **each} for each in answer.get("items") or ()]


def _log(api: Api, wanted: diagnose.LogWanted) -> list[str]:
    """The container's last lines; none where the node cannot say."""
    place = f"/api/v1/namespaces/{api_reading.quoted(wanted.namespace)}/pods/{api_reading.quoted(wanted.pod)}/log"
    previous = "&previous=true" if wanted.is_previous else ""
    query = f"?container={api_reading.quoted(wanted.container)}&tailLines={LOG_LINES}&limitBytes={LOG_BYTES}{previous}"
    return [_SEQUENCES.sub("", line) for line in api.text(place + query).splitlines()]


def _attempts(api: Api, subject: Json) -> list[Json]:
    """What the probes of a pod said lately; nothing where its node cannot say."""
    spec, node = subject.get("spec") or {}, (subject.get("spec") or {}).get("nodeName", "")
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    probes = ("livenessProbe", "readinessProbe", "startupProbe")
    if subject["kind"] != "Pod" or not node or not any(key in each for each in containers for key in probes):
        return []
    name, namespace = (api_reading.quoted(subject["metadata"][key]) for key in ("name", "namespace"))
    found = api.text(f"/api/v1/nodes/{api_reading.quoted(node)}/proxy/probes?namespace={namespace}&pod={name}")
    try:
        attempts: list[Json] = json.loads(found).get("attempts", [])
    except ValueError:
        return []
    return attempts


def time_line(attempts: Sequence[Json]) -> list[str]:
    """The last attempts of each probe, equal ones in a row as one line."""
    lines: list[tuple[str, str, int]] = []
    for each in attempts:
        said = f": {_SEQUENCES.sub('', each['output']).splitlines()[0]}" if each["output"] else ""
        what = f"{each['container']} {each['probe']} {each['result']}{said}"
        if lines and lines[-1][1] == what:
            lines[-1] = (lines[-1][0], what, lines[-1][2] + 1)
        else:
            lines.append((each["time"][11:23], what, 1))
    shown = [f"  {at} {what}{f' ({count} times)' if count > 1 else ''}" for at, what, count in lines[-ATTEMPTS_SHOWN:]]
    return ["", "probes, the last attempts:", *shown] if shown else []


_SEQUENCES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
"""Colours: programs write them to their logs, and evidence is plain text."""


def text(scene: Scene, diagnosis: Diagnosis) -> list[str]:
    title = f"{scene.kind.lower()}/{scene.subject['metadata']['name']}"
    if not diagnosis.findings:
        return [
            f"{title}: nothing is wrong: it is as its spec wants it",
            f"  looked at: {', '.join(diagnosis.looked_at)}",
        ]
    first, *others = diagnosis.findings
    says = [f"  seen: {controller} waits: {said}" for controller, said in scene.reasons.items()]
    lines = [f"{title}: {first.cause}{_where(first, title)}", *_evidence(first)]
    lines += [*(says if first.rule != "awaited" else ()), f"  next: {first.next_step}"]
    for other in others[:OTHERS_SHOWN]:
        lines += ["", f"also: {other.cause}{_where(other, title)}", *_evidence(other), f"  next: {other.next_step}"]
    hidden = len(others) - OTHERS_SHOWN
    return [*lines, "", f"{hidden} more findings: -o json shows them"] if hidden > 0 else lines


def _where(finding: Finding, title: str) -> str:
    others = [about for about in finding.about if about != title]
    if len(others) > 1:
        return f" ({len(others)} pods, {others[0]} among them)"
    return f" ({others[0]})" if others else ""


def _evidence(finding: Finding) -> list[str]:
    return [f"  seen: {line}".replace("\n", "\n        ") for line in finding.evidence]


def as_json(scene: Scene, diagnosis: Diagnosis) -> dict[str, Any]:
    metadata = scene.subject["metadata"]
    place = {"namespace": metadata["namespace"]} if metadata.get("namespace") else {}
    findings = [
        {
            "cause": each.cause,
            "evidence": list(each.evidence),
            "nextStep": each.next_step,
            "rule": each.rule,
            "about": list(each.about),
        }
        for each in diagnosis.findings
    ]
    named = {"kind": scene.kind, "name": metadata["name"], **place}
    return {
        **named,
        "findings": findings,
        "controllers": dict(scene.reasons),
        "lookedAt": list(diagnosis.looked_at),
    }
