"""Rules about Jobs and CronJobs. Pure."""

from collections.abc import Iterator

from knarr.diagnosis import scene as scenes
from knarr.diagnosis.finding import Finding, evidence
from knarr.diagnosis.scene import Json, Scene

_FAILED = {
    "BackoffLimitExceeded": (
        "the Job failed: its pods failed more often than backoffLimit allows",
        "mend the program (see its pods' logs), then create the Job anew; raise spec.backoffLimit if failures pass",
    ),
    "DeadlineExceeded": (
        "the Job failed: it ran longer than activeDeadlineSeconds",
        "make it faster or raise spec.activeDeadlineSeconds, then create the Job anew",
    ),
    "PodFailurePolicy": (
        "the Job failed: its podFailurePolicy says that this failure is final",
        "mend the program, or the rule in spec.podFailurePolicy",
    ),
    "FailedIndexes": ("the Job failed: some of its indexes failed", "mend the program for those indexes"),
    "MaxFailedIndexesExceeded": (
        "the Job failed: more indexes failed than maxFailedIndexes allows",
        "mend the program for those indexes",
    ),
}


def failed(scene: Scene) -> Iterator[Finding]:
    jobs = [scene.subject] if scene.kind == "Job" else _newest(scene.owned("Job"))
    for job in jobs:
        condition = scenes.condition(job, "Failed")
        if condition.get("status") != "True":
            continue
        reason = str(condition.get("reason", ""))
        cause, step = _FAILED.get(reason, (f"the Job failed ({reason})", "create the Job anew once it is mended"))
        status, spec = scenes.status(job), scenes.spec(job)
        limits = [f"{key}: {spec[key]}" for key in ("backoffLimit", "activeDeadlineSeconds") if key in spec]
        count = f"{status.get('failed', 0)} pods failed, {status.get('succeeded', 0)} succeeded"
        where = f"job {scenes.name(job)}" if job is not scene.subject else ""
        indexes = f"failed indexes: {status['failedIndexes']}" if status.get("failedIndexes") else ""
        yield Finding(
            cause, evidence(str(condition.get("message", "")), where, count, indexes, ", ".join(limits)), step
        )


def suspended(scene: Scene) -> Iterator[Finding]:
    if scenes.spec(scene.subject).get("suspend"):
        patch = '-p \'{"spec":{"suspend":false}}\''
        yield Finding(
            f"the {scene.kind} is suspended",
            evidence("spec.suspend: true"),
            f"kubectl patch {scenes.title(scene.subject)} --type=merge {patch}",
        )


def unfinished(scene: Scene) -> Iterator[Finding]:
    status = scenes.status(scene.subject)
    over = [scenes.condition(scene.subject, type_).get("status") == "True" for type_ in ("Complete", "Failed")]
    if any(over) or scenes.spec(scene.subject).get("suspend"):
        return
    counts = (
        f"{status.get('succeeded', 0)} succeeded, {status.get('active', 0)} active, {status.get('failed', 0)} failed"
    )
    yield Finding(
        "the Job is not finished: its pods still run", evidence(counts), "kubectl wait --for=condition=Complete"
    )


def bad_schedule(scene: Scene) -> Iterator[Finding]:
    said = scene.newest(scene.subject, "UnparseableSchedule", "InvalidSchedule", "UnknownTimeZone")
    if said:
        spec = scenes.spec(scene.subject)
        zone = f"timeZone: {spec['timeZone']}" if spec.get("timeZone") else ""
        yield Finding(
            f"the schedule {spec.get('schedule')!r} cannot be read",
            evidence(said, zone),
            'write five fields: minute hour day month weekday, as "*/5 * * * *"',
        )


def missed(scene: Scene) -> Iterator[Finding]:
    said = scene.newest(scene.subject, "TooManyMissedTimes", "MissSchedule")
    if said:
        yield Finding(
            "the CronJob missed times at which it should have run",
            evidence(said),
            "set spec.startingDeadlineSeconds (more than 10), and look whether the cluster was down",
        )


def forbidden(scene: Scene) -> Iterator[Finding]:
    """The job before still runs and concurrencyPolicy forbids a second one."""
    said = scene.newest(scene.subject, "JobAlreadyActive")
    active = scenes.status(scene.subject).get("active") or ()
    if scenes.spec(scene.subject).get("concurrencyPolicy") == "Forbid" and active and said:
        yield Finding(
            f"the next job waits: {active[0].get('name')} still runs and concurrencyPolicy is Forbid",
            evidence(said),
            f"knarr why job/{active[0].get('name')}, or use concurrencyPolicy: Allow or Replace",
        )


def _newest(jobs: list[Json]) -> list[Json]:
    return sorted(jobs, key=lambda job: str(scenes.metadata(job).get("creationTimestamp", "")))[-1:]
