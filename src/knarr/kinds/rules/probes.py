"""Checks of probes and lifecycle hooks: one way to act, and the numbers around it. Texts are upstream's."""

from collections.abc import Iterator
from typing import Any, Final

from knarr.base.errors import Cause
from knarr.kinds.rules import numbers
from knarr.objects import faults

Json = dict[str, Any]
PROBES: Final = ("livenessProbe", "readinessProbe", "startupProbe")
ACTIONS: Final = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
GRACE_DEFAULT: Final = 30
_SECONDS: Final = (
    "initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold",
)  # fmt: skip
HEADER_TEXT: Final = (
    "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for "
    "validation is '[-A-Za-z0-9]+')"
)


def of_container(container: Json, field: str) -> Iterator[Cause]:
    for kind in PROBES:
        if kind in container:
            yield from _probe(container[kind], f"{field}.{kind}", kind)


def _probe(probe: Json, field: str, kind: str) -> Iterator[Cause]:
    yield from action(probe, field)
    for key in _SECONDS:
        if probe.get(key, 0) < 0:
            yield faults.invalid(f"{field}.{key}", probe[key], faults.NON_NEGATIVE)
    if kind != "readinessProbe" and probe.get("successThreshold", 1) != 1:
        yield faults.invalid(f"{field}.successThreshold", probe["successThreshold"], "must be 1")
    grace = probe.get("terminationGracePeriodSeconds")
    if grace is not None:
        if kind == "readinessProbe":
            detail = "must not be set for readinessProbes"
            yield faults.invalid(f"{field}.terminationGracePeriodSeconds", grace, detail)
        else:
            yield from numbers.positive(grace, f"{field}.terminationGracePeriodSeconds")


def lifecycle(container: Json, spec: Json, field: str) -> Iterator[Cause]:
    """The hooks of a container, and the signal that stops it."""
    found = container.get("lifecycle") or {}
    for hook in ("postStart", "preStop"):
        if isinstance(found.get(hook), dict):
            yield from action(found[hook], f"{field}.lifecycle.{hook}")
            if "sleep" in found[hook]:
                yield from _sleep(found[hook]["sleep"], spec, f"{field}.lifecycle.{hook}.sleep")
    if found.get("stopSignal"):
        system = (spec.get("os") or {}).get("name")
        if not system:
            detail = "may not be set for containers with empty `spec.os.name`"
            yield faults.forbidden(f"{field}.lifecycle.stopSignal", detail)
        elif system == "windows" and found["stopSignal"] not in ("SIGTERM", "SIGKILL"):
            yield faults.unsupported(f"{field}.lifecycle.stopSignal", found["stopSignal"], ("SIGTERM", "SIGKILL"))


def _sleep(sleep: Json, spec: Json, field: str) -> Iterator[Cause]:
    grace = spec.get("terminationGracePeriodSeconds", GRACE_DEFAULT)
    seconds = sleep.get("seconds", 0)
    if not 0 <= seconds <= grace:
        detail = f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
        yield faults.invalid(field, seconds, detail)


def action(found: Json, field: str) -> Iterator[Cause]:
    """Exactly one of the ways to act on a container."""
    kinds = [key for key in ACTIONS if key in found]
    if not kinds:
        yield faults.required(field, "must specify a handler type")
    for extra in kinds[1:]:
        yield faults.forbidden(f"{field}.{extra}", "may not specify more than 1 handler type")
    if "httpGet" in found:
        yield from _http(found["httpGet"], f"{field}.httpGet")
    if "tcpSocket" in found:
        yield from numbers.port_or_name(found["tcpSocket"].get("port", 0), f"{field}.tcpSocket.port")
    if "grpc" in found:
        yield from numbers.port(found["grpc"].get("port", 0), f"{field}.grpc.port")
    if "exec" in found and not found["exec"].get("command"):
        yield faults.required(f"{field}.exec.command")


def _http(found: Json, field: str) -> Iterator[Cause]:
    if not found.get("path"):
        yield faults.required(f"{field}.path")
    yield from numbers.port_or_name(found.get("port", 0), f"{field}.port")
    for header in found.get("httpHeaders") or ():
        name = header.get("name", "")
        if not (name and name.isascii() and name.replace("-", "a").isalnum()):
            yield faults.invalid(f"{field}.httpHeaders", name, HEADER_TEXT)
