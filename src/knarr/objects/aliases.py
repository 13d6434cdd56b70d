"""Fields that are two names of one thing, which upstream's conversion keeps equal on every write. In place.

A pod's `serviceAccount` is the old name of `serviceAccountName`; `podIP` is the first of `podIPs`, `podCIDR` that of
`podCIDRs`. Called with the defaults (defaults.py) of the types that have them.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

Json = dict[str, Any]


def service_account(spec: Json) -> None:
    """The new name rules where both are given."""
    name = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if name:
        spec["serviceAccountName"] = spec["serviceAccount"] = name


def pod_addresses(status: Json) -> None:
    """The single one rules, for kubelets of old know no other."""
    first, listed = status.get("podIP"), status.get("podIPs")
    if first and (not listed or listed[0].get("ip") != first):
        status["podIPs"] = [{"ip": first}]
    elif listed and not first and listed[0].get("ip"):
        status["podIP"] = listed[0]["ip"]


def pod_ranges(spec: Json) -> None:
    first, listed = spec.get("podCIDR"), spec.get("podCIDRs")
    if first and (not listed or listed[0] != first):
        spec["podCIDRs"] = [first]
    elif listed and not first:
        spec["podCIDR"] = listed[0]


# Type → what makes its names equal.
OF_TYPES: Final[Mapping[str, Callable[[Json], None]]] = {
    "io.k8s.api.core.v1.NodeSpec": pod_ranges,
    "io.k8s.api.core.v1.PodSpec": service_account,
    "io.k8s.api.core.v1.PodStatus": pod_addresses,
}
