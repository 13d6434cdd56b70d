"""Cross-field checks of containers: names, ports, environment, mounts, resources, probes, lifecycle.

`volumes` are the pod's by name: a mount must reference one. Texts are upstream's.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from knarr.base.errors import Cause
from knarr.kinds.rules import numbers
from knarr.objects import faults, names, quantity

Json = dict[str, Any]
Volumes = Mapping[str, Json]
PROBES: Final = ("livenessProbe", "readinessProbe", "startupProbe")
ACTIONS: Final = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
SOURCES: Final = "`fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
HEADER_TEXT: Final = (
    "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for "
    "validation is '[-A-Za-z0-9]+')"
)
STANDARD: Final = ("cpu", "memory", "ephemeral-storage", "storage")


def all_containers(spec: Json, field: str, volumes: Volumes) -> Iterator[Cause]:
    """The containers of a pod, init and ephemeral ones included."""
    seen: set[str] = set()
    for kind in ("containers", "initContainers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(kind) or ()):
            path = f"{field}.{kind}[{index}]"
            name = container.get("name", "")
            if name:
                yield from faults.each(f"{path}.name", name, names.dns_label(name))
                if name in seen:
                    yield faults.duplicate(f"{path}.name", name)
                seen.add(name)
            yield from _container(container, path, volumes)
            if kind == "initContainers" and container.get("restartPolicy") != "Always":
                for probe in PROBES:
                    if probe in container:
                        detail = "may not be set for init containers without restartPolicy=Always"
                        yield faults.forbidden(f"{path}.{probe}", detail)
            if kind == "containers" and spec.get("hostNetwork"):
                yield from _host_ports(container, path)
    yield from _host_port_conflicts(spec, field)


def _container(container: Json, field: str, volumes: Volumes) -> Iterator[Cause]:
    image = container.get("image", "")
    if not image:
        yield faults.required(f"{field}.image")
    elif image != image.strip():
        yield faults.invalid(f"{field}.image", image, "must not have leading or trailing whitespace")
    yield from _ports(container.get("ports") or (), f"{field}.ports")
    yield from _environment(container, field)
    yield from _mounts(container, field, volumes)
    yield from resources(container.get("resources") or {}, f"{field}.resources")
    for probe in PROBES:
        if probe in container:
            yield from _probe(container[probe], f"{field}.{probe}", probe)
    for hook, each in (container.get("lifecycle") or {}).items():
        if isinstance(each, dict):
            yield from _action(each, f"{field}.lifecycle.{hook}")
    yield from _security(container.get("securityContext") or {}, f"{field}.securityContext")


def _ports(ports: Any, field: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, port in enumerate(ports):
        path = f"{field}[{index}]"
        name = port.get("name", "")
        if name:
            yield from faults.each(f"{path}.name", name, names.port_name(name))
            if name in seen:
                yield faults.duplicate(f"{path}.name", name)
            seen.add(name)
        if not port.get("containerPort"):
            yield faults.required(f"{path}.containerPort")
        else:
            yield from numbers.port(port["containerPort"], f"{path}.containerPort")
        if port.get("hostPort"):
            yield from numbers.port(port["hostPort"], f"{path}.hostPort")


def _host_ports(container: Json, field: str) -> Iterator[Cause]:
    for index, port in enumerate(container.get("ports") or ()):
        if port.get("hostPort") != port.get("containerPort"):
            detail = "must match `hostPort` when `hostNetwork` is true"
            yield faults.invalid(f"{field}.ports[{index}].containerPort", port.get("containerPort"), detail)


def _host_port_conflicts(spec: Json, field: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for at, container in enumerate(spec.get("containers") or ()):
        for index, port in enumerate(container.get("ports") or ()):
            if port.get("hostPort"):
                used = f"{port.get('protocol')}/{port.get('hostIP', '')}/{port['hostPort']}"
                if used in seen:
                    yield faults.duplicate(f"{field}.containers[{at}].ports[{index}].hostPort", used)
                seen.add(used)


def _environment(container: Json, field: str) -> Iterator[Cause]:
    for index, variable in enumerate(container.get("env") or ()):
        path = f"{field}.env[{index}]"
        name = variable.get("name", "")
        if name:
            yield from faults.each(f"{path}.name", name, names.env_name(name))
        source = variable.get("valueFrom")
        if source is not None:
            if variable.get("value"):
                yield faults.invalid(f"{path}.valueFrom", "", "may not be specified when `value` is not empty")
            if len(source) != 1:
                detail = f"must specify one of: {SOURCES}"
                if len(source) > 1:
                    detail = "may not have more than one field specified at a time"
                yield faults.invalid(f"{path}.valueFrom", "", detail)
    for index, source in enumerate(container.get("envFrom") or ()):
        path = f"{field}.envFrom[{index}]"
        kinds = [key for key in ("configMapRef", "secretRef") if key in source]
        if not kinds:
            yield faults.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`")
        elif len(kinds) > 1:
            yield faults.invalid(path, "", "may not have more than one field specified at a time")
        elif not source[kinds[0]].get("name"):
            yield faults.required(f"{path}.{kinds[0]}.name")


def _mounts(container: Json, field: str, volumes: Volumes) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        path = f"{field}.volumeMounts[{index}]"
        if mount.get("name") and mount["name"] not in volumes:
            yield faults.not_found(f"{path}.name", mount["name"])
        where = mount.get("mountPath", "")
        if where in seen:
            yield faults.invalid(f"{path}.mountPath", where, "must be unique")
        seen.add(where)
        for key in ("subPath", "subPathExpr"):
            inner = mount.get(key, "")
            if inner.startswith("/"):
                yield faults.invalid(f"{path}.{key}", inner, "must be a relative path")
            if ".." in inner.split("/"):
                yield faults.invalid(f"{path}.{key}", inner, "must not contain '..'")
        if mount.get("subPath") and mount.get("subPathExpr"):
            yield faults.invalid(
                f"{path}.subPathExpr", mount["subPathExpr"], "subPathExpr and subPath are mutually exclusive"
            )


def resources(given: Json, field: str) -> Iterator[Cause]:
    """Requests and limits of a container."""
    limits, requests = given.get("limits") or {}, given.get("requests") or {}
    for kind, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            path = f"{field}.{kind}[{name}]"
            if name not in STANDARD and not name.startswith("hugepages-"):
                if "/" not in name:
                    detail = "must be a standard resource type or fully qualified"
                    yield faults.invalid(path, name, detail)
                else:
                    yield from faults.each(path, name, names.qualified(name))
            if amount.startswith("-"):  # canonical: nothing else is negative
                yield faults.invalid(path, amount, faults.NON_NEGATIVE)
    for name, amount in requests.items():
        if name in limits and quantity.compare(amount, limits[name]) > 0:
            detail = f"must be less than or equal to {name} limit of {limits[name]}"
            yield faults.invalid(f"{field}.requests", amount, detail)


def _probe(probe: Json, field: str, kind: str) -> Iterator[Cause]:
    yield from _action(probe, field)
    for key in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        yield from numbers.non_negative(probe.get(key), f"{field}.{key}")
    if kind != "readinessProbe" and probe.get("successThreshold", 1) != 1:
        yield faults.invalid(f"{field}.successThreshold", probe["successThreshold"], "must be 1")
    if probe.get("terminationGracePeriodSeconds") is not None:
        if kind == "readinessProbe":
            detail = "must not be set for readinessProbes"
            yield faults.invalid(
                f"{field}.terminationGracePeriodSeconds", probe["terminationGracePeriodSeconds"], detail
            )
        else:
            yield from numbers.positive(
                probe["terminationGracePeriodSeconds"], f"{field}.terminationGracePeriodSeconds"
            )


def _action(action: Json, field: str) -> Iterator[Cause]:
    """Exactly one of the ways to act on a container."""
    kinds = [key for key in ACTIONS if key in action]
    if not kinds:
        yield faults.required(field, "must specify a handler type")
    for extra in kinds[1:]:
        yield faults.forbidden(f"{field}.{extra}", "may not specify more than 1 handler type")
    if "httpGet" in action:
        yield from numbers.port_or_name(action["httpGet"].get("port", 0), f"{field}.httpGet.port")
        for index, header in enumerate(action["httpGet"].get("httpHeaders") or ()):
            if not _is_header(header.get("name", "")):
                detail = HEADER_TEXT
                yield faults.invalid(f"{field}.httpGet.httpHeaders[{index}]", header.get("name", ""), detail)
    if "tcpSocket" in action:
        yield from numbers.port_or_name(action["tcpSocket"].get("port", 0), f"{field}.tcpSocket.port")
    if "grpc" in action:
        yield from numbers.port(action["grpc"].get("port", 0), f"{field}.grpc.port")
    if "exec" in action and not action["exec"].get("command"):
        yield faults.required(f"{field}.exec.command")


def _is_header(name: str) -> bool:
    return bool(name) and name.isascii() and name.replace("-", "a").isalnum()


def _security(context: Json, field: str) -> Iterator[Cause]:
    for key in ("runAsUser", "runAsGroup"):
        value = context.get(key)
        if value is not None and not 0 <= value <= 2**31 - 1:
            yield faults.invalid(f"{field}.{key}", value, "must be between 0 and 2147483647, inclusive")
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            yield faults.invalid(field, context, detail)
        if "SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            yield faults.invalid(field, context, detail)
