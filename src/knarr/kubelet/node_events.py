"""What the kubelet tells about its Node as Events: conditions that changed, and that it was cordoned or uncordoned.

Pure: what was and what is in, reasons out, in upstream's words. Who writes the status: heartbeat.py. Not here:
evictions (eviction.py) and what pods meet.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

Json = dict[str, Any]
# Condition → the reasons of its being True, and of its not being so.
CONDITIONS: Final[Mapping[str, tuple[str, str]]] = {
    "Ready": ("NodeReady", "NodeNotReady"),
    "MemoryPressure": ("NodeHasInsufficientMemory", "NodeHasSufficientMemory"),
    "DiskPressure": ("NodeHasDiskPressure", "NodeHasNoDiskPressure"),
    "PIDPressure": ("NodeHasInsufficientPID", "NodeHasSufficientPID"),
}


def of_conditions(before: Sequence[Json], after: Sequence[Json]) -> list[str]:
    """The reasons of the conditions whose status changed; nothing of those that were not told before."""
    known = {each["type"]: each["status"] for each in before}
    return [
        CONDITIONS[each["type"]][each["status"] != "True"]
        for each in after
        if each["type"] in CONDITIONS and known.get(each["type"], each["status"]) != each["status"]
    ]


def of_schedulability(before: bool, after: bool) -> list[str]:
    """`before` and `after`: whether the Node is cordoned."""
    if before == after:
        return []
    return ["NodeNotSchedulable" if after else "NodeSchedulable"]


def message(node: str, reason: str) -> str:
    return f"Node {node} status is now: {reason}"
