"""Cross-field checks of Job and CronJob, and what may change in a Job. Texts are upstream's.

A Job's policies are in job_policies.py, the language of schedules in kinds/cron.py.
"""

import re
import zoneinfo
from collections.abc import Iterator
from typing import Any, Final

from knarr.base.errors import Cause, Invalid
from knarr.kinds import cron
from knarr.kinds.rules import job_policies, numbers, pod, workloads
from knarr.objects import faults, labels, names

Json = dict[str, Any]
COUNTS: Final = (
    "parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished",
    "backoffLimitPerIndex", "maxFailedIndexes",
)  # fmt: skip
RESTART_POLICIES: Final = ("OnFailure", "Never")
PARALLELISM_MAX: Final = 100_000
FAILED_INDEXES_MAX: Final = 100_000
# Above so many completions, and with a limit per index, less may run and fail.
MANY: Final = 100_000
PARALLELISM_OF_MANY_MAX: Final = 10_000
FAILED_INDEXES_OF_MANY_MAX: Final = 10_000
MANAGER_MAX: Final = 63
CRON_NAME_MAX: Final = 52
_ZONE_PART: Final = re.compile("(?!-)[A-Za-z._0-9+-]{1,14}")


def job(found: Json) -> Iterator[Cause]:
    spec = found.get("spec") or {}
    yield from _job_spec(spec, "spec")
    selector = spec.get("selector")
    if selector is not None:
        yield from numbers.label_selector(selector, "spec.selector")
        yield from workloads.matches_template(selector, spec)
        if not spec.get("manualSelector") and found["metadata"].get("uid"):
            yield from _generated(selector, found["metadata"])
    elif spec.get("manualSelector"):
        yield faults.required("spec.selector")


def job_create(found: Json) -> Iterator[Cause]:
    """The last pod's host name must be one."""
    spec, name = found.get("spec") or {}, found["metadata"].get("name", "")
    count = spec.get("completions") or 0
    if spec.get("completionMode") == "Indexed" and count > 0:
        longest = f"{name}-{count - 1}"
        if names.dns_label(longest):
            detail = f"will not able to create pod with invalid DNS label: {longest}"
            yield faults.invalid("metadata.name", name, detail)


def job_change(new: Json, old: Json) -> Iterator[Cause]:
    """Completions of an indexed Job change only together with its parallelism."""
    given, held = new.get("spec") or {}, old.get("spec") or {}
    now, was = given.get("completions"), held.get("completions")
    if given.get("completionMode") != "Indexed" or now is None or now == was:
        return
    if now != given.get("parallelism"):
        yield faults.invalid("spec.completions", now, "can only be modified in tandem with spec.parallelism")


def _generated(selector: Json, metadata: Json) -> Iterator[Cause]:
    """A selector that the server makes selects by the Job's identity and nothing else."""
    uid, name = metadata["uid"], metadata.get("name", "")
    own = {
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": name,
        "controller-uid": uid,
        "job-name": name,
    }
    try:
        is_own = labels.of(selector).matches(own)
    except Invalid:
        return
    if not is_own:
        yield faults.invalid("spec.selector", selector, "`selector` not auto-generated")


def _job_spec(spec: Json, field: str) -> Iterator[Cause]:
    for key in COUNTS:
        yield from numbers.non_negative(spec.get(key), f"{field}.{key}")
    if spec.get("maxFailedIndexes") is not None and spec.get("backoffLimitPerIndex") is None:
        yield faults.required(f"{field}.backoffLimitPerIndex", "when maxFailedIndexes is specified")
    manager = spec.get("managedBy")
    if manager is not None:
        yield from faults.each(f"{field}.managedBy", manager, names.domain_prefixed_path(manager))
        if len(manager) > MANAGER_MAX:
            yield faults.too_long(f"{field}.managedBy", MANAGER_MAX)
    is_indexed = spec.get("completionMode") == "Indexed"
    if is_indexed:
        yield from _indexed(spec, field)
    else:
        for key in ("backoffLimitPerIndex", "maxFailedIndexes", "successPolicy"):
            if spec.get(key) is not None:
                yield faults.invalid(f"{field}.{key}", spec[key], "requires indexed completion mode")
    if spec.get("podFailurePolicy") is not None:
        yield from job_policies.of_failures(spec, f"{field}.podFailurePolicy")
    if spec.get("successPolicy") is not None and is_indexed:
        yield from job_policies.of_success(spec, f"{field}.successPolicy")
    yield from job_policies.of_replacement(spec, f"{field}.podReplacementPolicy")
    yield from pod.template(spec.get("template") or {}, f"{field}.template")
    yield from _restart_policy(spec, f"{field}.template.spec.restartPolicy")


def _restart_policy(spec: Json, field: str) -> Iterator[Cause]:
    policy = ((spec.get("template") or {}).get("spec") or {}).get("restartPolicy", "")
    if policy in ("", "Always"):
        yield faults.required(field, 'valid values: "OnFailure", "Never"')
    elif spec.get("podFailurePolicy") is not None and policy != "Never":
        yield faults.invalid(field, policy, 'only "Never" is supported when podFailurePolicy is specified')


def _indexed(spec: Json, field: str) -> Iterator[Cause]:
    completions, parallelism = spec.get("completions"), spec.get("parallelism", 0)
    failed = spec.get("maxFailedIndexes")
    if completions is None:
        yield faults.required(f"{field}.completions", "when completion mode is Indexed")
        return
    if parallelism > PARALLELISM_MAX:
        detail = f"must be less than or equal to {PARALLELISM_MAX} when completion mode is Indexed"
        yield faults.invalid(f"{field}.parallelism", parallelism, detail)
    if failed is not None and failed > completions:
        yield faults.invalid(f"{field}.maxFailedIndexes", failed, "must be less than or equal to completions")
    if failed is not None and failed > FAILED_INDEXES_MAX:
        detail = f"must be less than or equal to {FAILED_INDEXES_MAX}"
        yield faults.invalid(f"{field}.maxFailedIndexes", failed, detail)
    if completions > MANY and spec.get("backoffLimitPerIndex") is not None:
        yield from _many(spec, field)


def _many(spec: Json, field: str) -> Iterator[Cause]:
    failed, parallelism = spec.get("maxFailedIndexes"), spec.get("parallelism", 0)
    why = f"when completions are above {MANY} and used with backoff limit per index"
    if failed is None:
        yield faults.required(f"{field}.maxFailedIndexes", f"must be specified when completions is above {MANY}")
    elif failed > FAILED_INDEXES_OF_MANY_MAX:
        detail = f"must be less than or equal to {FAILED_INDEXES_OF_MANY_MAX} {why}"
        yield faults.invalid(f"{field}.maxFailedIndexes", failed, detail)
    if parallelism > PARALLELISM_OF_MANY_MAX:
        detail = f"must be less than or equal to {PARALLELISM_OF_MANY_MAX} {why}"
        yield faults.invalid(f"{field}.parallelism", parallelism, detail)


def cron_job(found: Json) -> Iterator[Cause]:
    spec = found.get("spec") or {}
    for key in ("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        yield from numbers.non_negative(spec.get(key), f"spec.{key}")
    inner, field = (spec.get("jobTemplate") or {}).get("spec") or {}, "spec.jobTemplate.spec"
    yield from _job_spec(inner, field)
    if inner.get("selector") is not None:
        yield faults.invalid(f"{field}.selector", inner["selector"], "`selector` will be auto-generated")
    if inner.get("manualSelector"):
        yield faults.unsupported(f"{field}.manualSelector", True, ("nil", "false"))


def cron_job_create(found: Json) -> Iterator[Cause]:
    """Names of its jobs are eleven characters longer; a zone is named by a field of its own."""
    spec, name = found.get("spec") or {}, found["metadata"].get("name", "")
    if len(name) > CRON_NAME_MAX:
        yield faults.invalid("metadata.name", name, f"must be no more than {CRON_NAME_MAX} characters")
    yield from _schedule(spec, may_name_zone=False)
    yield from _time_zone(spec.get("timeZone"))


def cron_job_change(new: Json, old: Json) -> Iterator[Cause]:
    given, held = new.get("spec") or {}, old.get("spec") or {}
    yield from _schedule(given, may_name_zone="TZ" in held.get("schedule", ""))
    if given.get("timeZone") != held.get("timeZone"):
        yield from _time_zone(given.get("timeZone"))


def _schedule(spec: Json, *, may_name_zone: bool) -> Iterator[Cause]:
    schedule, field = spec.get("schedule", ""), "spec.schedule"
    if not schedule:
        return
    names_zone = "TZ" in schedule
    try:
        if not names_zone:
            cron.parse(schedule)
    except Invalid as error:
        yield faults.invalid(field, schedule, str(error))
    if names_zone and not may_name_zone:
        detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        yield faults.invalid(field, schedule, detail)
    elif names_zone and spec.get("timeZone") is not None:
        yield faults.invalid(field, schedule, "cannot use both timeZone field and TZ or CRON_TZ in schedule")


def _time_zone(zone: str | None) -> Iterator[Cause]:
    field = "spec.timeZone"
    if zone is None:
        return
    if not zone:
        yield faults.invalid(field, zone, "timeZone must be nil or non-empty string")
    elif any(part in (".", "..") or not _ZONE_PART.fullmatch(part) for part in zone.split("/")):
        yield faults.invalid(field, zone, f"unknown time zone {zone}")
    elif zone.lower() == "local":
        detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        yield faults.invalid(field, zone, detail)
    else:
        try:
            zoneinfo.ZoneInfo(zone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            yield faults.invalid(field, zone, f"unknown time zone {zone}")
