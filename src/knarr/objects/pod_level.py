"""What a pod's own requests are when it says only limits: its containers' sum, else the limit. Pure.

A row of the table of defaults that needs arithmetic (upstream's defaultPodRequests); defaults.py calls it. The sum is
that of all that runs together, or the worst moment of initialising. Huge pages have no part in it.
"""

from fractions import Fraction
from typing import Any, Final

from knarr.objects import quantity

Json = dict[str, Any]
REQUESTS: Final = "pod-level-requests"
SHARED: Final = ("cpu", "memory")
"""The resources that a pod as a whole may have."""


def fill_requests(pod: Json) -> None:
    """Complete spec.resources.requests, where the pod has resources of its own."""
    spec = pod.get("spec") or {}
    own = spec.get("resources")
    if not isinstance(own, dict) or not own.get("limits"):
        return
    requests = dict(own.get("requests") or {})
    for name in SHARED:
        if name in requests:
            continue
        texts = _texts(spec, name)
        if texts:
            requests[name] = quantity.text(_together(spec, name), texts[0])
        elif name in own["limits"]:
            requests[name] = own["limits"][name]
    if requests:
        own["requests"] = requests


def _texts(spec: Json, name: str) -> list[str]:
    """The requests of that resource as its containers write them."""
    containers = (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()))
    return [text for each in containers if (text := _request(each, name)) is not None]


def _together(spec: Json, name: str) -> Fraction:
    helpers = peak = Fraction(0)
    for each in spec.get("initContainers") or ():
        amount = quantity.parse(_request(each, name) or "0")
        if each.get("restartPolicy") == "Always":
            helpers += amount
            peak = max(peak, helpers)
        else:
            peak = max(peak, helpers + amount)
    mains = sum((quantity.parse(_request(each, name) or "0") for each in spec.get("containers") or ()), helpers)
    return max(mains, peak)


def _request(container: Json, name: str) -> str | None:
    requests = (container.get("resources") or {}).get("requests") or {}
    found: str | None = requests.get(name)
    return found
