"""What stock kubectls show of fixed objects: `get`, `-o wide`, `get all`, `api-resources`, `explain`, cell by cell.

No controller runs: what an object's status says is what its row shows.
"""

import os
import re
from pathlib import Path
from typing import Any

import pytest

from knarr.kinds import registry
from tests.conformance import raw
from tests.conformance.conftest import Kubectl, kubeconfig, kubectls

Json = dict[str, Any]
CORE, APPS, BATCH, NETWORK = "/api/v1", "/apis/apps/v1", "/apis/batch/v1", "/apis/networking.k8s.io/v1"
HERE = "namespaces/default"
TEMPLATE = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "x:1"}]}}
SELECTOR = {"matchLabels": {"app": "web"}}
SET = {"selector": SELECTOR, "template": TEMPLATE}
ONCE = {"template": {"spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}}
TIMES = {"startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-03T05:00:00Z"}
DONE = [{"type": kind, "status": "True"} for kind in ("SuccessCriteriaMet", "Complete")]
RUNNING = {"name": "c", "image": "x:1", "imageID": "", "ready": True, "restartCount": 0, "state": {"running": {}}}


def named(name: str, **parts: Any) -> Json:
    return {"metadata": {"name": name}, **parts}


# Where objects go, and which.
OBJECTS: list[tuple[str, Json]] = [
    (f"{CORE}/{HERE}/pods", named(
        "p", spec=TEMPLATE["spec"] | {"nodeName": "n"},
        status={"phase": "Running", "podIP": "10.0.0.9", "podIPs": [{"ip": "10.0.0.9"}], "containerStatuses": [RUNNING],
                "conditions": [{"type": "Ready", "status": "True"}]})),
    (f"{CORE}/{HERE}/replicationcontrollers", named(
        "rc", spec={"replicas": 2, "selector": {"app": "web"}, "template": TEMPLATE},
        status={"replicas": 2, "readyReplicas": 1})),
    (f"{APPS}/{HERE}/deployments", named(
        "d", spec=SET | {"replicas": 3},
        status={"replicas": 3, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 1})),
    (f"{APPS}/{HERE}/replicasets", named("rs", spec=SET | {"replicas": 2}, status={"replicas": 2, "readyReplicas": 1})),
    (f"{APPS}/{HERE}/statefulsets", named(
        "ss", spec=SET | {"replicas": 2, "serviceName": "s"}, status={"replicas": 2, "readyReplicas": 1})),
    (f"{APPS}/{HERE}/daemonsets", named("ds", spec=SET, status={
        "desiredNumberScheduled": 4, "currentNumberScheduled": 3, "numberReady": 2, "updatedNumberScheduled": 1,
        "numberAvailable": 1, "numberMisscheduled": 0})),
    (f"{BATCH}/{HERE}/jobs", named("j", spec=ONCE | {"completions": 3}, status=TIMES | {
        "succeeded": 3, "conditions": DONE})),
    (f"{BATCH}/{HERE}/cronjobs", named("cj", spec={
        "schedule": "*/5 * * * *", "suspend": True, "timeZone": "Etc/UTC", "jobTemplate": {"spec": ONCE}})),
    (f"{CORE}/{HERE}/services", named("s", spec={
        "clusterIP": "None", "selector": {"app": "web"}, "ports": [{"port": 80}]})),
    (f"{NETWORK}/{HERE}/ingresses", named("i", spec={"ingressClassName": "k", "rules": [
        {"host": "a.example", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {
            "service": {"name": "s", "port": {"number": 80}}}}]}}]})),
    (f"{CORE}/{HERE}/configmaps", named("cm", data={"a": "1", "b": "2"})),
    (f"{CORE}/{HERE}/secrets", named("se", stringData={"a": "1"})),
    (f"{CORE}/{HERE}/persistentvolumeclaims", named("pvc", spec={
        "accessModes": ["ReadWriteOnce"], "storageClassName": "k", "resources": {"requests": {"storage": "1Gi"}}})),
    (f"{CORE}/persistentvolumes", named("pv", spec={
        "accessModes": ["ReadWriteMany"], "capacity": {"storage": "2Gi"}, "hostPath": {"path": "/x"},
        "storageClassName": "k"})),
    (f"/apis/policy/v1/{HERE}/poddisruptionbudgets", named(
        "pdb", spec={"minAvailable": 1, "selector": SELECTOR}, status={
            "disruptionsAllowed": 2, "currentHealthy": 3, "desiredHealthy": 1, "expectedPods": 3})),
    (f"/apis/autoscaling/v2/{HERE}/horizontalpodautoscalers", named("hpa", spec={
        "minReplicas": 2, "maxReplicas": 5,
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
        "metrics": [{"type": "Resource", "resource": {
            "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]})),
    ("/apis/storage.k8s.io/v1/storageclasses", named("k", provisioner="a.b/c", allowVolumeExpansion=True)),
    ("/apis/scheduling.k8s.io/v1/priorityclasses", named("high", value=100)),
    (f"/apis/coordination.k8s.io/v1/{HERE}/leases", named("le", spec={"holderIdentity": "me"})),
    (f"/apis/discovery.k8s.io/v1/{HERE}/endpointslices", named(
        "es", addressType="IPv4", ports=[{"name": "http", "port": 80}], endpoints=[
            {"addresses": [f"10.0.0.{number}"]} for number in range(1, 5)])),
    (f"{NETWORK}/{HERE}/networkpolicies", named("np", spec={"podSelector": SELECTOR})),
    (f"/apis/rbac.authorization.k8s.io/v1/{HERE}/rolebindings", named(
        "rb", roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        subjects=[{"kind": "User", "name": "u", "apiGroup": "rbac.authorization.k8s.io"},
                  {"kind": "ServiceAccount", "name": "a", "namespace": "default"}])),
]  # fmt: skip

# What `kubectl get WHAT NAME` shows, and what `-o wide` adds. Ages are AGE.
SHOWN: list[tuple[str, str, str, str]] = [
    ("pods", "NAME READY STATUS RESTARTS AGE | p 1/1 Running 0 AGE",
     "IP NODE NOMINATED NODE READINESS GATES", "10.0.0.9 n <none> <none>"),
    ("rc", "NAME DESIRED CURRENT READY AGE | rc 2 2 1 AGE", "CONTAINERS IMAGES SELECTOR", "c x:1 app=web"),
    ("deploy", "NAME READY UP-TO-DATE AVAILABLE AGE | d 2/3 2 1 AGE", "CONTAINERS IMAGES SELECTOR", "c x:1 app=web"),
    ("rs", "NAME DESIRED CURRENT READY AGE | rs 2 2 1 AGE", "CONTAINERS IMAGES SELECTOR", "c x:1 app=web"),
    ("sts", "NAME READY AGE | ss 1/2 AGE", "CONTAINERS IMAGES", "c x:1"),
    ("ds", "NAME DESIRED CURRENT READY UP-TO-DATE AVAILABLE NODE SELECTOR AGE | ds 4 3 2 1 1 <none> AGE",
     "CONTAINERS IMAGES SELECTOR", "c x:1 app=web"),
    ("jobs", "NAME STATUS COMPLETIONS DURATION AGE | j Complete 3/3 2d5h AGE",
     "CONTAINERS IMAGES SELECTOR", "c x:1 UID"),
    ("cj", "NAME SCHEDULE TIMEZONE SUSPEND ACTIVE LAST SCHEDULE AGE | cj */5 * * * * Etc/UTC True 0 <none> AGE",
     "CONTAINERS IMAGES SELECTOR", "c x:1 <none>"),
    ("svc", "NAME TYPE CLUSTER-IP EXTERNAL-IP PORT(S) AGE | s ClusterIP None <none> 80/TCP AGE", "SELECTOR", "app=web"),
    ("ing", "NAME CLASS HOSTS ADDRESS PORTS AGE | i k a.example 80 AGE", "", ""),
    ("cm", "NAME DATA AGE | cm 2 AGE", "", ""),
    ("secrets", "NAME TYPE DATA AGE | se Opaque 1 AGE", "", ""),
    ("pvc", "NAME STATUS VOLUME CAPACITY ACCESS MODES STORAGECLASS VOLUMEATTRIBUTESCLASS AGE | "
     "pvc Pending k <unset> AGE", "VOLUMEMODE", "Filesystem"),
    ("pv", "NAME CAPACITY ACCESS MODES RECLAIM POLICY STATUS CLAIM STORAGECLASS VOLUMEATTRIBUTESCLASS REASON AGE | "
     "pv 2Gi RWX Retain Pending k <unset> AGE", "VOLUMEMODE", "Filesystem"),
    ("pdb", "NAME MIN AVAILABLE MAX UNAVAILABLE ALLOWED DISRUPTIONS AGE | pdb 1 N/A 2 AGE", "", ""),
    ("hpa", "NAME REFERENCE TARGETS MINPODS MAXPODS REPLICAS AGE | "
     "hpa Deployment/d cpu: <unknown>/80% 2 5 0 AGE", "", ""),
    ("sc", "NAME PROVISIONER RECLAIMPOLICY VOLUMEBINDINGMODE ALLOWVOLUMEEXPANSION AGE | "
     "k a.b/c Delete Immediate true AGE", "", ""),
    ("pc", "NAME VALUE GLOBAL-DEFAULT AGE PREEMPTIONPOLICY | high 100 false AGE PreemptLowerPriority", "", ""),
    ("leases", "NAME HOLDER AGE | le me AGE", "", ""),
    ("endpointslices", "NAME ADDRESSTYPE PORTS ENDPOINTS AGE | "
     "es IPv4 80 10.0.0.1,10.0.0.2,10.0.0.3 + 1 more... AGE", "", ""),
    ("netpol", "NAME POD-SELECTOR AGE | np app=web AGE", "", ""),
    ("rolebindings", "NAME ROLE AGE | rb ClusterRole/view AGE", "USERS GROUPS SERVICEACCOUNTS", "u default/a"),
]  # fmt: skip
EXPLAINED = ("pods.spec", "deployments.spec", "statefulsets.spec", "daemonsets.spec", "jobs.spec", "cronjobs.spec",
             "services.spec", "ingresses.spec", "pods.spec.containers.livenessProbe")  # fmt: skip


def plain(shown: str) -> str:
    """A table's lines without the width of its columns, its ages and identifiers."""
    lines = (" ".join(line.split()) for line in shown.splitlines())
    text = " | ".join(line for line in lines if line and not line.startswith("Warning:"))
    text = re.sub(r"batch\.kubernetes\.io/controller-uid=[0-9a-f-]+", "UID", text)
    return re.sub(r"(?<= )([0-9]+m)?[0-9]+s\b|(?<= )[0-9]+m\b", "AGE", text)


@pytest.mark.parametrize(
    "program", kubectls() or [pytest.param("", marks=pytest.mark.skip("no kubectl here"))], ids=os.path.basename
)
async def test_kubectl_shows_each_kind_as_it_shows_upstreams(tmp_path: Path, program: str) -> None:
    async with raw.opened(tmp_path) as api:
        kubectl = Kubectl(program, kubeconfig(tmp_path, api.directory, api.port))
        await api.made(f"{CORE}/{HERE}/serviceaccounts", named("default"))
        for path, obj in OBJECTS:
            await api.made(path, obj)
        for what, narrow, more, cells in SHOWN:
            header, _, row = narrow.partition(" | ")
            name = row.split()[0]
            assert plain(await kubectl("get", what, name)) == narrow
            wide = f"{header} {more} | {row} {cells}" if more else narrow
            assert plain(await kubectl("get", what, name, "-o", "wide")) == wide
        await _get_all(kubectl)
        await _api_resources(kubectl)
        for place in EXPLAINED:
            assert re.search(r"(?m)^(DESCRIPTION|FIELDS):", await kubectl("explain", place))


async def _get_all(kubectl: Kubectl) -> None:
    """The kinds of the category `all`, each row with its resource."""
    shown = await kubectl("get", "all")
    wanted = {
        "pod/p", "replicationcontroller/rc", "service/s", "service/kubernetes", "daemonset.apps/ds",
        "deployment.apps/d", "replicaset.apps/rs", "statefulset.apps/ss", "horizontalpodautoscaler.autoscaling/hpa",
        "cronjob.batch/cj", "job.batch/j",
    }  # fmt: skip
    assert {line.split()[0] for line in shown.splitlines() if "/" in line.split(" ")[0]} == wanted


async def _api_resources(kubectl: Kubectl) -> None:
    """Every kind by its preferred version, with its names and verbs."""
    shown = [line.split() for line in (await kubectl("api-resources", "-o", "wide", "--no-headers")).splitlines()]
    for row in registry.facts("kinds")["kinds"]:
        if not registry.is_served(row) or (row["kind"], row["version"]) == ("HorizontalPodAutoscaler", "v1"):
            continue
        group = f"{row['group']}/{row['version']}" if row["group"] else row["version"]
        short = [",".join(row["shortNames"])] if row.get("shortNames") else []
        wanted = [row["plural"], *short, group, str(row["namespaced"]).lower(), row["kind"]]
        found = next(line for line in shown if line[: len(wanted)] == wanted)
        words = re.sub(r"[\[\],]", " ", " ".join(found[len(wanted) :])).split()
        assert sorted(words[: len(row["verbs"])]) == sorted(row["verbs"])
