"""The rules of `knarr why`, as tables: the most specific first. Pure.

Three tables. CONTAINER rules look at one container, POD rules at one pod; of each the first that answers is the answer
(a pod that has none asks its containers). SUBJECT rules look at the object that was asked about and all may answer:
those above PODS come before what its pods say, those below after.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from knarr.diagnosis import (
    cluster,
    creation,
    deletion,
    ending,
    jobs,
    not_yet,
    pods,
    probing,
    pulling,
    scheduling,
    services,
    starting,
    workloads,
)
from knarr.diagnosis.container import Container
from knarr.diagnosis.finding import Finding
from knarr.diagnosis.scene import Json, Scene

PodRule = Callable[[Scene, Json], Finding | None]
ContainerRule = Callable[[Container], Finding | None]

POD: tuple[PodRule, ...] = (
    deletion.ending_slowly,
    scheduling.gated,
    scheduling.unschedulable,
    scheduling.unscheduled,
    pods.ended_by_node,
    pods.on_lost_node,
    starting.volume_source,
    starting.sandbox,
)
CONTAINER: tuple[ContainerRule, ...] = (
    pulling.never_pulled,
    pulling.invalid_name,
    pulling.not_pulled,
    starting.missing_key,
    starting.missing_source,
    starting.runs_as_root,
    starting.not_made,
    starting.wrong_architecture,
    starting.program_missing,
    starting.program_not_executable,
    starting.not_started,
    ending.out_of_memory,
    ending.post_start_failed,
    probing.startup,
    probing.liveness,
    ending.read_only_root,
    ending.address_in_use,
    ending.command_not_found,
    ending.command_not_executable,
    ending.access_denied,
    ending.name_unresolved,
    ending.peer_refused,
    ending.crashing,
    ending.ends_at_once,
    ending.init_unfinished,
    probing.readiness,
    probing.not_yet_ready,
)
POD_AT_LAST: tuple[PodRule, ...] = (probing.readiness_gates, pods.waiting)


@dataclass(frozen=True, slots=True)
class SubjectRule:
    """`kinds` are those it is for (none: all). One with `is_last` answers only where nothing else did."""

    look: Callable[[Scene], Iterator[Finding]]
    kinds: tuple[str, ...] = ()
    is_last: bool = False


_REPLICATED = ("Deployment", "ReplicaSet", "ReplicationController", "StatefulSet")
_CREATING = (*_REPLICATED, "DaemonSet", "Job", "CronJob")
BEFORE_PODS = (
    SubjectRule(deletion.namespace_terminating, ("Namespace",)),
    SubjectRule(deletion.held_by_finalizers),
    SubjectRule(workloads.selector_mismatch, (*_REPLICATED, "DaemonSet")),
    SubjectRule(creation.refused, _CREATING),
    SubjectRule(services.selects_nothing, ("Service",)),
    SubjectRule(services.wrong_port_name, ("Service",)),
    SubjectRule(services.no_backend, ("Ingress",)),
    SubjectRule(jobs.suspended, ("Job", "CronJob")),
    SubjectRule(jobs.bad_schedule, ("CronJob",)),
    SubjectRule(cluster.node_not_ready, ("Node",)),
    SubjectRule(cluster.node_pressed, ("Node",)),
    SubjectRule(deletion.drain_blocked, ("Node",)),
    SubjectRule(cluster.node_cordoned, ("Node",)),
    SubjectRule(cluster.claim_lost, ("PersistentVolumeClaim",)),
    SubjectRule(cluster.claim_unbound, ("PersistentVolumeClaim",)),
    SubjectRule(cluster.quota_full, ("ResourceQuota",)),
    SubjectRule(workloads.scaled_to_zero, _REPLICATED),
)
AFTER_PODS = (
    SubjectRule(jobs.failed, ("Job", "CronJob")),
    SubjectRule(jobs.forbidden, ("CronJob",)),
    SubjectRule(jobs.missed, ("CronJob",)),
    SubjectRule(workloads.ordinal, ("StatefulSet",)),
    SubjectRule(workloads.rollout_blocked, ("Deployment",)),
    SubjectRule(workloads.progress_deadline, ("Deployment",)),
    SubjectRule(workloads.paused, ("Deployment",)),
    SubjectRule(workloads.held_revision, ("StatefulSet", "DaemonSet")),
    SubjectRule(workloads.no_node_wanted, ("DaemonSet",)),
    SubjectRule(deletion.budget_blocks, ("PodDisruptionBudget",)),
    SubjectRule(services.pods_not_ready, ("Service",)),
    SubjectRule(services.no_selector, ("Service",)),
    SubjectRule(workloads.unseen, is_last=True),
    SubjectRule(workloads.too_few, (*_REPLICATED, "DaemonSet"), is_last=True),
    SubjectRule(services.undeclared_port, ("Service",), is_last=True),
    SubjectRule(jobs.unfinished, ("Job",), is_last=True),
    SubjectRule(cluster.unwell, is_last=True),
    SubjectRule(cluster.awaited, is_last=True),
    SubjectRule(not_yet.no_ingress_controller, ("Ingress",), is_last=True),
    SubjectRule(not_yet.stored_only, is_last=True),
)
