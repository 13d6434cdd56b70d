"""Checks of a pod's status: what no kubelet writes in normal operation. Texts and paths are upstream's.

A container that ended for good stays so, the quality of service does not change, addresses are addresses, and claims
are the pod's own. Not here: annotations, which a write of the status may change, too (pod_annotations.py).
"""

from collections.abc import Iterator
from typing import Any, Final

from knarr.base.errors import Cause
from knarr.kinds.rules import addresses, numbers
from knarr.objects import faults, names

Json = dict[str, Any]
SYSTEM_CONDITIONS: Final = ("PodScheduled", "Ready", "Initialized")
ID_MAX: Final = 2**31 - 1
HEALTH: Final = ("Healthy", "Unhealthy", "Unknown")
ONE_OF_A_FAMILY: Final = "may specify no more than one IP for each IP family"
CLAIM_TEXT: Final = (
    "must match one of the container's resource claims in a format 'claim:<claimName>/<request>' or "
    "'claim:<claimName>' if request is empty"
)
# Field of a status → field of the spec that has its containers.
STATUSES: Final = (
    ("containerStatuses", "containers"),
    ("initContainerStatuses", "initContainers"),
    ("ephemeralContainerStatuses", "ephemeralContainers"),
)


def pod_status(new: Json, old: Json) -> Iterator[Cause]:
    now, was, spec = new.get("status") or {}, old.get("status") or {}, old.get("spec") or {}
    yield from _conditions(now.get("conditions") or ())
    yield from numbers.non_negative(now.get("observedGeneration"), "status.observedGeneration")
    nominated = now.get("nominatedNodeName")
    if nominated and nominated != was.get("nominatedNodeName"):
        yield from faults.each("status.nominatedNodeName", nominated, names.dns_subdomain(nominated))
    if now.get("qosClass", "") != was.get("qosClass", ""):
        yield faults.invalid("status.qosClass", now.get("qosClass", ""), faults.IMMUTABLE)
    for statuses, containers in STATUSES:
        found, field = now.get(statuses) or (), f"status.{statuses}"
        own = {each.get("name"): each for each in spec.get(containers) or ()}
        if spec.get("restartPolicy") != "Always" or containers == "ephemeralContainers":
            yield from _revived(found, was.get(statuses) or (), field, _Restarts(spec, containers, own))
        for index, each in enumerate(found):
            if "user" in each:
                yield from _user(each["user"], spec, f"{field}[{index}].linux")
            if each.get("allocatedResourcesStatus"):
                container = own.get(each.get("name"))
                yield from _allocated(each, container, f"{field}[{index}].allocatedResourcesStatus")
    if now.get("resourceClaimStatuses"):
        yield from _claims(now["resourceClaimStatuses"], spec)
    yield from _pod_addresses(now.get("podIPs") or [])
    yield from _host_addresses(now)


def _conditions(conditions: Any) -> Iterator[Cause]:
    for index, each in enumerate(conditions):
        kind = each.get("type", "")
        if kind not in SYSTEM_CONDITIONS:
            # Upstream's path, though conditions are of the status.
            yield from faults.each(f"metadata.conditions[{index}].Type", kind, names.qualified(kind))


class _Restarts:
    """What may run again after its end."""

    __slots__ = ("are_all", "is_ephemeral", "own", "policy")

    def __init__(self, spec: Json, containers: str, own: dict[Any, Json]) -> None:
        self.policy, self.own = spec.get("restartPolicy"), own
        self.is_ephemeral = containers == "ephemeralContainers"
        self.are_all = any(
            rule.get("action") == "RestartAllContainers"
            for kind in ("containers", "initContainers")
            for each in spec.get(kind) or ()
            for rule in each.get("restartPolicyRules") or ()
        )

    def may(self, name: Any, code: int) -> bool:
        if self.is_ephemeral:
            return False
        own = self.own.get(name) or {}
        policy = own.get("restartPolicy") or self.policy
        if self.are_all or policy == "Always" or (policy == "OnFailure" and code != 0):
            return True
        return any(_matches(rule.get("exitCodes") or {}, code) for rule in own.get("restartPolicyRules") or ())


def _revived(found: Any, before: Any, field: str, restarts: _Restarts) -> Iterator[Cause]:
    """Containers that ended for good, and have not any more."""
    running = {each.get("name") for each in found if "terminated" not in (each.get("state") or {})}
    for index, each in enumerate(before):
        ended, name = (each.get("state") or {}).get("terminated"), each.get("name")
        if ended is not None and name in running and not restarts.may(name, ended.get("exitCode", 0)):
            yield faults.forbidden(f"{field}[{index}].state", "may not be transitioned to non-terminated state")


def _matches(codes: Json, code: int) -> bool:
    return (code in (codes.get("values") or ())) == (codes.get("operator") == "In")


def _user(user: Json, spec: Json, field: str) -> Iterator[Cause]:
    linux = user.get("linux")
    if linux is None:
        return
    if (spec.get("os") or {}).get("name") == "windows":
        yield faults.forbidden(field, "cannot be set for a windows pod")
        return
    for key in ("uid", "gid"):
        yield from numbers.between(linux.get(key, 0), f"{field}.{key}", (0, ID_MAX))
    for index, group in enumerate(linux.get("supplementalGroups") or ()):
        yield from numbers.between(group, f"{field}.supplementalGroups[{index}]", (0, ID_MAX))


def _allocated(status: Json, own: Json | None, field: str) -> Iterator[Cause]:
    """The health of devices: of those that the container asked for."""
    if field.startswith("status.ephemeral"):
        yield faults.forbidden(field, "must not be specified in container status")
        return
    asked = _asked(own) if own is not None else None
    for index, resource in enumerate(status["allocatedResourcesStatus"]):
        name, path = resource.get("name", ""), f"{field}[{index}]"
        if asked is not None and name not in asked:
            is_claim = name.startswith("claim:")
            detail = CLAIM_TEXT if is_claim else "must match one of the container's resource requests"
            yield faults.invalid(f"{path}.name", name, detail)
        seen: set[str] = set()
        for at, each in enumerate(resource.get("resources") or ()):
            device, health = each.get("resourceID", ""), each.get("health", "")
            if health not in HEALTH:
                yield faults.unsupported(f"{path}.resources[{at}].health", health, HEALTH)
            if device in seen:
                yield faults.duplicate(f"{path}.resources[{at}].resourceID", device)
            seen.add(device)


def _asked(container: Json) -> set[str]:
    resources = container.get("resources") or {}
    claims = resources.get("claims") or ()
    return {*(resources.get("requests") or {})} | {
        "claim:" + each.get("name", "") + (f"/{each['request']}" if each.get("request") else "") for each in claims
    }


def _claims(statuses: list[Json], spec: Json) -> Iterator[Cause]:
    known = {each.get("name") for each in spec.get("resourceClaims") or ()}
    seen: set[str] = set()
    for index, each in enumerate(statuses):
        field, name, made = f"status.resourceClaimStatuses[{index}].name", each.get("name", ""), "resourceClaimName"
        if name not in known:
            yield faults.invalid(field, name, "must match the name of an entry in `spec.resourceClaims`")
        if name in seen:
            yield faults.duplicate(field, name)
        seen.add(name)
        if each.get(made) is not None:
            yield from faults.each(field, each[made], names.dns_subdomain(each[made]))


def _pod_addresses(listed: list[Json]) -> Iterator[Cause]:
    yield from _addresses(listed, "status.podIPs")


def _host_addresses(status: Json) -> Iterator[Cause]:
    listed, field = status.get("hostIPs") or [], "status.hostIPs"
    if listed and listed[0].get("ip", "") != status.get("hostIP", ""):
        yield faults.invalid(f"{field}[0].ip", listed[0].get("ip", ""), "must be equal to `hostIP`")
    yield from _addresses(listed, field)


def _addresses(listed: list[Json], field: str) -> Iterator[Cause]:
    """Each an address, and at most one of each family."""
    texts = [each.get("ip", "") for each in listed]
    for index, text in enumerate(texts):
        yield from addresses.address(text, f"{field}[{index}]")
    if len(texts) < 2:
        return
    families = [each.version for text in texts if (each := addresses.parsed(text)) is not None]
    if len(texts) > 2 or len({*families}) != 2:
        yield faults.invalid(field, listed, ONE_OF_A_FAMILY)
    seen: set[str] = set()
    for index, text in enumerate(texts):
        if text in seen:
            yield faults.duplicate(f"{field}[{index}]", listed[index])
        seen.add(text)
