"""The same transcripts over the real API server in process: only names that are drawn or hashed may differ."""

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from knarr.apiserver.context import User
from knarr.apiserver.pipeline import Pipeline
from knarr.apiserver.server import ApiServer
from knarr.client.inprocess import InProcessTransport
from knarr.client.requests import ApiClient
from knarr.controllers.controller import Controller
from knarr.controllers.registry import all_controllers
from knarr.kinds.batch import JOB
from knarr.kinds.core_config import NAMESPACE
from knarr.store.memory import MemoryStore
from tests.scenarios import transcript
from tests.scenarios.test_scenarios import TRANSCRIPTS
from tests.simulation import virtual_time
from tests.simulation.cluster import Cluster, running_cluster

# Suffixes of generated names, and hashes of templates and revisions.
DRAWN = re.compile(r"-[bcdfghjklmnpqrstvwxz2456789]{5,10}(?![a-z0-9])")
PLACED = re.compile(r" n\d ")


def masked(printed: list[list[str]]) -> list[list[str]]:
    """What a transcript prints, without what chance decides."""
    return [sorted(PLACED.sub(" n ", DRAWN.sub("-…", DRAWN.sub("-…", line))) for line in lines) for lines in printed]


class RealCluster(Cluster):
    """The cluster of the transcripts over the API server and a memory store."""

    def __init__(self, controllers: Sequence[Controller]) -> None:
        super().__init__(controllers=controllers)
        self.store = MemoryStore()
        pipeline = Pipeline(ApiServer(self.store, self.clock))
        user = User("system:admin", ("system:masters",))
        self.connect(ApiClient(InProcessTransport(pipeline.handle_as, user)))

    async def settle(self, limit: float = 3600.0) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + limit
        quiet = 0
        while quiet < 2:
            before = self.store.revision
            await asyncio.sleep(2.0)
            quiet = quiet + 1 if self.store.revision == before and self.controllers.is_idle else 0
            assert loop.time() < end, "the cluster does not come to rest"


async def play(entries: list[transcript.Entry]) -> list[list[str]]:
    cluster = RealCluster(transcript.controllers(entries))
    await cluster.client.create(
        NAMESPACE, "", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}}
    )
    async with running_cluster(cluster):
        return [await transcript.play(cluster, entry) for entry in entries]


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_the_transcript_holds_on_the_api_server(path: Path) -> None:
    entries = transcript.parse(path.read_text())
    printed = virtual_time.run(play(entries))
    assert masked(printed) == masked([list(entry.expected) for entry in entries])


async def labels_of_a_finished_job() -> dict[str, str]:
    cluster = RealCluster(all_controllers())
    await cluster.client.create(
        NAMESPACE, "", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}}
    )
    template = {"metadata": {"annotations": {"test/exit": "0", "test/after": "1"}},
                "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "work"}]}}  # fmt: skip
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "work", "labels": {"mine": "1"}},
           "spec": {"template": template}}  # fmt: skip
    async with running_cluster(cluster):
        await cluster.client.create(JOB, "default", job)
        await cluster.settle()
        stored = await cluster.client.get(JOB, "default", "work")
    assert stored["status"]["succeeded"] == 1
    labels: dict[str, str] = stored["metadata"]["labels"]
    return labels


def test_a_jobs_own_labels_outlive_what_its_controller_writes() -> None:
    """A Job without labels is given its template's: a status sent without them would replace the user's."""
    assert virtual_time.run(labels_of_a_finished_job()) == {"mine": "1"}
