"""Job: keep up to `parallelism` pods running until enough have succeeded, or too many have failed.

Counting is counting.py's, the end is ending.py's, policies are policies.py's. A plan first puts ended pods into
status, later plans take their finalizers and count them, so a crash at any point counts each pod once.
Not here: CronJobs (cronjob.py), pods of Jobs that are gone (tracking.py). Spec: "Jobs".
"""

from collections.abc import Sequence
from datetime import timedelta

from knarr.base.clock import Instant, rfc3339
from knarr.base.errors import KnarrError
from knarr.client.client import DeleteOptions, Json
from knarr.client.view import View
from knarr.controllers import claims, conditions, pods, selectors, templates
from knarr.controllers.controller import Action, Controller, Create, Delete, EventNote, Key, Patch, Plan
from knarr.controllers.job import counting, ending, members
from knarr.controllers.job.counting import Counts
from knarr.controllers.job.indexes import COMPLETION_INDEX, index_of, render
from knarr.controllers.job.members import FINALIZER, Members
from knarr.kinds.batch import JOB
from knarr.kinds.core_pod import POD
from knarr.kinds.lens.batch import Job, JobCondition
from knarr.kinds.lens.pod import Pod

MANAGER = "kubernetes.io/job-controller"
BURST = 500
"""The most pods that one plan creates or deletes, as upstream."""


def plan(job: Job, view: View, now: Instant) -> Plan:
    """Count, judge, then create or delete pods."""
    if job.spec.managed_by not in (None, MANAGER):
        return Plan()
    if ending.is_finished(job):
        return after_the_end(job, view, now)
    found = members.of(job, view)
    counts = counting.counts(job, found)
    earned = ending.verdict(job, found, counts, now)
    has_failed = earned is not None and earned.type == ending.FAILURE_TARGET
    if has_failed:
        found = members.all_failed(found)
    if earned is not None or job.metadata.deletion_timestamp is not None:
        counts = counting.counts(job, found, awaits_successors=False)
    actions: list[Action] = [*found.adoptions, *(release(pod) for pod in counts.freed)]
    events: list[EventNote] = []
    again_at = ending.deadline_at(job) if earned is None else None
    created: Sequence[Action] = ()
    if job.metadata.deletion_timestamp is None:
        if has_failed:
            actions += [deletion(pod) for pod in found.active]
        elif earned is not None or job.spec.suspend:
            actions += [action for pod in found.active for action in ending_pod(pod)]
        else:
            created, due = staffing(job, found, counts, view, now)
            actions += created
            again_at = min((one for one in (again_at, due) if one is not None), default=None)
    is_quiet = not found.active and not found.terminating and not counts.freed and not _is_on_its_way(counts)
    listed = ending.with_ending(job, earned, is_quiet, now)
    listed, told = suspension(job, listed, now)
    events += [*told, *final_events(job, listed)]
    return Plan(
        actions,
        status=status(job, found, counts, listed, now),
        events=events,
        again_at=again_at,
        why=why(job, counts, found),
    )


def _is_on_its_way(counts: Counts) -> bool:
    return bool(counts.uncounted.succeeded or counts.uncounted.failed)


def after_the_end(job: Job, view: View, now: Instant) -> Plan:
    """A finished Job only goes by its ttl; pods that ended late lose their finalizer."""
    found = members.of(job, view)
    actions = [release(pod) for pod in found.every if FINALIZER in pod.metadata.finalizers]
    ttl, ended = job.spec.ttl_seconds_after_finished, ending.finished_at(job)
    if ttl is None or ended is None or job.metadata.deletion_timestamp is not None:
        return Plan(actions)
    due = ended + timedelta(seconds=ttl)
    if due > now:
        return Plan(actions, again_at=due)
    meta = job.metadata
    options = DeleteOptions(propagation="Foreground", uid=meta.uid, resource_version=meta.resource_version)
    return Plan([*actions, Delete(JOB, meta.namespace, meta.name, options)])


def staffing(
    job: Job, found: Members, counts: Counts, view: View, now: Instant
) -> tuple[Sequence[Action], Instant | None]:
    """Pods to create or delete, and when to look again if back-off holds creation up."""
    surplus = len(found.active) - wanted_active(job, found, counts)
    doomed = pods.least_useful(found.active, {}, now)[: max(0, surplus)]
    if members.is_indexed(job):
        doomed += _duplicates(found.active, counts, members.completions(job) or 0, doomed)
    if doomed:
        return [action for pod in doomed[:BURST] for action in ending_pod(pod)], None
    missing = min(BURST, -surplus - (len(found.terminating) if members.replaces_only_failed(job) else 0))
    if missing <= 0:
        return (), None
    if job.spec.backoff_limit_per_index is not None:
        waits = ending.index_backoffs(found)
        due = min((moment for moment in waits.values() if moment > now), default=None)
        held = frozenset(index for index, moment in waits.items() if moment > now)
        return creations(job, found, counts, view, (missing, held)), due
    due = ending.backoff_until(found)
    if due is not None and due > now:
        return (), due
    return creations(job, found, counts, view, (missing, frozenset())), None


def wanted_active(job: Job, found: Members, counts: Counts) -> int:
    """How many pods should run."""
    most, wanted = members.parallelism(job), members.completions(job)
    if wanted is None:
        return min(len(found.active), most) if counts.succeeded_total else most
    done = len(counts.completed | counts.failed_indexes) if members.is_indexed(job) else counts.succeeded_total
    return max(0, min(most, wanted - done))


def _duplicates(active: Sequence[Pod], counts: Counts, limit: int, doomed: Sequence[Pod]) -> list[Pod]:
    """Pods whose index is done, taken, or beyond the Job."""
    taken: set[int] = set()
    found: list[Pod] = []
    for pod in active:
        index = index_of(pod.metadata)
        is_needed = index is not None and index < limit and index not in (counts.completed | counts.failed_indexes)
        if index is None or not is_needed or index in taken:
            found += [pod] if pod not in doomed else []
        else:
            taken.add(index)
    return found


def creations(
    job: Job, found: Members, counts: Counts, view: View, room: tuple[int, frozenset[int]]
) -> Sequence[Action]:
    """The pods to create: equal ones, or one for each of the lowest free indexes; `room` is (how many, the indexes that
    back-off holds up)."""
    meta, (missing, held) = job.metadata, room
    template = templates.template(view.raw(Job, meta.namespace, meta.name))
    note = EventNote("Normal", "SuccessfulCreate", "Created pod: {name}")
    if not members.is_indexed(job):
        return [Create(POD, meta.namespace, pod_body(job, template, f"{meta.name}-"), note=note)] * missing
    holders = [*found.active, *(found.terminating if members.replaces_only_failed(job) else ())]
    taken = {index_of(pod.metadata) for pod in holders} | counts.completed | counts.failed_indexes | held
    free = [index for index in range(members.completions(job) or 0) if index not in taken][:missing]
    return [Create(POD, meta.namespace, indexed_body(job, template, index, found), note=note) for index in free]


def pod_body(job: Job, template: Json, generate_name: str) -> Json:
    """A pod of the template with the tracking finalizer and the Job's labels."""
    meta = job.metadata
    labels: Json = {}
    if not job.spec.manual_selector:
        labels = {
            "batch.kubernetes.io/controller-uid": meta.uid,
            "batch.kubernetes.io/job-name": meta.name,
            "controller-uid": meta.uid,
            "job-name": meta.name,
        }
    owner = claims.controller_reference(JOB, meta)
    body = templates.pod(template, owner, generate_name=generate_name, labels=labels)
    body["metadata"]["finalizers"] = [*body["metadata"].get("finalizers", ()), FINALIZER]
    return body


def indexed_body(job: Job, template: Json, index: int, found: Members) -> Json:
    """A pod for one index: annotation, label, hostname and the variable JOB_COMPLETION_INDEX."""
    body = pod_body(job, template, f"{job.metadata.name}-{index}-")
    metadata, spec = body["metadata"], dict(body["spec"])
    marks = {COMPLETION_INDEX: str(index)}
    if job.spec.backoff_limit_per_index is not None:
        failed = [pod for pod in found.every if index_of(pod.metadata) == index and members.is_failed(job, pod)]
        marks |= counting.marks_of_successor(job, failed)
    metadata["annotations"] = {**metadata.get("annotations", {}), **marks}
    metadata["labels"][COMPLETION_INDEX] = str(index)
    spec.setdefault("hostname", f"{job.metadata.name}-{index}")
    source = {"fieldRef": {"fieldPath": f"metadata.labels['{COMPLETION_INDEX}']"}}
    variable = {"name": "JOB_COMPLETION_INDEX", "valueFrom": source}
    for field in ("initContainers", "containers"):
        if field in spec:
            spec[field] = [_with_variable(container, variable) for container in spec[field]]
    return {**body, "spec": spec}


def _with_variable(container: Json, variable: Json) -> Json:
    env = container.get("env") or []
    if any(one["name"] == variable["name"] for one in env):
        return container
    return {**container, "env": [*env, variable]}


def release(pod: Pod) -> Action:
    """Take the tracking finalizer: the pod is counted."""
    meta = pod.metadata
    kept = [name for name in meta.finalizers if name != FINALIZER]
    guards = {"uid": meta.uid, "resourceVersion": meta.resource_version}
    body = {"metadata": {"finalizers": kept or None, **guards}}
    return Patch(POD, meta.namespace, meta.name, body, tolerate_absent=True)


def ending_pod(pod: Pod) -> Sequence[Action]:
    """Delete a pod that the Job does not want to run any more; it is not counted."""
    kill = deletion(pod)
    return [release(pod), kill] if FINALIZER in pod.metadata.finalizers else [kill]


def deletion(pod: Pod) -> Action:
    meta = pod.metadata
    note = EventNote("Normal", "SuccessfulDelete", "Deleted pod: {name}")
    return Delete(POD, meta.namespace, meta.name, DeleteOptions(uid=meta.uid), note)


def suspension(
    job: Job, found: Sequence[JobCondition], now: Instant
) -> tuple[Sequence[JobCondition], Sequence[EventNote]]:
    """The condition Suspended follows spec.suspend."""
    old = conditions.find(found, ending.SUSPENDED)
    was = old is not None and old.status == "True"
    if bool(job.spec.suspend) == was:
        return found, ()
    if job.spec.suspend:
        told = ending.condition(ending.SUSPENDED, "JobSuspended", "Job suspended", now)
        return conditions.with_condition(found, told), [EventNote("Normal", "Suspended", "Job suspended")]
    told = ending.condition(ending.SUSPENDED, "JobResumed", "Job resumed", now, "False")
    return conditions.with_condition(found, told), [EventNote("Normal", "Resumed", "Job resumed")]


def final_events(job: Job, found: Sequence[JobCondition]) -> Sequence[EventNote]:
    """What is told once, when the Job ends."""
    complete, failed = conditions.find(found, ending.COMPLETE), conditions.find(found, ending.FAILED)
    if complete is not None and complete.status == "True":
        return [EventNote("Normal", "Completed", "Job completed")]
    if failed is not None and failed.status == "True":
        return [EventNote("Warning", failed.reason, failed.message)]
    return ()


def status(job: Job, found: Members, counts: Counts, listed: Sequence[JobCondition], now: Instant) -> Json:
    """The whole status; a suspended Job has no start time."""
    started = job.status.start_time
    if job.spec.suspend:
        started = None
    elif started is None:
        started = now
    is_over = any(one.type in (ending.COMPLETE, ending.FAILED) and one.status == "True" for one in listed)
    is_complete = any(one.type == ending.COMPLETE and one.status == "True" for one in listed)
    # Lists, as the stored status has them: a tuple would never equal one and be written anew each time.
    uncounted = {"succeeded": [*counts.uncounted.succeeded], "failed": [*counts.uncounted.failed]}
    told: Json = {
        "active": 0 if is_over else len(found.active),
        "succeeded": counts.succeeded,
        "failed": counts.failed,
        "completedIndexes": render(counts.completed) if members.is_indexed(job) else "",
        "startTime": rfc3339(started) if started else None,
        "completionTime": rfc3339(now) if is_complete else None,
        "conditions": conditions.encode(listed),
    }
    told = conditions.pruned(told)
    told |= {
        "ready": 0 if is_over else sum(pods.is_ready(pod) for pod in found.active),
        "terminating": len(found.terminating),
        "uncountedTerminatedPods": conditions.pruned(uncounted),
    }
    if job.spec.backoff_limit_per_index is not None:
        told["failedIndexes"] = render(counts.failed_indexes)
    return told


def why(job: Job, counts: Counts, found: Members) -> str:
    if job.spec.suspend:
        return "the Job is suspended"
    wanted = members.completions(job)
    return f"{counts.succeeded_total} of {wanted or 1} pods succeeded, {len(found.active)} run"


def failed(job: Job, action: Action, error: KnarrError, view: View, now: Instant) -> Plan:
    """A pod could not be created or deleted: an event says so, and what ended meanwhile is counted all the same."""
    if action.kind != POD or not isinstance(action, Create | Delete):
        return Plan()
    reason, verb = ("FailedCreate", "creating") if isinstance(action, Create) else ("FailedDelete", "deleting")
    counted = plan(job, view, now).status
    return Plan(status=counted, events=[EventNote("Warning", reason, f"Error {verb}: {error}")])


def orphan_keys(pod: Pod, view: View) -> Sequence[Key]:
    """The Jobs that may adopt a pod which nobody controls."""
    if claims.controller_of(pod.metadata) is not None or "job-name" not in pod.metadata.labels:
        return ()
    return [
        (job.metadata.namespace, job.metadata.name)
        for job in view.list(Job, pod.metadata.namespace)
        if selectors.matches(job.spec.selector, pod.metadata.labels)
    ]


CONTROLLER = Controller(
    "job-controller",
    kind=JOB,
    plan=plan,
    owns=(POD,),
    watches={POD: orphan_keys},
    writes=(POD, JOB),
    failed=failed,
)
