"""What a configMap, secret, downwardAPI or projected volume shall contain: relative path → bytes and mode.

Pure: objects and tokens come in as values. Refusals are errors.Invalid in upstream's words (they become FailedMount
events). Writing them atomically is volumes/atomic.py's. Spec: docs "Projected Volumes".
"""

from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from knarr.base.errors import Invalid, Unimplemented
from knarr.kinds.lens.config import ConfigMap, Secret
from knarr.kinds.lens.pod import Pod
from knarr.kinds.lens.references import KeyToPath
from knarr.kinds.lens.volumes import DownwardAPIVolumeFile, ServiceAccountTokenProjection, Volume, VolumeProjection
from knarr.kubelet import fields, members, security
from knarr.kubelet.env import Sources

DEFAULT_MODE = 0o644
TOKEN_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class File:
    """`owner` is whose it is if not root's."""

    content: bytes
    mode: int = DEFAULT_MODE
    owner: int | None = None


@dataclass(frozen=True, slots=True)
class TokenWanted:
    """A ServiceAccount token that a volume projects."""

    audience: str
    expiration_seconds: int


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything that projected files are made of."""

    sources: Sources = Sources()
    tokens: Mapping[TokenWanted, str] = field(default_factory=dict)


def is_projected(volume: Volume) -> bool:
    """Whether the volume's content is computed from API objects."""
    return bool(volume.config_map or volume.secret or volume.downward_api or volume.projected)


def references(volume: Volume) -> tuple[set[str], set[str]]:
    """Names of (ConfigMaps, Secrets) that the volume shows."""
    config_maps = {volume.config_map.name} if volume.config_map else set()
    secrets = {volume.secret.secret_name} if volume.secret else set()
    for source in volume.projected.sources if volume.projected else ():
        if source.config_map:
            config_maps.add(source.config_map.name)
        if source.secret:
            secrets.add(source.secret.name)
    return config_maps, secrets


def tokens(volume: Volume) -> list[TokenWanted]:
    """The ServiceAccount tokens that the volume shows."""
    sources = volume.projected.sources if volume.projected else ()
    return [wanted(s.service_account_token) for s in sources if s.service_account_token]


def wanted(projection: ServiceAccountTokenProjection) -> TokenWanted:
    return TokenWanted(projection.audience, projection.expiration_seconds or TOKEN_SECONDS)


def files(pod: Pod, volume: Volume, inputs: Inputs) -> dict[str, File]:
    """The files of a projected volume."""
    sources = inputs.sources
    if (config_map := volume.config_map) is not None:
        mode = _mode(config_map.default_mode)
        return _config_map(sources, config_map.name, config_map.items, mode, optional=bool(config_map.optional))
    if (secret := volume.secret) is not None:
        mode = _mode(secret.default_mode)
        return _secret(sources, secret.secret_name, secret.items, mode, optional=bool(secret.optional))
    if volume.downward_api is not None:
        return _downward(pod, volume.downward_api.items, _mode(volume.downward_api.default_mode), sources)
    result: dict[str, File] = {}
    if volume.projected is not None:
        for source in volume.projected.sources:
            result |= _projection(pod, source, _mode(volume.projected.default_mode), inputs)
    return result


def _mode(mode: int | None) -> int:
    return DEFAULT_MODE if mode is None else mode


def _projection(pod: Pod, source: VolumeProjection, mode: int, inputs: Inputs) -> dict[str, File]:
    if (config_map := source.config_map) is not None:
        optional = bool(config_map.optional)
        return _config_map(inputs.sources, config_map.name, config_map.items, mode, optional=optional)
    if (secret := source.secret) is not None:
        return _secret(inputs.sources, secret.name, secret.items, mode, optional=bool(secret.optional))
    if source.downward_api is not None:
        return _downward(pod, source.downward_api.items, mode, inputs.sources)
    if (token := source.service_account_token) is not None:
        return {token.path: _token(pod, inputs.tokens[wanted(token)].encode(), mode)}
    if source.cluster_trust_bundle is not None:
        raise Unimplemented("projected source clusterTrustBundle is not supported on this node")
    raise Unimplemented("the volume projects a source that is not supported on this node (podCertificate?)")


def _token(pod: Pod, content: bytes, mode: int) -> File:
    """Nobody but the pod's one user reads it, or its fsGroup (atomic.py lets it), where it has one or the other."""
    owner = _one_user(pod)
    context = pod.spec.security_context
    has_group = context is not None and context.fs_group is not None
    return File(content, 0o600 if has_group or owner is not None else mode, owner)


def _one_user(pod: Pod) -> int | None:
    """The uid that the spec gives all containers; ephemeral ones do not count. None if they differ or say nothing."""
    users = {security.run_as_user(pod, each) for each in (*pod.spec.init_containers, *pod.spec.containers)}
    return users.pop() if len(users) == 1 else None


def _config_map(
    sources: Sources, name: str, items: Sequence[KeyToPath], mode: int, *, optional: bool
) -> dict[str, File]:
    config_map = sources.config_maps.get(name)
    if config_map is None:
        return _absent(f'configmap "{name}" not found', optional=optional)
    return _keyed(_config_map_bytes(config_map), items, mode, optional=optional)


def _secret(sources: Sources, name: str, items: Sequence[KeyToPath], mode: int, *, optional: bool) -> dict[str, File]:
    secret = sources.secrets.get(name)
    if secret is None:
        return _absent(f'secret "{name}" not found', optional=optional)
    return _keyed(_secret_bytes(secret), items, mode, optional=optional)


def _absent(message: str, *, optional: bool) -> dict[str, File]:
    if optional:
        return {}
    raise Invalid(message)


def _config_map_bytes(config_map: ConfigMap) -> dict[str, bytes]:
    texts = {key: text.encode() for key, text in config_map.data.items()}
    return texts | {key: b64decode(encoded) for key, encoded in config_map.binary_data.items()}


def _secret_bytes(secret: Secret) -> dict[str, bytes]:
    return {key: b64decode(encoded) for key, encoded in secret.data.items()}


def _keyed(contents: Mapping[str, bytes], items: Sequence[KeyToPath], mode: int, *, optional: bool) -> dict[str, File]:
    """All keys as files, or only those that `items` choose, at their paths."""
    if not items:
        return {key: File(content, mode) for key, content in contents.items()}
    result = {}
    for item in items:
        if item.key not in contents:
            if optional:
                continue
            raise Invalid(f"references non-existent config key: {item.key}")
        result[item.path] = File(contents[item.key], mode if item.mode is None else item.mode)
    return result


def _downward(pod: Pod, items: Sequence[DownwardAPIVolumeFile], mode: int, sources: Sources) -> dict[str, File]:
    result = {}
    for item in items:
        if item.field_ref is not None:
            text = fields.field_value(pod, item.field_ref.field_path, sources.place)
        elif item.resource_field_ref is not None:
            container = members.find(pod, item.resource_field_ref.container_name) or pod.spec.containers[0]
            text = fields.resource_value(pod, container, item.resource_field_ref, sources.place)
        else:
            continue
        result[item.path] = File(text.encode(), mode if item.mode is None else item.mode)
    return result
