"""Rows: Pod and the kinds that only exist around it."""

from knarr.kinds import registry
from knarr.kinds.lens.pod import Pod

POD = registry.row("", "v1", "Pod", Pod)
