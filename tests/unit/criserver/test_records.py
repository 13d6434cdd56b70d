"""Records on disk, and the stream of events."""

from pathlib import Path

import pytest

from knarr.base.errors import Expired
from knarr.base.ids import SandboxId
from knarr.cri.messages.config import PodSandboxConfig, PodSandboxMetadata
from knarr.cri.messages.container import ContainerEventResponse
from knarr.criserver import events
from knarr.criserver.records import Records, SandboxRecord


def record(identity: str) -> SandboxRecord:
    config = PodSandboxConfig(metadata=PodSandboxMetadata(name="web"), labels={"a": "b"})
    return SandboxRecord(id=SandboxId(identity), config=config, created_at=5, cgroup_parent="/k")


def test_records_are_there_after_a_restart(tmp_path: Path) -> None:
    records = Records(tmp_path, SandboxRecord)
    records.put(record("aaaa1"))
    records.put(record("bbbb2"))
    records.remove("bbbb2")
    records.remove("bbbb2")
    assert Records(tmp_path, SandboxRecord).all() == [record("aaaa1")]
    assert (tmp_path / "aaaa1.json").stat().st_mode & 0o777 == 0o600


def test_a_torn_record_is_put_aside(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"id": ')
    assert Records(tmp_path, SandboxRecord).all() == []
    assert [path.name for path in tmp_path.iterdir()] == ["x.bad"]


def test_a_record_is_found_by_the_start_of_its_id_if_no_other_starts_so(tmp_path: Path) -> None:
    records = Records(tmp_path, SandboxRecord)
    first = records.put(record("abcd1111"))
    records.put(record("abcd2222"))
    assert records.find("abcd1") == first
    assert records.find("abcd") is None
    assert records.find("abc") is None
    assert records.find("") is None


async def test_a_subscriber_gets_events_from_then_on_and_a_slow_one_is_cut_off() -> None:
    stream = events.Events()
    stream.publish(ContainerEventResponse(container_id="before"))
    reader = stream.subscribe()
    for number in range(events.QUEUE_MAX + 5):
        stream.publish(ContainerEventResponse(container_id=str(number)))
    assert not stream.has_subscribers
    seen = [(await anext(reader)).container_id for _ in range(events.QUEUE_MAX)]
    with pytest.raises(Expired):
        await anext(reader)
    assert seen == [str(number) for number in range(events.QUEUE_MAX)]
