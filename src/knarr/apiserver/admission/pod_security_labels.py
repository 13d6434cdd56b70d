"""PodSecurity's labels of a Namespace: values that are none are refused, and who tightens `enforce` is told which pods
that are there would not pass. Not here: pods themselves (pod_security.py). Spec: "Pod Security Admission".
"""

import re
from typing import Any, Final

import msgspec

from knarr.apiserver import status
from knarr.apiserver.admission import pod_security
from knarr.apiserver.admission.pod_security import EXEMPT, LABEL, LEVELS
from knarr.apiserver.context import RequestContext
from knarr.apiserver.resources import Json
from knarr.base.errors import Cause
from knarr.objects import faults

PODS: Final = "/registry/pods/"
PODS_MAX: Final = 3000
"""So many pods are looked at, as upstream."""
MODES: Final = ("enforce", "audit", "warn")
_VERSION: Final = re.compile(r"latest|v1\.(0|[1-9][0-9]*)", re.ASCII)


def check(context: RequestContext, namespace: Json, old: Json | None) -> Json:
    """Raises a 422 Refusal for labels that cannot be meant and are new; warns of pods that the level would refuse."""
    if context.route.subresource:
        return namespace
    labels, before = _labels(namespace), _labels(old or {})
    found = _faults(labels)
    if found and (old is None or found != _faults(before)):
        raise status.invalid("Namespace", "", namespace["metadata"].get("name", ""), found)
    if not found and old is not None:
        _warn(context, labels, before)
    return namespace


def _labels(namespace: Json) -> dict[str, str]:
    labels: dict[str, str] = (namespace.get("metadata") or {}).get("labels") or {}
    return {key: value for key, value in labels.items() if key.startswith(LABEL)}


def _faults(labels: dict[str, str]) -> list[Cause]:
    found = []
    for mode in MODES:
        level, version = labels.get(f"{LABEL}{mode}"), labels.get(f"{LABEL}{mode}-version")
        if level is not None and level not in LEVELS:
            field = f"metadata.labels[{LABEL}{mode}]"
            found.append(faults.invalid(field, level, f"must be one of {', '.join(LEVELS)}"))
        if version is not None and not _VERSION.fullmatch(version):
            field = f"metadata.labels[{LABEL}{mode}-version]"
            found.append(faults.invalid(field, version, 'must be "latest" or "v1.x"'))
    return found


def _warn(context: RequestContext, labels: dict[str, str], before: dict[str, str]) -> None:
    default, name = context.server.pod_security, context.route.name
    level, was = (each.get(f"{LABEL}enforce", default) for each in (labels, before))
    if name in EXEMPT or was not in LEVELS or LEVELS.index(level) <= LEVELS.index(was):
        return
    by_reason: dict[str, list[str]] = {}
    for entry in context.server.store.list(f"{PODS}{name}/", limit=PODS_MAX).entries:
        pod: Any = msgspec.json.decode(entry.value)
        reasons = ", ".join(dict.fromkeys(pod_security.reasons(level, pod.get("spec") or {})))
        if reasons:
            by_reason.setdefault(reasons, []).append(pod["metadata"]["name"])
    if by_reason:
        text = f'existing pods in namespace "{name}" violate the new PodSecurity enforce level "{level}:latest"'
        context.warnings += [text, *sorted(_named(pods, reasons) for reasons, pods in by_reason.items())]


def _named(pods: list[str], reasons: str) -> str:
    match len(pods):
        case 1:
            return f"{pods[0]}: {reasons}"
        case 2:
            return f"{pods[0]} (and 1 other pod): {reasons}"
        case count:
            return f"{pods[0]} (and {count - 1} other pods): {reasons}"
