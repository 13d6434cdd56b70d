"""A Job's pods, sorted: who runs, who ended how and who ends now; and the Job's numbers with their defaults.

Not here: how the ended are counted (counting.py). Spec: "Job termination and cleanup".
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from knarr.client.view import View
from knarr.controllers import claims
from knarr.controllers.controller import Action
from knarr.kinds.batch import JOB
from knarr.kinds.core_pod import POD
from knarr.kinds.lens.batch import Job
from knarr.kinds.lens.pod import Pod

FINALIZER: Final = "batch.kubernetes.io/job-tracking"


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


def all_failed(members: Members) -> Members:
    """When the Job has failed, whatever has not ended counts as failed: it ends because of that."""
    known = {pod.metadata.uid for pod in members.failed}
    cut_short = [
        pod
        for pod in (*members.active, *members.terminating)
        if FINALIZER in pod.metadata.finalizers and pod.metadata.uid not in known
    ]
    return replace(members, failed=[*members.failed, *cut_short])


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
