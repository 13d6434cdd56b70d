"""Lens: The volumes of a pod and how containers mount them.

Typed, frozen views for readers. Field names and zero values follow the Go types: a field that Go holds
by pointer is None when absent, any other has its zero value. Only what some reader needs stands here; the
stored JSON keeps everything else. Facts: kinds/facts/types.json (a test compares).
"""

from msgspec import Struct, field

from knarr.kinds.lens.meta import LabelSelector
from knarr.kinds.lens.references import KeyToPath, ObjectFieldSelector, ResourceFieldSelector


class ConfigMapProjection(Struct, frozen=True, kw_only=True, rename="camel"):
    items: tuple[KeyToPath, ...] = ()
    name: str = ""
    optional: bool | None = None


class SecretProjection(Struct, frozen=True, kw_only=True, rename="camel"):
    items: tuple[KeyToPath, ...] = ()
    name: str = ""
    optional: bool | None = None


class DownwardAPIVolumeFile(Struct, frozen=True, kw_only=True, rename="camel"):
    field_ref: ObjectFieldSelector | None = None
    mode: int | None = None
    path: str = ""
    resource_field_ref: ResourceFieldSelector | None = None
    user: int | None = None


class DownwardAPIProjection(Struct, frozen=True, kw_only=True, rename="camel"):
    items: tuple[DownwardAPIVolumeFile, ...] = ()


class ServiceAccountTokenProjection(Struct, frozen=True, kw_only=True, rename="camel"):
    audience: str = ""
    expiration_seconds: int | None = None
    path: str = ""
    user: int | None = None


class ClusterTrustBundleProjection(Struct, frozen=True, kw_only=True, rename="camel"):
    label_selector: LabelSelector | None = None
    name: str | None = None
    optional: bool | None = None
    path: str = ""
    signer_name: str | None = None
    user: int | None = None


class VolumeProjection(Struct, frozen=True, kw_only=True, rename="camel"):
    cluster_trust_bundle: ClusterTrustBundleProjection | None = None
    config_map: ConfigMapProjection | None = None
    downward_api: DownwardAPIProjection | None = field(default=None, name="downwardAPI")
    secret: SecretProjection | None = None
    service_account_token: ServiceAccountTokenProjection | None = None


class ProjectedVolumeSource(Struct, frozen=True, kw_only=True, rename="camel"):
    default_mode: int | None = None
    default_user: int | None = None
    sources: tuple[VolumeProjection, ...] = ()


class ConfigMapVolumeSource(Struct, frozen=True, kw_only=True, rename="camel"):
    default_mode: int | None = None
    default_user: int | None = None
    items: tuple[KeyToPath, ...] = ()
    name: str = ""
    optional: bool | None = None


class SecretVolumeSource(Struct, frozen=True, kw_only=True, rename="camel"):
    default_mode: int | None = None
    default_user: int | None = None
    items: tuple[KeyToPath, ...] = ()
    optional: bool | None = None
    secret_name: str = ""


class DownwardAPIVolumeSource(Struct, frozen=True, kw_only=True, rename="camel"):
    default_mode: int | None = None
    default_user: int | None = None
    items: tuple[DownwardAPIVolumeFile, ...] = ()


class EmptyDirVolumeSource(Struct, frozen=True, kw_only=True, rename="camel"):
    medium: str = ""
    mode: int | None = None
    size_limit: str | None = None


class EphemeralVolumeSource(Struct, frozen=True, kw_only=True, rename="camel"):
    """That it is there: its claim template is read whole, by who makes the claim."""


class HostPathVolumeSource(Struct, frozen=True, kw_only=True, rename="camel"):
    path: str = ""
    type: str | None = None


class ImageVolumeSource(Struct, frozen=True, kw_only=True, rename="camel"):
    pull_policy: str = ""
    reference: str = ""


class PersistentVolumeClaimVolumeSource(Struct, frozen=True, kw_only=True, rename="camel"):
    claim_name: str = ""
    read_only: bool = False


class Volume(Struct, frozen=True, kw_only=True, rename="camel"):
    config_map: ConfigMapVolumeSource | None = None
    downward_api: DownwardAPIVolumeSource | None = field(default=None, name="downwardAPI")
    empty_dir: EmptyDirVolumeSource | None = None
    ephemeral: EphemeralVolumeSource | None = None
    host_path: HostPathVolumeSource | None = None
    image: ImageVolumeSource | None = None
    name: str = ""
    persistent_volume_claim: PersistentVolumeClaimVolumeSource | None = None
    projected: ProjectedVolumeSource | None = None
    secret: SecretVolumeSource | None = None


class VolumeMount(Struct, frozen=True, kw_only=True, rename="camel"):
    bind_mount_options: tuple[str, ...] = ()
    mount_path: str = ""
    mount_propagation: str | None = None
    name: str = ""
    read_only: bool = False
    recursive_read_only: str | None = None
    sub_path: str = ""
    sub_path_expr: str = ""
