"""Static pods: what a file means, when a mirror is made or removed, and their life in a whole kubelet."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from knarr.base import tasks
from knarr.base.clock import SystemClock
from knarr.base.errors import KnarrError
from knarr.client.client import DeleteOptions
from knarr.cri.messages.enums import ContainerState
from knarr.kinds.core_pod import POD
from knarr.kinds.lens.pod import Pod
from knarr.kubelet import static_pods, static_source
from tests.unit.kubelet.harness import Node, run

NOW = datetime(2030, 1, 1, tzinfo=UTC)
FILE = b"""
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  containers: [{name: c, image: "web:v1"}]
"""


def read(content: bytes = FILE, file: str = "web.yaml") -> dict[str, Any]:
    return static_pods.static_pod(content, file, "n1", NOW)


def test_a_file_becomes_a_pod_of_this_node() -> None:
    pod = read()
    meta, spec = pod["metadata"], pod["spec"]
    assert (meta["namespace"], meta["name"], meta["labels"]) == ("default", "web-n1", {"app": "web"})
    assert meta["annotations"] == {
        "kubernetes.io/config.hash": meta["uid"],
        "kubernetes.io/config.source": "file",
        "kubernetes.io/config.seen": "2030-01-01T00:00:00Z",
    }
    assert (spec["nodeName"], spec["restartPolicy"]) == ("n1", "Always")
    assert spec["tolerations"] == [{"operator": "Exists", "effect": "NoExecute"}]


def test_another_content_file_or_node_is_another_pod() -> None:
    again = static_pods.static_pod(FILE, "web.yaml", "n1", datetime(2031, 1, 1, tzinfo=UTC))
    assert read()["metadata"]["uid"] == again["metadata"]["uid"]
    others = [read(FILE + b"\n"), read(file="b.yaml"), static_pods.static_pod(FILE, "web.yaml", "n2", NOW), read()]
    assert len({pod["metadata"]["uid"] for pod in others}) == 4


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"kind: Service\napiVersion: v1", "kind Pod"),
        (b"- a", "kind Pod"),
        (b"{", "yaml"),
        (FILE.replace(b'image: "web:v1"', b"x: 1"), "spec.containers"),
        (FILE.replace(b"spec:", b"spec:\n  serviceAccountName: me"), "static pods may not reference serviceaccounts"),
        (FILE.replace(b"{app: web}", b"{}, annotations: [a]"), r'metadata\.annotations: \["a"\] is no mapping'),
        (FILE.replace(b"{name: web, labels: {app: web}}", b"web"), '^metadata: "web" is no mapping'),
        (
            FILE + b"  volumes: [{name: s, secret: {secretName: x}}, {name: p, persistentVolumeClaim: {claimName: z}}]",
            "static pods may not reference persistentvolumeclaims, secrets",
        ),
    ],
)
def test_a_wrong_file_is_refused_in_words(content: bytes, says: str) -> None:
    with pytest.raises(KnarrError, match=says):
        read(content)


def test_the_mirror_goes_with_the_node_and_carries_the_hash() -> None:
    pod = read()
    shown = static_pods.mirror(pod, "n1", "node-uid")
    assert "uid" not in shown["metadata"]
    assert shown["metadata"]["annotations"]["kubernetes.io/config.mirror"] == pod["metadata"]["uid"]
    assert shown["metadata"]["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "node-uid", "controller": True}
    ]
    assert shown["spec"] == pod["spec"]


@pytest.mark.parametrize(
    ("uid", "hash_", "is_deleted", "act"),
    [
        (None, None, False, None),
        ("a", None, False, "create"),
        ("a", "a", False, None),
        ("a", "b", False, "delete"),
        (None, "a", False, "delete"),
        ("a", "a", True, "delete"),
    ],
)
def test_what_is_done_about_a_mirror(uid: str | None, hash_: str | None, is_deleted: bool, act: str | None) -> None:
    deleted = {"deletionTimestamp": "2030-01-01T00:00:00Z"} if is_deleted else {}
    annotations = {"annotations": {"kubernetes.io/config.mirror": hash_}}
    shown = None if hash_ is None else msgspec.convert({"metadata": {**annotations, **deleted}}, Pod)
    assert static_pods.mirror_act(uid, shown) == act


def test_only_regular_files_without_a_dot_are_read_and_a_wrong_one_hides_no_other(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(FILE)
    (tmp_path / "b.json").write_text(json.dumps({"apiVersion": "v1", "kind": "Pod"}))
    (tmp_path / "c.yaml").write_bytes(FILE)  # the same name again
    (tmp_path / ".d.yaml").write_bytes(FILE)
    (tmp_path / "folder").mkdir()
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "z.yaml").write_bytes(FILE.replace(b"name: web,", b"name: other,"))
    (tmp_path / "big").write_bytes(b"#" * (static_source.FILE_BYTES_MAX + 1))
    found = static_source.read(tmp_path, "n1", SystemClock())
    assert [pod["metadata"]["name"] for pod in found.values()] == ["web-n1", "other-n1"]


async def test_the_folder_is_read_again_whenever_it_changes(tmp_path: Path) -> None:
    told: asyncio.Queue[list[str]] = asyncio.Queue()

    def tell(found: static_source.Found) -> None:
        told.put_nowait([pod["metadata"]["name"] for pod in found.values()])

    follow = static_source.follow(tmp_path / "manifests", "n1", SystemClock(), tell, lambda: None)
    task = asyncio.create_task(follow)
    async with asyncio.timeout(10):
        assert await told.get() == []
        (tmp_path / "web.yaml").write_bytes(FILE)
        (tmp_path / "web.yaml").rename(tmp_path / "manifests" / "web.yaml")
        assert await told.get() == ["web-n1"]
        (tmp_path / "manifests" / "web.yaml").unlink()
        assert await told.get() == []
    await tasks.cancel(task)


def changed(node: Node) -> None:
    """The folder has changed; virtual time hears no inotify."""
    assert node.settings.static_pod_dir is not None
    node.kubelet.static_changed(static_source.read(node.settings.static_pod_dir, "n1", node.clock))


async def shown_ready(node: Node) -> bool:
    return not await node.is_absent("web-n1") and await node.ready("web-n1")


def test_a_static_pod_lives_by_its_file_and_shows_in_the_api(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        folder = node.settings.static_pod_dir
        assert folder is not None
        (folder / "web.yaml").write_bytes(FILE)
        changed(node)
        await node.until(lambda: shown_ready(node))
        [first] = node.runtime.containers
        mirror = await node.pod("web-n1")
        await node.client.delete(POD, "default", "web-n1", DeleteOptions(grace_period_seconds=0))

        async def is_another() -> bool:
            return not await node.is_absent("web-n1") and (await node.pod("web-n1")) != mirror

        await node.until(is_another)
        await node.until(lambda: shown_ready(node))
        assert list(node.runtime.containers) == [first], "to delete the mirror does not touch the pod"
        (folder / "web.yaml").write_bytes(FILE.replace(b"web:v1", b"web:v2"))
        changed(node)

        async def is_second() -> bool:
            found = list(node.runtime.containers.values())
            return len(found) == 1 and found[0].config.image.user_specified_image == "web:v2"

        await node.until(is_second)
        await node.until(lambda: shown_ready(node))
        (folder / "web.yaml").unlink()
        changed(node)
        await node.until(lambda: node.is_absent("web-n1"))
        assert node.runtime.containers == {}

    run(tmp_path, story)


ASKING = b"""
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  restartPolicy: Never
  containers:
  - {name: c, image: "web:v1"}
  - name: w
    image: "web:v1"
    restartPolicy: Never
    restartPolicyRules: [{action: RestartAllContainers, exitCodes: {operator: In, values: [88]}}]
"""


@pytest.mark.parametrize("has_mirror", [False, True])
def test_a_static_pod_begins_anew_while_nobody_takes_its_status(has_mirror: bool, tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        assert node.settings.static_pod_dir is not None
        (node.settings.static_pod_dir / "web.yaml").write_bytes(ASKING)
        node.client.takes_pods = has_mirror

        def run_as(attempt: int) -> Any:
            async def found() -> bool:
                runs = [(one.status.metadata.attempt, one.status.state) for one in node.runtime.containers.values()]
                return runs == [(attempt, ContainerState.CONTAINER_RUNNING)] * 2

            return found

        changed(node)
        await node.until(run_as(0))
        if has_mirror:
            await node.until(lambda: shown_ready(node))
        node.client.takes_pods = False
        for attempt in (1, 2):
            node.runtime.exit(node.runtime.named("web-n1", "w").status.id, 88)
            await node.until(run_as(attempt))
        node.client.takes_pods = True

        async def is_counted() -> bool:
            statuses = {} if await node.is_absent("web-n1") else await node.status("web-n1")
            return [status["restartCount"] for status in statuses.get("containerStatuses", ())] == [2, 2]

        await node.until(is_counted, seconds=120)
        await node.until(lambda: shown_ready(node))

    run(tmp_path, story)


def test_a_static_pod_is_taken_over_by_the_next_kubelet(tmp_path: Path) -> None:
    async def story(node: Node, group: asyncio.TaskGroup) -> None:
        assert node.settings.static_pod_dir is not None
        (node.settings.static_pod_dir / "web.yaml").write_bytes(FILE)
        changed(node)
        await node.until(lambda: shown_ready(node))
        before, status = list(node.runtime.containers), await node.status("web-n1")
        await node.stop()
        await node.start(group)
        await asyncio.sleep(5)
        assert list(node.runtime.containers) == before
        assert await node.status("web-n1") == status

    run(tmp_path, story)
