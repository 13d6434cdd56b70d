"""Pods that were deleted while no kubelet was there: the next one ends them and removes what they left."""

import asyncio
from collections import deque
from pathlib import Path

import pytest

from knarr.base.errors import BadRequest
from knarr.client.client import DeleteOptions
from knarr.cri.messages.container import Container, ListContainersRequest
from knarr.cri.messages.enums import ContainerState
from knarr.kinds.core_pod import POD
from knarr.kubelet import orphans, streams
from knarr.kubelet.settings import KubeletSettings
from knarr.kubelet.streams import Named
from tests.unit.kubelet import harness
from tests.unit.kubelet.harness import Node


def test_a_pod_that_was_deleted_by_force_meanwhile_leaves_nothing(tmp_path: Path) -> None:
    async def story(node: Node, group: asyncio.TaskGroup) -> None:
        spec = {"volumes": [{"name": "v", "emptyDir": {}}], "containers": [{"name": "c"}]}
        uids = [(await node.create(name, spec))["metadata"]["uid"] for name in ("gone", "stays")]
        await node.reached("gone", "Running")
        await node.reached("stays", "Running")
        await node.stop()
        await node.client.delete(POD, "default", "gone", DeleteOptions(grace_period_seconds=0))
        logs = [node.settings.log_dir("default", name, uid) for name, uid in zip(("gone", "stays"), uids, strict=True)]
        for directory in (*logs, node.settings.pod_log_dir / "default_lost_uid-of-nobody"):
            directory.mkdir(parents=True, exist_ok=True)
            (directory / "0.log").write_text("words")
        await node.start(group)

        async def only_one_is_left() -> bool:
            return [path.name for path in (node.settings.root_dir / "pods").iterdir()] == [uids[1]]

        await node.until(only_one_is_left, 120)
        left = (await node.runtime.list_containers(ListContainersRequest())).containers
        assert [item.labels["io.kubernetes.pod.name"] for item in left] == ["stays"]
        assert list(node.settings.pod_log_dir.iterdir()) == [logs[1]]

    harness.run(tmp_path, story)


def test_only_what_is_named_as_a_pods_is_removed(tmp_path: Path) -> None:
    settings = KubeletSettings(node_name="n1", root_dir=tmp_path / "kubelet", pod_log_dir=tmp_path / "logs")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    settings.log_dir("default", "web", "known").mkdir(parents=True)
    settings.log_dir("default", "web", "unknown").mkdir()
    (settings.pod_log_dir / "README").write_text("a person's")
    (settings.pod_log_dir / "a_b_link").symlink_to(elsewhere)
    orphans.remove_directories(settings, lambda uid: uid == "known")
    assert sorted(path.name for path in settings.pod_log_dir.iterdir()) == ["README", "a_b_link", "default_web_known"]
    assert elsewhere.is_dir()


def test_the_previous_run_is_the_one_before_the_last_once_a_container_ended_for_good(tmp_path: Path) -> None:
    async def story(node: Node, _group: asyncio.TaskGroup) -> None:
        node.script("c", exits=deque([1, 0]), after=1.0)
        await node.create("job", {"restartPolicy": "OnFailure", "containers": [{"name": "c"}]})
        await node.until(lambda: _restarts_or_waits(node))
        first = await _runs(node)
        assert node.kubelet.previous_container("default", "job", "c") == first[0]
        await node.reached("job", "Succeeded", 600)
        runs = await _runs(node)
        assert (len(runs), node.kubelet.previous_container("default", "job", "c")) == (2, runs[0])
        assert node.kubelet.previous_container("default", "absent", "c") is None

    harness.run(tmp_path, story)


async def _runs(node: Node) -> list[str]:
    """Ids of the containers, the oldest first."""
    listed = (await node.runtime.list_containers(ListContainersRequest())).containers
    return [item.id for item in sorted(listed, key=lambda item: item.created_at)]


async def _restarts_or_waits(node: Node) -> bool:
    status = await node.status("job")
    return any(each["lastState"] for each in status.get("containerStatuses", ()))


@pytest.mark.parametrize("previous", [None, "removed"])
def test_without_a_previous_run_upstreams_words_say_so(previous: str | None) -> None:
    runs = [Container(id="last", state=ContainerState.CONTAINER_EXITED)]
    with pytest.raises(BadRequest, match='previous terminated container "c" in pod "web" not found'):
        streams.earlier(runs, Named("default", "web", "c"), previous)
    assert streams.earlier(runs, Named("default", "web", "c"), "last").id == "last"
