"""Rows: PersistentVolumeClaim."""

from knarr.kinds import registry
from knarr.kinds.lens.sets import PersistentVolumeClaim

PERSISTENTVOLUMECLAIM = registry.row("", "v1", "PersistentVolumeClaim", PersistentVolumeClaim)
