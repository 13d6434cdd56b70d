"""Seeded faults of what is above pods: workloads, jobs, services, namespaces, nodes, claims, budgets."""

from dataclasses import replace
from typing import Any

from knarr.diagnosis.scene import Json, Scene
from tests.unit.diagnosis.faults import Fault, lost
from tests.unit.diagnosis.scenery import (
    RUNNING,
    condition,
    crashed,
    deployment,
    event,
    made,
    node,
    pod,
    pull,
    scene,
    short_of,
)  # fmt: skip


def refused(why: str) -> Scene:
    """A Deployment whose ReplicaSet may not create pods."""
    subject = deployment()
    replica_set = short_of(owner=subject)
    said = f'Error creating: pods "web-1-x" is forbidden: {why}'
    return scene(subject, replica_set, event(replica_set, "FailedCreate", said))


def job(reason: str) -> Scene:
    return scene(
        made("Job", spec={"backoffLimit": 1}, status={"failed": 2, "conditions": [condition("Failed", reason=reason)]})
    )


def service(*pods: Json, port: Any = 80) -> Scene:
    return scene(made("Service", spec={"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": port}]}), *pods)


def labelled(app: str, *, ready: bool = True) -> Json:
    ports = {"ports": [{"name": "http", "containerPort": 8080}]}
    return pod(RUNNING, ready=ready, name=f"{app}-1", meta={"labels": {"app": app}}, container=ports)


def addressed(address: str) -> Json:
    found = labelled("web")
    return {**found, "status": {**found["status"], "podIP": address}}


def cron(**spec: Any) -> Json:
    return made("CronJob", spec={"schedule": "* * * *", **spec}, status={})


def ingress(port: int) -> Scene:
    backend = {"service": {"name": "web", "port": {"number": port}}}
    return scene(made("Ingress", spec={"defaultBackend": backend}), made("Service", spec={"ports": [{"port": 80}]}))


def claim(**spec: Any) -> Json:
    return made("PersistentVolumeClaim", spec=spec, status={"phase": "Pending"})


SET_REFUSED = 'Failed to create new replica set "web-1": replicasets.apps "web-1" is forbidden: exceeded quota: few'
DELETED = {"deletionTimestamp": "2030-01-01T11:00:00Z"}
ROLLING = {"strategy": {"rollingUpdate": {"maxUnavailable": 0}}}
stalled = {"conditions": [condition("Progressing", "False", "ProgressDeadlineExceeded", "timed out progressing")]}
stateful = made("StatefulSet", spec={"replicas": 3}, status={"replicas": 1})
ordered = pod(RUNNING, name="web-0", owner=stateful, container={"readinessProbe": {"tcpSocket": {"port": 1}}})
budget = made(
    "PodDisruptionBudget",
    spec={"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}},
    status={"expectedPods": 1, "currentHealthy": 1, "desiredHealthy": 1, "disruptionsAllowed": 0},
)
remaining = condition("NamespaceFinalizersRemaining", message="Some content has finalizers remaining: x/hold in 1")
lonely = deployment()
failing = made("ReplicaSet", "web-1", lonely, spec={"replicas": 1}, status={"replicas": 1})
busy = cron(concurrencyPolicy="Forbid") | {"status": {"active": [{"name": "web-1"}]}}

CREATION = (
    Fault(
        "quota", refused("exceeded quota: few, requested: pods=1"), "refused", "ResourceQuota", "exceeded quota: few"
    ),
    Fault(
        "quota of sets",
        scene(
            deployment(status={"conditions": [condition("Progressing", "False", "ReplicaSetCreateError", SET_REFUSED)]})
        ),
        "refused",
        "its ReplicaSet would exceed a ResourceQuota",
        SET_REFUSED,
    ),
    Fault("quota wants limits", refused("failed quota: few: must specify limits.cpu"), "refused", "do not set"),
    Fault("PodSecurity", refused('violates PodSecurity "restricted:latest": x'), "refused", "Pod Security level"),
    Fault(
        "LimitRange", refused("maximum memory usage per Container is 10Mi, but limit is 1Gi"), "refused", "LimitRange"
    ),
    Fault("service account", refused('serviceaccount "x" not found'), "refused", "service account"),
    Fault("priority class", refused("no PriorityClass with name x was found"), "refused", "PriorityClass"),
    Fault("webhook", refused('admission webhook "x" denied the request'), "refused", "webhook refuses"),
)
WORKLOADS = (
    Fault(
        "the pods' fault leads",
        scene(lonely, failing, pull("manifest unknown", owner=failing)),
        "not_pulled",
        "no such tag",
    ),
    Fault(
        "selector mismatch",
        scene(
            deployment({"selector": {"matchLabels": {"app": "a"}}, "template": {"metadata": {"labels": {"app": "b"}}}})
        ),
        "selector_mismatch",
        "does not match",
        "template labels: {'app': 'b'}",
    ),
    Fault("paused", scene(deployment({"paused": True})), "paused", "paused"),
    Fault("no progress", scene(deployment({"progressDeadlineSeconds": 9}, stalled)), "progress_deadline", "for 9 s"),
    Fault(
        "no old pod may go",
        scene(deployment(ROLLING, {"replicas": 3, "updatedReplicas": 1, "availableReplicas": 2})),
        "rollout_blocked",
        "maxUnavailable is 0",
        "1 new pods, 2 old ones, 2 available of 2",
    ),
    Fault("zero replicas", scene(deployment({"replicas": 0})), "scaled_to_zero", "scaled to zero"),
    Fault("too few", scene(deployment(status={"readyReplicas": 1})), "too_few", "1 of 2 pods are ready"),
    Fault(
        "old template kept",
        scene(
            made(
                "StatefulSet",
                spec={"replicas": 2, "podManagementPolicy": "Parallel", "updateStrategy": {"type": "OnDelete"}},
                status={"replicas": 2, "updatedReplicas": 0, "readyReplicas": 2},
            )
        ),
        "held_revision",
        "OnDelete",
    ),
    Fault(
        "no node for a DaemonSet",
        scene(made("DaemonSet", spec={}, status={"desiredNumberScheduled": 0}), node()),
        "no_node_wanted",
        "no node",
    ),
)
JOBS = (
    Fault("backoffLimit", job("BackoffLimitExceeded"), "failed", "backoffLimit", "2 pods failed"),
    Fault("deadline", job("DeadlineExceeded"), "failed", "activeDeadlineSeconds"),
    Fault("failure policy", job("PodFailurePolicy"), "failed", "podFailurePolicy"),
    Fault("suspended CronJob", scene(cron(suspend=True)), "suspended", "CronJob is suspended"),
    Fault(
        "bad schedule",
        scene(cron(), event(cron(), "UnparseableSchedule", "unparseable schedule: 4 fields")),
        "bad_schedule",
        "'* * * *' cannot be read",
        "4 fields",
    ),
    Fault("missed times", scene(cron(), event(cron(), "TooManyMissedTimes", "too many")), "missed", "missed times"),
    Fault("forbidden", scene(busy, event(busy, "JobAlreadyActive", "not starting")), "forbidden", "web-1 still runs"),
    Fault("unfinished", scene(made("Job", spec={}, status={"active": 1})), "unfinished", "not finished", "1 active"),
)
SERVICES = (
    Fault(
        "selects nothing",
        service(labelled("webb"), labelled("db")),
        "selects_nothing",
        "app=web",
        "webb-1 has app=webb",
    ),
    Fault("pods not ready", service(labelled("web", ready=False)), "waiting", "the pod is not ready yet"),
    Fault("wrong named port", service(labelled("web"), port="grpc"), "wrong_port_name", "port grpc", "http:8080"),
    Fault("wrong number", service(labelled("web"), port=80), "undeclared_port", "do not declare"),
    Fault("no selector, no endpoints", scene(made("Service", spec={})), "no_selector", "no endpoints"),
    Fault("ingress to an unknown port", ingress(81), "no_backend", "port 81", "its ports: 80"),
    Fault(
        "ingress to nowhere", scene(made("Ingress", spec=ingress(80).subject["spec"])), "no_backend", "does not exist"
    ),
    Fault("ingress that nobody serves", ingress(80), "no_ingress_controller", "no ingress controller", "class: none"),
    Fault(
        "service that is not routed",
        service(addressed("10.244.0.9"), port=8080),
        "stored_only",
        "does not route Services yet",
        "its ready pods: 10.244.0.9",
    ),
    Fault("policy that is only stored", scene(made("NetworkPolicy")), "stored_only", "keeps nothing out"),
)
CLUSTER = (
    Fault(
        "namespace stuck on a finalizer",
        scene(made("Namespace", status={"phase": "Terminating", "conditions": [remaining]})),
        "namespace_terminating",
        "waits on finalizers",
        "x/hold in 1",
    ),
    Fault(
        "stuck on a finalizer",
        scene(made("ConfigMap", meta={**DELETED, "finalizers": ["x/hold"]})),
        "held_by_finalizers",
        "'x/hold'",
    ),
    Fault("node not ready", scene({**lost}), "node_not_ready", "no longer reports", "NodeStatusUnknown"),
    Fault("cordoned node", scene(node(spec={"unschedulable": True})), "node_cordoned", "cordoned"),
    Fault(
        "drain held by a budget",
        scene(node(spec={"unschedulable": True}), budget, labelled("web")),
        "drain_blocked",
        "allows no eviction",
    ),
    Fault(
        "budget blocks eviction",
        scene(budget, labelled("web")),
        "budget_blocks",
        "all its pods are needed",
        "1 healthy, 1 wanted",
    ),
    Fault("claim unbound", scene(claim()), "claim_unbound", "no volume fits", "storage classes: none"),
    Fault("no storage class", scene(claim(storageClassName="fast")), "claim_unbound", "storage class 'fast'"),
    Fault(
        "quota used up",
        scene(made("ResourceQuota", status={"hard": {"pods": "2", "requests.cpu": "1"}, "used": {"pods": "2"}})),
        "quota_full",
        "used up: pods",
        "pods: 2 of 2",
    ),
    Fault(
        "only its controller knows",
        replace(scene(made("CronJob", spec={})), reasons={"cronjob-controller": "tick-1 still runs"}),
        "awaited",
        "tick-1 still runs",
        "said by cronjob-controller",
    ),
    Fault("max failed indexes", job("MaxFailedIndexesExceeded"), "failed", "maxFailedIndexes allows"),
    Fault("failed indexes", job("FailedIndexes"), "failed", "some of its indexes failed"),
    Fault(
        "any kind by its condition",
        scene(made("Widget", status={"conditions": [condition("Ready", "False", "Broken", "no wind")]})),
        "unwell",
        "Ready is False (Broken)",
        "no wind",
    ),
)
ORDERED = scene(stateful, ordered)
CRASHING_JOB = scene(
    made("Job", spec={"backoffLimit": 0}, status={"conditions": [condition("Failed", reason="BackoffLimitExceeded")]}),
    crashed(4, owner=made("Job")),
    log=["boom"],
)
