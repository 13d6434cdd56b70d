"""Rows: FlowSchema, PriorityLevelConfiguration."""

from knarr.kinds import registry
from knarr.kinds.lens.flowcontrol import FlowSchema, PriorityLevelConfiguration

GROUP = "flowcontrol.apiserver.k8s.io"
FLOWSCHEMA = registry.row(GROUP, "v1", "FlowSchema", FlowSchema)
PRIORITYLEVELCONFIGURATION = registry.row(GROUP, "v1", "PriorityLevelConfiguration", PriorityLevelConfiguration)
