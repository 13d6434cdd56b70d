"""Checks of containers: names, images, ports, environment, what init and ephemeral ones may not have.

`volumes` are the pod's by name: a mount must reference one. Not here: mounts (mounts.py), probes and hooks (probes.py),
requests and limits (amounts.py), security contexts (security.py). Texts are upstream's.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from knarr.base.errors import Cause
from knarr.kinds.rules import amounts, fields, mounts, numbers, probes, security
from knarr.objects import faults, names

Json = dict[str, Any]
Volumes = Mapping[str, Json]
SOURCES: Final = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
EPHEMERAL_FIELDS: Final = frozenset(
    (
        "name", "image", "command", "args", "workingDir", "env", "envFrom", "volumeMounts", "volumeDevices",
        "terminationMessagePath", "terminationMessagePolicy", "imagePullPolicy", "securityContext", "stdin",
        "stdinOnce", "tty", "targetContainerName",
    )
)  # fmt: skip
RESTART_RULES_MAX: Final = 20
EXIT_CODES_MAX: Final = 255


def all_containers(spec: Json, field: str, volumes: Volumes) -> Iterator[Cause]:
    """The containers of a pod, init and ephemeral ones included."""
    seen: set[str] = set()
    claims = amounts.claims_of(spec)
    for kind in ("containers", "initContainers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(kind) or ()):
            path = f"{field}.{kind}[{index}]"
            name = container.get("name", "")
            if name:
                yield from faults.each(f"{path}.name", name, names.dns_label(name))
                if name in seen:
                    yield faults.duplicate(f"{path}.name", name)
                seen.add(name)
            yield from _container(container, spec, path, volumes, claims)
            if kind == "initContainers" and container.get("restartPolicy") != "Always":
                yield from _init(container, path)
            elif kind == "ephemeralContainers":
                yield from _ephemeral(container, spec, path)
    yield from _host_ports(spec, field)


def _container(container: Json, spec: Json, field: str, volumes: Volumes, claims: amounts.Claims) -> Iterator[Cause]:
    image = container.get("image", "")
    if not image:
        yield faults.required(f"{field}.image")
    elif image != image.strip():
        yield faults.invalid(f"{field}.image", image, "must not have leading or trailing whitespace")
    if "ports" in container:
        yield from _ports(container["ports"], f"{field}.ports")
    if "env" in container or "envFrom" in container:
        yield from _environment(container, field)
    yield from mounts.of_container(container, field, volumes)
    if container.get("resources"):
        yield from amounts.of_container(container["resources"], f"{field}.resources", claims)
    yield from probes.of_container(container, field)
    if "lifecycle" in container:
        yield from probes.lifecycle(container, spec, field)
    if container.get("securityContext"):
        yield from security.of_container(container["securityContext"], spec, f"{field}.securityContext")
    if "resizePolicy" in container:
        yield from _resizes(container["resizePolicy"], spec, f"{field}.resizePolicy")
    if "restartPolicyRules" in container:
        yield from _restarts(container, field)


def _init(container: Json, field: str) -> Iterator[Cause]:
    """What only makes sense for a container that keeps running."""
    for key in ("lifecycle", *probes.PROBES):
        if key in container:
            detail = "may not be set for init containers without restartPolicy=Always"
            yield faults.forbidden(f"{field}.{key}", detail)


def _ephemeral(container: Json, spec: Json, field: str) -> Iterator[Cause]:
    for key, value in container.items():
        if key not in EPHEMERAL_FIELDS and value not in ({}, [], None):
            yield faults.forbidden(f"{field}.{key}", "cannot be set for an Ephemeral Container")
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        for key in ("subPath", "subPathExpr"):
            if mount.get(key):
                path = f"{field}.volumeMounts[{index}].{key}"
                yield faults.forbidden(path, "cannot be set for an Ephemeral Container")
    target = container.get("targetContainerName")
    if target and all(
        each.get("name") != target for kind in ("containers", "initContainers") for each in spec.get(kind) or ()
    ):
        yield faults.not_found(f"{field}.targetContainerName", target)


def _resizes(policies: list[Json], spec: Json, field: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, policy in enumerate(policies):
        name = policy.get("resourceName", "")
        if name in seen:
            yield faults.duplicate(f"{field}[{index}]", name)
        seen.add(name)
        if name and name not in amounts.OF_PODS:
            yield faults.unsupported(field, name, amounts.OF_PODS)
        if spec.get("restartPolicy") == "Never" and policy.get("restartPolicy") == "RestartContainer":
            detail = "must be 'NotRequired' when `restartPolicy` is 'Never'"
            yield faults.invalid(f"{field}[{index}]", "RestartContainer", detail)


def _restarts(container: Json, field: str) -> Iterator[Cause]:
    """Rules that restart by exit code."""
    rules = container["restartPolicyRules"]
    if rules and not container.get("restartPolicy"):
        detail = "must specify restartPolicy when restartPolicyRules are used"
        yield faults.required(f"{field}.restartPolicy", detail)
    if len(rules) > RESTART_RULES_MAX:
        yield faults.too_many(f"{field}.restartPolicyRules", len(rules), RESTART_RULES_MAX)
    for index, rule in enumerate(rules):
        path = f"{field}.restartPolicyRules[{index}]"
        codes = rule.get("exitCodes")
        if codes is None:
            yield faults.required(f"{path}.exitCodes", "must be specified")
        elif len(codes.get("values") or ()) > EXIT_CODES_MAX:
            yield faults.too_many(f"{path}.exitCodes.values", len(codes["values"]), EXIT_CODES_MAX)


def _ports(ports: list[Json], field: str) -> Iterator[Cause]:
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


def _host_ports(spec: Json, field: str) -> Iterator[Cause]:
    """On the host's network both numbers are one; no two containers have the same port of the host."""
    seen: set[str] = set()
    for at, container in enumerate(spec.get("containers") or ()):
        for index, port in enumerate(container.get("ports") or ()):
            path = f"{field}.containers[{at}].ports[{index}]"
            host = port.get("hostPort")
            # In a pod it has been defaulted; a template may leave it out.
            if spec.get("hostNetwork") and host and host != port.get("containerPort"):
                detail = "must match `containerPort` when `hostNetwork` is true"
                yield faults.invalid(f"{path}.hostPort", host, detail)
            if host:
                used = f"{port.get('protocol')}/{port.get('hostIP', '')}/{host}"
                if used in seen:
                    yield faults.duplicate(f"{path}.hostPort", used)
                seen.add(used)


def _environment(container: Json, field: str) -> Iterator[Cause]:
    for index, variable in enumerate(container.get("env") or ()):
        path = f"{field}.env[{index}]"
        name = variable.get("name", "")
        if name:
            yield from faults.each(f"{path}.name", name, names.env_name(name))
        if "valueFrom" in variable:
            yield from _value_from(variable, f"{path}.valueFrom")
    for index, source in enumerate(container.get("envFrom") or ()):
        path = f"{field}.envFrom[{index}]"
        if source.get("prefix"):
            yield from faults.each(f"{path}.prefix", source["prefix"], names.env_name(source["prefix"]))
        kinds = [key for key in ("configMapRef", "secretRef") if key in source]
        if not kinds:
            yield faults.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`")
        elif len(kinds) > 1:
            yield faults.invalid(path, "", "may not have more than one field specified at a time")
        elif not source[kinds[0]].get("name"):
            yield faults.required(f"{path}.{kinds[0]}.name")
        else:
            name = source[kinds[0]]["name"]
            yield from faults.each(f"{path}.{kinds[0]}.name", name, names.dns_subdomain(names.begun(name)))


def _value_from(variable: Json, field: str) -> Iterator[Cause]:
    source: Json = variable["valueFrom"]
    if not source:
        listed = ", ".join(f"`{each}`" for each in SOURCES[:-1])
        yield faults.invalid(field, "", f"must specify one of: {listed} or `{SOURCES[-1]}`")
    elif variable.get("value"):
        yield faults.invalid(field, "", "may not be specified when `value` is not empty")
    elif len(source) > 1:
        yield faults.invalid(field, "", "may not have more than one field specified at a time")
    if "fieldRef" in source:
        yield from fields.of_object(source["fieldRef"], f"{field}.fieldRef", fields.IN_ENVIRONMENT)
    if "resourceFieldRef" in source:
        yield from fields.of_resources(source["resourceFieldRef"], f"{field}.resourceFieldRef")
    for kind in ("configMapKeyRef", "secretKeyRef"):
        if kind in source:
            yield from _key(source[kind], f"{field}.{kind}")


def _key(reference: Json, field: str) -> Iterator[Cause]:
    name = reference.get("name", "")
    yield from faults.each(f"{field}.name", name, names.dns_subdomain(name))
    if not reference.get("key"):
        yield faults.required(f"{field}.key")
    else:
        yield from faults.each(f"{field}.key", reference["key"], names.config_key(reference["key"]))
