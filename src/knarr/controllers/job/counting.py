"""A Job's tally: which ended pods are counted already, which are on their way, and whose tracking finalizer may go.

Tracking by finalizer: a finished pod keeps the finalizer until status has it (its uid in `uncountedTerminatedPods`, or
its index in `completedIndexes`), so that no pod is counted twice or never. With backoffLimitPerIndex the last failed
pod of an index keeps it until its successor carries the count on, as long as one may come. Pure.
Spec: "Job tracking with finalizers".
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from knarr.controllers.job import policies
from knarr.controllers.job.indexes import DIGITS_MAX, index_of, parse
from knarr.controllers.job.members import FINALIZER, Members, completions, is_failed, is_indexed
from knarr.kinds.lens.batch import Job, UncountedTerminatedPods
from knarr.kinds.lens.pod import Pod

FAILURE_COUNT: Final = "batch.kubernetes.io/job-index-failure-count"
IGNORED_COUNT: Final = "batch.kubernetes.io/job-index-ignored-failure-count"


@dataclass(frozen=True, slots=True)
class Counts:
    """The tally that status holds: what is counted for good, and the uids on their way."""

    succeeded: int
    failed: int
    uncounted: UncountedTerminatedPods
    completed: frozenset[int]
    failed_indexes: frozenset[int]
    freed: Sequence[Pod]
    """Pods that status has: their finalizer may go."""

    @property
    def succeeded_total(self) -> int:
        return self.succeeded + len(self.uncounted.succeeded)

    @property
    def failed_total(self) -> int:
        return self.failed + len(self.uncounted.failed)


@dataclass(frozen=True, slots=True)
class _Before:
    """What status says already, and whose finalizer is still there."""

    job: Job
    tracked: dict[str, Pod]
    succeeded: tuple[str, ...]
    failed: tuple[str, ...]
    completed: frozenset[int]
    limit: int

    def index(self, pod: Pod) -> int | None:
        """The pod's index where the Job has such a one."""
        index = index_of(pod.metadata)
        return index if index is not None and index < self.limit else None

    def is_known(self, pod: Pod) -> bool:
        return pod.metadata.uid in self.succeeded or pod.metadata.uid in self.failed


def counts(job: Job, members: Members, *, awaits_successors: bool = True) -> Counts:
    """The next tally: uids whose finalizer is gone are counted, newly ended pods become uids or indexes.

    A Job that is ending or being deleted makes no successors, so no pod is held for one: it would be held for ever.
    """
    status = job.status
    uncounted = status.uncounted_terminated_pods or UncountedTerminatedPods()
    limit = completions(job) or 0
    before = _Before(
        job,
        {pod.metadata.uid: pod for pod in members.every if FINALIZER in pod.metadata.finalizers},
        uncounted.succeeded,
        uncounted.failed,
        parse(status.completed_indexes, limit),
        limit,
    )
    completed = before.completed | _new_indexes(before, members)
    new_failed = _newly_failed(before, members)
    lost = parse(status.failed_indexes or "", limit) | _lost_indexes(before, new_failed, completed)
    still_succeeded = [uid for uid in before.succeeded if uid in before.tracked]
    still_failed = [uid for uid in before.failed if uid in before.tracked]
    # The indexes are their own tally: a Job that is given fewer completions has fewer successes, too.
    fresh = () if is_indexed(job) else (pod.metadata.uid for pod in members.succeeded if not before.is_known(pod))
    succeeded = status.succeeded + len(before.succeeded) - len(still_succeeded)
    next_uncounted = UncountedTerminatedPods(
        succeeded=(*still_succeeded, *fresh) if not is_indexed(job) else (),
        failed=(*still_failed, *(pod.metadata.uid for pod in new_failed)),
    )
    waiting = _held(before, members, completed | lost) if awaits_successors else ()
    held = {pod.metadata.uid for pod in waiting}
    freed = [
        pod
        for uid, pod in before.tracked.items()
        if uid not in held and _is_settled(before, pod, next_uncounted.failed)
    ]
    return Counts(
        len(completed) if is_indexed(job) else succeeded,
        status.failed + len(before.failed) - len(still_failed),
        next_uncounted,
        completed,
        lost,
        freed,
    )


def _new_indexes(before: _Before, members: Members) -> frozenset[int]:
    if not is_indexed(before.job):
        return frozenset()
    return frozenset(index for pod in members.succeeded if (index := before.index(pod)) is not None)


def _newly_failed(before: _Before, members: Members) -> Sequence[Pod]:
    """Not those that a policy ignores, nor those of an index that the Job does not have."""
    return [
        pod
        for pod in members.failed
        if not before.is_known(pod)
        and not policies.is_ignored(before.job, pod)
        and not (is_indexed(before.job) and before.index(pod) is None)
    ]


def _lost_indexes(before: _Before, new_failed: Iterable[Pod], completed: frozenset[int]) -> frozenset[int]:
    found = (before.index(pod) for pod in new_failed if exhausts_index(before.job, pod))
    return frozenset(index for index in found if index is not None and index not in completed)


def _held(before: _Before, members: Members, settled: frozenset[int]) -> Iterable[Pod]:
    """Of each index without a pod that carries its count on, the failed pod with the highest."""
    if before.job.spec.backoff_limit_per_index is None:
        return ()
    carried = {index_of(pod.metadata) for pod in members.active}
    last: dict[int, Pod] = {}
    for pod in members.failed:
        index = before.index(pod)
        if index is None or index in settled or index in carried:
            continue
        if index not in last or every_failure(last[index]) <= every_failure(pod):
            last[index] = pod
    return last.values()


def _is_settled(before: _Before, pod: Pod, uncounted_failed: Sequence[str]) -> bool:
    """Whether status has the pod, or no counter wants it: ignored, of no index, or the second of its index."""
    if before.is_known(pod):
        return True
    if pod.status.phase == "Succeeded":
        index = before.index(pod)
        return is_indexed(before.job) and (index is None or index in before.completed)
    return is_failed(before.job, pod) and pod.metadata.uid not in uncounted_failed


def exhausts_index(job: Job, pod: Pod) -> bool:
    """Whether this failure is the last that its index had."""
    limit = job.spec.backoff_limit_per_index
    if limit is None or not is_failed(job, pod):
        return False
    return failure_count(pod) >= limit or policies.action(job, pod) == "FailIndex"


def failure_count(pod: Pod) -> int:
    """How often the pod's index had failed before this pod."""
    return _number(pod, FAILURE_COUNT)


def every_failure(pod: Pod) -> int:
    """The same with the failures that a policy ignored: they count for the back-off alone."""
    return failure_count(pod) + _number(pod, IGNORED_COUNT)


def _number(pod: Pod, annotation: str) -> int:
    text = pod.metadata.annotations.get(annotation, "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX else 0


def marks_of_successor(job: Job, failed: Iterable[Pod]) -> dict[str, str]:
    """The annotations that carry an index's failures to its next pod; `failed` are its failed pods."""
    last = max(failed, key=every_failure, default=None)
    if last is None:
        return {FAILURE_COUNT: "0"}
    ignored = policies.is_ignored(job, last)
    marks = {FAILURE_COUNT: str(failure_count(last) + (not ignored))}
    skipped = _number(last, IGNORED_COUNT) + ignored
    return marks | ({IGNORED_COUNT: str(skipped)} if skipped else {})
