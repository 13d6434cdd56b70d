"""podFailurePolicy and successPolicy: what a failed pod means for its Job, and which successes are enough.

Pure. Spec: "Job: pod failure policy", "success policy".
"""

from collections.abc import Sequence
from typing import Final

from knarr.controllers.job import indexes
from knarr.kinds.lens.batch import Job, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyRule
from knarr.kinds.lens.pod import Pod
from knarr.kinds.lens.pod_status import ContainerStatus

DEFAULT_ACTION: Final = "Count"
STATUS_DEFAULT: Final = "True"


def action(job: Job, pod: Pod) -> str:
    """FailJob, FailIndex, Ignore or Count: of the first rule that matches a failed pod."""
    found = matching(job, pod)
    return found[0].action if found is not None else DEFAULT_ACTION


def is_ignored(job: Job, pod: Pod) -> bool:
    return action(job, pod) == "Ignore"


def failure_message(job: Job, pod: Pod) -> str:
    """Why this pod fails the Job; "" if it does not."""
    found = matching(job, pod)
    return found[1] if found is not None and found[0].action == "FailJob" else ""


def matching(job: Job, pod: Pod) -> tuple[PodFailurePolicyRule, str] | None:
    """The first rule that a failed pod matches, and in words how."""
    policy = job.spec.pod_failure_policy
    if policy is None or pod.status.phase != "Failed":
        return None
    where = f"pod {pod.metadata.namespace}/{pod.metadata.name}"
    for number, rule in enumerate(policy.rules):
        tail = f"matching {rule.action} rule at index {number}"
        if rule.on_exit_codes is not None:
            status = _exited(rule.on_exit_codes, pod)
            if status is not None and status.state.terminated is not None:
                code = status.state.terminated.exit_code
                return rule, f"Container {status.name} for {where} failed with exit code {code} {tail}"
        for pattern in rule.on_pod_conditions:
            wanted = pattern.status or STATUS_DEFAULT
            if any(one.type == pattern.type and one.status == wanted for one in pod.status.conditions):
                text = f"Pod {pod.metadata.namespace}/{pod.metadata.name} has condition {pattern.type} {tail}"
                return rule, text
    return None


def _exited(wanted: PodFailurePolicyOnExitCodesRequirement, pod: Pod) -> ContainerStatus | None:
    for status in (*pod.status.container_statuses, *pod.status.init_container_statuses):
        ended = status.state.terminated
        if ended is None or ended.exit_code == 0:
            continue
        if wanted.container_name is not None and wanted.container_name != status.name:
            continue
        if (ended.exit_code in wanted.values) == (wanted.operator == "In"):
            return status
    return None


def success_rule(job: Job, completed: frozenset[int]) -> str:
    """In words, which rule of successPolicy the completed indexes meet; "" if none."""
    policy = job.spec.success_policy
    if policy is None:
        return ""
    for number, rule in enumerate(policy.rules):
        found = completed
        if rule.succeeded_indexes is not None:
            named = indexes.parse(rule.succeeded_indexes, 2**31 - 1 if not completed else max(completed) + 1)
            found = completed & named
            if rule.succeeded_count is None and len(found) < _size(rule.succeeded_indexes):
                continue
        if rule.succeeded_count is not None and len(found) < rule.succeeded_count:
            continue
        return f"Matched rules at index {number}"
    return ""


def _size(text: str) -> int:
    total = 0
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        total += int(last or first) - int(first) + 1
    return total


def restarts(pods: Sequence[Pod]) -> int:
    """How often the containers of these pods were restarted in place."""
    return sum(
        status.restart_count
        for pod in pods
        if pod.status.phase in ("Running", "Pending")
        for status in (*pod.status.init_container_statuses, *pod.status.container_statuses)
    )
