"""Logs rotated without a lost line, statistics, images and credentials, the Node's status."""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec import structs

from knarr.base.clock import SystemClock
from knarr.base.errors import DeadlineExceeded
from knarr.cri.memory import MemoryRuntime
from knarr.cri.messages.config import ContainerConfig
from knarr.cri.messages.container import (
    CreateContainerRequest,
    ReopenContainerLogRequest,
    ReopenContainerLogResponse,
)
from knarr.cri.messages.enums import ContainerState
from knarr.cri.messages.image import AuthConfig, FilesystemUsage, Image, UInt64Value
from knarr.cri.messages.runtime import RuntimeFeatures, RuntimeHandler, RuntimeHandlerFeatures, StatusResponse
from knarr.cri.messages.sandbox import RunPodSandboxRequest
from knarr.cri.messages.stats import (
    ContainerAttributes,
    ContainerStats,
    CpuUsage,
    LinuxPodSandboxStats,
    MemoryUsage,
    NetworkInterfaceUsage,
    NetworkUsage,
    ProcessUsage,
)
from knarr.kinds.lens.config import Secret
from knarr.kinds.lens.container import Container
from knarr.kinds.lens.node import NodeStatus
from knarr.kubelet import images, inspection, log_rotation, node_status, stats, summary
from knarr.kubelet.eviction import Signal
from knarr.kubelet.log_rotation import OpenLog
from knarr.kubelet.node_status import Health, Machine
from knarr.kubelet.observed import ObservedContainer, ObservedPod
from knarr.kubelet.pulled_images import Credential
from knarr.kubelet.settings import KubeletSettings
from knarr.kubelet.summary import Surroundings
from tests.unit.kubelet.test_pod_plan import pod, pod_told

NOW = datetime(2030, 1, 1, tzinfo=UTC)


async def open_log(path: Path) -> tuple[MemoryRuntime, OpenLog]:
    runtime = MemoryRuntime(SystemClock())
    box = await runtime.run_pod_sandbox(RunPodSandboxRequest())
    request = CreateContainerRequest(pod_sandbox_id=box.pod_sandbox_id, config=ContainerConfig())
    return runtime, OpenLog((await runtime.create_container(request)).container_id, path)


async def test_only_large_logs_are_rotated_and_only_so_many_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    runtime, log = await open_log(path)
    for round_number in range(7):
        path.write_text(str(round_number) * 20)
        at = NOW + timedelta(seconds=round_number)
        await log_rotation.rotate_all(runtime, [log], bytes_max=10, files_max=5, now=at)
    path.write_text("small")
    await log_rotation.rotate_all(runtime, [log], bytes_max=10, files_max=5, now=NOW)
    assert [p.read_text()[0] for p in log_rotation.rotated(path)] == ["3", "4", "5", "6"]
    assert path.read_text() == "small"


async def test_a_log_that_cannot_be_reopened_keeps_its_name(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_text("x" * 20)
    runtime, _ = await open_log(path)
    gone = OpenLog("absent", path)
    await log_rotation.rotate_all(runtime, [gone], bytes_max=10, files_max=5, now=NOW)
    assert (path.read_text(), log_rotation.rotated(path)) == ("x" * 20, [])


class Late(MemoryRuntime):
    """Begins the new log, and answers too late."""

    async def reopen_container_log(self, request: ReopenContainerLogRequest) -> ReopenContainerLogResponse:
        Path(request.container_id).write_text("new")
        raise DeadlineExceeded("too late")


async def test_a_log_that_was_reopened_after_all_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_text("x" * 20)
    log = OpenLog(str(path), path)
    await log_rotation.rotate_all(Late(SystemClock()), [log], bytes_max=10, files_max=5, now=NOW)
    assert (path.read_text(), [p.read_text() for p in log_rotation.rotated(path)]) == ("new", ["x" * 20])


@pytest.mark.parametrize(
    ("written", "policy", "code", "wanted"),
    [
        ("why", "File", 1, "why"),
        ("x" * 5000, "File", 0, "x" * 4096),
        ("", "FallbackToLogsOnError", 1, "two\nthree\n"),
        ("", "FallbackToLogsOnError", 0, ""),
        ("", "File", 1, ""),
    ],
)
def test_termination_messages(tmp_path: Path, written: str, policy: str, code: int, wanted: str) -> None:
    (tmp_path / "message").write_text(written)
    lines = ["2030-01-01T00:00:00.1Z stdout F two", "2030-01-01T00:00:00.2Z stderr F three", ""]
    (tmp_path / "log").write_text("\n".join(lines))
    assert inspection.termination_message(tmp_path / "message", tmp_path / "log", policy, code) == wanted


def test_a_message_file_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "message").symlink_to("/etc/passwd")
    assert inspection.termination_message(tmp_path / "message", tmp_path / "log", "File", 1) == ""


def sample(at: float, nanoseconds: int) -> ContainerStats:
    labels = {
        "io.kubernetes.pod.uid": "u",
        "io.kubernetes.pod.name": "web",
        "io.kubernetes.pod.namespace": "default",
        "io.kubernetes.container.name": "c",
    }
    return ContainerStats(
        attributes=ContainerAttributes(id="c-0", labels=labels),
        cpu=CpuUsage(timestamp=int(at * 1e9), usage_core_nano_seconds=UInt64Value(value=nanoseconds)),
        memory=MemoryUsage(working_set_bytes=UInt64Value(value=1 << 20)),
    )


def test_cpu_in_use_is_the_rate_between_two_samples() -> None:
    rates = stats.Rates()
    start = NOW.timestamp()
    first = stats.container_usages([sample(start, 1_000_000_000)], rates)
    second = stats.container_usages([sample(start + 2, 1_500_000_000)], rates)
    assert [one.usage.nanocores for one in (*first, *second)] == [None, 250_000_000]
    link = NetworkInterfaceUsage(name="eth0", rx_bytes=UInt64Value(value=7))
    box = LinuxPodSandboxStats(
        network=NetworkUsage(default_interface=link, interfaces=(link,)),
        process=ProcessUsage(process_count=UInt64Value(value=3)),
    )
    signals = {"nodefs.available": Signal(40, 100), "nodefs.inodesFree": Signal(9, 10), "pid.available": Signal(90, 99)}
    around = Surroundings(signals, {"u": box})
    shown = summary.summary("n1", stats.Usage(NOW, 5), [pod()], second, around)
    first = shown["pods"][0]
    assert first["containers"][0]["cpu"]["usageNanoCores"] == 250_000_000
    assert first["podRef"] == {"name": "web", "namespace": "default", "uid": "u"}
    assert (first["network"]["rxBytes"], first["process_stats"]) == (7, {"process_count": 3})
    at = "2030-01-01T00:00:00Z"
    disk = {"time": at, "availableBytes": 40, "capacityBytes": 100, "usedBytes": 60}
    assert shown["node"]["fs"] == {**disk, "inodesFree": 9, "inodes": 10, "inodesUsed": 1}
    assert shown["node"]["rlimit"] == {"time": at, "maxpid": 99, "curproc": 9}
    text = stats.resource_metrics(stats.Usage(NOW, 5_000_000_000), second)
    assert 'container_cpu_usage_seconds_total{container="c",namespace="default",pod="web"} 1.5 1893456002000' in text
    assert "node_cpu_usage_seconds_total 5 1893456000000" in text


def test_the_summary_tells_starts_all_of_memory_and_what_the_disk_has() -> None:
    value = UInt64Value(value=7)
    memory = MemoryUsage(
        working_set_bytes=value, usage_bytes=UInt64Value(value=9), rss_bytes=value, available_bytes=value,
        page_faults=UInt64Value(value=3), major_page_faults=UInt64Value(value=1),
    )  # fmt: skip
    layer = FilesystemUsage(used_bytes=UInt64Value(value=5), inodes_used=UInt64Value(value=2))
    found = structs.replace(sample(NOW.timestamp(), 1), memory=memory, writable_layer=layer)
    web = pod_told({"running": {"startedAt": "2030-01-01T00:00:00Z"}}, restarts=0)
    disk = {name: Signal(40, 100) for name in ("nodefs.available", "imagefs.available", "imagefs.inodesFree")}
    usages = stats.container_usages([found], stats.Rates(), stats.starts([web]))
    text = stats.resource_metrics(stats.Usage(NOW), usages)
    assert 'container_start_time_seconds{container="c",namespace="default",pod="web"} 1893456000\n' in text
    shown = summary.summary("n1", stats.Usage(NOW), [web], usages, Surroundings(disk))["pods"][0]
    at = "2030-01-01T00:00:00Z"
    wanted = {
        "time": at, "availableBytes": 7, "usageBytes": 9, "workingSetBytes": 7, "rssBytes": 7,
        "pageFaults": 3, "majorPageFaults": 1,
    }  # fmt: skip
    container = shown["containers"][0]
    assert (container["startTime"], container["memory"], shown["memory"]) == (at, wanted, wanted)
    written = {"time": at, "usedBytes": 5, "availableBytes": 40, "capacityBytes": 100}
    assert container["rootfs"] == {**written, "inodesFree": 40, "inodes": 100, "inodesUsed": 2}
    assert shown["ephemeral-storage"] == written


def test_the_machine_tells_when_it_began_and_what_memory_it_has_left() -> None:
    usage = stats.node_usage(NOW, stats.Rates())
    assert usage.started_at is not None
    assert usage.available is not None
    assert 0 < usage.rss < usage.memory
    assert usage.page_faults > usage.major_page_faults > 0


@pytest.mark.parametrize(
    ("image", "policy", "wanted"),
    [
        ("nginx", "", "Always"),
        ("nginx:latest", "", "Always"),
        ("nginx:1", "", "IfNotPresent"),
        ("localhost:5000/nginx", "", "Always"),
        ("localhost:5000/nginx@sha256:0", "", "IfNotPresent"),
        ("nginx", "Never", "Never"),
    ],
)
def test_pull_policies(image: str, policy: str, wanted: str) -> None:
    assert images.pull_policy(Container(image=image, image_pull_policy=policy)) == wanted


def pull_secret(*servers: str) -> Secret:
    auths = {server: {"auth": base64.b64encode(b"me:secret").decode()} for server in servers}
    text = json.dumps({"auths": auths}).encode()
    return Secret(data={".dockerconfigjson": base64.b64encode(text).decode()})


@pytest.mark.parametrize(
    ("image", "wanted"),
    [("r.example/x:1", True), ("other.example/x", False), ("nginx", False), ("r.example:5000/x", False)],
)
def test_credentials_go_to_their_own_registry_only(image: str, wanted: bool) -> None:
    found = images.credentials([pull_secret("https://r.example/v1/")], image)
    assert [(c.auth.username, c.auth.password) for c in found if c.auth] == ([("me", "secret")] if wanted else [])


@pytest.mark.parametrize(
    ("server", "image", "wanted"),
    [
        ("*.example", "r.example/x", True),
        ("*.example", "deep.r.example/x", False),
        ("reg*.example.org", "reg-2.example.org/x", True),
        ("r.example/team", "r.example/team/app:1", True),
        ("r.example/team", "r.example/other/app:1", False),
        ("https://r.example/v2/", "r.example/any", True),
        ("r.example:5000", "r.example:5000/x", True),
        ("localhost:5000", "localhost:5000/x", True),
        ("docker.io", "nginx", True),
        ("https://index.docker.io/v1/", "team/app", True),
        ("index.docker.io/v1", "index.docker.io/team/app", True),
        ("registry-1.docker.io", "docker.io/nginx:1", True),
        ("evildocker.io", "nginx", False),
        ("mirror.docker.io", "nginx", False),
        ("docker.io/me", "nginx", False),
        ("docker.io/me", "me/app", True),
        ("docker.io/library", "nginx", True),
    ],
)
def test_a_pull_secret_names_registries_by_pattern_and_path(server: str, image: str, wanted: bool) -> None:
    assert (images.credentials([pull_secret(server)], image) != [Credential()]) is wanted


@pytest.mark.parametrize("entry", ["text", None, {"auth": "%%%"}, {"auth": 7}, {"username": ["me"]}])
def test_an_entry_that_is_none_does_not_keep_the_image_from_being_pulled(entry: object) -> None:
    text = json.dumps({"auths": {"r.example": entry}}).encode()
    secret = Secret(data={".dockerconfigjson": base64.b64encode(text).decode()})
    (found,) = images.credentials([secret], "r.example/x")
    assert found.auth in (None, AuthConfig(server_address="r.example"))


def test_a_pull_secret_that_is_none_is_ignored() -> None:
    broken = Secret(data={".dockerconfigjson": base64.b64encode(b"[1]").decode()})
    assert images.credentials([broken, Secret()], "nginx") == [Credential()]
    assert images.credentials([pull_secret("https://index.docker.io/v1/")], "nginx") != [Credential()]


def test_the_end_of_a_long_log_is_told_in_whole_lines(tmp_path: Path) -> None:
    log = tmp_path / "0.log"
    stamp = "2026-01-01T00:00:00.123456789+00:00 stderr"
    log.write_text("".join(f"{stamp} F line {number:03} of words\n" for number in range(300)))
    told = inspection.termination_message(tmp_path / "none", log, "FallbackToLogsOnError", 1)
    assert told.splitlines() == [f"line {number:03} of words" for number in range(220, 300)]
    log.write_text(f"{stamp} P one \n{stamp} F line\n")
    assert inspection.termination_message(tmp_path / "none", log, "FallbackToLogsOnError", 1) == "one line\n"


def test_containers_of_a_pod_share_what_may_be_told_of_their_ends(tmp_path: Path) -> None:
    names = [f"c{number}" for number in range(12)]
    (tmp_path / "message").write_text("x" * 5000)
    ended = ObservedContainer("id", "c0", state=ContainerState.CONTAINER_EXITED)
    for some, wanted in ((names[:1], 4096), (names, 1024)):
        subject = pod(containers=[{"name": name, "image": "i"} for name in some])
        found = inspection.messages(subject, ObservedPod((), (ended,)), {}, lambda *_: tmp_path / "message", tmp_path)
        assert len(found["id"]) == wanted


MACHINE = Machine("h", 4, 8 << 30, 100 << 30, "6.1", "Debian", "amd64", "m", "b", "s")


def test_a_node_says_what_its_runtime_can(tmp_path: Path) -> None:
    settings = KubeletSettings("n1", tmp_path, tmp_path)
    can = RuntimeHandlerFeatures(recursive_read_only_mounts=True, user_namespaces=False)
    handlers = (RuntimeHandler(name="", features=can), RuntimeHandler(name="old"))
    said = StatusResponse(runtime_handlers=handlers, features=RuntimeFeatures(supplemental_groups_policy=True))
    found = node_status.status(settings, MACHINE, "knarr://1", [], health=Health(said=said), now=NOW)
    features = {"recursiveReadOnlyMounts": True, "userNamespaces": False}
    assert found["runtimeHandlers"] == [{"name": "", "features": features}]
    assert found["features"] == {"supplementalGroupsPolicy": True}
    assert "RestartAllContainersOnContainerExits" in found["declaredFeatures"]
    assert found["declaredFeatures"] == sorted(found["declaredFeatures"])
    silent = node_status.status(settings, MACHINE, "knarr://1", [], health=Health(), now=NOW)
    assert silent["nodeInfo"]["kubeProxyVersion"] == ""
    assert not {"runtimeHandlers", "features"} & silent.keys()


def test_a_node_that_is_well_says_so_and_one_that_is_not_says_why(tmp_path: Path) -> None:
    settings = KubeletSettings("n1", tmp_path, tmp_path)
    pictures = [Image(id="a", repo_tags=("a:1",), size=1), Image(id="b", repo_tags=("b:1",), size=2), Image(id="c")]
    well = node_status.status(settings, MACHINE, "knarr://1", pictures, health=Health(), now=NOW)
    assert [(c["type"], c["status"], c["reason"]) for c in well["conditions"]] == [
        ("MemoryPressure", "False", "KubeletHasSufficientMemory"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID"),
        ("Ready", "True", "KubeletReady"),
    ]
    assert [image["names"] for image in well["images"]] == [["b:1"], ["a:1"]]
    assert well["capacity"]["memory"] == f"{8 << 20}Ki"
    ill = Health(("container runtime is down",), frozenset({"DiskPressure"}))
    later = NOW + timedelta(seconds=5)
    bad = node_status.status(settings, MACHINE, "knarr://1", [], health=ill, now=later)
    stamped = {c["type"]: c for c in node_status.stamped(bad, well["conditions"])["conditions"]}
    assert (stamped["Ready"]["status"], stamped["Ready"]["message"]) == ("False", "container runtime is down")
    assert stamped["DiskPressure"]["reason"] == "KubeletHasDiskPressure"
    assert stamped["MemoryPressure"]["lastTransitionTime"] == "2030-01-01T00:00:00Z"
    assert stamped["Ready"]["lastTransitionTime"] == "2030-01-01T00:00:05Z"


def test_what_somebody_advertises_of_a_node_can_be_allocated() -> None:
    shown = {"cpu": "2", "pods": "110"}
    live = NodeStatus(capacity={**shown, "example.com/dongle": "4"}, allocatable={**shown, "example.com/gone": "1"})
    assert node_status.advertised(live) == {"example.com/dongle": "4", "example.com/gone": None}
    settled = {**shown, "example.com/dongle": "4"}
    assert node_status.advertised(NodeStatus(capacity=settled, allocatable=settled)) == {}
