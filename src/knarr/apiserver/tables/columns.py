"""Columns: the facts row of a kind's table compiled to functions, and one Table encoded from objects.

The rules of facts are a table from name to cell. Spec: metav1.Table; columns as upstream's printers have them.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from knarr.apiserver.tables import cells, cluster, descriptions, pods, workloads
from knarr.apiserver.tables.cells import Cell
from knarr.base.clock import Instant
from knarr.kinds import registry, schemas
from knarr.kinds.registry import Kind
from knarr.objects.schema import Schema

Json = dict[str, Any]

# Rule of the facts without arguments → cell.
PLAIN: Final[Mapping[str, Cell]] = {
    "age": cells.age,
    "pod-ready": pods.ready,
    "pod-status": pods.status,
    "pod-restarts": pods.restarts,
    "readiness-gates": pods.readiness_gates,
    "job-status": workloads.job_status,
    "job-completions": workloads.job_completions,
    "job-duration": workloads.job_duration,
    "hpa-targets": workloads.hpa_targets,
    "controller-owner": workloads.controller_owner,
    "event-last-seen": workloads.event_last_seen,
    "event-first-seen": workloads.event_first_seen,
    "event-count": workloads.event_count,
    "event-object": workloads.event_object,
    "event-source": workloads.event_source,
    "service-external-ip": cluster.service_external_ip,
    "service-ports": cluster.service_ports,
    "ingress-hosts": cluster.ingress_hosts,
    "ingress-ports": cluster.ingress_ports,
    "load-balancer-addresses": cluster.load_balancer_addresses,
    "endpoints-first-3": cluster.endpoints,
    "slice-ports-first-3": cluster.slice_ports,
    "slice-addresses-first-3": cluster.slice_addresses,
    "storage-versions-first-3": cluster.storage_versions,
    "node-status": cluster.node_status,
    "node-roles": cluster.node_roles,
    "phase-or-Terminating": cluster.phase_or_terminating,
    "storage-class": cluster.storage_class,
    "name-with-default": cluster.name_with_default,
    "csr-condition": cluster.csr_condition,
    "component-healthy": cluster.component_healthy,
    "apiservice-service": cluster.apiservice_service,
    "apiservice-available": cluster.apiservice_available,
    "param-ref": cluster.param_ref,
    "ingressclass-parameters": cluster.ingressclass_parameters,
    "ip-parent-ref": cluster.ip_parent_ref,
    "migration-resource": cluster.migration_resource,
    "resource-claim-state": cluster.resource_claim_state,
}

# Rule of the facts with arguments → what makes the cell of them.
MAKERS: Final[Mapping[str, Callable[[str], Cell]]] = {
    "ratio": cells.ratio,
    "count": cells.count,
    "names": cells.names,
    "images": cells.images,
    "labels": cells.labels,
    "label-selector": cells.label_selector,
    "join": cells.join,
    "since": cells.since,
    "duration": cells.duration,
    "trim": cells.trim,
    "True-False": cells.true_false,
    "kind/name": cells.kind_name,
    "namespace/name": cells.namespace_name,
    "apiVersion/kind": cells.api_version_kind,
    "subjects": cells.subjects,
    "access-modes": cells.access_modes,
    "if-bound": cells.if_bound,
    "quota": workloads.quota,
}


@dataclass(frozen=True, slots=True)
class Columns:
    """`definitions` as the Table carries them; one cell per definition; `conditions` of a row, where a kind has any."""

    definitions: tuple[Json, ...]
    cells: tuple[Cell, ...]
    conditions: Callable[[Json], list[Json] | None] | None = None

    def row(self, obj: Json, now: Instant) -> Json:
        row: Json = {"cells": [cell(obj, now) for cell in self.cells]}
        if self.conditions is not None and (found := self.conditions(obj)):
            row["conditions"] = found
        return row


@functools.cache
def of(kind: Kind) -> Columns:
    """The columns of a kind."""
    listed = kind.facts.get("columns")
    if listed is None and kind.kind == "Event":  # events.k8s.io prints as core events do
        listed = registry.row("", "v1", "Event").facts["columns"]
    if not isinstance(listed, list):
        return default()
    schema = schemas.of(kind)
    conditions = pods.row_conditions if (kind.group, kind.kind) == ("", "Pod") else None
    return _columns(kind.kind, listed, schema, conditions)


@functools.cache
def default() -> Columns:
    """Name and Created At: kinds without columns of their own."""
    return _columns("", registry.facts("kinds")["tables"]["default"], None, None)


@functools.cache
def scale() -> Columns:
    return _columns("Scale", registry.facts("kinds")["tables"]["Scale"], None, None)


def _columns(
    kind: str,
    listed: Sequence[Json],
    schema: Schema | None,
    conditions: Callable[[Json], list[Json] | None] | None,
) -> Columns:
    definitions = tuple(
        {
            "name": column["name"],
            "type": column["type"],
            "format": column.get("format", ""),
            "description": descriptions.of(kind, column["name"]),
            "priority": column.get("priority", 0),
        }
        for column in listed
    )
    return Columns(definitions, tuple(_cell(column, schema) for column in listed), conditions)


def _cell(column: Json, schema: Schema | None) -> Cell:
    if "path" in column:
        return cells.from_path(column["path"], column.get("empty", _zero(column["path"], schema)))
    rule, _, arguments = column["rule"].partition("(")
    made = MAKERS[rule](arguments[:-1]) if arguments else PLAIN[rule]
    empty = column.get("empty")
    if empty is None:
        return made
    return lambda obj, now: made(obj, now) or empty


def _zero(path: str, schema: Schema | None) -> Any:
    """What Go prints for a field that is not there: its zero value; `<none>` for a pointer."""
    for name in path.removeprefix(".").split("."):
        if schema is None or "[" in name:
            return ""
        schema = schema.type.fields.get(name) if schema.form == "struct" else None
    if schema is None:
        return ""
    if schema.form == "integer":
        return 0 if schema.zero != "keep" else "<none>"
    if schema.form == "boolean":
        return False if schema.zero != "keep" else "<unset>"
    return ""
