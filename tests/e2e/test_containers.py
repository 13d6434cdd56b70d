"""Real containers by the CRI server: what is inside them, what holds them back, and what is left when they are gone."""

import asyncio
import contextlib
import itertools
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from msgspec.structs import replace

from knarr.base import failpoints
from knarr.base.errors import DeadlineExceeded, Invalid, KnarrError, NotFound
from knarr.cri.messages import config as c
from knarr.cri.messages import container as m
from knarr.cri.messages import sandbox as s
from knarr.cri.messages import stats as st
from knarr.cri.messages.enums import ContainerState, NamespaceMode, PodSandboxState, ProfileType
from knarr.criserver.service import RuntimeServer
from knarr.network import namespaces
from knarr.runtime.runtime import ExecSpec
from tests.contracts import real_node

pytestmark = pytest.mark.skipif(bool(real_node.missing()), reason=f"needs {real_node.missing()}")
SECONDS = 20.0


@dataclass
class Machine:
    """A server and short words for what tests do with it."""

    server: RuntimeServer
    directory: Path
    sandboxes: list[str] = field(default_factory=list)
    attempts: "itertools.count[int]" = field(default_factory=itertools.count)

    async def sandbox(self, name: str = "pod", **linux: object) -> str:
        wanted = {"security_context": c.LinuxSandboxSecurityContext(namespace_options=OWN), **linux}
        config = replace(self.pod(name), linux=c.LinuxPodSandboxConfig(**wanted))  # type: ignore[arg-type]  # the caller's words
        assert config.metadata is not None
        config = replace(config, metadata=replace(config.metadata, attempt=len(self.sandboxes)))
        answer = await self.server.run_pod_sandbox(s.RunPodSandboxRequest(config=config))
        self.sandboxes.append(answer.pod_sandbox_id)
        return answer.pod_sandbox_id

    def pod(self, name: str) -> c.PodSandboxConfig:
        return c.PodSandboxConfig(
            metadata=c.PodSandboxMetadata(name=name, namespace="default", uid=name),
            hostname=name,
            log_directory=str(self.directory / "logs" / name),
            dns_config=c.DNSConfig(servers=("10.96.0.10",), searches=("svc.cluster.local",), options=("ndots:5",)),
        )

    async def start(self, sandbox: str, script: str, name: str = "main", **more: object) -> str:
        config = c.ContainerConfig(
            metadata=c.ContainerMetadata(name=name, attempt=next(self.attempts)),
            command=("/bin/sh", "-c", script),
            log_path=f"{name}.log",
            **{"image": c.ImageSpec(image="busybox"), "linux": security(), **more},  # type: ignore[arg-type]  # the caller's words
        )
        request = m.CreateContainerRequest(pod_sandbox_id=sandbox, config=config, sandbox_config=self.pod("pod"))
        identity = (await self.server.create_container(request)).container_id
        await self.server.start_container(m.StartContainerRequest(container_id=identity))
        return identity

    async def status(self, identity: str) -> s.ContainerStatus:
        answer = await self.server.container_status(m.ContainerStatusRequest(container_id=identity))
        assert answer.status is not None
        return answer.status

    async def ended(self, identity: str) -> s.ContainerStatus:
        """The status once the container has ended by itself."""
        watch = self.server.node.watches.get(identity)
        if watch is not None:
            await asyncio.wait_for(asyncio.shield(watch), SECONDS)
        return await self.status(identity)

    async def output(self, sandbox: str, script: str, **more: object) -> str:
        """What a container prints until it ends, without the log format."""
        ended = await self.ended(await self.start(sandbox, script, name=f"once{len(self.sandboxes)}", **more))
        return self.log(ended)

    def log(self, status: s.ContainerStatus) -> str:
        lines = Path(status.log_path).read_text().splitlines()
        return "\n".join(line.split(" ", 3)[3] for line in lines)

    async def exec(self, identity: str, script: str, timeout: int = 10) -> m.ExecSyncResponse:
        command = ("/bin/sh", "-c", script)
        return await self.server.exec_sync(m.ExecSyncRequest(container_id=identity, cmd=command, timeout=timeout))

    async def clean(self) -> None:
        for identity in self.sandboxes:
            await self.server.remove_pod_sandbox(s.RemovePodSandboxRequest(pod_sandbox_id=identity))


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    """A server; afterwards nothing of its pods may be left."""
    real_node.busybox_root(tmp_path / "root")
    try:
        async with real_node.opened(tmp_path) as server:
            before = real_node.inventory(tmp_path)
            made = Machine(server, tmp_path)
            yield made
            await made.clean()
            after = real_node.inventory(tmp_path)
    finally:
        await real_node.torn_down(tmp_path)
    assert after == before


OWN = c.NamespaceOption(pid=NamespaceMode.CONTAINER)
"""What the kubelet asks for unless a pod shares processes (CRI's zero value is to share)."""


def security(**words: object) -> c.LinuxContainerConfig:
    wanted = {"namespace_options": OWN, **words}
    return c.LinuxContainerConfig(security_context=c.LinuxContainerSecurityContext(**wanted))  # type: ignore[arg-type]  # the caller's words


async def test_a_container_sees_its_name_address_and_files(machine: Machine) -> None:
    pod = await machine.sandbox()
    found = (await machine.server.pod_sandbox_status(s.PodSandboxStatusRequest(pod_sandbox_id=pod))).status
    assert found is not None
    assert found.network is not None
    text = await machine.output(
        pod,
        "hostname; pwd; echo $HOSTNAME $FROM_IMAGE $OWN; cat /etc/resolv.conf /etc/hostname; ip -4 addr show eth0;"
        " grep pod /etc/hosts; ip route; cat /proc/1/cmdline | tr '\\0' ' '",
        envs=(c.KeyValue(key="OWN", value=b"mine"),),
    )
    assert text.splitlines()[:3] == ["pod", "/work", "pod yes mine"]
    assert "search svc.cluster.local\nnameserver 10.96.0.10\noptions ndots:5\npod\n" in text
    assert f"inet {found.network.ip}/32" in text
    assert f"{found.network.ip}\tpod" in text
    assert "default via 10.245." in text


async def test_a_pod_has_the_default_confinement(machine: Machine) -> None:
    text = await machine.output(
        await machine.sandbox(),
        "grep -E 'CapEff|CapBnd|Seccomp:|NoNewPrivs' /proc/self/status; ls /dev;"
        " echo x > /proc/sys/kernel/hostname; echo $?; unshare -m true; echo $?; echo 1 > /sys/kernel/x; echo $?",
        linux=security(seccomp=c.SecurityProfile(profile_type=ProfileType.RuntimeDefault)),  # as the kubelet says
    )
    lines = text.splitlines()
    assert [line for line in lines if line.startswith("Cap")] == [
        "CapEff:\t00000000800405fb",
        "CapBnd:\t00000000800405fb",
    ]
    assert "Seccomp:\t2" in lines
    assert "NoNewPrivs:\t0" in lines
    assert "sda" not in lines
    assert lines.count("1") >= 3


async def test_requests_for_less_are_kept(machine: Machine) -> None:
    wanted = security(
        no_new_privs=True,
        readonly_rootfs=True,
        run_as_user=c.Int64Value(value=405),
        supplemental_groups=(4242,),
        capabilities=c.Capability(drop_capabilities=("ALL",), add_capabilities=("NET_BIND_SERVICE",)),
    )
    text = await machine.output(
        await machine.sandbox(),
        "id -u; id -g; id -G; grep -E 'CapBnd|NoNewPrivs' /proc/self/status; touch /x 2>/dev/null; echo $?;"
        " touch /dev/shm/y && echo ok",
        linux=wanted,
    )
    lines = text.splitlines()
    assert lines[:3] == ["405", "100", "100 777 4242"]
    assert "CapBnd:\t0000000000000400" in lines
    assert "NoNewPrivs:\t1" in lines
    assert lines[-2:] == ["1", "ok"]


async def test_privileged_and_unconfined_containers_get_what_they_ask_for(machine: Machine) -> None:
    pod = await machine.sandbox()
    text = await machine.output(
        pod,
        "grep CapEff /proc/self/status; grep Seccomp: /proc/self/status; ls /dev | wc -l",
        linux=security(privileged=True),
    )
    lines = text.splitlines()
    assert lines[0].endswith("1fffeffffff") or lines[0].endswith("1ffffffffff")
    assert lines[1] == "Seccomp:\t0"
    assert int(lines[2]) > 20
    unconfined = security(seccomp=c.SecurityProfile(profile_type=ProfileType.Unconfined))
    again = await machine.start(pod, "sleep 60", name="again", linux=unconfined)
    assert (await machine.exec(again, "grep Seccomp: /proc/1/status")).stdout == b"Seccomp:\t0\n"


async def test_a_command_that_is_not_there_fails_the_start(machine: Machine) -> None:
    pod = await machine.sandbox()
    config = c.ContainerConfig(
        metadata=c.ContainerMetadata(name="bad"), image=c.ImageSpec(image="busybox"), command=("/nope",)
    )
    request = m.CreateContainerRequest(pod_sandbox_id=pod, config=config)
    identity = (await machine.server.create_container(request)).container_id
    with pytest.raises(KnarrError, match="nope"):
        await machine.server.start_container(m.StartContainerRequest(container_id=identity))
    found = await machine.status(identity)
    assert (found.state, found.exit_code, found.reason) == (ContainerState.CONTAINER_EXITED, 128, "StartError")
    assert "nope" in found.message


async def test_an_image_that_is_not_there_is_not_found(machine: Machine) -> None:
    pod = await machine.sandbox()
    config = c.ContainerConfig(metadata=c.ContainerMetadata(name="bad"), image=c.ImageSpec(image="nothing"))
    with pytest.raises(NotFound, match="nothing"):
        await machine.server.create_container(m.CreateContainerRequest(pod_sandbox_id=pod, config=config))


async def test_the_stop_signal_comes_first_and_the_kill_after_the_grace_period(machine: Machine) -> None:
    pod = await machine.sandbox()
    polite = await machine.start(pod, "trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done", name="polite")
    stubborn = await machine.start(pod, "trap '' TERM; while :; do sleep 0.05; done", name="stubborn")
    await machine.server.stop_container(m.StopContainerRequest(container_id=polite, timeout=10))
    assert (await machine.status(polite)).exit_code == 7
    before = asyncio.get_running_loop().time()
    await machine.server.stop_container(m.StopContainerRequest(container_id=stubborn, timeout=1))
    took = asyncio.get_running_loop().time() - before
    assert (await machine.status(stubborn)).exit_code == 137
    assert 1.0 <= took < 3.0


async def test_the_oom_killer_is_named(machine: Machine) -> None:
    limits = replace(security(), resources=c.LinuxContainerResources(memory_limit_in_bytes=16 << 20))
    identity = await machine.start(await machine.sandbox(), "tail -c 100000000 /dev/zero", linux=limits)
    ended = await machine.ended(identity)
    assert (ended.exit_code, ended.reason) == (137, "OOMKilled")


async def test_exec_keeps_streams_and_codes_apart_and_ends_in_time(machine: Machine) -> None:
    identity = await machine.start(await machine.sandbox(), "sleep 60")
    assert await machine.exec(identity, "echo out; echo err >&2; exit 5") == m.ExecSyncResponse(
        stdout=b"out\n", stderr=b"err\n", exit_code=5
    )
    assert len((await machine.exec(identity, "head -c 1000000 /dev/zero")).stdout) == 1000000
    with pytest.raises(DeadlineExceeded, match="timeout 1s exceeded"):
        await machine.exec(identity, "sleep 1000", timeout=1)
    assert b"1000" not in (await machine.exec(identity, "ps -o args | grep '[1]000'")).stdout


async def test_an_exec_on_a_terminal_has_its_size(machine: Machine) -> None:
    identity = await machine.start(await machine.sandbox(), "sleep 60")
    script = 'read go; until [ "$(stty size)" = "33 101" ]; do sleep 0.05; done; stty size; tty; exit 3'
    spec = ExecSpec(arguments=("/bin/sh", "-c", script), has_terminal=True)
    running = await machine.server.node.runtime.exec(identity, spec, stdin=True, stdout=True, stderr=False)  # type: ignore[arg-type]  # ids are strings
    assert running.stdin_fd is not None
    assert running.stdout_fd is not None
    running.resize(101, 33)
    os.write(running.stdin_fd, b"go\n")
    assert await asyncio.wait_for(running.wait(), SECONDS) == 3
    text = b""
    with contextlib.suppress(OSError):  # EIO ends a terminal; what was written may come after the process has ended
        while chunk := os.read(running.stdout_fd, 4096):
            text += chunk
    for descriptor in (running.stdin_fd, running.stdout_fd):
        os.close(descriptor)
    assert b"33 101" in text
    assert b"/dev/pts/" in text


async def test_attach_reaches_standard_input_and_output(machine: Machine) -> None:
    identity = await machine.start(
        await machine.sandbox(), "while read x; do echo got $x; done; echo end", stdin=True, stdin_once=True
    )
    attached = await machine.server.node.runtime.attach(identity)  # type: ignore[arg-type]  # ids are strings
    await attached.write(b"one\n")
    assert await asyncio.wait_for(attached.read(), SECONDS) == (1, b"got one\n")
    attached.close_stdin()
    assert await asyncio.wait_for(attached.read(), SECONDS) == (1, b"end\n")
    attached.close()
    assert (await machine.ended(identity)).exit_code == 0


async def test_pods_reach_each_other_and_the_host_reaches_them(machine: Machine) -> None:
    one, two = await machine.sandbox("one"), await machine.sandbox("two")
    await machine.start(
        one, "mkdir -p /tmp/www; echo hello > /tmp/www/index.html; httpd -f -p 8080 -h /tmp/www", name="web"
    )
    found = (await machine.server.pod_sandbox_status(s.PodSandboxStatusRequest(pod_sandbox_id=one))).status
    assert found is not None
    assert found.network is not None
    address = found.network.ip
    ask = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 {0} 8080 | tail -n 1"
    fetch = f"for i in 1 2 3 4 5 6 7 8 9 10; do {ask} | grep hello && break; sleep 0.1; done"
    assert await machine.output(two, fetch.format(address)) == "hello"
    assert await machine.output(one, fetch.format("127.0.0.1")) == "hello"
    reader, writer = await asyncio.wait_for(asyncio.open_connection(address, 8080), SECONDS)
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    assert (await asyncio.wait_for(reader.read(), SECONDS)).endswith(b"hello\n")
    writer.close()
    await writer.wait_closed()


async def test_a_port_of_the_host_leads_to_the_pod_while_it_is_there(machine: Machine) -> None:
    mapping = c.PortMapping(container_port=8080, host_port=25080)
    config = replace(machine.pod("port"), port_mappings=(mapping,))
    answer = await machine.server.run_pod_sandbox(s.RunPodSandboxRequest(config=config))
    machine.sandboxes.append(answer.pod_sandbox_id)
    serve = "mkdir -p /tmp/www; echo hello > /tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www"
    identity = await machine.start(answer.pod_sandbox_id, serve)
    await machine.exec(identity, "until nc -w 1 127.0.0.1 8080 < /dev/null; do sleep 0.05; done")
    reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", 25080), SECONDS)
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    assert (await asyncio.wait_for(reader.read(), SECONDS)).endswith(b"hello\n")
    writer.close()
    await writer.wait_closed()
    await machine.server.stop_pod_sandbox(s.StopPodSandboxRequest(pod_sandbox_id=answer.pod_sandbox_id))
    with pytest.raises(OSError, match=r"refused|failed|Connect"):
        await asyncio.open_connection("127.0.0.1", 25080)


async def test_an_exec_is_confined_like_its_container(machine: Machine) -> None:
    confined = security(no_new_privs=True, seccomp=c.SecurityProfile(profile_type=ProfileType.RuntimeDefault))
    identity = await machine.start(await machine.sandbox(), "sleep 60", linux=confined)
    script = "grep -E 'CapEff|CapBnd|Seccomp:|NoNewPrivs' /proc/self/status; ls -d /sys/fs/cgroup/*memory*"
    found = (await machine.exec(identity, script)).stdout.decode().split()
    assert found[:8] == [
        *("CapEff:", "00000000800405fb", "CapBnd:", "00000000800405fb"),
        *("NoNewPrivs:", "1", "Seccomp:", "2"),
    ]


async def test_containers_of_a_pod_share_memory_names_and_if_asked_processes(machine: Machine) -> None:
    shared = c.NamespaceOption(pid=NamespaceMode.POD)
    pod = await machine.sandbox(security_context=c.LinuxSandboxSecurityContext(namespace_options=shared))
    linux = security(namespace_options=shared)
    one = await machine.start(pod, "echo x > /dev/shm/x; exec sleep 61", name="one", linux=linux)
    two = await machine.start(pod, "exec sleep 62", name="two", linux=linux)
    assert (await machine.exec(two, "cat /dev/shm/x")).stdout == b"x\n"
    processes = (await machine.exec(two, "ps -o pid,args")).stdout.decode()
    assert "1 /pause" in processes
    assert "sleep 61" in processes
    left = await machine.start(pod, "sleep 63 & exit 0", name="left", linux=linux)
    await machine.ended(left)
    assert b"sleep 63" not in (await machine.exec(two, "ps -o args | grep '[s]leep 63' | grep -v Z")).stdout
    # An orphan is reaped by the process that holds the namespace.
    await machine.exec(one, "(sleep 0.1 &)")
    for identity in (one, two):
        await machine.server.stop_container(m.StopContainerRequest(container_id=identity, timeout=0))
        assert (await machine.status(identity)).exit_code == 137


async def test_a_sandbox_whose_process_is_killed_is_not_ready_and_tells_so(machine: Machine) -> None:
    shared = c.NamespaceOption(pid=NamespaceMode.POD)
    pod = await machine.sandbox(security_context=c.LinuxSandboxSecurityContext(namespace_options=shared))
    identity = await machine.start(pod, "exec sleep 60", linux=security(namespace_options=shared))
    record = machine.server.node.get_sandbox(pod)
    assert record.pause is not None
    events = machine.server.get_container_events(m.GetEventsRequest())
    told = asyncio.create_task(_told_of(pod, events))
    await asyncio.sleep(0)  # subscribes
    os.kill(machine.server.node.runtime.pid(record.pause), signal.SIGKILL)
    assert await asyncio.wait_for(told, 10) is PodSandboxState.SANDBOX_NOTREADY
    assert (await machine.ended(identity)).exit_code == 137
    assert pod not in machine.server.node.network.holders()
    await machine.server.remove_pod_sandbox(s.RemovePodSandboxRequest(pod_sandbox_id=pod))


async def _told_of(pod: str, events: AsyncIterator[m.ContainerEventResponse]) -> PodSandboxState:
    async for event in events:
        if event.container_id == pod:
            assert event.pod_sandbox_status is not None
            return event.pod_sandbox_status.state
    raise AssertionError("the stream ended")


async def test_the_hosts_namespaces_are_shared_on_request(machine: Machine) -> None:
    host = c.NamespaceOption(network=NamespaceMode.NODE, pid=NamespaceMode.NODE, ipc=NamespaceMode.NODE)
    pod = await machine.sandbox(security_context=c.LinuxSandboxSecurityContext(namespace_options=host))
    text = await machine.output(
        pod, "for n in net pid ipc uts; do readlink /proc/self/ns/$n; done", linux=security(namespace_options=host)
    )
    assert text.splitlines() == [os.readlink(f"/proc/self/ns/{kind}") for kind in ("net", "pid", "ipc", "uts")]


async def test_volumes_are_mounted_where_links_of_the_image_lead(machine: Machine, tmp_path: Path) -> None:
    volume = tmp_path / "logs" / "volume"
    volume.mkdir(parents=True)
    (volume / "token").write_text("secret")
    mounts = (c.Mount(container_path="/var/run/secrets/x", host_path=str(volume), readonly=True),)
    text = await machine.output(
        await machine.sandbox(), "cat /run/secrets/x/token; touch /run/secrets/x/y 2>/dev/null; echo $?", mounts=mounts
    )
    assert text.replace("\n", "") == "secret1"
    assert not (volume / "y").exists()


async def test_an_image_can_be_a_volume(machine: Machine) -> None:
    image = c.ImageSpec(image="busybox")
    volume = c.Mount(container_path="/image", image=image, image_sub_path="bin", readonly=True)
    text = await machine.output(
        await machine.sandbox(), "ls /image | grep -cx busybox; touch /image/x 2>/dev/null; echo $?", mounts=(volume,)
    )
    assert text == "1\n1"
    missing = replace(volume, image_sub_path="none")
    with pytest.raises(NotFound, match="none"):
        await machine.start(await machine.sandbox(), "true", mounts=(missing,))


@pytest.mark.parametrize("name", ["dev", "proc", "sys", "etc"])
async def test_an_image_whose_directories_are_links_is_refused(machine: Machine, tmp_path: Path, name: str) -> None:
    canary = tmp_path / "logs" / "canary"
    canary.mkdir(parents=True)
    target = machine.directory / "root" / name
    for entry in target.iterdir():
        entry.unlink()
    target.rmdir()
    target.symlink_to(canary)
    with pytest.raises(Invalid, match=f"/{name} is a symbolic link"):
        await machine.start(await machine.sandbox(), "true")
    assert list(canary.iterdir()) == []


@pytest.mark.parametrize("target", ["/proc/sys", "/sys/fs", "/../x", "/dev", "/dev/null", "/dev/pts/0"])
async def test_mounts_over_what_the_kernel_shows_are_refused(machine: Machine, tmp_path: Path, target: str) -> None:
    (tmp_path / "logs").mkdir(exist_ok=True)
    mounts = (c.Mount(container_path=target, host_path=str(tmp_path / "logs")),)
    with pytest.raises(Invalid):
        await machine.start(await machine.sandbox(), "true", mounts=mounts)


async def test_a_log_goes_on_in_a_new_file_after_rotation(machine: Machine) -> None:
    identity = await machine.start(await machine.sandbox(), "read a; echo one; read b; echo two", stdin=True)
    attached = await machine.server.node.runtime.attach(identity)  # type: ignore[arg-type]  # ids are strings
    await attached.write(b"\n")
    assert await asyncio.wait_for(attached.read(), SECONDS) == (1, b"one\n")
    path = Path((await machine.status(identity)).log_path)
    path.rename(path.with_suffix(".1"))
    await machine.server.reopen_container_log(m.ReopenContainerLogRequest(container_id=identity))
    await attached.write(b"\n")
    attached.close()
    await machine.ended(identity)
    assert path.with_suffix(".1").read_text().endswith("one\n")
    assert path.read_text().endswith("two\n")


async def test_figures_and_limits_are_those_of_the_cgroup(machine: Machine) -> None:
    pod = await machine.sandbox()
    identity = await machine.start(
        pod, "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; touch /tmp/done; exec sleep 60"
    )
    await machine.exec(identity, "while [ ! -e /tmp/done ]; do sleep 0.05; done")
    found = (await machine.server.container_stats(st.ContainerStatsRequest(container_id=identity))).stats
    assert found is not None
    assert found.cpu is not None
    assert found.cpu.usage_core_nano_seconds is not None
    assert found.cpu.usage_core_nano_seconds.value > 1_000_000
    assert found.memory is not None
    assert found.memory.working_set_bytes is not None
    assert found.memory.working_set_bytes.value > 10_000
    limits = c.LinuxContainerResources(memory_limit_in_bytes=64 << 20, cpu_quota=50000, cpu_period=100000)
    await machine.server.update_container_resources(
        m.UpdateContainerResourcesRequest(container_id=identity, linux=limits)
    )
    usage = machine.server.node.cgroups.usage(machine.server.node.get_container(identity).cgroup_path)
    assert usage is not None
    assert usage.memory_limit == 64 << 20


async def test_a_killed_monitor_ends_its_container_and_is_reported(machine: Machine) -> None:
    identity = await machine.start(await machine.sandbox(), "exec sleep 60")
    bundle = machine.directory / "run" / "runtime" / "containers" / identity
    pid = int((bundle / "pid").read_text())
    os.kill(int((bundle / "conmon.pid").read_text()), signal.SIGKILL)
    ended = await machine.ended(identity)
    assert (ended.state, ended.exit_code, ended.reason) == (ContainerState.CONTAINER_EXITED, 137, "Error")
    stat = Path(f"/proc/{pid}/stat")
    assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


async def test_containers_outlive_the_server_and_are_taken_over(tmp_path: Path) -> None:
    real_node.busybox_root(tmp_path / "root")
    async with real_node.opened(tmp_path) as server:
        before = real_node.inventory(tmp_path)
        first = Machine(server, tmp_path)
        pod = await first.sandbox()
        runs = await first.start(pod, "trap 'exit 9' TERM; while :; do echo tick; sleep 0.05; done", name="runs")
        ends = await first.start(pod, "read x; exit 4", name="ends", stdin=True, stdin_once=True)
        ended = await first.start(pod, "exit 3", name="ended")
        await first.ended(ended)
        pid = server.node.runtime.pid(runs)  # type: ignore[arg-type]  # ids are strings
        attached = await server.node.runtime.attach(ends)  # type: ignore[arg-type]  # ids are strings
    attached.close_stdin()
    while await attached.read() is not None:
        pass
    attached.close()
    async with real_node.opened(tmp_path) as server:
        second = Machine(server, tmp_path, first.sandboxes)
        assert (await second.status(runs)).state is ContainerState.CONTAINER_RUNNING
        assert server.node.runtime.pid(runs) == pid  # type: ignore[arg-type]  # ids are strings
        assert (await second.ended(ends)).exit_code == 4
        assert (await second.status(ended)).exit_code == 3
        assert (await second.exec(runs, "echo in")).stdout == b"in\n"
        await server.stop_container(m.StopContainerRequest(container_id=runs, timeout=10))
        assert (await second.status(runs)).exit_code == 9
        await second.clean()
        after = real_node.inventory(tmp_path)
    await real_node.torn_down(tmp_path)
    assert after == before


async def test_a_sandbox_without_its_namespaces_is_not_ready(tmp_path: Path) -> None:
    real_node.busybox_root(tmp_path / "root")
    async with real_node.opened(tmp_path) as server:
        machine = Machine(server, tmp_path)
        pod = await machine.sandbox()
        identity = await machine.start(pod, "exit 0")
        await machine.ended(identity)
    # A reboot forgets /run, and so every pin and bundle.
    for pin in (tmp_path / "run" / "ns").iterdir():
        namespaces.unpin(pin)
    async with real_node.opened(tmp_path) as server:
        found = (await server.pod_sandbox_status(s.PodSandboxStatusRequest(pod_sandbox_id=pod))).status
        assert found is not None
        assert found.state is PodSandboxState.SANDBOX_NOTREADY
        await Machine(server, tmp_path, machine.sandboxes).clean()
    await real_node.torn_down(tmp_path)


@pytest.mark.parametrize(
    "point",
    [
        "criserver.sandbox.before_namespaces",
        "criserver.sandbox.before_network",
        "network.after_lease",
        "criserver.container.after_root",
        "runtime.before_create",
        "runtime.after_create",
        "criserver.container.before_start",
    ],
)
async def test_a_failure_at_any_point_of_a_pods_start_leaves_nothing(machine: Machine, point: str) -> None:
    failpoints.arm(f"{point}=raise*1")
    with pytest.raises((failpoints.FailpointError, KnarrError)):
        await machine.start(await machine.sandbox(), "sleep 60")
    failpoints.arm("")
    # The machine fixture compares the inventory; and the next try succeeds.
    await machine.start(await machine.sandbox(), "sleep 60")


@pytest.mark.parametrize("fails", [False, True])
async def test_the_process_keeps_its_own_namespaces_whatever_is_done_in_others(machine: Machine, fails: bool) -> None:
    pod = await machine.sandbox()

    def look() -> str:
        if fails:
            raise ZeroDivisionError
        return os.readlink("/proc/thread-self/ns/net")

    pin = machine.server.node.places.pin(pod, "net")
    own = os.readlink("/proc/self/ns/net")
    try:
        assert await namespaces.inside(pin, look) != own
    except ZeroDivisionError:
        assert fails
    assert await namespaces._in_thread(lambda: os.readlink("/proc/thread-self/ns/net")) == own


async def test_giving_up_at_any_moment_leaves_nothing_behind(machine: Machine) -> None:
    for number in range(12):
        pod = await machine.sandbox(f"pod{number}")
        life = asyncio.create_task(machine.start(pod, "sleep 60"))
        await asyncio.wait({life}, timeout=number * 0.004)
        life.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await life
        await machine.server.remove_pod_sandbox(s.RemovePodSandboxRequest(pod_sandbox_id=pod))
    assert os.listdir(machine.directory / "run" / "runtime" / "containers") == []
