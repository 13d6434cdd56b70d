"""CronJob: what is due, and which Jobs are its runs."""

from datetime import UTC, datetime, timedelta

import msgspec

from knarr.base.ids import Revision
from knarr.client.cache import Cache
from knarr.client.client import Json
from knarr.controllers import cronjob
from knarr.controllers.controller import Create, Delete
from knarr.kinds.batch import CRONJOB, JOB
from knarr.kinds.lens.batch import CronJob

NOW = datetime(2030, 1, 1, 12, 0, 30, tzinfo=UTC)


def job(name: str, *, is_scheduled: bool) -> Json:
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": "tick", "uid": "c", "controller": True}
    marks = (
        {cronjob.SCHEDULED: "2030-01-01T11:59:00Z"} if is_scheduled else {"cronjob.kubernetes.io/instantiate": "manual"}
    )
    return {"metadata": {"name": name, "namespace": "a", "uid": name, "annotations": marks, "ownerReferences": [owner]}}


def view(policy: str, *jobs: Json) -> tuple[CronJob, Cache]:
    cache = Cache([CRONJOB, JOB])
    created = (NOW - timedelta(minutes=1)).isoformat()
    spec = {"schedule": "* * * * *", "concurrencyPolicy": policy, "jobTemplate": {"spec": {}}}
    root = {"metadata": {"name": "tick", "namespace": "a", "uid": "c", "creationTimestamp": created}, "spec": spec}
    for kind, items in ((CRONJOB, [root]), (JOB, list(jobs))):
        cache.replace(kind, [msgspec.json.encode(item) for item in items], Revision(1))
    found = cache.get(CronJob, "a", "tick")
    assert found is not None
    return found, cache


def test_no_policy_concerns_a_job_that_somebody_made_from_the_cron_job() -> None:
    for policy in ("Replace", "Forbid"):
        plan = cronjob.plan(*view(policy, job("manual", is_scheduled=False)), NOW)
        assert [type(one) for one in plan.actions] == [Create]
        assert [(note.reason, note.message) for note in plan.events] == [
            ("UnexpectedJob", "Saw a job that the controller did not create or forgot: manual")
        ]
        assert plan.status is not None
        assert "active" not in plan.status


def test_replace_ends_the_run_before_and_forbid_waits_for_it() -> None:
    replaced = cronjob.plan(*view("Replace", job("tick-1", is_scheduled=True)), NOW)
    assert [type(one) for one in replaced.actions] == [Delete, Create]
    waiting = cronjob.plan(*view("Forbid", job("tick-1", is_scheduled=True)), NOW)
    assert (list(waiting.actions), [note.reason for note in waiting.events]) == ([], ["JobAlreadyActive"])
