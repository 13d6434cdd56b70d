"""Lens: PersistentVolume, PersistentVolumeClaim, StorageClass, CSINode.

Typed, frozen views for readers. Field names and zero values follow the Go types: a field that Go holds
by pointer is None when absent, any other has its zero value. Only what some reader needs stands here; the
stored JSON keeps everything else. Facts: kinds/facts/types.json (a test compares).
"""

from msgspec import Struct, field

from knarr.kinds.lens.meta import LabelSelector, ObjectMeta
from knarr.kinds.lens.references import ObjectReference
from knarr.kinds.lens.scheduling import NodeSelector


class VolumeResourceRequirements(Struct, frozen=True, kw_only=True, rename="camel"):
    requests: dict[str, str] = field(default_factory=dict)


class PersistentVolumeClaimSpec(Struct, frozen=True, kw_only=True, rename="camel"):
    access_modes: tuple[str, ...] = ()
    resources: VolumeResourceRequirements = VolumeResourceRequirements()
    selector: LabelSelector | None = None
    storage_class_name: str | None = None
    volume_attributes_class_name: str | None = None
    volume_mode: str | None = None
    volume_name: str = ""


class ModifyVolumeStatus(Struct, frozen=True, kw_only=True, rename="camel"):
    target_volume_attributes_class_name: str = ""


class PersistentVolumeClaimStatus(Struct, frozen=True, kw_only=True, rename="camel"):
    current_volume_attributes_class_name: str | None = None
    modify_volume_status: ModifyVolumeStatus | None = None
    phase: str = ""


class PersistentVolumeClaim(Struct, frozen=True, kw_only=True, rename="camel"):
    metadata: ObjectMeta = ObjectMeta()
    spec: PersistentVolumeClaimSpec = PersistentVolumeClaimSpec()
    status: PersistentVolumeClaimStatus = PersistentVolumeClaimStatus()


class VolumeNodeAffinity(Struct, frozen=True, kw_only=True, rename="camel"):
    required: NodeSelector | None = None


class CSIPersistentVolumeSource(Struct, frozen=True, kw_only=True, rename="camel"):
    driver: str = ""
    volume_handle: str = ""


class PersistentVolumeSpec(Struct, frozen=True, kw_only=True, rename="camel"):
    access_modes: tuple[str, ...] = ()
    capacity: dict[str, str] = field(default_factory=dict)
    claim_ref: ObjectReference | None = None
    csi: CSIPersistentVolumeSource | None = None
    node_affinity: VolumeNodeAffinity | None = None
    persistent_volume_reclaim_policy: str = ""
    storage_class_name: str = ""
    volume_mode: str | None = None


class PersistentVolumeStatus(Struct, frozen=True, kw_only=True, rename="camel"):
    phase: str = ""


class PersistentVolume(Struct, frozen=True, kw_only=True, rename="camel"):
    metadata: ObjectMeta = ObjectMeta()
    spec: PersistentVolumeSpec = PersistentVolumeSpec()
    status: PersistentVolumeStatus = PersistentVolumeStatus()


class TopologySelectorLabelRequirement(Struct, frozen=True, kw_only=True, rename="camel"):
    key: str = ""
    values: tuple[str, ...] = ()


class TopologySelectorTerm(Struct, frozen=True, kw_only=True, rename="camel"):
    match_label_expressions: tuple[TopologySelectorLabelRequirement, ...] = ()


class StorageClass(Struct, frozen=True, kw_only=True, rename="camel"):
    metadata: ObjectMeta = ObjectMeta()
    allowed_topologies: tuple[TopologySelectorTerm, ...] = ()
    provisioner: str = ""
    volume_binding_mode: str | None = None


class VolumeNodeResources(Struct, frozen=True, kw_only=True, rename="camel"):
    count: int | None = None


class CSINodeDriver(Struct, frozen=True, kw_only=True, rename="camel"):
    allocatable: VolumeNodeResources | None = None
    name: str = ""


class CSINodeSpec(Struct, frozen=True, kw_only=True, rename="camel"):
    drivers: tuple[CSINodeDriver, ...] = ()


class CSINode(Struct, frozen=True, kw_only=True, rename="camel"):
    metadata: ObjectMeta = ObjectMeta()
    spec: CSINodeSpec = CSINodeSpec()
