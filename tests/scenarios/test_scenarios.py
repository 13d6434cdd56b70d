"""Every transcript of this folder, over the in-memory API and virtual time."""

from pathlib import Path

import pytest

from tests.scenarios import transcript
from tests.simulation import virtual_time
from tests.simulation.cluster import Cluster, running_cluster

HERE = Path(__file__).parent
TRANSCRIPTS = sorted(HERE.glob("*.txt"))


async def play(entries: list[transcript.Entry]) -> list[list[str]]:
    cluster = Cluster(seed=1, controllers=transcript.controllers(entries))
    async with running_cluster(cluster):
        return [await transcript.play(cluster, entry) for entry in entries]


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_the_transcript_holds(path: Path, request: pytest.FixtureRequest) -> None:
    text = path.read_text()
    entries = transcript.parse(text)
    printed = virtual_time.run(play(entries))
    now = transcript.render(entries, printed)
    if request.config.getoption("--rewrite"):
        path.write_text(now)
    else:
        assert now == text
