"""How a Job ends: by enough successes, by too many failures, by its deadline, or by a policy.

`verdict` gives the condition that is due; first the criteria (SuccessCriteriaMet, FailureTarget), and Complete or
Failed once no pod runs any more. Reasons and messages are upstream's. Pure. Spec: "Terminal Job conditions".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from knarr.base.clock import Instant
from knarr.controllers import conditions
from knarr.controllers.job import members, policies
from knarr.controllers.job.counting import Counts, every_failure
from knarr.controllers.job.indexes import index_of
from knarr.controllers.job.members import Members
from knarr.kinds.lens.batch import Job, JobCondition
from knarr.kinds.lens.pod import Pod

COMPLETE, FAILED, SUSPENDED = "Complete", "Failed", "Suspended"
SUCCESS_CRITERIA_MET, FAILURE_TARGET = "SuccessCriteriaMet", "FailureTarget"
FIRST_DELAY: Final = 10.0
DELAY_MAX: Final = 600.0
DOUBLINGS_MAX: Final = 16


@dataclass(frozen=True, slots=True)
class Verdict:
    """The condition that the Job has earned, without time."""

    type: str
    reason: str
    message: str


def is_finished(job: Job) -> bool:
    return any(one.type in (COMPLETE, FAILED) and one.status == "True" for one in job.status.conditions)


def finished_at(job: Job) -> Instant | None:
    """When it became Complete or Failed."""
    moments = (one.last_transition_time for one in job.status.conditions if one.type in (COMPLETE, FAILED))
    return next((moment for moment in moments if moment is not None), None)


def verdict(job: Job, found: Members, counts: Counts, now: Instant) -> Verdict | None:
    """What the Job has earned so far; a criterion once met stays."""
    for name in (SUCCESS_CRITERIA_MET, FAILURE_TARGET):
        met = conditions.find(job.status.conditions, name)
        if met is not None and met.status == "True":
            return Verdict(name, met.reason, met.message)
    failure = _failure(job, found, counts, now)
    if failure is not None:
        return Verdict(FAILURE_TARGET, *failure)
    success = _success(job, found, counts)
    return Verdict(SUCCESS_CRITERIA_MET, *success) if success is not None else None


def _failure(job: Job, found: Members, counts: Counts, now: Instant) -> tuple[str, str] | None:
    told = next(filter(None, (policies.failure_message(job, pod) for pod in found.failed)), "")
    if told:
        return "PodFailurePolicy", told
    limit = members.backoff_limit(job)
    restarts = policies.restarts(found.active) if job.spec.template.spec.restart_policy == "OnFailure" else 0
    if counts.failed_total > limit or (restarts > 0 and restarts >= max(limit, 1)):
        return "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    due = deadline_at(job)
    if due is not None and due <= now:
        return "DeadlineExceeded", "Job was active longer than specified deadline"
    if job.spec.backoff_limit_per_index is None:
        return None
    lost, most = len(counts.failed_indexes), job.spec.max_failed_indexes
    if most is not None and lost > most:
        return "MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes"
    wanted = members.completions(job) or 0
    if lost and lost + len(counts.completed) >= wanted and not found.active:
        return "FailedIndexes", "Job has failed indexes"
    return None


def deadline_at(job: Job) -> Instant | None:
    if job.spec.active_deadline_seconds is None or job.status.start_time is None or job.spec.suspend:
        return None
    return job.status.start_time + timedelta(seconds=job.spec.active_deadline_seconds)


def _success(job: Job, found: Members, counts: Counts) -> tuple[str, str] | None:
    rule = policies.success_rule(job, counts.completed)
    if rule:
        return "SuccessPolicy", rule
    wanted = members.completions(job)
    if wanted is None:
        is_enough = counts.succeeded_total > 0 and not found.active
    elif members.is_indexed(job):
        is_enough = len(counts.completed) >= wanted
    else:
        is_enough = counts.succeeded_total >= wanted
    return ("CompletionsReached", "Reached expected number of succeeded pods") if is_enough else None


def with_ending(job: Job, earned: Verdict | None, is_quiet: bool, now: Instant) -> Sequence[JobCondition]:
    """The conditions: the criterion, and the end once no pod is active or terminating."""
    found: Sequence[JobCondition] = job.status.conditions
    if earned is None:
        return found
    found = conditions.with_condition(found, condition(earned.type, earned.reason, earned.message, now))
    if is_quiet:
        end = COMPLETE if earned.type == SUCCESS_CRITERIA_MET else FAILED
        found = conditions.with_condition(found, condition(end, earned.reason, earned.message, now))
    return found


def condition(name: str, reason: str, message: str, now: Instant, status: str = "True") -> JobCondition:
    moment = conditions.moment(now)
    return JobCondition(
        type=name, status=status, reason=reason, message=message, last_probe_time=moment, last_transition_time=moment
    )


def backoff_until(found: Members) -> Instant | None:
    """Until when no replacement is created: 10 s after the first failure in a row, doubled with each, at most 600 s."""
    ended = sorted(
        (moment, pod.status.phase == "Failed") for pod in found.every if (moment := _ended_at(pod)) is not None
    )
    in_row = 0
    last: Instant | None = None
    for moment, is_failure in ended:
        in_row = in_row + 1 if is_failure else 0
        last = moment if is_failure else last
    if not in_row or last is None:
        return None
    return last + _delay(in_row - 1)


def index_backoffs(found: Members) -> dict[int, Instant]:
    """With backoffLimitPerIndex each index waits for its own failures only: until when, by index."""
    until: dict[int, Instant] = {}
    for pod in found.every:
        index, moment = index_of(pod.metadata), _ended_at(pod)
        if index is not None and moment is not None and pod.status.phase == "Failed":
            wait = _delay(every_failure(pod))
            until[index] = max(until.get(index, moment + wait), moment + wait)
    return until


def _delay(doublings: int) -> timedelta:
    """The exponent has a bound, since a float has: the longest delay is reached long before."""
    return timedelta(seconds=min(FIRST_DELAY * 2.0 ** min(doublings, DOUBLINGS_MAX), DELAY_MAX))


def _ended_at(pod: Pod) -> Instant | None:
    if pod.status.phase not in ("Succeeded", "Failed"):
        return None
    moments = [
        status.state.terminated.finished_at
        for status in pod.status.container_statuses
        if status.state.terminated is not None and status.state.terminated.finished_at is not None
    ]
    ready = next((one.last_transition_time for one in pod.status.conditions if one.type == "Ready"), None)
    return max(moments, default=ready or pod.metadata.creation_timestamp)
