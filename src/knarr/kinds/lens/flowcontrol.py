"""Lens: FlowSchema and PriorityLevelConfiguration.

Typed, frozen views for readers. Field names and zero values follow the Go types: a field that Go holds
by pointer is None when absent, any other has its zero value. Only what some reader needs stands here; the
stored JSON keeps everything else. Facts: kinds/facts/types.json (a test compares).
"""

from datetime import datetime

from msgspec import Struct

from knarr.kinds.lens.meta import ObjectMeta


class PriorityLevelConfigurationReference(Struct, frozen=True, kw_only=True, rename="camel"):
    name: str = ""


class FlowSchemaSpec(Struct, frozen=True, kw_only=True, rename="camel"):
    priority_level_configuration: PriorityLevelConfigurationReference = PriorityLevelConfigurationReference()


class FlowSchemaCondition(Struct, frozen=True, kw_only=True, rename="camel"):
    last_transition_time: datetime | None = None
    message: str = ""
    reason: str = ""
    status: str = ""
    type: str = ""


class FlowSchemaStatus(Struct, frozen=True, kw_only=True, rename="camel"):
    conditions: tuple[FlowSchemaCondition, ...] = ()


class FlowSchema(Struct, frozen=True, kw_only=True, rename="camel"):
    metadata: ObjectMeta = ObjectMeta()
    spec: FlowSchemaSpec = FlowSchemaSpec()
    status: FlowSchemaStatus = FlowSchemaStatus()


class PriorityLevelConfiguration(Struct, frozen=True, kw_only=True, rename="camel"):
    metadata: ObjectMeta = ObjectMeta()
