"""Rows: PersistentVolumeClaim, PersistentVolume, StorageClass, CSINode."""

from knarr.kinds import registry
from knarr.kinds.lens.storage import CSINode, PersistentVolume, PersistentVolumeClaim, StorageClass

PERSISTENTVOLUMECLAIM = registry.row("", "v1", "PersistentVolumeClaim", PersistentVolumeClaim)
PERSISTENTVOLUME = registry.row("", "v1", "PersistentVolume", PersistentVolume)
STORAGECLASS = registry.row("storage.k8s.io", "v1", "StorageClass", StorageClass)
CSINODE = registry.row("storage.k8s.io", "v1", "CSINode", CSINode)
