"""Cross-field checks of Ingress and IngressClass. Texts are upstream's."""

from collections.abc import Iterator
from typing import Any, Final

from knarr.base.errors import Cause
from knarr.kinds.rules import addresses, balancers, numbers
from knarr.objects import faults, names

Json = dict[str, Any]
PATH_TYPES: Final = ("Exact", "ImplementationSpecific", "Prefix")
SCOPES: Final = ("Cluster", "Namespace")
CLASS_ANNOTATION: Final = "kubernetes.io/ingress.class"
CONTROLLER_BYTES_MAX: Final = 250
# What a path that is matched element by element may not hold, and may not end with.
SEQUENCES: Final = ("//", "/./", "/../", "%2f", "%2F")
ENDINGS: Final = ("/..", "/.")


def ingress(found: Json) -> Iterator[Cause]:
    spec = found.get("spec") or {}
    if not spec.get("rules") and spec.get("defaultBackend") is None:
        yield faults.invalid("spec", spec.get("rules") or [], "either `defaultBackend` or `rules` must be specified")
    if spec.get("defaultBackend") is not None:
        yield from _backend(spec["defaultBackend"], "spec.defaultBackend")
    for index, rule in enumerate(spec.get("rules") or ()):
        yield from _rule(rule, f"spec.rules[{index}]")
    for index, tls in enumerate(spec.get("tls") or ()):
        for at, host in enumerate(tls.get("hosts") or ()):
            yield from faults.each(f"spec.tls[{index}].hosts[{at}]", host, _host(host))
        if tls.get("secretName"):
            name = tls["secretName"]
            yield from faults.each(f"spec.tls[{index}].secretName", name, names.dns_subdomain(name))
    name = spec.get("ingressClassName")
    if name is not None:
        yield from faults.each("spec.ingressClassName", name, names.dns_subdomain(name))


def ingress_create(found: Json) -> Iterator[Cause]:
    """The annotation of old and the field name one class."""
    given = (found["metadata"].get("annotations") or {}).get(CLASS_ANNOTATION)
    name = (found.get("spec") or {}).get("ingressClassName")
    if given is not None and name is not None and given != name:
        detail = "must match `ingressClassName` when both are specified"
        yield faults.invalid(f"annotations.{CLASS_ANNOTATION}", given, detail)


def ingress_status(new: Json, old: Json) -> Iterator[Cause]:
    yield from balancers.addresses_of(new, "status.loadBalancer.ingress")


def _host(host: str) -> list[str]:
    return names.wildcard_subdomain(host) if "*" in host else names.dns_subdomain(host)


def _rule(rule: Json, field: str) -> Iterator[Cause]:
    host = rule.get("host", "")
    if host:
        if addresses.parsed(host) is not None:
            yield faults.invalid(f"{field}.host", host, "must be a DNS name, not an IP address")
        yield from faults.each(f"{field}.host", host, _host(host))
    http = rule.get("http")
    if http is not None and not http.get("paths"):
        yield faults.required(f"{field}.http.paths")
    for at, path in enumerate((http or {}).get("paths") or ()):
        yield from _path(path, f"{field}.http.paths[{at}]")


def _path(path: Json, field: str) -> Iterator[Cause]:
    kind, given = path.get("pathType"), path.get("path", "")
    if kind is None:
        yield faults.required(f"{field}.pathType", "pathType must be specified")
        return
    if kind not in PATH_TYPES:
        yield faults.unsupported(f"{field}.pathType", kind, PATH_TYPES)
    elif not given.startswith("/") and (given or kind != "ImplementationSpecific"):
        yield faults.invalid(f"{field}.path", given, "must be an absolute path")
    if kind in ("Exact", "Prefix"):
        for sequence in SEQUENCES:
            if sequence in given:
                yield faults.invalid(f"{field}.path", given, f"must not contain '{sequence}'")
        for ending in ENDINGS:
            if given.endswith(ending):
                yield faults.invalid(f"{field}.path", given, f"cannot end with '{ending}'")
    yield from _backend(path.get("backend") or {}, f"{field}.backend")


def _backend(backend: Json, field: str) -> Iterator[Cause]:
    service, resource = backend.get("service"), backend.get("resource")
    if service is not None and resource is not None:
        yield faults.invalid(field, "", "cannot set both resource and service backends")
    elif resource is not None:
        yield from _reference(resource, f"{field}.resource")
    elif service is not None:
        yield from _service(service, field)
    else:
        yield faults.invalid(field, "", "resource or service backend is required")


def _service(service: Json, field: str) -> Iterator[Cause]:
    name, port = service.get("name", ""), service.get("port") or {}
    if not name:
        yield faults.required(f"{field}.service.name")
    else:
        yield from faults.each(f"{field}.service.name", name, names.dns_label(name))
    if port.get("name") and port.get("number"):
        yield faults.invalid(field, "", "cannot set both port name & port number")
    elif port.get("name"):
        yield from faults.each(f"{field}.service.port.name", port["name"], names.port_name(port["name"]))
    elif port.get("number"):
        yield from numbers.port(port["number"], f"{field}.service.port.number")
    else:
        yield faults.required(field, "port name or number is required")


def _reference(reference: Json, field: str) -> Iterator[Cause]:
    """A reference to an object of any kind: its group, kind and name."""
    group = reference.get("apiGroup")
    if group is not None:
        yield from faults.each(f"{field}.apiGroup", group, names.dns_subdomain(group))
    for key in ("kind", "name"):
        given = reference.get(key, "")
        if not given:
            yield faults.required(f"{field}.{key}")
        else:
            yield from faults.each(f"{field}.{key}", given, names.path_segment(given))


def ingress_class(found: Json) -> Iterator[Cause]:
    spec = found.get("spec") or {}
    controller, parameters = spec.get("controller", ""), spec.get("parameters")
    if not controller:
        yield faults.required("spec.controller")
    else:
        if len(controller.encode()) > CONTROLLER_BYTES_MAX:
            yield faults.too_long("spec.controller", CONTROLLER_BYTES_MAX)
        yield from faults.each("spec.controller", controller, names.domain_prefixed_path(controller))
    if parameters is not None:
        yield from _reference(parameters, "spec.parameters")
        yield from _scope(parameters, "spec.parameters")


def _scope(parameters: Json, field: str) -> Iterator[Cause]:
    scope, namespace = parameters.get("scope"), parameters.get("namespace")
    if scope is None:
        yield faults.required(f"{field}.scope")
    elif scope not in SCOPES:
        yield faults.unsupported(f"{field}.scope", scope, SCOPES)
    elif namespace is None:
        if scope == "Namespace":
            yield faults.required(f"{field}.namespace", "`parameters.scope` is set to 'Namespace'")
    elif scope == "Namespace":
        yield from faults.each(f"{field}.namespace", namespace, names.dns_label(namespace))
    else:
        yield faults.forbidden(f"{field}.namespace", "`parameters.scope` is set to 'Cluster'")
