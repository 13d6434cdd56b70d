"""The environment of a container: services, envFrom, env, with `$(VAR)` expansion, in upstream's order.

Pure: `references` says which ConfigMaps and Secrets are needed, `environment` takes them as values. A missing one that
is not optional raises errors.Invalid with upstream's words; the worker shows them as CreateContainerConfigError.
"""

import re
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from knarr.base.errors import Invalid
from knarr.kinds.lens.config import ConfigMap, Secret
from knarr.kinds.lens.container import EnvFromSource, EnvVar
from knarr.kinds.lens.pod import Pod
from knarr.kinds.lens.references import FileKeySelector
from knarr.kinds.lens.service import Service
from knarr.kubelet import expansion, fields
from knarr.kubelet.members import AnyContainer

_ENV_NAME = re.compile(r"[ -<>-~]+", re.ASCII)
"""What upstream accepts as a variable's name: printable ASCII without `=`."""


def _no_file(_volume: str, _path: str) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Sources:
    """The objects a pod's containers read, by name in the pod's namespace; an absent one is not there (yet)."""

    config_maps: Mapping[str, ConfigMap] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    services: tuple[Service, ...] = ()
    place: fields.Place = fields.Place()
    env_file: Callable[[str, str], Mapping[str, str] | None] = _no_file
    """(volume, path) → the variables of that file; None if it is not there."""


def references(container: AnyContainer) -> tuple[set[str], set[str]]:
    """Names of (ConfigMaps, Secrets) that the container's environment reads."""
    config_maps, secrets = set(), set()
    for source in container.env_from:
        if source.config_map_ref:
            config_maps.add(source.config_map_ref.name)
        if source.secret_ref:
            secrets.add(source.secret_ref.name)
    for variable in container.env:
        origin = variable.value_from
        if origin and origin.config_map_key_ref:
            config_maps.add(origin.config_map_key_ref.name)
        if origin and origin.secret_key_ref:
            secrets.add(origin.secret_key_ref.name)
    return config_maps, secrets


def environment(pod: Pod, container: AnyContainer, sources: Sources) -> dict[str, str]:
    """The variables of the container, in order."""
    service_variables = _service_variables(pod, sources.services)
    result: dict[str, str] = {}
    for source in container.env_from:
        result |= _from_source(pod, source, sources)
    known = dict(result)
    for variable in container.env:
        value = _value(pod, container, variable, sources, known=known, services=service_variables)
        if value is not None:
            known[variable.name] = result[variable.name] = value
    return {**{name: v for name, v in service_variables.items() if name not in result}, **result}


def _from_source(pod: Pod, source: EnvFromSource, sources: Sources) -> dict[str, str]:
    namespace = pod.metadata.namespace
    if source.config_map_ref is not None:
        name = source.config_map_ref.name
        config_map = sources.config_maps.get(name)
        if config_map is None:
            return _absent(f'configmap "{name}" not found', source.config_map_ref.optional)
        pairs = config_map.data
    elif source.secret_ref is not None:
        name = source.secret_ref.name
        secret = sources.secrets.get(name)
        if secret is None:
            return _absent(f'secret "{name}" not found', source.secret_ref.optional)
        pairs = {key: _text(value, f"{namespace}/{name}") for key, value in secret.data.items()}
    else:
        return {}
    return {source.prefix + key: value for key, value in pairs.items() if _ENV_NAME.fullmatch(source.prefix + key)}


def _absent(message: str, optional: bool | None) -> dict[str, str]:
    if optional:
        return {}
    raise Invalid(message)


def _value(
    pod: Pod,
    container: AnyContainer,
    variable: EnvVar,
    sources: Sources,
    *,
    known: Mapping[str, str],
    services: Mapping[str, str],
) -> str | None:
    """A variable's value; None if it is optional and its source is absent."""
    origin = variable.value_from
    if origin is None:
        return expansion.expand(variable.value, {**services, **known})
    if origin.field_ref is not None:
        return fields.field_value(pod, origin.field_ref.field_path, sources.place)
    if origin.resource_field_ref is not None:
        return fields.resource_value(pod, container, origin.resource_field_ref, sources.place)
    namespace = pod.metadata.namespace
    if origin.config_map_key_ref is not None:
        ref = origin.config_map_key_ref
        config_map = sources.config_maps.get(ref.name)
        if config_map is None:
            return _optional(ref.optional, f'configmap "{ref.name}" not found')
        found = config_map.data.get(ref.key)
        return (
            found if found is not None else _optional(ref.optional, _no_key(ref.key, "ConfigMap", namespace, ref.name))
        )
    if origin.secret_key_ref is not None:
        selector = origin.secret_key_ref
        secret = sources.secrets.get(selector.name)
        if secret is None:
            return _optional(selector.optional, f'secret "{selector.name}" not found')
        encoded = secret.data.get(selector.key)
        if encoded is None:
            return _optional(selector.optional, _no_key(selector.key, "Secret", namespace, selector.name))
        return _text(encoded, f"{namespace}/{selector.name}")
    if origin.file_key_ref is not None:
        return _from_file(origin.file_key_ref, sources)
    raise Invalid(f"env {variable.name}: this source of a value is not supported")


def _from_file(wanted: FileKeySelector, sources: Sources) -> str | None:
    found = sources.env_file(wanted.volume_name, wanted.path)
    where = f"{wanted.path} of volume {wanted.volume_name}"
    if found is None:
        return _optional(wanted.optional, f"env file {where} not found")
    value = found.get(wanted.key)
    return value if value is not None else _optional(wanted.optional, f"couldn't find key {wanted.key} in {where}")


def _optional(optional: bool | None, message: str) -> str | None:
    if not optional:
        raise Invalid(message)
    return None


def _no_key(key: str, kind: str, namespace: str, name: str) -> str:
    return f"couldn't find key {key} in {kind} {namespace}/{name}"


def _text(encoded: str, name: str) -> str:
    try:
        return b64decode(encoded, validate=True).decode()
    except ValueError as error:
        raise Invalid(f"secret {name}: a value used as environment is not UTF-8 text") from error


def _service_variables(pod: Pod, services: Iterable[Service]) -> dict[str, str]:
    """Docker-link style variables of the namespace's services; without service links only `kubernetes`."""
    links = pod.spec.enable_service_links is not False
    chosen: dict[str, Service] = {}
    for service in services:
        meta = service.metadata
        if service.spec.cluster_ip in ("", "None") or not service.spec.ports:
            continue
        is_master = meta.namespace == "default" and meta.name == "kubernetes"
        if (links and meta.namespace == pod.metadata.namespace) or (is_master and meta.name not in chosen):
            chosen[meta.name] = service
    variables: dict[str, str] = {}
    for name in sorted(chosen):
        variables |= _links(chosen[name])
    return variables


def _links(service: Service) -> dict[str, str]:
    prefix = service.metadata.name.upper().replace("-", "_")
    address, ports = service.spec.cluster_ip, service.spec.ports
    host = f"[{address}]" if ":" in address else address
    variables = {f"{prefix}_SERVICE_HOST": address, f"{prefix}_SERVICE_PORT": str(ports[0].port)}
    for port in ports:
        if port.name:
            variables[f"{prefix}_SERVICE_PORT_{port.name.upper().replace('-', '_')}"] = str(port.port)
    first = (ports[0].protocol or "TCP").lower()
    variables[f"{prefix}_PORT"] = f"{first}://{host}:{ports[0].port}"
    for port in ports:
        protocol = port.protocol or "TCP"
        stem = f"{prefix}_PORT_{port.port}_{protocol}"
        variables[stem] = f"{protocol.lower()}://{host}:{port.port}"
        variables[f"{stem}_PROTO"] = protocol.lower()
        variables[f"{stem}_PORT"] = str(port.port)
        variables[f"{stem}_ADDR"] = address
    return variables
