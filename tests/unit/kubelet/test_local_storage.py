"""What pods may write to the disk, how it is measured, which images go, and the kubelet's configuration file."""

import asyncio
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from knarr.base.backoff import Backoff
from knarr.base.errors import Invalid
from knarr.cri.memory import memory_image
from knarr.cri.messages.image import Image
from knarr.kinds.lens.pod import Pod
from knarr.kubelet import configuration, eviction, image_gc, local_storage, restarts
from knarr.kubelet.eviction import Signal, Threshold
from knarr.kubelet.image_gc import Policy, Seen
from knarr.kubelet.local_storage import PodDisk
from knarr.kubelet.settings import KubeletSettings
from tests.unit.kubelet.harness import Node, run
from tests.unit.kubelet.test_pod_plan import NOW, pod

MEGABYTE = 1 << 20


def limited(*limits: str, size: str = "", medium: str = "") -> Pod:
    containers = [
        {"name": f"c{i}", "image": "i", "resources": {"limits": {"ephemeral-storage": limit} if limit else {}}}
        for i, limit in enumerate(limits)
    ]
    source = {"sizeLimit": size, "medium": medium} if size else {}
    return pod(containers=containers, volumes=[{"name": "v", "emptyDir": source}])


@pytest.mark.parametrize(
    ("asked", "used", "layers", "why"),
    [
        (limited("1Mi"), PodDisk(), {"c0": MEGABYTE}, ""),
        (
            limited("1Mi", ""),
            PodDisk(logs={"c0": 1}),
            {"c0": MEGABYTE},
            'Container c0 exceeded its local ephemeral storage limit "1Mi". ',
        ),
        (
            limited("1Mi", "1Mi"),
            PodDisk({"v": 2 * MEGABYTE}),
            {"c0": 1},
            "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. ",
        ),
        (
            limited("", size="1Mi"),
            PodDisk({"v": MEGABYTE + 1}),
            {},
            'Usage of EmptyDir volume "v" exceeds the limit "1Mi". ',
        ),
        (limited("", size="1Mi", medium="Memory"), PodDisk({"v": 2 * MEGABYTE}), {}, ""),
        (limited(""), PodDisk({"v": 1 << 40}), {"c0": 1 << 40}, ""),
    ],
)
def test_a_pod_past_its_own_limit_is_evicted_in_upstreams_words(
    asked: Pod, used: PodDisk, layers: dict[str, int], why: str
) -> None:
    found = local_storage.excess(asked, used, layers)
    assert (found.message if found else "") == why
    assert found is None or (found.reason, found.grace_seconds) == ("Evicted", 1)
    assert local_storage.is_limited(asked) or not why


def test_measuring_counts_blocks_once_and_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_bytes(os.urandom(100_000))
    os.link(tmp_path / "a" / "file", tmp_path / "same")
    (tmp_path / "link").symlink_to("/usr")
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(1 << 30)
    size, inodes = local_storage.used(tmp_path)
    assert inodes == 4
    assert 100_000 <= size < 200_000
    assert local_storage.used(tmp_path / "absent") == (0, 0)


def test_a_pod_that_writes_too_much_is_evicted(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        node.script("c", disk=2 * MEGABYTE, ignores_term=True)
        container = {"name": "c", "resources": {"limits": {"ephemeral-storage": "1Mi"}}}
        await node.create("web", {"containers": [container]})
        status = await node.reached("web", "Failed", seconds=15)
        text = "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. "
        assert (status["reason"], status["message"]) == ("Evicted", text)
        assert ("Evicted", text) in await node.events()

    run(tmp_path, story)


@pytest.mark.parametrize(
    ("available", "freed"), [(16, 0), (15, 5), (0, 20), (50, 0)], ids=["below", "at the mark", "full", "half"]
)
def test_images_go_from_a_disk_that_is_85_percent_full_until_it_is_80(available: int, freed: int) -> None:
    assert image_gc.excess(Signal(available, 100), Policy()) == freed


def test_unused_old_images_go_the_longest_unused_first() -> None:
    def image(name: str, **more: Any) -> Image:
        return Image(id=name, repo_tags=(name,), **more)

    def ago(minutes: float) -> Any:
        return NOW - timedelta(minutes=minutes)

    images = [image(name) for name in ("used", "young", "never", "older", "old")] + [image("own", pinned=True)]
    seen = {
        "used": Seen(ago(60), NOW),
        "young": Seen(ago(1)),
        "never": Seen(ago(50)),
        "older": Seen(ago(60), ago(30)),
        "old": Seen(ago(60), ago(5)),
        "own": Seen(ago(60)),
    }
    found = image_gc.to_remove(images, seen, {"used"}, NOW, age_seconds=120)
    assert [one.id for one in found] == ["never", "older", "old"]


def test_an_image_in_use_is_known_by_any_of_its_names(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        node.images.images["idle:v1"] = memory_image("idle:v1")
        await node.create("web", {})
        await node.reached("web", "Running")
        collector = image_gc.ImageCollector(node.images, node.runtime, node.clock, Policy())
        await collector.look()
        assert await collector.free(1 << 40) == 0, "all of them are young"
        await asyncio.sleep(121)
        await collector.free(1 << 40)
        assert set(node.images.images) == {"web:v1"}

    run(tmp_path, story)


def test_images_that_nobody_used_for_too_long_go_from_an_empty_disk_too() -> None:
    def ago(minutes: float) -> Any:
        return NOW - timedelta(minutes=minutes)

    idle = [Image(id=name) for name in ("never", "new", "used", "long-ago")]
    seen = {
        "never": Seen(ago(61)),
        "new": Seen(ago(59)),
        "used": Seen(ago(600), ago(59)),
        "long-ago": Seen(ago(600), ago(61)),
    }
    found = image_gc.forgotten(idle, seen, NOW, Policy(age_seconds_max=3600))
    assert [one.id for one in found] == ["never", "long-ago"]
    assert image_gc.forgotten(idle, seen, NOW, Policy()) == []


def test_an_unused_image_is_forgotten_and_a_used_one_is_not(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        node.images.images["idle:v1"] = memory_image("idle:v1")
        await node.create("web", {})
        await node.reached("web", "Running")
        collector = image_gc.ImageCollector(node.images, node.runtime, node.clock, Policy(age_seconds_max=600))
        await collector.forget()
        await asyncio.sleep(599)
        await collector.forget()
        assert {"web:v1", "idle:v1"} <= set(node.images.images)
        await asyncio.sleep(2)
        await collector.forget()
        assert set(node.images.images) == {"web:v1"}

    run(tmp_path, story)


SETTINGS = KubeletSettings("n1", Path("/k"), Path("/l"))


def test_a_configuration_file_changes_what_it_names() -> None:
    body = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "evictionHard": {"memory.available": "200Mi", "nodefs.available": "5%"},
        "evictionSoft": {"memory.available": "1Gi"},
        "evictionSoftGracePeriod": {"memory.available": "1m30s"},
        "evictionMinimumReclaim": {"memory.available": "50Mi"},
        "evictionPressureTransitionPeriod": "30s",
        "imageGCHighThresholdPercent": 90,
        "imageMaximumGCAge": "720h",
        "crashLoopBackOff": {"maxContainerRestartPeriod": "5s"},
        "podPidsLimit": 100,
        "containerLogMaxSize": "1Mi",
        "allowedUnsafeSysctls": ["kernel.msg*"],
    }
    found = configuration.applied(SETTINGS, configuration.read(body))
    assert found.thresholds == (
        Threshold("memory.available", amount=200 * MEGABYTE, reclaim=50 * MEGABYTE),
        Threshold("nodefs.available", share=0.05),
        Threshold("memory.available", amount=1 << 30, reclaim=50 * MEGABYTE, grace_seconds=90),
    )
    assert (found.image_policy, found.pressure_transition_seconds) == (Policy(90, 80, 120, 2592000), 30)
    assert (found.pod_pids_max, found.container_log_bytes_max, found.max_pods) == (100, MEGABYTE, 110)
    shown = configuration.shown(found)
    assert shown["evictionHard"] == {"memory.available": str(200 * MEGABYTE), "nodefs.available": "5%"}
    assert shown["allowedUnsafeSysctls"] == ["kernel.msg*"]
    assert (shown["imageMaximumGCAge"], shown["imageMinimumGCAge"]) == ("720h0m0s", "2m0s")
    assert (shown["evictionPressureTransitionPeriod"], shown["evictionSoftGracePeriod"]) == (
        "30s",
        {"memory.available": "1m30s"},
    )
    assert shown["crashLoopBackOff"] == {"maxContainerRestartPeriod": "5s"}


@pytest.mark.parametrize(
    ("name", "most", "delays"),
    [
        ("standard", None, [10, 20, 40, 80, 160, 300, 300]),
        ("standard", 60, [10, 20, 40, 60, 60, 60, 60]),
        ("standard", 5, [5, 5, 5, 5, 5, 5, 5]),
        ("dev", 300, [1, 2, 4, 8, 10, 10, 10]),
    ],
)
def test_restarts_wait_at_most_as_long_as_is_said_the_first_time_too(
    name: str, most: float | None, delays: list[float]
) -> None:
    rule = restarts.rule(name, most)
    assert [Backoff(failures).delay(rule) for failures in range(1, 8)] == delays
    assert rule.reset_after == restarts.RULES[name].reset_after


def test_an_empty_file_changes_nothing() -> None:
    assert configuration.applied(SETTINGS, configuration.read({})) == SETTINGS
    assert SETTINGS.thresholds == eviction.HARD


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ([], "Expected `object`"),
        ({"kind": "Pod"}, "wanted kubelet.config.k8s.io/v1beta1 KubeletConfiguration"),
        ({"rotateCertificates": True}, "unknown field `rotateCertificates`"),
        ({"maxPods": "many"}, "maxPods"),
        ({"evictionHard": {"memory.free": "1"}}, "evictionHard: unknown eviction signal 'memory.free'"),
        ({"evictionHard": {"memory.available": "101%"}}, "is not a percentage"),
        ({"evictionHard": {"memory.available": "much"}}, "is not a quantity"),
        ({"evictionSoft": {"memory.available": "1Gi"}}, "evictionSoftGracePeriod: there is none for memory.available"),
        ({"imageGCHighThresholdPercent": 70}, "must be above imageGCLowThresholdPercent 80"),
        ({"imageMaximumGCAge": "2m"}, "imageMaximumGCAge 2m0s must be greater than imageMinimumGCAge 2m0s"),
        ({"imageMaximumGCAge": "-1s"}, "imageMaximumGCAge: '-1s' is negative"),
        ({"crashLoopBackOff": {"maxContainerRestartPeriod": "0s"}}, "'0s' is not between 1s and 300s"),
        ({"crashLoopBackOff": {"maxContainerRestartPeriod": "301s"}}, "'301s' is not between 1s and 300s"),
        ({"crashLoopBackOff": {"maxRestarts": 3}}, "unknown field `maxRestarts`"),
        ({"imageMinimumGCAge": "soon"}, "'soon' is not a duration"),
        ({"imageMinimumGCAge": "-5s"}, "imageMinimumGCAge: '-5s' is negative"),
        ({"evictionPressureTransitionPeriod": "-1s"}, "evictionPressureTransitionPeriod: '-1s' is negative"),
        (
            {
                "evictionSoft": {"memory.available": "1Gi"},
                "evictionSoftGracePeriod": {"memory.available": "-1m"},
            },
            r"evictionSoftGracePeriod\[memory.available\]: '-1m' is negative",
        ),
        ({"containerLogMaxSize": "big"}, "'big' is not a size"),
    ],
)
def test_a_wrong_configuration_is_refused_by_field(body: object, says: str) -> None:
    with pytest.raises(Invalid, match=says):
        configuration.applied(SETTINGS, configuration.read(body))
