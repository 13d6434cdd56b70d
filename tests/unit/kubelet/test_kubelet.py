"""The whole kubelet over the runtime in memory: what the API says after a while is what happened."""

import asyncio
from collections import deque
from pathlib import Path

from knarr.client.client import DeleteOptions
from knarr.cri.messages.enums import ContainerState
from knarr.cri.messages.sandbox import StopPodSandboxRequest
from knarr.kinds.core_config import CONFIGMAP, LEASE, NODE, SECRET
from knarr.kinds.core_pod import POD
from tests.unit.kubelet.harness import Node, condition, run

RUNNING = ContainerState.CONTAINER_RUNNING


def test_a_bound_pod_runs_and_is_ready_within_a_moment(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        await node.create("web", {})
        status = await node.reached("web", "Running", seconds=0.2)
        assert await node.ready("web")
        assert status["podIP"] == "10.244.0.2"
        assert status["qosClass"] == "BestEffort"
        container = status["containerStatuses"][0]
        assert (container["ready"], container["started"], container["restartCount"]) == (True, True, 0)
        assert container["containerID"].startswith("memory://container-")
        told = await node.events()
        assert [reason for reason, _ in told][-3:] == ["Pulled", "Created", "Started"]

    run(tmp_path, story)


def test_a_deleted_pod_is_stopped_and_leaves_nothing(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        await node.create("web", {"volumes": [{"name": "v", "emptyDir": {}}]})
        await node.reached("web", "Running")
        await node.client.delete(POD, "default", "web")
        await node.until(lambda: node.is_absent("web"), seconds=1)
        await asyncio.sleep(1)
        assert (node.runtime.containers, node.runtime.sandboxes) == ({}, {})
        assert list((node.settings.root_dir / "pods").iterdir()) == []
        assert list(node.settings.pod_log_dir.iterdir()) == []
        assert node.kubelet.pods() == []

    run(tmp_path, story)


def test_a_container_that_ignores_sigterm_gets_its_whole_grace(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        node.script("c", ignores_term=True)
        await node.create("web", {"terminationGracePeriodSeconds": 20})
        await node.reached("web", "Running")
        await node.client.delete(POD, "default", "web")
        await asyncio.sleep(19.5)
        assert not await node.is_absent("web")
        await node.until(lambda: node.is_absent("web"), seconds=1.5)

    run(tmp_path, story)


def test_a_crashing_container_backs_off_as_documented(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        node.script("c", exits=deque([3] * 10))
        await node.create("web", {})

        async def restarts() -> int:
            statuses = (await node.status("web")).get("containerStatuses", [])
            return statuses[0]["restartCount"] if statuses else 0

        await asyncio.sleep(5)
        assert await restarts() == 1, "the first restart is immediate"
        status = (await node.status("web"))["containerStatuses"][0]
        assert status["state"]["waiting"]["reason"] == "CrashLoopBackOff"
        message = status["state"]["waiting"]["message"]
        assert message.startswith("back-off 10s restarting failed container=c pod=web_default(")
        assert status["lastState"]["terminated"]["exitCode"] == 3
        await asyncio.sleep(10)
        assert await restarts() == 2
        await asyncio.sleep(20)
        assert await restarts() == 3
        assert ("BackOff") in [reason for reason, _ in await node.events()]
        assert (await node.status("web"))["phase"] == "Running"

    run(tmp_path, story)


def test_a_pod_that_never_restarts_succeeds_or_fails(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        node.script("good", exits=deque([0]), after=1)
        node.script("bad", exits=deque([7]), after=1)
        for name in ("good", "bad"):
            await node.create(name, {"restartPolicy": "Never", "containers": [{"name": name}]})
        good = await node.reached("good", "Succeeded", seconds=3)
        bad = await node.reached("bad", "Failed", seconds=3)
        assert condition(good, "Ready")["reason"] == "PodCompleted"
        assert bad["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 7
        assert all(s.state == 1 for s in node.runtime.sandboxes.values()), "sandboxes of finished pods are stopped"

    run(tmp_path, story)


def test_containers_survive_a_restart_of_the_kubelet(tmp_path: Path) -> None:
    async def story(node: Node, group: asyncio.TaskGroup) -> None:
        node.script("c", exits=deque([1]), after=1)
        await node.create("web", {})
        await asyncio.sleep(3)
        before = (await node.status("web"))["containerStatuses"][0]
        assert before["restartCount"] == 1
        await node.stop()
        await node.start(group)
        await asyncio.sleep(3)
        assert (await node.status("web"))["containerStatuses"][0] == before
        assert len(node.runtime.sandboxes) == 1

    run(tmp_path, story)


def test_a_pod_deleted_while_the_kubelet_was_away_is_cleaned_up(tmp_path: Path) -> None:
    async def story(node: Node, group: asyncio.TaskGroup) -> None:
        await node.create("web", {})
        await node.reached("web", "Running")
        await node.stop()
        await node.client.delete(POD, "default", "web", DeleteOptions(grace_period_seconds=0))
        await node.start(group)
        await asyncio.sleep(2)
        assert (node.runtime.containers, node.runtime.sandboxes) == ({}, {})
        assert list((node.settings.root_dir / "pods").iterdir()) == []

    run(tmp_path, story)


def test_init_containers_run_in_order_and_a_sidecar_outlives_them(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        node.script("first", exits=deque([0]), after=1)
        await node.create(
            "web",
            {"initContainers": [{"name": "first"}, {"name": "proxy", "restartPolicy": "Always"}]},
        )
        await asyncio.sleep(0.5)
        early = await node.status("web")
        assert [s["state"].get("waiting", {}).get("reason") for s in early["initContainerStatuses"]] == [
            None,
            "PodInitializing",
        ]
        assert condition(early, "Initialized")["message"] == "containers with incomplete status: [first proxy]"
        await node.reached("web", "Running", seconds=2)
        names = [c.config.metadata.name for c in node.runtime.containers.values()]
        assert names == ["first", "proxy", "c"]

    run(tmp_path, story)


def test_a_missing_secret_is_named_and_the_pod_starts_when_it_comes(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        await node.create("web", {"containers": [{"name": "c", "envFrom": [{"secretRef": {"name": "nope"}}]}]})
        await asyncio.sleep(1)
        waiting = (await node.status("web"))["containerStatuses"][0]["state"]["waiting"]
        assert waiting == {"reason": "CreateContainerConfigError", "message": 'secret "nope" not found'}
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "nope"}, "stringData": {"key": "value"}}
        await node.client.create(SECRET, "default", body)
        await node.reached("web", "Running", seconds=1)
        envs = node.runtime.named("web", "c").config.envs
        assert ("key", b"value") in [(e.key, e.value) for e in envs]

    run(tmp_path, story)


def test_a_changed_configmap_reaches_the_file_within_a_second(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cfg"}, "data": {"color": "blue"}}
        await node.client.create(CONFIGMAP, "default", body)
        volumes = [{"name": "cfg", "configMap": {"name": "cfg"}}]
        mounts = [{"name": "cfg", "mountPath": "/etc/cfg"}]
        await node.create("web", {"volumes": volumes, "containers": [{"name": "c", "volumeMounts": mounts}]})
        await node.reached("web", "Running")
        mount = next(m for m in node.runtime.named("web", "c").config.mounts if m.container_path == "/etc/cfg")
        assert (Path(mount.host_path) / "color").read_text() == "blue"
        await node.client.patch(CONFIGMAP, "default", "cfg", {"data": {"color": "green"}})
        await asyncio.sleep(0.5)
        assert (Path(mount.host_path) / "color").read_text() == "green"

    run(tmp_path, story)


def test_probes_by_command_gate_readiness_and_restart(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        answers = {"ready": 1, "alive": 0}
        node.script("c", exec=lambda command: (answers[command[0]], b"No such file"))
        probe = {"periodSeconds": 1, "failureThreshold": 2}
        container = {
            "name": "c",
            "readinessProbe": {"exec": {"command": ["ready"]}, **probe},
            "livenessProbe": {"exec": {"command": ["alive"]}, **probe},
        }
        await node.create("web", {"containers": [container]})
        await node.reached("web", "Running")
        await asyncio.sleep(2)
        assert not await node.ready("web")
        answers["ready"] = 0
        await node.until(lambda: node.ready("web"), seconds=1.5)
        answers["alive"] = 1

        async def restarted() -> bool:
            return (await node.status("web"))["containerStatuses"][0]["restartCount"] == 1

        await node.until(restarted, seconds=3)
        told = await node.events()
        assert ("Unhealthy", "Readiness probe failed: No such file") in told
        assert ("Killing", "Container c failed liveness probe, will be restarted") in told

    run(tmp_path, story)


def test_an_image_that_cannot_be_pulled_is_told_and_backed_off(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        await node.create("web", {"containers": [{"name": "c", "image": "absent:v1"}]})
        await asyncio.sleep(0.5)
        waiting = (await node.status("web"))["containerStatuses"][0]["state"]["waiting"]
        assert waiting["reason"] == "ErrImagePull"
        await asyncio.sleep(3)
        waiting = (await node.status("web"))["containerStatuses"][0]["state"]["waiting"]
        assert waiting["reason"] == "ImagePullBackOff"
        assert waiting["message"].startswith('Back-off pulling image "absent:v1"')
        node.images.pullable.add("absent:v1")
        await node.reached("web", "Running", seconds=15)

    run(tmp_path, story)


def test_the_node_is_registered_with_what_it_has(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        found = await node.client.get(NODE, "", "n1")
        assert condition(found["status"], "Ready")["status"] == "True"
        assert found["status"]["allocatable"]["pods"] == "110"
        assert found["status"]["nodeInfo"]["containerRuntimeVersion"] == "memory://1.0"
        first = (await node.client.get(LEASE, "kube-node-lease", "n1"))["spec"]["renewTime"]
        await asyncio.sleep(11)
        assert (await node.client.get(LEASE, "kube-node-lease", "n1"))["spec"]["renewTime"] > first

    run(tmp_path, story)


def test_a_pod_past_its_deadline_fails(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        await node.create("web", {"activeDeadlineSeconds": 5})
        await node.reached("web", "Running")
        status = await node.reached("web", "Failed", seconds=7)
        assert (status["reason"], status["message"]) == (
            "DeadlineExceeded",
            "Pod was active on the node longer than the specified deadline",
        )

    run(tmp_path, story)


def test_in_a_new_sandbox_init_containers_run_anew_and_the_status_goes_on(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        node.script("first", exits=deque([0]))
        await node.create("web", {"restartPolicy": "OnFailure", "initContainers": [{"name": "first"}]})
        await node.reached("web", "Running")
        (box,) = node.runtime.sandboxes
        await node.runtime.stop_pod_sandbox(StopPodSandboxRequest(pod_sandbox_id=box))
        # The second run does not end by itself: the first one's end is still told, and so is the rest.
        await asyncio.sleep(1)
        status = await node.status("web")
        assert status["initContainerStatuses"][0]["state"]["terminated"]["containerID"] == "memory://container-2"
        assert (status["podIP"], await node.ready("web")) == ("10.244.0.3", False)
        (running,) = [each for each in node.runtime.containers.values() if each.status.state == RUNNING]
        node.runtime.exit(running.status.id, 0)
        await node.until(lambda: node.ready("web"), seconds=5)
        status = await node.status("web")
        ended = status["initContainerStatuses"][0]["state"]["terminated"]
        assert ended["containerID"] == f"memory://{running.status.id}"

    run(tmp_path, story)
