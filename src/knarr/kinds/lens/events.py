"""Lens: Event and Lease.

Typed, frozen views for readers. Field names and zero values follow the Go types: a field that Go holds
by pointer is None when absent, any other has its zero value. Only what some reader needs stands here; the
stored JSON keeps everything else. Facts: kinds/facts/types.json (a test compares).
"""

from datetime import datetime

from msgspec import Struct

from knarr.kinds.lens.meta import ObjectMeta
from knarr.kinds.lens.references import ObjectReference


class EventSource(Struct, frozen=True, kw_only=True, rename="camel"):
    component: str = ""
    host: str = ""


class EventSeries(Struct, frozen=True, kw_only=True, rename="camel"):
    count: int = 0
    last_observed_time: datetime | None = None


class Event(Struct, frozen=True, kw_only=True, rename="camel"):
    action: str = ""
    count: int = 0
    event_time: datetime | None = None
    first_timestamp: datetime | None = None
    involved_object: ObjectReference = ObjectReference()
    last_timestamp: datetime | None = None
    message: str = ""
    metadata: ObjectMeta = ObjectMeta()
    reason: str = ""
    related: ObjectReference | None = None
    reporting_component: str = ""
    reporting_instance: str = ""
    series: EventSeries | None = None
    source: EventSource = EventSource()
    type: str = ""


class LeaseSpec(Struct, frozen=True, kw_only=True, rename="camel"):
    acquire_time: datetime | None = None
    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    lease_transitions: int | None = None
    preferred_holder: str | None = None
    renew_time: datetime | None = None
    strategy: str | None = None


class Lease(Struct, frozen=True, kw_only=True, rename="camel"):
    metadata: ObjectMeta = ObjectMeta()
    spec: LeaseSpec = LeaseSpec()
