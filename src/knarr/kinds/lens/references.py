"""Lens: References from one object into another, and selectors of keys and fields.

Typed, frozen views for readers. Field names and zero values follow the Go types: a field that Go holds
by pointer is None when absent, any other has its zero value. Only what some reader needs stands here; the
stored JSON keeps everything else. Facts: kinds/facts/types.json (a test compares).
"""

from msgspec import Struct


class LocalObjectReference(Struct, frozen=True, kw_only=True, rename="camel"):
    name: str = ""


class ObjectReference(Struct, frozen=True, kw_only=True, rename="camel"):
    api_version: str = ""
    field_path: str = ""
    kind: str = ""
    name: str = ""
    namespace: str = ""
    resource_version: str = ""
    uid: str = ""


class ConfigMapKeySelector(Struct, frozen=True, kw_only=True, rename="camel"):
    key: str = ""
    name: str = ""
    optional: bool | None = None


class SecretKeySelector(Struct, frozen=True, kw_only=True, rename="camel"):
    key: str = ""
    name: str = ""
    optional: bool | None = None


class ObjectFieldSelector(Struct, frozen=True, kw_only=True, rename="camel"):
    field_path: str = ""


class ResourceFieldSelector(Struct, frozen=True, kw_only=True, rename="camel"):
    container_name: str = ""
    divisor: str = ""
    resource: str = ""


class FileKeySelector(Struct, frozen=True, kw_only=True, rename="camel"):
    key: str = ""
    optional: bool | None = None
    path: str = ""
    volume_name: str = ""


class KeyToPath(Struct, frozen=True, kw_only=True, rename="camel"):
    key: str = ""
    mode: int | None = None
    path: str = ""
    user: int | None = None


class TypedLocalObjectReference(Struct, frozen=True, kw_only=True, rename="camel"):
    api_group: str | None = None
    kind: str = ""
    name: str = ""
