"""Lens: ConfigMap, Secret, ServiceAccount, Namespace.

Typed, frozen views for readers. Field names and zero values follow the Go types: a field that Go holds
by pointer is None when absent, any other has its zero value. Only what some reader needs stands here; the
stored JSON keeps everything else. Facts: kinds/facts/types.json (a test compares).
"""

from datetime import datetime

from msgspec import Struct, field

from knarr.kinds.lens.meta import ObjectMeta
from knarr.kinds.lens.references import LocalObjectReference, ObjectReference


class ConfigMap(Struct, frozen=True, kw_only=True, rename="camel"):
    binary_data: dict[str, str] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)
    immutable: bool | None = None
    metadata: ObjectMeta = ObjectMeta()


class Secret(Struct, frozen=True, kw_only=True, rename="camel"):
    data: dict[str, str] = field(default_factory=dict)
    immutable: bool | None = None
    metadata: ObjectMeta = ObjectMeta()
    string_data: dict[str, str] = field(default_factory=dict)
    type: str = ""


class ServiceAccount(Struct, frozen=True, kw_only=True, rename="camel"):
    automount_service_account_token: bool | None = None
    image_pull_secrets: tuple[LocalObjectReference, ...] = ()
    metadata: ObjectMeta = ObjectMeta()
    secrets: tuple[ObjectReference, ...] = ()


class NamespaceCondition(Struct, frozen=True, kw_only=True, rename="camel"):
    last_transition_time: datetime | None = None
    message: str = ""
    reason: str = ""
    status: str = ""
    type: str = ""


class NamespaceSpec(Struct, frozen=True, kw_only=True, rename="camel"):
    finalizers: tuple[str, ...] = ()


class NamespaceStatus(Struct, frozen=True, kw_only=True, rename="camel"):
    conditions: tuple[NamespaceCondition, ...] = ()
    phase: str = ""


class Namespace(Struct, frozen=True, kw_only=True, rename="camel"):
    metadata: ObjectMeta = ObjectMeta()
    spec: NamespaceSpec = NamespaceSpec()
    status: NamespaceStatus = NamespaceStatus()
