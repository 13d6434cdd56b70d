"""Further subjects of the CRI validation suite, on real containers: mounts, metrics, identities, process limits."""

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from knarr.base import linux
from knarr.cri.messages import config as c
from knarr.cri.messages import runtime as r
from knarr.cri.messages import stats as st
from knarr.cri.messages.enums import MountPropagation, ProfileType
from tests.contracts import real_node
from tests.e2e.test_containers import Machine, machine, security

pytestmark = pytest.mark.skipif(bool(real_node.missing()), reason=f"needs {real_node.missing()}")
__all__ = ["machine"]  # a fixture


async def test_read_only_reaches_what_is_mounted_below_only_if_asked(machine: Machine, tmp_path: Path) -> None:
    source = tmp_path / "logs" / "source"
    below = source / "below"
    below.mkdir(parents=True)
    linux.mount("tmpfs", below, "tmpfs", 0, "size=1m")
    try:
        for is_recursive, wanted in ((False, "written"), (True, "refused")):
            mount = c.Mount(container_path="/v", host_path=str(source), readonly=True, recursive_read_only=is_recursive)
            script = "touch /v/x 2>/dev/null && echo open; touch /v/below/x 2>/dev/null && echo written || echo refused"
            assert await machine.output(await machine.sandbox(), script, mounts=(mount,)) == wanted
    finally:
        linux.umount(below)


async def test_a_mount_made_on_the_host_later_is_seen_if_asked(machine: Machine, tmp_path: Path) -> None:
    source = tmp_path / "logs" / "source"
    (source / "late").mkdir(parents=True)
    linux.mount(str(source), source, None, linux.MS_BIND)
    linux.mount("none", source, None, 1 << 20)  # MS_SHARED
    try:
        seen = {}
        for name, propagation in (
            ("private", MountPropagation.PROPAGATION_PRIVATE),
            ("slave", MountPropagation.PROPAGATION_HOST_TO_CONTAINER),
        ):
            mount = c.Mount(container_path="/v", host_path=str(source), propagation=propagation)
            seen[name] = await machine.start(await machine.sandbox(), "sleep 100", name=name, mounts=(mount,))
        linux.mount("tmpfs", source / "late", "tmpfs", 0, "size=1m")
        (source / "late" / "mark").touch()
        found = {name: (await machine.exec(identity, "ls /v/late")).stdout for name, identity in seen.items()}
        assert found == {"private": b"", "slave": b"mark\n"}
    finally:
        linux.umount(source / "late")
        linux.umount(source)


async def test_a_mount_made_in_a_privileged_container_is_seen_on_the_host_if_asked(
    machine: Machine, tmp_path: Path
) -> None:
    source = tmp_path / "logs" / "source"
    (source / "late").mkdir(parents=True)
    linux.mount(str(source), source, None, linux.MS_BIND)
    linux.mount("none", source, None, 1 << 20)  # MS_SHARED
    try:
        both = MountPropagation.PROPAGATION_BIDIRECTIONAL
        mount = c.Mount(container_path="/v", host_path=str(source), propagation=both)
        script = "mount -t tmpfs none /v/late && touch /v/late/mark; sleep 100"
        whole = security(privileged=True)
        identity = await machine.start(await machine.sandbox(), script, mounts=(mount,), linux=whole)
        await machine.exec(identity, "until [ -e /v/late/mark ]; do sleep 0.05; done")
        assert (source / "late" / "mark").exists()
    finally:
        linux.umount(source / "late")
        linux.umount(source)


NOT_EVERYWHERE = {
    "container_blkio_device_usage_total", "container_fs_reads_bytes_total", "container_fs_reads_total",
    "container_fs_writes_bytes_total", "container_fs_writes_total", "container_hugetlb_max_usage_bytes",
    "container_hugetlb_usage_bytes", "container_pressure_cpu_stalled_seconds_total",
    "container_pressure_cpu_waiting_seconds_total", "container_pressure_io_stalled_seconds_total",
    "container_pressure_io_waiting_seconds_total", "container_pressure_memory_stalled_seconds_total",
    "container_pressure_memory_waiting_seconds_total", "container_ulimits_soft",
}  # fmt: skip
"""Metrics that not every kernel, file system or limit gives a value."""


async def test_metrics_carry_the_labels_that_they_announce(machine: Machine) -> None:
    sandbox = await machine.sandbox()
    limits = c.LinuxContainerResources(
        cpu_period=100000, cpu_quota=20000, cpu_shares=1024, memory_limit_in_bytes=64 << 20
    )
    linux = replace(security(), resources=limits)
    identity = await machine.start(sandbox, "sleep 100", linux=linux)
    announced = (await machine.server.list_metric_descriptors(st.ListMetricDescriptorsRequest())).descriptors
    keys = {one.name: one.label_keys for one in announced}
    [pod] = (await machine.server.list_pod_sandbox_metrics(st.ListPodSandboxMetricsRequest())).pod_metrics
    [container] = pod.container_metrics
    assert (pod.pod_sandbox_id, container.container_id) == (sandbox, identity)
    found = {one.name: one for one in (*pod.metrics, *container.metrics)}
    assert keys.keys() - found.keys() <= NOT_EVERYWHERE
    for name, one in found.items():
        assert len(one.label_values) == len(keys[name])
        assert one.timestamp > 0
    memory = found["container_memory_usage_bytes"]
    assert memory.value is not None
    assert 0 < memory.value.value < 64 << 20
    assert dict(zip(keys[memory.name], memory.label_values, strict=True))["name"] == identity
    told = {
        name: one.value.value
        for name, one in found.items()
        if one.value is not None and name.startswith(("container_spec", "container_processes", "container_threads"))
    }
    assert told == {
        "container_spec_cpu_period": 100000, "container_spec_cpu_quota": 20000, "container_spec_cpu_shares": 1024,
        "container_spec_memory_limit_bytes": 64 << 20, "container_spec_memory_reservation_limit_bytes": 0,
        "container_spec_memory_swap_limit_bytes": told["container_spec_memory_swap_limit_bytes"],
        "container_processes": 1, "container_threads": 1, "container_threads_max": told["container_threads_max"],
    }  # fmt: skip


async def test_a_pod_without_containers_has_metrics_too(machine: Machine) -> None:
    sandbox = await machine.sandbox()
    [pod] = (await machine.server.list_pod_sandbox_metrics(st.ListPodSandboxMetricsRequest())).pod_metrics
    assert (pod.pod_sandbox_id, pod.container_metrics) == (sandbox, ())
    assert {one.name for one in pod.metrics} >= {"container_network_receive_packets_total"}


async def test_a_pods_processes_are_bounded(machine: Machine) -> None:
    limits = c.LinuxContainerResources(unified={"pids.max": "20"})
    sandbox = await machine.sandbox(resources=limits)
    script = "i=0; while [ $i -lt 40 ]; do sleep 100 & i=$((i+1)); done 2>/dev/null; echo all"
    ended = await machine.ended(await machine.start(sandbox, script))
    assert ended.exit_code != 0


async def test_a_profile_of_the_machine_filters_system_calls(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir(exist_ok=True)
    profile = tmp_path / "logs" / "no-chmod.json"  # the inventory leaves logs aside
    denied = {"names": ["chmod", "fchmodat", "fchmodat2"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [denied]}))
    seccomp = c.SecurityProfile(profile_type=ProfileType.Localhost, localhost_ref=str(profile))
    script = "touch /tmp/x; chmod 600 /tmp/x 2>&1"
    said = await machine.output(await machine.sandbox(), script, linux=security(seccomp=seccomp))
    assert "Operation not permitted" in said


async def test_the_handlers_say_what_they_can(machine: Machine) -> None:
    answer = await machine.server.status(r.StatusRequest(verbose=True))
    assert {one.name for one in answer.runtime_handlers} == {"", "knarr", "runc", "crun"}
    for one in answer.runtime_handlers:
        assert one.features is not None
        assert one.features.recursive_read_only_mounts
    assert json.loads(answer.info["config"])["cgroupDriver"] == "cgroupfs"
