"""What this process may give to a container: knarr itself may run with less than everything.

Where CAP_SYS_RESOURCE (or another capability) is missing, the kernel refuses to hand it on and to lower an OOM score;
both are clamped to what is possible instead of failing the container. `clamp` is pure; `read` asks the kernel.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from knarr.runtime import defaults

_SYS_RESOURCE: Final = "CAP_SYS_RESOURCE"


@dataclass(frozen=True, slots=True)
class Limits:
    """Capabilities that this process has, and its own OOM score."""

    capabilities: frozenset[str]
    oom_score: int


def parse(status: str, oom_score: int) -> Limits:
    """The limits that /proc/self/status tells."""
    line = next((line for line in status.splitlines() if line.startswith("CapBnd:")), "CapBnd: 0")
    bits = int(line.split()[1], 16)
    held = {name for number, name in enumerate(defaults.ALL_CAPABILITIES) if bits >> number & 1}
    return Limits(frozenset(held), oom_score)


def read() -> Limits:
    """The limits of this process."""
    own = Path("/proc/self")
    return parse((own / "status").read_text(), int((own / "oom_score_adj").read_text()))


def oom_score(wanted: int, limits: Limits) -> int:
    """The score asked for, or our own where the kernel would refuse a lower one."""
    return wanted if _SYS_RESOURCE in limits.capabilities else max(wanted, limits.oom_score)


def clamp(oci: Mapping[str, Any], limits: Limits) -> dict[str, Any]:
    """The OCI configuration with what can be given of what it asks for."""
    process = dict(oci["process"])
    if "capabilities" in process:
        process["capabilities"] = {
            kind: [name for name in names if name in limits.capabilities]
            for kind, names in process["capabilities"].items()
        }
    if "oomScoreAdj" in process:
        process["oomScoreAdj"] = oom_score(process["oomScoreAdj"], limits)
    return {**oci, "process": process}
