"""A Job's pods, sorted: who runs, who ended how, who ends now, and who was counted already.

Tracking by finalizer: a finished pod keeps the finalizer until status has its uid (`uncounted`), so that no pod is
counted twice or never. Spec: "Job termination and cleanup", "Job tracking with finalizers".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from knarr.client.view import View
from knarr.controllers import claims
from knarr.controllers.controller import Action
from knarr.controllers.job import policies
from knarr.controllers.job.indexes import index_of, parse
from knarr.kinds.batch import JOB
from knarr.kinds.core_pod import POD
from knarr.kinds.lens.batch import Job, UncountedTerminatedPods
from knarr.kinds.lens.pod import Pod

FINALIZER: Final = "batch.kubernetes.io/job-tracking"
FAILURE_COUNT: Final = "batch.kubernetes.io/job-index-failure-count"


@dataclass(frozen=True, slots=True)
class Members:
    """The pods of one Job. `succeeded` and `failed` are those that ended and still carry the finalizer."""

    every: Sequence[Pod]
    active: Sequence[Pod]
    terminating: Sequence[Pod]
    succeeded: Sequence[Pod]
    failed: Sequence[Pod]
    adoptions: Sequence[Action]


def of(job: Job, view: View) -> Members:
    """Sort the pods that the Job owns or adopts."""
    meta = job.metadata
    claimant = claims.Claimant(JOB, meta, job.spec.selector, POD)
    orphans = view.owned(Pod, "", meta.namespace) if job.spec.selector is not None else ()
    if job.spec.selector is None:
        owned = [pod for pod in view.owned(Pod, meta.uid) if claims.is_controlled_by(pod.metadata, meta.uid)]
        claim: claims.Claim[Pod] = claims.Claim(owned, ())
    else:
        claim = claims.claim(claimant, view.owned(Pod, meta.uid), orphans)
    every = claim.mine
    tracked = [pod for pod in every if FINALIZER in pod.metadata.finalizers]
    return Members(
        every,
        active=[pod for pod in every if not is_ended(job, pod) and pod.metadata.deletion_timestamp is None],
        terminating=[
            pod
            for pod in every
            if pod.metadata.deletion_timestamp is not None and pod.status.phase not in ("Succeeded", "Failed")
        ],
        succeeded=[pod for pod in tracked if pod.status.phase == "Succeeded"],
        failed=[pod for pod in tracked if is_failed(job, pod)],
        adoptions=claim.actions,
    )


def is_ended(job: Job, pod: Pod) -> bool:
    return pod.status.phase == "Succeeded" or is_failed(job, pod)


def is_failed(job: Job, pod: Pod) -> bool:
    """A pod that is being deleted counts as failed, unless the Job replaces only what has really ended."""
    if pod.status.phase == "Failed":
        return True
    if replaces_only_failed(job):
        return False
    return pod.metadata.deletion_timestamp is not None and pod.status.phase != "Succeeded"


def replaces_only_failed(job: Job) -> bool:
    return job.spec.pod_replacement_policy == "Failed" or job.spec.pod_failure_policy is not None


@dataclass(frozen=True, slots=True)
class Counts:
    """The tally that status holds: what is counted for good, and the uids on their way."""

    succeeded: int
    failed: int
    uncounted: UncountedTerminatedPods
    completed: frozenset[int]
    failed_indexes: frozenset[int]
    freed: Sequence[Pod]
    """Pods whose uid is in status: their finalizer may go."""

    @property
    def succeeded_total(self) -> int:
        return self.succeeded + len(self.uncounted.succeeded)

    @property
    def failed_total(self) -> int:
        return self.failed + len(self.uncounted.failed)


def counts(job: Job, members: Members) -> Counts:
    """The next tally: uids whose finalizer is gone are counted, newly ended pods become uids."""
    status = job.status
    before = status.uncounted_terminated_pods or UncountedTerminatedPods()
    tracked = {pod.metadata.uid: pod for pod in members.every if FINALIZER in pod.metadata.finalizers}
    still_succeeded = [uid for uid in before.succeeded if uid in tracked]
    still_failed = [uid for uid in before.failed if uid in tracked]
    known = {*before.succeeded, *before.failed}
    limit = completions(job) or 0
    completed, lost = parse(status.completed_indexes, limit), parse(status.failed_indexes or "", limit)
    new_succeeded: list[str] = []
    for pod in members.succeeded:
        index = index_of(pod.metadata)
        if pod.metadata.uid in known:
            continue
        if is_indexed(job):
            if index is None or index >= limit or index in completed:
                continue  # A second success of an index counts for nothing.
            completed |= {index}
        new_succeeded.append(pod.metadata.uid)
    new_failed: list[str] = []
    for pod in members.failed:
        if pod.metadata.uid in known or policies.is_ignored(job, pod):
            continue
        new_failed.append(pod.metadata.uid)
        index = index_of(pod.metadata)
        if index is not None and index < limit and exhausts_index(job, pod) and index not in completed:
            lost |= {index}
    uncounted = UncountedTerminatedPods(
        succeeded=(*still_succeeded, *new_succeeded), failed=(*still_failed, *new_failed)
    )
    free = [pod for uid, pod in tracked.items() if uid in known or _counts_for_nothing(job, pod, uncounted)]
    return Counts(
        status.succeeded + len(before.succeeded) - len(still_succeeded),
        status.failed + len(before.failed) - len(still_failed),
        uncounted,
        completed,
        lost,
        free,
    )


def _counts_for_nothing(job: Job, pod: Pod, uncounted: UncountedTerminatedPods) -> bool:
    """An ended pod that no counter wants: ignored, or the second of its index."""
    return is_ended(job, pod) and pod.metadata.uid not in (*uncounted.succeeded, *uncounted.failed)


def exhausts_index(job: Job, pod: Pod) -> bool:
    """Whether this failure is the last that its index had."""
    limit = job.spec.backoff_limit_per_index
    if limit is None:
        return False
    return failure_count(pod) >= limit or policies.action(job, pod) == "FailIndex"


def failure_count(pod: Pod) -> int:
    """How often the pod's index had failed before this pod."""
    text = pod.metadata.annotations.get(FAILURE_COUNT, "0")
    return int(text) if text.isascii() and text.isdigit() else 0


def is_indexed(job: Job) -> bool:
    return job.spec.completion_mode == "Indexed"


def parallelism(job: Job) -> int:
    return 1 if job.spec.parallelism is None else job.spec.parallelism


def completions(job: Job) -> int | None:
    """How many successes are wanted; None is "until one succeeded and all have ended"."""
    if job.spec.completions is None and job.spec.parallelism is None:
        return 1
    return job.spec.completions


def backoff_limit(job: Job) -> int:
    if job.spec.backoff_limit is not None:
        return job.spec.backoff_limit
    return 2**31 - 1 if job.spec.backoff_limit_per_index is not None else 6
