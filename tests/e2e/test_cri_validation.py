"""What else the CRI validation suite asks of a runtime, on real containers: volumes of images, groups, host names."""

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from knarr.base.errors import Invalid
from knarr.cri.messages import config as c
from knarr.cri.messages import container as m
from knarr.cri.messages import sandbox as s
from knarr.cri.messages.enums import ProfileType, SupplementalGroupsPolicy
from tests.contracts import real_node
from tests.e2e.test_containers import Machine, machine, security

pytestmark = pytest.mark.skipif(bool(real_node.missing()), reason=f"needs {real_node.missing()}")
__all__ = ["machine"]  # a fixture
HOUR = "while :; do sleep 3600; done"
IMAGE = c.ImageSpec(image="busybox", user_specified_image="busybox:1")


async def test_an_image_volume_is_read_only_runs_programs_and_is_named_in_the_status(machine: Machine) -> None:
    volume = c.Mount(container_path="/image", image=IMAGE, readonly=True)
    identity = await machine.start(await machine.sandbox(), HOUR, mounts=(volume,))
    assert (await machine.exec(identity, "/image/bin/busybox echo runs")).stdout == b"runs\n"
    assert b"Read-only file system" in (await machine.exec(identity, "touch /image/x")).stderr
    told = replace(volume, image=replace(IMAGE, image_ref="sha256:busybox"))
    assert (await machine.status(identity)).mounts == (told,)


async def test_an_image_volume_that_shall_be_writable_is_refused(machine: Machine) -> None:
    with pytest.raises(Invalid, match="mount /image: an image volume must be read-only"):
        await machine.start(await machine.sandbox(), "true", mounts=(c.Mount(container_path="/image", image=IMAGE),))


async def test_mounts_are_told_as_they_were_asked_for(machine: Machine, tmp_path: Path) -> None:
    source = tmp_path / "logs" / "source"
    source.mkdir(parents=True)
    (tmp_path / "logs" / "link").symlink_to("source")
    mount = c.Mount(container_path="/var/run/x", host_path=str(tmp_path / "logs" / "link"))
    identity = await machine.start(await machine.sandbox(), HOUR, mounts=(mount,))
    assert (await machine.status(identity)).mounts == (mount,)


async def test_a_volume_that_the_image_declares_is_writable_in_a_read_only_root(machine: Machine) -> None:
    """VOLUME ["/tmp", "var/new"] of the image; /etc is none."""
    script = "for d in tmp var/new etc; do touch /$d/x 2>/dev/null && echo $d; done; stat -c %u /var/new"
    linux, image = security(readonly_rootfs=True), c.ImageSpec(image="declaring")
    pod = await machine.sandbox()
    assert (await machine.output(pod, script, linux=linux, image=image)).split() == ["tmp", "var/new", "0"]


async def test_what_a_pod_mounts_on_a_declared_volume_wins(machine: Machine, tmp_path: Path) -> None:
    source = tmp_path / "logs" / "source"
    source.mkdir(parents=True)
    mounts = (c.Mount(container_path="/tmp", host_path=str(source), readonly=True),)
    identity = await machine.start(
        await machine.sandbox(),
        HOUR,
        image=c.ImageSpec(image="declaring"),
        linux=security(readonly_rootfs=True),
        mounts=mounts,
    )
    assert b"Read-only file system" in (await machine.exec(identity, "touch /tmp/x")).stderr
    assert (await machine.status(identity)).mounts == mounts


@pytest.mark.parametrize(
    ("policy", "groups"),
    [(SupplementalGroupsPolicy.Merge, (100, 777, 1234)), (SupplementalGroupsPolicy.Strict, (100, 1234))],
)
async def test_groups_are_those_of_the_policy_in_the_process_in_an_exec_and_in_the_status(
    machine: Machine, policy: SupplementalGroupsPolicy, groups: tuple[int, ...]
) -> None:
    """guest (405) has the primary group 100 and is a member of 777 in the image."""
    linux = security(
        run_as_user=c.Int64Value(value=405), supplemental_groups=(1234,), supplemental_groups_policy=policy
    )
    identity = await machine.start(await machine.sandbox(), f"id -G; {HOUR}", linux=linux)
    status = await machine.status(identity)
    assert status.user == s.ContainerUser(linux=s.LinuxContainerUser(uid=405, gid=100, supplemental_groups=groups))
    wanted = " ".join(map(str, groups))
    assert (await machine.exec(identity, "id -G")).stdout.decode().strip() == wanted
    await machine.server.stop_container(m.StopContainerRequest(container_id=identity, timeout=0))
    assert machine.log(await machine.ended(identity)) == wanted


async def test_a_host_name_is_set_by_who_may_unless_a_profile_forbids_it(machine: Machine) -> None:
    place = machine.directory / "logs"
    place.mkdir(exist_ok=True)
    file = place / "no-hostname.json"
    denied = {"names": ["sethostname"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}
    file.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [denied]}))
    profile = c.SecurityProfile(profile_type=ProfileType.Localhost, localhost_ref=str(file))
    unconfined = c.SecurityProfile(profile_type=ProfileType.Unconfined)
    admin = c.Capability(add_capabilities=("SYS_ADMIN",))
    pod = await machine.sandbox()
    cases = {
        "nobody": security(seccomp=unconfined),
        "admin": security(seccomp=unconfined, capabilities=admin),
        "filtered": security(seccomp=profile, capabilities=admin),
        "privileged": security(seccomp=profile, privileged=True),
    }
    found = {}
    for name, linux in cases.items():
        identity = await machine.start(pod, "hostname other && echo set", name=name, linux=linux)
        found[name] = "set" in machine.log(await machine.ended(identity)).split()
    assert found == {"nobody": False, "admin": True, "filtered": False, "privileged": True}


async def test_sysctls_of_message_queues_are_the_pods_own(machine: Machine) -> None:
    host = Path("/proc/sys/fs/mqueue/msg_max").read_text()
    pod = await machine.sandbox(sysctls={"fs.mqueue.msg_max": "100"})
    assert await machine.output(pod, "cat /proc/sys/fs/mqueue/msg_max") == "100"
    assert Path("/proc/sys/fs/mqueue/msg_max").read_text() == host
