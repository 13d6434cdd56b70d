"""Security contexts and refusals, subject by subject of the CRI validation suite, on real containers."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from knarr.base.errors import Invalid, KnarrError, NotFound
from knarr.cri.messages import config as c
from knarr.cri.messages import container as m
from knarr.cri.messages import sandbox as s
from knarr.cri.messages import stats as st
from knarr.cri.messages.enums import ContainerState, MountPropagation, NamespaceMode, ProfileType
from knarr.runtime import defaults
from tests.contracts import real_node
from tests.e2e.test_containers import OWN, Machine, machine, security

pytestmark = pytest.mark.skipif(bool(real_node.missing()), reason=f"needs {real_node.missing()}")
__all__ = ["machine"]  # a fixture


def mask(*names: str) -> int:
    return sum(1 << defaults.ALL_CAPABILITIES.index(f"CAP_{name}") for name in names)


DEFAULT = mask(*(name.removeprefix("CAP_") for name in defaults.CAPABILITIES))
ALL = mask(*(name.removeprefix("CAP_") for name in defaults.ALL_CAPABILITIES))


async def test_capabilities_are_added_and_dropped_one_by_one_and_all_at_once(machine: Machine) -> None:
    """What this process may not hand on itself is left out of the comparison."""
    own = int(Path("/proc/self/status").read_text().split("CapBnd:\t")[1].split()[0], 16)
    cases: list[tuple[tuple[str, ...], tuple[str, ...], int]] = [
        ((), (), DEFAULT),
        (("NET_ADMIN",), (), DEFAULT | mask("NET_ADMIN")),
        (("CAP_SYS_TIME",), ("chown",), (DEFAULT | mask("SYS_TIME")) & ~mask("CHOWN")),
        ((), ("CHOWN",), DEFAULT & ~mask("CHOWN")),
        (("ALL",), (), ALL),
        ((), ("ALL",), 0),
        (("ALL",), ("NET_ADMIN",), ALL & ~mask("NET_ADMIN")),
        (("KILL",), ("ALL",), mask("KILL")),
    ]
    pod = await machine.sandbox()
    for number, (added, dropped, wanted) in enumerate(cases):
        capabilities = c.Capability(add_capabilities=added, drop_capabilities=dropped)
        linux = security(capabilities=capabilities)
        identity = await machine.start(pod, "grep Cap /proc/self/status", name=f"c{number}", linux=linux)
        lines = dict(line.split(":\t") for line in machine.log(await machine.ended(identity)).splitlines())
        sets = [int(lines[name], 16) for name in ("CapPrm", "CapEff", "CapBnd")]
        assert [found & own for found in sets] == [wanted & own] * 3, (added, dropped)


async def test_what_a_filter_lets_through_depends_on_profile_and_capability(machine: Machine) -> None:
    pod = await machine.sandbox()
    profiles = {
        "unset": None,
        "default": c.SecurityProfile(profile_type=ProfileType.RuntimeDefault),
        "unconfined": c.SecurityProfile(profile_type=ProfileType.Unconfined),
    }
    seen = {}
    for name, profile in profiles.items():
        for added in ((), ("SYS_ADMIN",)):
            linux = security(seccomp=profile, capabilities=c.Capability(add_capabilities=added))
            script = "grep Seccomp: /proc/self/status; mount -t tmpfs none /tmp 2>/dev/null && echo mounted"
            identity = await machine.start(pod, script, name=f"{name}-{len(added)}", linux=linux)
            seen[name, bool(added)] = machine.log(await machine.ended(identity)).split()[1:]
    assert seen == {
        ("unset", False): ["0"], ("unset", True): ["0", "mounted"],
        ("default", False): ["2"], ("default", True): ["2", "mounted"],
        ("unconfined", False): ["0"], ("unconfined", True): ["0", "mounted"],
    }  # fmt: skip


async def test_privileges_are_gained_by_setuid_unless_that_is_refused(machine: Machine) -> None:
    pod = await machine.sandbox()
    for is_refused, wanted in ((False, "0"), (True, "1")):
        linux = security(no_new_privs=is_refused)
        identity = await machine.start(pod, "grep NoNewPrivs /proc/self/status", name=f"n{wanted}", linux=linux)
        assert machine.log(await machine.ended(identity)).split() == ["NoNewPrivs:", wanted]


async def test_paths_of_the_kernel_are_masked_and_read_only_as_asked(machine: Machine) -> None:
    linux = security(masked_paths=("/proc/uptime", "/nowhere"), readonly_paths=("/tmp", "/nowhere"))
    script = "while read -r line; do echo up; done </proc/uptime; echo x 2>/dev/null >/tmp/x || echo no"
    assert (await machine.output(await machine.sandbox(), script, linux=linux)).splitlines() == ["no"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"run_as_username": "nobody"}, "unable to find user nobody"),
        ({"run_as_group": c.Int64Value(value=7)}, "run_as_group is given without run_as_user"),
        ({"run_as_user": c.Int64Value(value=-1)}, "is not between 0 and"),
    ],
)
async def test_a_user_that_cannot_be_is_refused(machine: Machine, words: dict[str, Any], said: str) -> None:
    with pytest.raises(Invalid, match=said):
        await machine.start(await machine.sandbox(), "true", linux=security(**words))


@pytest.mark.parametrize(
    "mount",
    [
        c.Mount(container_path="/v", recursive_read_only=True),
        c.Mount(
            container_path="/v",
            readonly=True,
            recursive_read_only=True,
            propagation=MountPropagation.PROPAGATION_BIDIRECTIONAL,
        ),
    ],
    ids=["writable", "shared"],
)
async def test_recursively_read_only_and_something_else_is_refused(
    machine: Machine, mount: c.Mount, tmp_path: Path
) -> None:
    place = tmp_path / "logs" / "v"
    place.mkdir(parents=True)
    with pytest.raises(Invalid, match="recursively read-only"):
        await machine.start(await machine.sandbox(), "true", mounts=(replace(mount, host_path=str(place)),))


async def test_a_pods_sysctls_are_its_own(machine: Machine) -> None:
    host = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
    sysctls = {"kernel.shm_rmid_forced": "1", "net.ipv4.ip_local_port_range": "32000 33000", "kernel.msgmax": "8193"}
    pod = await machine.sandbox(sysctls=sysctls)
    script = "cd /proc/sys; cat kernel/shm_rmid_forced net/ipv4/ip_local_port_range kernel/msgmax"
    assert (await machine.output(pod, script)).split() == ["1", "32000", "33000", "8193"]
    assert Path("/proc/sys/net/ipv4/ip_local_port_range").read_text() == host
    on_host = c.LinuxSandboxSecurityContext(namespace_options=replace(OWN, network=NamespaceMode.NODE))
    with pytest.raises(Invalid, match="needs a net namespace of the pod's own"):
        await machine.sandbox("host", security_context=on_host, sysctls={"net.ipv4.ip_forward": "1"})
    for name in ("vm.swappiness", "net/../vm/swappiness", "kernel.core_pattern"):
        with pytest.raises(Invalid, match="is not in a separate kernel namespace"):
            await machine.sandbox("other", sysctls={name: "1"})


async def test_a_handler_that_nobody_configured_is_refused(machine: Machine) -> None:
    with pytest.raises(Invalid, match='no runtime for "gvisor" is configured'):
        await machine.server.run_pod_sandbox(
            s.RunPodSandboxRequest(config=machine.pod("pod"), runtime_handler="gvisor")
        )


def sleeper(machine: Machine, pod: str) -> m.CreateContainerRequest:
    config = c.ContainerConfig(
        metadata=c.ContainerMetadata(name="late"),
        image=c.ImageSpec(image="busybox"),
        command=("/bin/sleep", "100"),
        linux=security(),
    )
    return m.CreateContainerRequest(pod_sandbox_id=pod, config=config, sandbox_config=machine.pod("pod"))


async def test_calls_in_the_wrong_order_are_refused_or_harmless(machine: Machine) -> None:
    server, pod = machine.server, await machine.sandbox()
    request = sleeper(machine, pod)
    identity = (await server.create_container(request)).container_id
    with pytest.raises(KnarrError):
        await machine.exec(identity, "true")
    await server.stop_container(m.StopContainerRequest(container_id=identity, timeout=5))
    assert (await machine.status(identity)).state is ContainerState.CONTAINER_CREATED
    await server.start_container(m.StartContainerRequest(container_id=identity))
    with pytest.raises(Invalid, match="CONTAINER_RUNNING"):
        await server.start_container(m.StartContainerRequest(container_id=identity))
    await server.stop_container(m.StopContainerRequest(container_id=identity, timeout=0))
    ended = await machine.status(identity)
    assert (ended.state, ended.exit_code) == (ContainerState.CONTAINER_EXITED, 137)
    with pytest.raises(Invalid, match="CONTAINER_EXITED"):
        await server.start_container(m.StartContainerRequest(container_id=identity))
    running = await machine.start(pod, "sleep 100", name="running")
    await server.remove_container(m.RemoveContainerRequest(container_id=running))
    with pytest.raises(NotFound):
        await machine.status(running)
    await server.stop_pod_sandbox(s.StopPodSandboxRequest(pod_sandbox_id=pod))
    with pytest.raises(Invalid, match="is not ready"):
        await server.create_container(request)
    with pytest.raises(Invalid, match="is not running"):
        await server.port_forward(s.PortForwardRequest(pod_sandbox_id=pod, port=(80,)))


async def test_a_stop_waits_for_the_start_that_is_under_way(machine: Machine) -> None:
    server, pod = machine.server, await machine.sandbox()
    request = sleeper(machine, pod)
    identity = (await server.create_container(request)).container_id
    starting = asyncio.create_task(server.start_container(m.StartContainerRequest(container_id=identity)))
    while not server.node.locks[identity].locked():
        await asyncio.sleep(0)
    await server.stop_container(m.StopContainerRequest(container_id=identity, timeout=0))
    await starting
    assert (await machine.status(identity)).state is ContainerState.CONTAINER_EXITED


async def test_figures_are_filtered_by_container_pod_and_label(machine: Machine) -> None:
    one, two = await machine.sandbox("one"), await machine.sandbox("two")
    named = {
        name: await machine.start(pod, "sleep 100", name=name, labels={"name": name})
        for name, pod in (("a", one), ("b", one), ("c", two))
    }

    async def found(**words: Any) -> set[str]:
        request = st.ListContainerStatsRequest(filter=st.ContainerStatsFilter(**words))
        stats = (await machine.server.list_container_stats(request)).stats
        return {one.attributes.metadata.name for one in stats if one.attributes and one.attributes.metadata}

    assert await found() == {"a", "b", "c"}
    assert await found(id=named["a"]) == {"a"}
    assert await found(pod_sandbox_id=one) == {"a", "b"}
    assert await found(label_selector={"name": "c"}) == {"c"}
    assert await found(pod_sandbox_id=two, label_selector={"name": "a"}) == set()


async def test_a_source_that_is_a_link_or_not_there_is_mounted(machine: Machine, tmp_path: Path) -> None:
    place = tmp_path / "logs"
    (place / "real").mkdir(parents=True)
    (place / "real" / "file").write_text("seen\n")
    (place / "link").symlink_to("real")
    mounts = tuple(c.Mount(container_path=f"/{name}", host_path=str(place / name)) for name in ("link", "missing"))
    assert await machine.output(await machine.sandbox(), "cat /link/file; ls -d /missing", mounts=mounts) == (
        "seen\n/missing"
    )
    assert (place / "missing").is_dir()
