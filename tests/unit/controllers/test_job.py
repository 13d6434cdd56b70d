"""Job: indexes as text, policies, counting and the end."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knarr.base.errors import Forbidden
from knarr.base.ids import Revision
from knarr.client.cache import Cache
from knarr.controllers.controller import Create
from knarr.controllers.job import counting, ending, indexes, members, policies, sync
from knarr.controllers.job.counting import Counts
from knarr.controllers.job.members import FINALIZER, Members
from knarr.kinds.batch import JOB
from knarr.kinds.core_pod import POD
from knarr.kinds.lens.batch import (
    Job,
    JobSpec,
    JobStatus,
    PodFailurePolicy,
    PodFailurePolicyOnExitCodesRequirement,
    PodFailurePolicyOnPodConditionsPattern,
    PodFailurePolicyRule,
    SuccessPolicy,
    SuccessPolicyRule,
    UncountedTerminatedPods,
)
from knarr.kinds.lens.meta import ObjectMeta
from knarr.kinds.lens.pod import Pod
from knarr.kinds.lens.pod_status import (
    ContainerState,
    ContainerStateTerminated,
    ContainerStatus,
    PodCondition,
    PodStatus,
)

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@given(st.frozensets(st.integers(0, 60)))
def test_indexes_are_the_same_after_a_way_through_text(found: frozenset[int]) -> None:
    assert indexes.parse(indexes.render(found), 61) == found


def test_indexes_are_written_as_upstream_writes_them() -> None:
    assert indexes.render({7, 0, 1, 2, 5, 4}) == "0-2,4,5,7"
    assert indexes.parse("0-2,x,9,4-3", 5) == {0, 1, 2}


def pod(name: str, phase: str, *, code: int = 1, index: int | None = None, finalizer: bool = True) -> Pod:
    terminated = ContainerStateTerminated(exit_code=code, finished_at=NOW)
    status = ContainerStatus(name="c", state=ContainerState(terminated=terminated))
    condition = PodCondition(type="DisruptionTarget", status="True") if name == "evicted" else PodCondition()
    marks = {} if index is None else {indexes.COMPLETION_INDEX: str(index)}
    return Pod(
        metadata=ObjectMeta(
            name=name, namespace="a", uid=name, annotations=marks, finalizers=(FINALIZER,) if finalizer else ()
        ),
        status=PodStatus(phase=phase, container_statuses=(status,), conditions=(condition,)),
    )


NEW = JobStatus()


def job(status: JobStatus = NEW, **spec: object) -> Job:
    return Job(metadata=ObjectMeta(name="work", uid="j"), spec=JobSpec(**spec), status=status)  # type: ignore[arg-type]


def sorted_members(one: Job, *pods: Pod) -> Members:
    return Members(
        every=pods,
        active=[found for found in pods if not members.is_ended(one, found)],
        terminating=(),
        succeeded=[found for found in pods if found.status.phase == "Succeeded" and found.metadata.finalizers],
        failed=[found for found in pods if members.is_failed(one, found) and found.metadata.finalizers],
        adoptions=(),
    )


def test_an_ended_pod_is_noted_then_freed_then_counted() -> None:
    fresh = job(completions=2)
    noted = counting.counts(fresh, sorted_members(fresh, pod("p", "Succeeded")))
    assert (noted.succeeded, noted.uncounted.succeeded, list(noted.freed)) == (0, ("p",), [])
    saved = job(JobStatus(uncounted_terminated_pods=noted.uncounted), completions=2)
    freed = counting.counts(saved, sorted_members(saved, pod("p", "Succeeded")))
    assert (freed.succeeded, [found.metadata.name for found in freed.freed]) == (0, ["p"])
    counted = counting.counts(saved, sorted_members(saved, pod("p", "Succeeded", finalizer=False)))
    assert (counted.succeeded, counted.uncounted, list(counted.freed)) == (1, UncountedTerminatedPods(), [])
    gone = counting.counts(saved, sorted_members(saved))
    assert gone.succeeded == 1


def test_the_second_success_of_an_index_counts_for_nothing() -> None:
    one = job(completions=2, completion_mode="Indexed")
    found = counting.counts(one, sorted_members(one, pod("p", "Succeeded", index=0), pod("q", "Succeeded", index=0)))
    assert (found.succeeded, found.completed, list(found.freed)) == (1, frozenset({0}), [])
    saved = job(JobStatus(succeeded=1, completed_indexes="0"), completions=2, completion_mode="Indexed")
    freed = counting.counts(
        saved, sorted_members(saved, pod("p", "Succeeded", index=0), pod("q", "Succeeded", index=0))
    )
    assert (freed.succeeded, [one.metadata.name for one in freed.freed]) == (1, ["p", "q"])


def test_an_indexed_job_that_is_given_fewer_completions_has_fewer_successes() -> None:
    one = job(JobStatus(succeeded=4, completed_indexes="0,2-4"), completions=3, completion_mode="Indexed")
    found = counting.counts(one, sorted_members(one))
    assert (found.succeeded, found.completed) == (2, frozenset({0, 2}))


def test_pods_that_a_failed_job_cuts_short_count_as_failed() -> None:
    one = job(backoff_limit=0)
    running, ended = pod("r", "Running"), pod("p", "Failed")
    found = members.all_failed(sorted_members(one, running, ended))
    assert counting.counts(one, found).uncounted.failed == ("p", "r")


def marked(one: Pod, **marks: str) -> Pod:
    annotations = {**one.metadata.annotations, **{getattr(counting, name): value for name, value in marks.items()}}
    return msgspec.structs.replace(one, metadata=msgspec.structs.replace(one.metadata, annotations=annotations))


def test_the_last_failure_of_an_index_is_kept_until_a_successor_carries_its_count() -> None:
    spec = {"completions": 2, "completion_mode": "Indexed", "backoff_limit_per_index": 3}
    first, last = pod("p", "Failed", index=0), marked(pod("q", "Failed", index=0), FAILURE_COUNT="1")
    one = job(JobStatus(uncounted_terminated_pods=UncountedTerminatedPods(failed=("p", "q"))), **spec)
    alone = counting.counts(one, sorted_members(one, first, last))
    assert [freed.metadata.name for freed in alone.freed] == ["p"]
    carried = counting.counts(one, sorted_members(one, first, last, pod("r", "Running", index=0)))
    assert [freed.metadata.name for freed in carried.freed] == ["p", "q"]
    ending_job = counting.counts(one, sorted_members(one, first, last), awaits_successors=False)
    assert [freed.metadata.name for freed in ending_job.freed] == ["p", "q"]


def test_an_ignored_failure_costs_an_index_nothing_but_time() -> None:
    one = job(completions=1, completion_mode="Indexed", backoff_limit_per_index=1, pod_failure_policy=IGNORING)
    evicted = marked(pod("evicted", "Failed", index=0), FAILURE_COUNT="1")
    assert counting.marks_of_successor(one, [evicted]) == {
        counting.FAILURE_COUNT: "1",
        counting.IGNORED_COUNT: "1",
    }
    assert counting.marks_of_successor(one, [pod("p", "Failed", index=0)]) == {counting.FAILURE_COUNT: "1"}


def rules(*found: PodFailurePolicyRule) -> PodFailurePolicy:
    return PodFailurePolicy(rules=found)


FAIL_ON_42 = PodFailurePolicyRule(
    action="FailJob", on_exit_codes=PodFailurePolicyOnExitCodesRequirement(operator="In", values=(42,))
)
IGNORE_EVICTION = PodFailurePolicyRule(
    action="Ignore", on_pod_conditions=(PodFailurePolicyOnPodConditionsPattern(type="DisruptionTarget"),)
)


def test_a_failure_policy_is_the_first_rule_that_matches() -> None:
    one = job(pod_failure_policy=rules(IGNORE_EVICTION, FAIL_ON_42))
    assert policies.action(one, pod("p", "Failed", code=42)) == "FailJob"
    assert policies.action(one, pod("p", "Failed", code=1)) == "Count"
    assert policies.action(one, pod("evicted", "Failed", code=42)) == "Ignore"
    assert policies.failure_message(one, pod("p", "Failed", code=42)) == (
        "Container c for pod a/p failed with exit code 42 matching FailJob rule at index 1"
    )


IGNORING = rules(IGNORE_EVICTION)


def counts(**given: object) -> Counts:
    plain: dict[str, object] = {
        "succeeded": 0, "failed": 0, "uncounted": UncountedTerminatedPods(), "completed": frozenset(),
        "failed_indexes": frozenset(), "freed": (),
    }  # fmt: skip
    return Counts(**(plain | given))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "tally", "reason"),
    [
        (job(completions=2), counts(succeeded=2), "CompletionsReached"),
        (job(completions=2), counts(succeeded=1), ""),
        (job(backoff_limit=1), counts(failed=2), "BackoffLimitExceeded"),
        (job(backoff_limit=1), counts(failed=1), ""),
        (job(JobStatus(start_time=NOW - timedelta(hours=1)), active_deadline_seconds=60), counts(), "DeadlineExceeded"),
        (job(completions=2, completion_mode="Indexed"), counts(completed=frozenset({0, 1})), "CompletionsReached"),
        (
            job(completions=2, completion_mode="Indexed", backoff_limit_per_index=0),
            counts(completed=frozenset({0}), failed_indexes=frozenset({1})),
            "FailedIndexes",
        ),
        (
            job(completions=3, completion_mode="Indexed", backoff_limit_per_index=0, max_failed_indexes=0),
            counts(failed_indexes=frozenset({1})),
            "MaxFailedIndexesExceeded",
        ),
        (
            job(
                completions=3,
                completion_mode="Indexed",
                success_policy=SuccessPolicy(rules=(SuccessPolicyRule(succeeded_indexes="0,2"),)),
            ),
            counts(completed=frozenset({0, 2})),
            "SuccessPolicy",
        ),
    ],
)
def test_a_job_ends_for_the_documented_reason(one: Job, tally: Counts, reason: str) -> None:
    found = ending.verdict(one, sorted_members(one), tally, NOW)
    assert (found.reason if found else "") == reason


def test_back_off_doubles_with_each_failure_in_a_row() -> None:
    one = job()
    for failures, seconds in ((1, 10), (2, 20), (4, 80), (12, 600)):
        failed = sorted_members(one, *(pod(f"p{number}", "Failed") for number in range(failures)))
        assert ending.backoff_until(failed) == NOW + timedelta(seconds=seconds)
    assert ending.backoff_until(sorted_members(one, pod("p", "Succeeded"))) is None


def test_an_index_waits_for_its_own_failures_only() -> None:
    one = job(completion_mode="Indexed", completions=3, backoff_limit_per_index=4)
    failed = [pod(f"p{count}", "Failed", index=1) for count in range(3)]
    counted = [marked(each, FAILURE_COUNT=str(count)) for count, each in enumerate(failed)]
    found = sorted_members(one, *counted, pod("q", "Failed", index=2), pod("r", "Succeeded", index=0))
    assert ending.index_backoffs(found) == {1: NOW + timedelta(seconds=40), 2: NOW + timedelta(seconds=10)}


def test_a_hostile_count_is_none_and_a_large_one_waits_longest() -> None:
    one = pod("p", "Failed", index=1)
    assert counting.every_failure(marked(one, FAILURE_COUNT="1" * 5000)) == 0
    assert ending.index_backoffs(sorted_members(job(), marked(one, FAILURE_COUNT="1" * 9))) == {
        1: NOW + timedelta(seconds=600)
    }
    assert indexes.index_of(ObjectMeta(annotations={indexes.COMPLETION_INDEX: "1" * 5000})) is None
    in_row = sorted_members(job(), *(pod(f"p{number}", "Failed") for number in range(1100)))
    assert ending.backoff_until(in_row) == NOW + timedelta(seconds=600)


def test_what_ended_is_noted_although_its_successor_is_refused() -> None:
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "work", "uid": "j", "controller": True}
    root = {"metadata": {"name": "work", "namespace": "a", "uid": "j"}, "spec": {"completions": 1, "parallelism": 1}}
    ended = {
        "metadata": {"name": "p", "namespace": "a", "uid": "p", "finalizers": [FINALIZER], "ownerReferences": [owner]},
        "status": {"phase": "Failed"},
    }
    cache = Cache([JOB, POD])
    for kind, content in ((JOB, root), (POD, ended)):
        cache.replace(kind, [msgspec.json.encode(content)], Revision(1))
    one = cache.get(Job, "a", "work")
    assert one is not None
    told = sync.failed(one, Create(POD, "a", {}), Forbidden("exceeded quota"), cache, NOW)
    assert told.status is not None
    assert told.status["uncountedTerminatedPods"] == {"failed": ["p"]}
    assert [(note.reason, note.message) for note in told.events] == [("FailedCreate", "Error creating: exceeded quota")]
