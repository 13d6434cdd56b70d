"""The kubelet's pages: what the runtime runs."""

import asyncio
import json
from pathlib import Path

from knarr.cri.messages.sandbox import StopPodSandboxRequest
from knarr.kubelet.pages import pages
from knarr.wire import http
from tests.unit.kubelet.harness import Node, run


def test_what_the_runtime_runs_is_shown_as_pods_of_names_and_images(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        page = pages(node.kubelet, node.clock)["/runningpods"]
        web = await node.create("web", {})
        await node.create("done", {"restartPolicy": "Never"})
        await node.reached("web", "Running")
        await node.reached("done", "Running")
        ended = node.runtime.named("done", "c")
        node.runtime.exit(ended.status.id)
        await node.runtime.stop_pod_sandbox(StopPodSandboxRequest(pod_sandbox_id=ended.sandbox_id))
        shown = json.loads((await page(http.Request("GET", "/runningpods/"))).body)
        uid = web["metadata"]["uid"]
        assert shown == {
            "kind": "PodList", "apiVersion": "v1", "metadata": {},
            "items": [
                {
                    "metadata": {"name": "web", "namespace": "default", "uid": uid, "creationTimestamp": None},
                    "spec": {"containers": [{"name": "c", "image": "web:v1", "resources": {}}]},
                    "status": {},
                }
            ],
        }  # fmt: skip

    run(tmp_path, story)


def test_the_summary_has_volumes_and_logs_unless_only_cpu_and_memory_are_asked_for(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        page = pages(node.kubelet, node.clock)["/stats/summary"]
        secret = {"name": "s", "secret": {"secretName": "s", "optional": True}}
        volumes = [{"name": "v", "emptyDir": {}}, {"name": "h", "hostPath": {"path": "/"}}, secret]
        uid = (await node.create("web", {"volumes": volumes}))["metadata"]["uid"]
        await node.reached("web", "Running")
        (node.settings.pod_dir(uid) / "volumes/v/file").write_bytes(b"x" * 5000)
        (node.settings.memory_dir(uid) / "s/token").write_bytes(b"x" * 5000)
        (node.settings.log_dir("default", "web", uid) / "c/0.log").write_bytes(b"x" * 5000)
        shown = json.loads((await page(http.Request("GET", "/stats/summary"))).body)["pods"][0]
        volume, in_memory = shown["volume"]
        logs = shown["containers"][0]["logs"]
        assert (volume["name"], volume["inodesUsed"], logs["inodesUsed"]) == ("v", 1, 1)
        assert in_memory["usedBytes"] >= 5000
        assert 5000 <= volume["usedBytes"] < volume["capacityBytes"]
        assert shown["ephemeral-storage"]["usedBytes"] == volume["usedBytes"] + logs["usedBytes"]
        brief = json.loads((await page(http.Request("GET", "/stats/summary", "only_cpu_and_memory=true"))).body)
        assert set(brief["node"]) == {"nodeName", "startTime", "cpu", "memory"}
        assert "volume" not in brief["pods"][0]
        (node.settings.pod_dir(uid) / "volumes/v/more").write_bytes(b"x" * 5000)
        for seconds, inodes in ((0, 1), (61, 2)):
            await asyncio.sleep(seconds)
            again = json.loads((await page(http.Request("GET", "/stats/summary"))).body)["pods"][0]["volume"]
            assert again[0]["inodesUsed"] == inodes, "walked once a minute"

    run(tmp_path, story)
