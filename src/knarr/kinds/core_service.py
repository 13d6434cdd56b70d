"""Rows: Service, Endpoints, EndpointSlice."""

from knarr.kinds import registry
from knarr.kinds.lens.policy import Endpoints
from knarr.kinds.lens.service import EndpointSlice, Service

SERVICE = registry.row("", "v1", "Service", Service)
ENDPOINTS = registry.row("", "v1", "Endpoints", Endpoints)
ENDPOINTSLICE = registry.row("discovery.k8s.io", "v1", "EndpointSlice", EndpointSlice)
