"""Columns: what `kubectl get` prints, for every kind without a fault and for the clever ones by example."""

from datetime import UTC, datetime
from typing import Any

import pytest

from knarr.apiserver import presenting_tables
from knarr.apiserver.tables import columns, durations
from knarr.kinds import registry, walks
from knarr.kinds.apps import DEPLOYMENT
from knarr.kinds.core_config import CONFIGMAP, NODE
from knarr.kinds.core_pod import POD
from knarr.kinds.core_service import SERVICE
from knarr.kinds.registry import Kind

Json = dict[str, Any]
NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
KINDS = [registry.row(row["group"], row["version"], row["kind"]) for row in registry.facts("kinds")["kinds"]]


def cells(kind: Kind, **fields: Any) -> dict[str, Any]:
    shown = columns.of(kind)
    metadata = {"name": "x", "creationTimestamp": "2026-01-01T11:00:00Z", **fields.pop("metadata", {})}
    row = shown.row({"metadata": metadata, **fields}, NOW)
    return dict(zip([each["name"] for each in shown.definitions], row["cells"], strict=True))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.group}/{kind.version}/{kind.kind}")
def test_an_empty_object_of_every_kind_has_a_row(kind: Kind) -> None:
    shown = columns.of(kind)
    for obj in ({"metadata": {"name": "x"}}, walks.defaulted(kind, {"metadata": {"name": "x"}})):
        assert len(shown.row(obj, NOW)["cells"]) == len(shown.definitions)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"), (-1, "0s"), (-2, "<invalid>"), (119, "119s"), (120, "2m"), (195, "3m15s"), (600, "10m"),
        (10799, "179m"), (10800, "3h"), (18600, "5h10m"), (28800, "8h"), (172799, "47h"), (172800, "2d"),
        (183600, "2d3h"), (691200, "8d"), (63071999, "729d"), (63072000, "2y"), (65664000, "2y30d"), (252288000, "8y"),
    ],
)  # fmt: skip
def test_durations_are_as_short_as_upstreams(seconds: int, text: str) -> None:
    assert durations.human(seconds) == text


def state(**fields: Any) -> Json:
    return {"name": "c", "ready": False, "restartCount": 0, "state": fields}


PODS: list[tuple[Json, str]] = [
    ({"phase": "Pending"}, "Pending"),
    ({"phase": "Running", "containerStatuses": [state(running={})]}, "Running"),
    ({"phase": "Pending", "containerStatuses": [state(waiting={"reason": "ImagePullBackOff"})]}, "ImagePullBackOff"),
    ({"phase": "Running", "containerStatuses": [state(waiting={"reason": "CrashLoopBackOff"})]}, "CrashLoopBackOff"),
    ({"phase": "Failed", "containerStatuses": [state(terminated={"exitCode": 3})]}, "ExitCode:3"),
    ({"phase": "Failed", "containerStatuses": [state(terminated={"exitCode": 137, "signal": 9})]}, "Signal:9"),
    (
        {"phase": "Succeeded", "containerStatuses": [state(terminated={"reason": "Completed", "exitCode": 0})]},
        "Completed",
    ),
    ({"phase": "Failed", "reason": "Evicted"}, "Evicted"),
    ({"phase": "Pending", "conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}]}, "SchedulingGated"),
    ({"phase": "Pending", "initContainerStatuses": [state(running={})]}, "Init:0/1"),
    (
        {"phase": "Pending", "initContainerStatuses": [state(terminated={"exitCode": 1, "reason": "Error"})]},
        "Init:Error",
    ),
    (
        {"phase": "Pending", "initContainerStatuses": [state(waiting={"reason": "CrashLoopBackOff"})]},
        "Init:CrashLoopBackOff",
    ),
]


@pytest.mark.parametrize(("status", "text"), PODS, ids=[each[1] for each in PODS])
def test_the_status_of_a_pod_is_one_word(status: Json, text: str) -> None:
    spec = {
        "containers": [{"name": "c"}],
        "initContainers": [{"name": "c"}] if "initContainerStatuses" in status else [],
    }
    assert cells(POD, spec=spec, status=status)["Status"] == text


def test_a_pod_that_is_being_deleted_terminates() -> None:
    gone = {"deletionTimestamp": "2026-01-01T11:59:00Z"}
    assert cells(POD, metadata=gone, status={"phase": "Running"})["Status"] == "Terminating"


def test_a_pod_shows_ready_restarts_and_its_place() -> None:
    held = {
        **state(running={}),
        "ready": True,
        "restartCount": 2,
        "lastState": {"terminated": {"finishedAt": "2026-01-01T11:55:00Z"}},
    }
    found = cells(
        POD,
        spec={"containers": [{"name": "c"}, {"name": "d"}], "nodeName": "n"},
        status={"phase": "Running", "containerStatuses": [held], "podIPs": [{"ip": "10.0.0.1"}]},
    )
    assert found == {
        "Name": "x", "Ready": "1/2", "Status": "Running", "Restarts": "2 (5m ago)", "Age": "60m", "IP": "10.0.0.1",
        "Node": "n", "Nominated Node": "<none>", "Readiness Gates": "<none>",
    }  # fmt: skip


def test_a_deployment_shows_zeros_and_its_containers() -> None:
    template = {"spec": {"containers": [{"name": "c", "image": "x:1"}, {"name": "d", "image": "y:2"}]}}
    found = cells(DEPLOYMENT, spec={"replicas": 2, "template": template, "selector": {"matchLabels": {"a": "b"}}})
    assert found == {
        "Name": "x", "Ready": "0/2", "Up-to-date": 0, "Available": 0, "Age": "60m", "Containers": "c,d",
        "Images": "x:1,y:2", "Selector": "a=b",
    }  # fmt: skip


def test_a_service_shows_its_ports_and_addresses() -> None:
    ports = [{"port": 80, "protocol": "TCP", "nodePort": 30001}, {"port": 53, "protocol": "UDP"}]
    found = cells(SERVICE, spec={"type": "LoadBalancer", "clusterIPs": ["10.0.0.1"], "ports": ports})
    assert (found["External-IP"], found["Port(s)"], found["Selector"]) == ("<pending>", "80:30001/TCP,53/UDP", "<none>")


def test_a_node_shows_its_roles_and_that_it_is_cordoned() -> None:
    found = cells(
        NODE,
        metadata={"labels": {"node-role.kubernetes.io/control-plane": ""}},
        spec={"unschedulable": True},
        status={"conditions": [{"type": "Ready", "status": "True"}]},
    )
    assert (found["Status"], found["Roles"]) == ("Ready,SchedulingDisabled", "control-plane")


def test_rows_carry_what_was_asked_for() -> None:
    obj = {"metadata": {"name": "x"}, "data": {"a": "1"}}
    shown = columns.of(CONFIGMAP)
    rows = {
        include: presenting_tables.table(shown, [obj], (include, "v1"), NOW)["rows"][0].get("object")
        for include in ("", "None", "Object")
    }
    partial = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {"name": "x"}}
    assert rows == {"": partial, "None": None, "Object": obj}


def test_a_finished_pods_row_says_so() -> None:
    row = columns.of(POD).row({"metadata": {"name": "x"}, "status": {"phase": "Succeeded"}}, NOW)
    assert row["conditions"][0]["type"] == "Completed"


def test_every_column_that_is_served_says_what_it_means() -> None:
    found = [
        f"{kind.kind}/{column['name']}"
        for kind in KINDS
        for column in columns.of(kind).definitions
        if not column["description"]
    ]
    assert found == []
