"""Cross-field checks of Job and CronJob. Texts are upstream's."""

import zoneinfo
from collections.abc import Iterator
from typing import Any

from knarr.base.errors import Cause, Invalid
from knarr.kinds import cron
from knarr.kinds.rules import numbers, pod
from knarr.objects import faults

Json = dict[str, Any]
COUNTS = ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished",
          "backoffLimitPerIndex", "maxFailedIndexes")  # fmt: skip


def job(found: Json) -> Iterator[Cause]:
    yield from _job_spec(found.get("spec") or {}, "spec")


def _job_spec(spec: Json, field: str) -> Iterator[Cause]:
    for key in COUNTS:
        yield from numbers.non_negative(spec.get(key), f"{field}.{key}")
    if spec.get("completionMode") == "Indexed":
        if spec.get("completions") is None:
            yield faults.required(f"{field}.completions", "when completion mode is Indexed")
        elif spec["completions"] > 0 and spec.get("parallelism", 0) > 100_000:
            detail = "must be less than or equal to 100000 when completion mode is Indexed"
            yield faults.invalid(f"{field}.parallelism", spec["parallelism"], detail)
    elif spec.get("backoffLimitPerIndex") is not None:
        detail = "requires indexed completion mode"
        yield faults.invalid(f"{field}.backoffLimitPerIndex", spec["backoffLimitPerIndex"], detail)
    if spec.get("manualSelector") and spec.get("selector") is None:
        yield faults.required(f"{field}.selector")
    template = spec.get("template") or {}
    yield from pod.template(template, f"{field}.template")
    policy = (template.get("spec") or {}).get("restartPolicy")
    if policy == "Always":
        path = f"{field}.template.spec.restartPolicy"
        yield faults.unsupported(path, policy, ("OnFailure", "Never"))
    elif spec.get("podFailurePolicy") is not None and policy != "Never":
        detail = 'only "Never" is supported when podFailurePolicy is specified'
        yield faults.invalid(f"{field}.template.spec.restartPolicy", policy, detail)


def cron_job(found: Json) -> Iterator[Cause]:
    spec = found.get("spec") or {}
    name = found["metadata"].get("name", "")
    if len(name) > 52:
        yield faults.invalid("metadata.name", name, "must be no more than 52 characters")
    schedule, zone = spec.get("schedule", ""), spec.get("timeZone")
    if schedule:
        yield from _schedule(schedule, zone)
    if zone is not None:
        yield from _time_zone(zone)
    for key in ("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        yield from numbers.non_negative(spec.get(key), f"spec.{key}")
    inner = (spec.get("jobTemplate") or {}).get("spec") or {}
    if inner.get("manualSelector"):
        yield faults.unsupported("spec.jobTemplate.spec.manualSelector", True, ())
    yield from _job_spec(inner, "spec.jobTemplate.spec")


def _schedule(schedule: str, zone: str | None) -> Iterator[Cause]:
    if "TZ" in schedule:
        if zone is not None:
            yield faults.invalid(
                "spec.schedule", schedule, "cannot use both timeZone field and TZ or CRON_TZ in schedule"
            )
        else:
            detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
            yield faults.invalid("spec.schedule", schedule, detail)
        return
    try:
        cron.parse(schedule)
    except Invalid as error:
        yield faults.invalid("spec.schedule", schedule, str(error))


def _time_zone(zone: str) -> Iterator[Cause]:
    if not zone:
        yield faults.invalid("spec.timeZone", zone, "timeZone must be nil or non-empty string")
    elif zone.lower() == "local":
        yield faults.invalid(
            "spec.timeZone",
            zone,
            "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
        )
    else:
        try:
            zoneinfo.ZoneInfo(zone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            yield faults.invalid("spec.timeZone", zone, f"unknown time zone {zone}")
