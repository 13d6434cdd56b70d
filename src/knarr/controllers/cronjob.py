"""CronJob: create a Job at each time of a schedule, and keep the wanted history of finished ones.

A run's Job is named after its minute, so a run that was created but not yet noted is never created twice.
Not here: the schedule's arithmetic (kinds/cron.py), the Jobs (job/). Spec: "CronJob".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from knarr.base.clock import Instant, rfc3339
from knarr.base.errors import Invalid, KnarrError
from knarr.client import events
from knarr.client.client import DeleteOptions, Json
from knarr.client.view import View
from knarr.controllers import claims, conditions
from knarr.controllers.controller import Action, Controller, Create, Delete, EventNote, Plan
from knarr.controllers.job import ending
from knarr.kinds import cron
from knarr.kinds.batch import CRONJOB, JOB
from knarr.kinds.lens.batch import CronJob, Job

SCHEDULED: Final = "batch.kubernetes.io/cronjob-scheduled-timestamp"
FORBIDDEN: Final = "Not starting job because prior execution is running and concurrency policy is Forbid"


class _JobTemplate(msgspec.Struct, rename="camel"):
    job_template: dict[str, Any] = msgspec.field(default_factory=dict)


class _Templated(msgspec.Struct):
    spec: _JobTemplate


_decoder = msgspec.json.Decoder(_Templated)


@dataclass(frozen=True, slots=True)
class Due:
    """The run that is due, if one is; what is told about missed ones; and when the next comes."""

    at: Instant | None
    events: Sequence[EventNote]
    next_at: Instant | None


def plan(cron_job: CronJob, view: View, now: Instant) -> Plan:
    """Note what ended, prune history, and start what is due."""
    jobs = owned(cron_job, view)
    running = [job for job in jobs if not ending.is_finished(job)]
    active = [job for job in running if _is_scheduled(job)]
    actions: list[Action] = [*pruned(cron_job, jobs)]
    told: list[EventNote] = [*ended_events(cron_job, jobs), *unexpected_events(running)]
    last = cron_job.status.last_schedule_time
    again_at = None
    why = "it is suspended" if cron_job.spec.suspend else ""
    if cron_job.metadata.deletion_timestamp is None and not cron_job.spec.suspend:
        found = due(cron_job, now)
        told += found.events
        again_at = found.next_at
        if found.at is not None:
            if view.get(Job, cron_job.metadata.namespace, job_name(cron_job, found.at)) is not None:
                last = found.at  # Created, but not noted.
            elif active and cron_job.spec.concurrency_policy == "Forbid":
                told.append(EventNote("Normal", "JobAlreadyActive", FORBIDDEN))
                why = f"{active[0].metadata.name} still runs, and concurrencyPolicy is Forbid"
            else:
                actions += start(cron_job, active, view, found.at)
                last = found.at
    return Plan(actions, status=status(cron_job, jobs, active, last), events=told, again_at=again_at, why=why)


def owned(cron_job: CronJob, view: View) -> Sequence[Job]:
    uid = cron_job.metadata.uid
    return [job for job in view.owned(Job, uid) if claims.is_controlled_by(job.metadata, uid)]


def _is_scheduled(job: Job) -> bool:
    """Whether a time of the schedule made it; `kubectl create job --from` makes others, which no policy concerns."""
    return SCHEDULED in job.metadata.annotations


def due(cron_job: CronJob, now: Instant) -> Due:
    """The latest time since the last run, unless it is too late for it."""
    try:
        schedule = cron.parse(cron_job.spec.schedule)
    except Invalid as error:
        text = f'unparseable schedule: "{cron_job.spec.schedule}" : {error}'
        return Due(None, [EventNote("Warning", "UnparseableSchedule", text)], None)
    try:
        zone = time_zone(cron_job)
    except Invalid as error:
        text = f'invalid timeZone: "{cron_job.spec.time_zone}": {error}'
        return Due(None, [EventNote("Warning", "UnknownTimeZone", text)], None)
    earliest = cron_job.status.last_schedule_time or cron_job.metadata.creation_timestamp or now
    limit = cron_job.spec.starting_deadline_seconds
    if limit is not None:
        earliest = max(earliest, now - timedelta(seconds=limit))
    at, missed = cron.latest(schedule, earliest, now, zone)
    told = []
    if missed > 100:
        text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
        told = [EventNote("Warning", "TooManyMissedTimes", text)]
    return Due(at, told, schedule.after(now, zone))


def time_zone(cron_job: CronJob) -> tzinfo:
    """The zone of the schedule; raises Invalid for one that does not exist."""
    name = cron_job.spec.time_zone
    if name is None:
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise Invalid(f"unknown time zone {name}") from error


def start(cron_job: CronJob, active: Sequence[Job], view: View, at: Instant) -> Sequence[Action]:
    """Create the Job for a time; with Replace the active ones go first."""
    meta = cron_job.metadata
    replaced = [deletion(job) for job in active] if cron_job.spec.concurrency_policy == "Replace" else []
    raw = view.raw(CronJob, meta.namespace, meta.name)
    assert raw is not None
    template = _decoder.decode(raw).spec.job_template
    note = EventNote("Normal", "SuccessfulCreate", "Created job {name}")
    return [*replaced, Create(JOB, meta.namespace, body(cron_job, template, at), tolerate_existing=True, note=note)]


def job_name(cron_job: CronJob, at: Instant) -> str:
    """Name and minutes since 1970."""
    return f"{cron_job.metadata.name}-{int(at.timestamp()) // 60}"


def body(cron_job: CronJob, template: Json, at: Instant) -> Json:
    """The Job of the template for one time."""
    found = template.get("metadata") or {}
    metadata: Json = {
        "name": job_name(cron_job, at),
        "annotations": {**(found.get("annotations") or {}), SCHEDULED: rfc3339(at.astimezone(UTC))},
        "ownerReferences": [claims.controller_reference(CRONJOB, cron_job.metadata)],
    }
    if found.get("labels"):
        metadata["labels"] = found["labels"]
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": template.get("spec") or {}}


def pruned(cron_job: CronJob, jobs: Sequence[Job]) -> Sequence[Action]:
    """The oldest finished Jobs beyond the limits of history."""
    spec = cron_job.spec
    limits = (
        (ending.COMPLETE, 3 if spec.successful_jobs_history_limit is None else spec.successful_jobs_history_limit),
        (ending.FAILED, 1 if spec.failed_jobs_history_limit is None else spec.failed_jobs_history_limit),
    )
    actions: list[Action] = []
    for end, limit in limits:
        ended = [job for job in jobs if _ended_as(job, end) and job.metadata.deletion_timestamp is None]
        ended.sort(key=lambda job: (job.status.start_time or job.metadata.creation_timestamp, job.metadata.name))
        actions += [deletion(job) for job in ended[: max(0, len(ended) - limit)]]
    return actions


def _ended_as(job: Job, end: str) -> bool:
    found = conditions.find(job.status.conditions, end)
    return found is not None and found.status == "True"


def deletion(job: Job) -> Action:
    meta = job.metadata
    options = DeleteOptions(propagation="Background", uid=meta.uid)
    note = EventNote("Normal", "SuccessfulDelete", "Deleted job {name}")
    return Delete(JOB, meta.namespace, meta.name, options, note)


def ended_events(cron_job: CronJob, jobs: Sequence[Job]) -> Sequence[EventNote]:
    """What is told about Jobs that were active and are not any more."""
    known = {reference.uid for reference in cron_job.status.active}
    by_uid = {job.metadata.uid: job for job in jobs}
    told: list[EventNote] = []
    for reference in cron_job.status.active:
        job = by_uid.get(reference.uid)
        if job is None:
            told.append(EventNote("Normal", "MissingJob", f"Active job went missing: {reference.name}"))
        elif ending.is_finished(job) and reference.uid in known:
            end = ending.COMPLETE if _ended_as(job, ending.COMPLETE) else ending.FAILED
            text = f"Saw completed job: {job.metadata.name}, condition: {end}"
            told.append(EventNote("Normal", "SawCompletedJob", text))
    return told


def unexpected_events(running: Sequence[Job]) -> Sequence[EventNote]:
    """What is told about Jobs that have us as owner and that we did not make."""
    text = "Saw a job that the controller did not create or forgot: "
    return [
        EventNote("Warning", "UnexpectedJob", text + job.metadata.name) for job in running if not _is_scheduled(job)
    ]


def status(cron_job: CronJob, jobs: Sequence[Job], active: Sequence[Job], last: Instant | None) -> Json:
    """The active Jobs, the last run and the last success."""
    ended = [job.status.completion_time for job in jobs if _ended_as(job, ending.COMPLETE)]
    success = max([*filter(None, ended), *filter(None, [cron_job.status.last_successful_time])], default=None)
    return conditions.pruned(
        {
            "active": [_reference(job) for job in active],
            "lastScheduleTime": rfc3339(last) if last else None,
            "lastSuccessfulTime": rfc3339(success) if success else None,
        }
    )


def _reference(job: Job) -> Json:
    """Without the resourceVersion: it would change with every step of the Job."""
    return {key: value for key, value in events.reference(JOB, job.metadata).items() if key != "resourceVersion"}


def failed(cron_job: CronJob, action: Action, error: KnarrError, view: View, _now: Instant) -> Plan:
    """A Job could not be created or deleted: an event says so, and the runs before are noted all the same."""
    verb = "create" if isinstance(action, Create) else "delete"
    jobs = owned(cron_job, view)
    active = [job for job in jobs if _is_scheduled(job) and not ending.is_finished(job)]
    return Plan(
        status=status(cron_job, jobs, active, cron_job.status.last_schedule_time),
        events=[EventNote("Warning", f"Failed{verb.title()}", f"Error {verb[:-1]}ing job: {error}")],
    )


CONTROLLER = Controller(
    "cronjob-controller",
    kind=CRONJOB,
    plan=plan,
    owns=(JOB,),
    writes=(JOB, CRONJOB),
    failed=failed,
)
