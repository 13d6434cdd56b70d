"""A day in virtual time: CronJobs, TTLs, back-offs and token expiries. bench/controllers.py prints what it costs."""

import asyncio
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from knarr.apiserver.authn import Authenticator
from knarr.apiserver.context import User
from knarr.apiserver.pipeline import Pipeline
from knarr.apiserver.server import ApiServer
from knarr.apiserver.tokens import Tokens
from knarr.base.clock import LoopClock
from knarr.client.client import Json
from knarr.client.inprocess import InProcessTransport
from knarr.client.requests import ApiClient
from knarr.kinds.batch import CRONJOB, JOB
from knarr.kinds.core_config import NAMESPACE, SERVICEACCOUNT
from knarr.kinds.core_pod import POD
from knarr.kinds.lens.meta import ObjectMeta
from knarr.kinds.lens.pod import Pod
from knarr.kubelet.tokens import TokenSource
from knarr.kubelet.volumes.files import TokenWanted
from knarr.store.memory import MemoryStore
from tests.simulation import virtual_time
from tests.simulation.cluster import START, Cluster, running_cluster

DAY = 24 * 3600
pytestmark = pytest.mark.timeout(300)  # Seconds of work, on machines that do other work as well.


def job_spec(**more: object) -> Json:
    spec = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}
    exit_code = str(more.pop("exit_code", 0))
    return {"template": {"metadata": {"annotations": {"test/exit": exit_code}}, "spec": spec}, **more}


def cron_job(schedule: str, **more: object) -> Json:
    spec = {"schedule": schedule, "jobTemplate": {"spec": job_spec()}, **more}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "tick"}, "spec": spec}


def a_day_of(schedule: str) -> tuple[list[str], Cluster]:
    """The changes of a day with one CronJob, and the cluster at its end."""

    async def main() -> None:
        async with running_cluster(cluster):
            await cluster.api.create(CRONJOB, "default", cron_job(schedule))
            await asyncio.sleep(DAY + 30)

    cluster = Cluster(seed=3)
    trace: list[str] = []
    cluster.api.observers.append(
        lambda event, one: trace.append(f"{event} {one['kind']} {one.get('involvedObject', one['metadata'])['name']}")
    )
    virtual_time.run(main())
    return trace, cluster


@pytest.mark.parametrize(("schedule", "runs"), [("0 * * * *", 24), ("*/10 * * * *", 144), ("* * * * *", 1440)])
def test_a_day_of_a_cron_job_runs_every_time_and_keeps_three_jobs(schedule: str, runs: int) -> None:
    trace, cluster = a_day_of(schedule)
    made = [line for line in trace if line.startswith("ADDED Job ")]
    assert len(made) == len({*made}) == runs
    assert len(cluster.api.all(JOB)) == len(cluster.api.all(POD)) == 3


def test_the_same_seed_gives_the_same_day() -> None:
    assert a_day_of("*/10 * * * *")[0] == a_day_of("*/10 * * * *")[0]


def test_a_finished_job_goes_when_its_ttl_is_over_and_not_before() -> None:
    async def main() -> None:
        cluster = Cluster()
        async with running_cluster(cluster):
            for hours in (1, 6, 23):
                body = {"metadata": {"name": f"ttl-{hours}"}, "spec": job_spec(ttlSecondsAfterFinished=hours * 3600)}
                await cluster.api.create(JOB, "default", {"apiVersion": "batch/v1", "kind": "Job", **body})
            left = []
            for until in (0.9, 1.1, 5.9, 6.1, 22.9, 23.1):
                await asyncio.sleep(until * 3600 - asyncio.get_running_loop().time())
                left.append(len(cluster.api.all(JOB)))
            assert left == [3, 2, 2, 1, 1, 0]
            assert cluster.api.all(POD) == []

    virtual_time.run(main())


def test_a_failing_job_is_tried_after_ten_seconds_then_after_twice_as_long_and_at_most_ten_minutes() -> None:
    async def main() -> list[float]:
        cluster = Cluster()
        ended: list[float] = []
        begun: list[float] = []

        def look(event: str, one: Json) -> None:
            now = asyncio.get_running_loop().time()
            if one["kind"] == "Pod" and event == "ADDED":
                begun.append(now)
            elif one["kind"] == "Pod" and one.get("status", {}).get("phase") == "Failed" and len(ended) < len(begun):
                ended.append(now)

        cluster.api.observers.append(look)
        async with running_cluster(cluster):
            body = {"metadata": {"name": "bad"}, "spec": job_spec(exit_code=1, backoffLimit=9)}
            await cluster.api.create(JOB, "default", {"apiVersion": "batch/v1", "kind": "Job", **body})
            await asyncio.sleep(DAY)
        assert len(begun) == 10
        return [after - before for before, after in zip(ended, begun[1:], strict=False)]

    waits = virtual_time.run(main())
    assert waits == pytest.approx([10, 20, 40, 80, 160, 320, 600, 600, 600], abs=1)


def test_a_day_of_tokens_renews_each_before_it_expires_and_refuses_it_after() -> None:
    async def main() -> None:
        clock = LoopClock(START)
        store = MemoryStore()
        tokens = Tokens(lambda: ec.generate_private_key(ec.SECP256R1()), store, lambda: clock.now().timestamp())
        server = ApiServer(store, clock, tokens=tokens, authenticator=Authenticator(tokens.user))
        client = ApiClient(InProcessTransport(Pipeline(server).handle_as, User("bench", ("system:masters",))))
        body: Json = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}}
        await client.create(NAMESPACE, "", body)
        await client.create(SERVICEACCOUNT, "a", {**body, "kind": "ServiceAccount", "metadata": {"name": "default"}})
        spec = {"containers": [{"name": "c", "image": "i"}]}
        made = await client.create(POD, "a", {**body, "kind": "Pod", "metadata": {"name": "p"}, "spec": spec})
        pod = Pod(metadata=ObjectMeta(name="p", namespace="a", uid=made["metadata"]["uid"]))
        source, wanted = TokenSource(client, clock), TokenWanted(audience="", expiration_seconds=3600)
        seen: list[tuple[str, object]] = []
        while clock.now() < START + timedelta(days=1):
            token = await source.get(pod, wanted)
            if not seen or seen[-1][0] != token:
                seen.append((token, clock.now()))
            assert tokens.user(token) is not None
            assert source.renew_at is not None
            await asyncio.sleep((source.renew_at - clock.now()).total_seconds())
        assert len(seen) == 30  # 24 hours by 80 % of an hour
        last = seen[-1][0]
        await asyncio.sleep(3599 - 0.8 * 3600)
        assert tokens.user(last) is not None
        await asyncio.sleep(1)
        assert tokens.user(last) is None

    virtual_time.run(main())
