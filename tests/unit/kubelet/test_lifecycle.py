"""The life of pods told over the runtime in memory: hooks, order of endings, resizes, images, takeovers."""

import asyncio
from collections import deque
from pathlib import Path

from knarr.client.client import DeleteOptions
from knarr.cri.memory import memory_image
from knarr.cri.messages.enums import PodSandboxState
from knarr.cri.messages.sandbox import StopPodSandboxRequest
from knarr.kinds.core_pod import POD
from tests.unit.kubelet.harness import Node, condition, run


def test_a_failed_post_start_hook_kills_and_restarts(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        codes = deque([1, 0])
        node.script("c", exec=lambda command: (codes.popleft(), b"no luck"))
        hook = {"postStart": {"exec": {"command": ["prepare", "it"]}}}
        await node.create("web", {"containers": [{"name": "c", "lifecycle": hook}]})
        status = await node.reached("web", "Running", seconds=20)
        await node.until(lambda: node.ready("web"))
        status = await node.status("web")
        assert status["containerStatuses"][0]["restartCount"] == 1
        told = await node.events()
        text = "PostStartHook failed: command 'prepare it' exited with 1: no luck"
        assert ("FailedPostStartHook", text) in told

    run(tmp_path, story)


def test_pre_stop_comes_before_sigterm_and_may_use_up_the_grace(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        hook = {"preStop": {"sleep": {"seconds": 60}}}
        await node.create("web", {"terminationGracePeriodSeconds": 5, "containers": [{"name": "c", "lifecycle": hook}]})
        await node.reached("web", "Running")
        await node.client.delete(POD, "default", "web")
        await asyncio.sleep(4)
        assert node.runtime.named("web", "c").status.exit_code == 0, "still in its preStop"
        await node.until(lambda: node.is_absent("web"), seconds=3)
        assert ("FailedPreStopHook", "PreStopHook did not complete in grace period") in await node.events()

    run(tmp_path, story)


def test_sidecars_end_after_main_in_reverse_order(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        sidecars = [{"name": name, "restartPolicy": "Always"} for name in ("one", "two")]
        await node.create("web", {"initContainers": sidecars, "containers": [{"name": "c"}]})
        await node.reached("web", "Running")
        await node.client.delete(POD, "default", "web")
        await node.until(lambda: node.is_absent("web"), seconds=3)
        stopped = [text for reason, text in await node.events() if reason == "Killing"]
        assert stopped == ["Stopping container c", "Stopping container two", "Stopping container one"]

    run(tmp_path, story)


def test_a_job_like_pod_is_complete_although_its_sidecar_would_run_on(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        node.script("c", exits=deque([0]), after=2)
        sidecar = {"name": "proxy", "restartPolicy": "Always"}
        await node.create("work", {"restartPolicy": "Never", "initContainers": [sidecar]})
        status = await node.reached("work", "Succeeded", seconds=5)
        assert status["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 143

    run(tmp_path, story)


def test_a_pod_deleted_by_force_is_killed_within_a_second(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        node.script("c", ignores_term=True)
        await node.create("web", {"terminationGracePeriodSeconds": 300})
        await node.reached("web", "Running")
        await node.client.delete(POD, "default", "web", DeleteOptions(grace_period_seconds=0))
        await asyncio.sleep(1.5)
        assert node.runtime.containers == {}

    run(tmp_path, story)


def test_a_shorter_grace_overtakes_a_longer_one(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        node.script("c", ignores_term=True)
        await node.create("web", {"terminationGracePeriodSeconds": 300})
        await node.reached("web", "Running")
        await node.client.delete(POD, "default", "web")
        await asyncio.sleep(5)
        assert len(node.runtime.containers) == 1
        await node.client.delete(POD, "default", "web", DeleteOptions(grace_period_seconds=0))
        await asyncio.sleep(2)
        assert node.runtime.containers == {}

    run(tmp_path, story)


def test_a_pod_deleted_before_it_started_goes_at_once(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        await node.create("web", {"containers": [{"name": "c", "image": "absent:v1"}]})
        await asyncio.sleep(1)
        await node.client.delete(POD, "default", "web")
        await node.until(lambda: node.is_absent("web"), seconds=1)
        await asyncio.sleep(0.1)
        assert node.runtime.sandboxes == {}

    run(tmp_path, story)


def test_a_sandbox_that_dies_is_replaced_and_containers_count_on(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        await node.create("web", {"initContainers": [{"name": "first"}]})
        node.script("first", exits=deque([0, 0]))
        await node.reached("web", "Running", seconds=30)
        first = await node.status("web")
        dead = next(iter(node.runtime.sandboxes))
        await node.runtime.stop_pod_sandbox(StopPodSandboxRequest(pod_sandbox_id=dead))

        async def is_back() -> bool:
            status = await node.status("web")
            return status["podIP"] != first["podIP"] and condition(status, "Ready")["status"] == "True"

        await node.until(is_back, seconds=5)
        status = await node.status("web")
        assert status["containerStatuses"][0]["restartCount"] == 1
        assert [s.state for s in node.runtime.sandboxes.values()].count(PodSandboxState.SANDBOX_READY) == 1

    run(tmp_path, story)


def test_restarts_count_on_when_the_runtime_lost_everything(tmp_path: Path) -> None:
    async def story(node: Node, group: asyncio.TaskGroup) -> None:
        await node.create("web", {})
        await node.reached("web", "Running")
        await node.stop()
        for store in (node.runtime.containers, node.runtime.sandboxes, node.runtime.sandbox_configs):
            store.clear()
        await node.start(group)
        await asyncio.sleep(1)
        assert (await node.status("web"))["containerStatuses"][0]["restartCount"] == 1

    run(tmp_path, story)


def test_a_changed_image_restarts_only_that_container(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        await node.create("web", {"containers": [{"name": "a"}, {"name": "b"}]})
        await node.reached("web", "Running")
        pod = await node.pod("web")
        pod["spec"]["containers"][0]["image"] = "web:v2"
        await node.client.update(POD, "default", "web", pod)

        async def counts() -> list[int]:
            return [s["restartCount"] for s in (await node.status("web"))["containerStatuses"]]

        await asyncio.sleep(1)
        assert await counts() == [1, 0]
        assert (await node.status("web"))["containerStatuses"][0]["image"] == "web:v2"

    run(tmp_path, story)


def test_an_image_that_came_later_is_used_and_a_non_root_user_is_checked(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        node.images.images["app:v1"] = memory_image("app:v1", username="app")
        context = {"securityContext": {"runAsNonRoot": True}}
        await node.create("web", {"containers": [{"name": "c", "image": "app:v1", **context}]})
        await asyncio.sleep(0.5)
        waiting = (await node.status("web"))["containerStatuses"][0]["state"]["waiting"]
        assert waiting["reason"] == "CreateContainerConfigError"
        assert waiting["message"].startswith("container has runAsNonRoot and image has non-numeric user (app)")
        node.images.images["app:v1"] = memory_image("app:v1", uid=1000)
        await node.reached("web", "Running", seconds=11)

    run(tmp_path, story)


def test_a_pod_on_the_hosts_network_has_the_hosts_address(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        own = {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
        await node.create("web", {"hostNetwork": True, "containers": [{"name": "c", "env": [own]}]})
        status = await node.reached("web", "Running")
        assert status["podIP"] == status["hostIP"] == "127.0.0.1"
        envs = {e.key: e.value for e in node.runtime.named("web", "c").config.envs}
        assert envs["IP"] == b"127.0.0.1"

    run(tmp_path, story)


def test_a_debug_container_is_added_to_a_running_pod_and_never_restarted(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        node.script("dbg", exits=deque([1]), after=1)
        await node.create("web", {})
        await node.reached("web", "Running")
        pod = await node.pod("web")
        pod["spec"]["ephemeralContainers"] = [{"name": "dbg", "image": "web:v1", "targetContainerName": "c"}]
        await node.client.update(POD, "default", "web", pod)
        await asyncio.sleep(5)
        status = (await node.status("web"))["ephemeralContainerStatuses"][0]
        assert status["state"]["terminated"]["exitCode"] == 1
        assert await node.ready("web")
        config = node.runtime.named("web", "dbg").config
        assert config.linux is not None
        assert config.linux.security_context is not None
        assert config.linux.security_context.namespace_options is not None
        assert config.linux.security_context.namespace_options.target_id == node.runtime.named("web", "c").status.id

    run(tmp_path, story)


def test_what_a_pod_may_not_have_is_refused_not_ignored(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        await node.create("users", {"hostUsers": False})
        await node.create("claim", {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "x"}}]})
        await asyncio.sleep(0.5)
        told = dict(await node.events())
        refused = 'RuntimeClass handler "" does not support user namespaces: they need kernel 6.3'
        assert told["FailedCreatePodSandBox"].startswith(f"Failed to create pod sandbox: {refused}")
        assert told["FailedMount"].startswith('MountVolume.SetUp failed for volume "v" : ')
        assert [s.metadata.name for s in node.runtime.sandboxes.values() if s.metadata] == ["claim"]

    run(tmp_path, story)


def test_a_pod_shows_no_states_in_between_when_it_starts_at_once(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        seen: list[str] = []
        node.client.observers.append(
            lambda kind, body: seen.append(body.get("status", {}).get("phase", "")) if body["kind"] == "Pod" else None
        )
        await node.create("web", {})
        await node.until(lambda: node.ready("web"))
        await asyncio.sleep(1)
        assert seen == ["", "Running"]

    run(tmp_path, story)


def test_an_image_mounted_as_a_volume_is_pulled_first(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        mounts = [{"name": "v", "mountPath": "/v", "subPath": "www"}]
        volumes = [{"name": "v", "image": {"reference": "far:v1", "pullPolicy": "IfNotPresent"}}]
        await node.create("web", {"volumes": volumes, "containers": [{"name": "c", "volumeMounts": mounts}]})
        await node.reached("web", "Running")
        assert "far:v1" in node.images.images
        mount = node.runtime.named("web", "c").config.mounts[0]
        assert mount.image is not None
        assert (mount.image.image, mount.image_sub_path, mount.readonly) == ("far:v1", "www", True)

    run(tmp_path, story)
