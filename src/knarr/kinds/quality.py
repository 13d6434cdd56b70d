"""The quality of service of a pod, from the requests and limits of its containers or of its own. Pure.

Amounts are canonical, so equal ones are equal texts. Spec: "Pod Quality of Service Classes".
"""

from typing import Any

Json = dict[str, Any]


def of_pod(spec: Json) -> str:
    """Guaranteed, Burstable or BestEffort, as documented."""
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    if spec.get("resources"):
        containers = [spec]
    is_best_effort, is_guaranteed = True, True
    for container in containers:
        resources = container.get("resources") or {}
        limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
        given = [(limits.get(name), requests.get(name, limits.get(name))) for name in ("cpu", "memory")]
        if any(not _is_zero(value) for pair in given for value in pair):
            is_best_effort = False
        if any(_is_zero(limit) or limit != request for limit, request in given):
            is_guaranteed = False
    if is_best_effort:
        return "BestEffort"
    return "Guaranteed" if is_guaranteed else "Burstable"


def _is_zero(value: object) -> bool:
    return value in (None, "", "0", 0)
