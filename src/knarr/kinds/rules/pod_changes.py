"""What may change in a pod beside what immutability allows: tolerations are only added, deadlines only shrink."""

from collections.abc import Iterator
from typing import Any

from knarr.base.errors import Cause
from knarr.objects import faults

Json = dict[str, Any]


def pod(new: Json, old: Json) -> Iterator[Cause]:
    given, held = new.get("spec") or {}, old.get("spec") or {}
    for kind in ("containers", "initContainers"):
        if len(given.get(kind) or ()) != len(held.get(kind) or ()):
            yield faults.forbidden(f"spec.{kind}", "pod updates may not add or remove containers")
    deadline, was = given.get("activeDeadlineSeconds"), held.get("activeDeadlineSeconds")
    if deadline != was:
        if deadline is None:
            yield faults.invalid(
                "spec.activeDeadlineSeconds", None, "must not update from a positive integer to nil value"
            )
        elif was is not None and deadline > was:
            detail = f"must be less than or equal to previous value {was}"
            yield faults.invalid("spec.activeDeadlineSeconds", deadline, detail)
    tolerations = given.get("tolerations") or []
    for toleration in held.get("tolerations") or ():
        unlimited = {key: value for key, value in toleration.items() if key != "tolerationSeconds"}
        if not any({k: v for k, v in each.items() if k != "tolerationSeconds"} == unlimited for each in tolerations):
            yield faults.forbidden(
                "spec.tolerations", "existing toleration can not be modified except its tolerationSeconds"
            )
    if given.get("terminationGracePeriodSeconds") != held.get("terminationGracePeriodSeconds"):
        was = held.get("terminationGracePeriodSeconds")
        if not (was is not None and was < 0 and given.get("terminationGracePeriodSeconds") == 1):
            yield faults.forbidden("spec.terminationGracePeriodSeconds", "may only be set to 1 if it was negative")
    yield from _gates(given, held)
    yield from _ephemeral(given, held)


def _ephemeral(given: Json, held: Json) -> Iterator[Cause]:
    """What was put into a pod to look at it stays as it is."""
    now = {each.get("name"): each for each in given.get("ephemeralContainers") or ()}
    for was in held.get("ephemeralContainers") or ():
        name = was.get("name")
        if now.get(name) != was:
            verb = "changed" if name in now else "removed"
            yield faults.forbidden(
                "spec.ephemeralContainers", f'existing ephemeral containers "{name}" may not be {verb}'
            )


def _gates(given: Json, held: Json) -> Iterator[Cause]:
    before = [gate.get("name") for gate in held.get("schedulingGates") or ()]
    for index, gate in enumerate(given.get("schedulingGates") or ()):
        if gate.get("name") not in before:
            detail = f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'"
            yield faults.forbidden(f"spec.schedulingGates[{index}]", detail)
    if not before and given.get("nodeSelector") != held.get("nodeSelector"):
        yield faults.forbidden("spec.nodeSelector", "field is immutable")
