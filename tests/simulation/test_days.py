"""A day of CronJobs in virtual time."""

import asyncio

import pytest

from knarr.kinds.batch import CRONJOB, JOB
from knarr.kinds.core_pod import POD
from tests.simulation import virtual_time
from tests.simulation.cluster import Cluster, running_cluster


@pytest.mark.parametrize(("schedule", "runs"), [("0 * * * *", 24), ("*/10 * * * *", 144)])
def test_a_day_of_a_cron_job_runs_every_time_and_keeps_three_jobs(schedule: str, runs: int) -> None:
    async def main() -> None:
        cluster = Cluster()
        names: set[str] = set()
        cluster.api.observers.append(
            lambda event, one: names.add(one["metadata"]["name"]) if (event, one["kind"]) == ("ADDED", "Job") else None
        )
        marks = {"test/exit": "0"}
        spec = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}
        template = {"spec": {"template": {"metadata": {"annotations": marks}, "spec": spec}}}
        body = {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": {"name": "tick"},
            "spec": {"schedule": schedule, "jobTemplate": template},
        }
        async with running_cluster(cluster):
            await cluster.api.create(CRONJOB, "default", body)
            await asyncio.sleep(24 * 3600 + 60)
        assert len(names) == runs
        assert len(cluster.api.all(JOB)) == len(cluster.api.all(POD)) == 3

    virtual_time.run(main())
