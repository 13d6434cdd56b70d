"""Pods with hostUsers: false on real containers: root inside is nobody of the machine, and files are the pod's own."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from knarr.base import linux
from knarr.base.errors import Invalid
from knarr.cri.messages import config as c
from knarr.cri.messages import runtime as r
from knarr.cri.messages.enums import MountPropagation, NamespaceMode
from knarr.criserver import user_namespaces
from tests.contracts import real_node
from tests.e2e.test_containers import OWN, Machine, machine, security

FIRST = 65536 * 7
IDS = (c.IDMapping(host_id=FIRST, container_id=0, length=65536),)
USERS = replace(OWN, userns_options=c.UserNamespace(mode=NamespaceMode.POD, uids=IDS, gids=IDS))
OF_POD = {"security_context": c.LinuxSandboxSecurityContext(namespace_options=USERS)}


def why_not() -> str:
    if real_node.missing():
        return f"needs {real_node.missing()}"
    return "" if user_namespaces.are_possible(Path("/tmp")) else "the kernel maps no ids of files"  # any file system


pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())


@pytest.fixture(name="mapped")
def _mapped(machine: Machine, tmp_path: Path) -> Iterator[Machine]:
    with real_node.passable(tmp_path):
        yield machine


__all__ = ["machine"]  # a fixture


async def test_root_inside_is_a_user_of_no_other_pod_and_of_nobody_outside(mapped: Machine) -> None:
    pod = await mapped.sandbox(**OF_POD)
    identity = await mapped.start(pod, "sleep 100", linux=security(namespace_options=USERS))
    pid = mapped.server.node.runtime.pid(identity)  # type: ignore[arg-type]  # an id in a test
    assert Path(f"/proc/{pid}").stat().st_uid == FIRST
    answer = await mapped.exec(identity, "id -u; id -g; cat /proc/self/uid_map")
    assert answer.stdout.split() == [b"0", b"0", b"0", str(FIRST).encode(), b"65536"]
    owners = await mapped.exec(identity, "stat -c '%u:%g' / /bin/busybox /etc/passwd /work /etc/hosts /dev/shm /tmp")
    assert set(owners.stdout.split()) == {b"0:0"}
    written = await mapped.exec(identity, "touch /made /dev/shm/x /bin/new; stat -c %u /made /dev/shm/x /bin/new")
    assert written.stdout.split() == [b"0"] * 3
    refused = await mapped.exec(identity, "mknod /tmp/d b 1 1 || echo no; echo 1 > /proc/sys/vm/drop_caches || echo no")
    assert refused.stdout.split() == [b"no", b"no"]


async def test_volumes_keep_their_owners_and_get_new_ones_as_the_pod_sees_them(mapped: Machine, tmp_path: Path) -> None:
    volume = tmp_path / "logs" / "volume"
    volume.mkdir(parents=True)
    (volume / "old").write_text("x")
    os.chown(volume / "old", 405, 100)
    mounts = (
        c.Mount(container_path="/v", host_path=str(volume)),
        c.Mount(container_path="/one", host_path=str(volume / "old"), readonly=True),
        c.Mount(container_path="/image", image=c.ImageSpec(image="busybox"), image_sub_path="etc", readonly=True),
        c.Mount(
            container_path="/late", host_path=str(volume), propagation=MountPropagation.PROPAGATION_HOST_TO_CONTAINER
        ),
    )
    script = (
        "stat -c '%u:%g' /v/old /one /image/passwd /late/old; touch /v/new; touch /one 2>/dev/null || echo ro; "
        "touch /image/x 2>/dev/null || echo ro"
    )
    linux = security(namespace_options=USERS)
    text = await mapped.output(await mapped.sandbox(**OF_POD), script, linux=linux, mounts=mounts)
    assert text.split() == ["405:100", "405:100", "0:0", "405:100", "ro", "ro"]
    assert (volume / "new").stat().st_uid == 0


async def test_what_is_mounted_in_a_volume_stays_when_the_container_goes(mapped: Machine, tmp_path: Path) -> None:
    volume = tmp_path / "logs" / "volume"
    (volume / "below").mkdir(parents=True)
    linux.mount(str(volume), volume, None, linux.MS_BIND)
    try:
        linux.mount("none", volume, None, 1 << 20)  # MS_SHARED, as distributions have their mounts
        linux.mount("tmpfs", volume / "below", "tmpfs", 0, "size=1m")
        (volume / "below" / "kept").write_text("x")
        mounts = (c.Mount(container_path="/v", host_path=str(volume)),)
        pod = await mapped.sandbox(**OF_POD)
        users = security(namespace_options=USERS)
        # crun 1.8 shows such a pod nothing of what is mounted below; runc does.
        assert await mapped.output(pod, "ls /v/below", linux=users, mounts=mounts) in ("kept", "")
        await mapped.clean()
        assert (volume / "below" / "kept").read_text() == "x"
    finally:
        for place in linux.mounts_below(volume):
            linux.umount(place)


@pytest.mark.parametrize("is_read_only", [False, True])
async def test_a_user_of_the_image_works_where_it_may(mapped: Machine, is_read_only: bool) -> None:
    linux = security(namespace_options=USERS, run_as_user=c.Int64Value(value=405), readonly_rootfs=is_read_only)
    script = "id -u; pwd; touch x 2>/dev/null && echo wrote || echo refused; touch /etc/x 2>/dev/null || echo refused"
    text = await mapped.output(await mapped.sandbox(**OF_POD), script, linux=linux)
    assert text.split() == ["405", "/work", "refused" if is_read_only else "wrote", "refused"]


async def test_a_volume_that_the_image_declares_is_the_pods_own_in_a_read_only_root(mapped: Machine) -> None:
    linux, image = security(namespace_options=USERS, readonly_rootfs=True), c.ImageSpec(image="declaring")
    script = "for d in tmp var/new etc; do touch /$d/x 2>/dev/null && stat -c '%n %u' /$d /$d/x; done"
    text = await mapped.output(await mapped.sandbox(**OF_POD), script, linux=linux, image=image)
    assert text.splitlines() == ["/tmp 0", "/tmp/x 0", "/var/new 0", "/var/new/x 0"]


async def test_processes_shared_in_the_pod_and_its_own_sysctls(mapped: Machine) -> None:
    shared = replace(USERS, pid=NamespaceMode.POD)
    own = {"kernel.shm_rmid_forced": "1", "net.ipv4.ip_local_port_range": "2000 3000"}
    pod = await mapped.sandbox(security_context=c.LinuxSandboxSecurityContext(namespace_options=shared), sysctls=own)
    first = await mapped.start(pod, "sleep 1000", linux=security(namespace_options=shared))
    second = await mapped.start(pod, "sleep 2000", name="second", linux=security(namespace_options=shared))
    seen = (await mapped.exec(second, "ps; cat /proc/sys/kernel/shm_rmid_forced; hostname")).stdout.decode()
    assert "/pause" in seen
    assert "sleep 1000" in seen
    assert seen.split()[-2:] == ["1", "pod"]
    ports = await mapped.exec(first, "cat /proc/sys/net/ipv4/ip_local_port_range; cat /proc/1/root/etc/shadow")
    assert ports.stdout.split() == [b"2000", b"3000"]


async def test_a_server_that_starts_again_takes_the_pod_over_and_the_next_container_joins_it(
    mapped: Machine, tmp_path: Path
) -> None:
    pod = await mapped.sandbox(**OF_POD)
    identity = await mapped.start(pod, "sleep 100", linux=security(namespace_options=USERS))
    await mapped.server.close()
    async with real_node.opened(tmp_path) as again:
        successor = Machine(again, tmp_path, mapped.sandboxes)
        assert (await successor.exec(identity, "id -u")).stdout == b"0\n"
        text = await successor.output(pod, "cat /proc/self/uid_map", linux=security(namespace_options=USERS))
        assert text.split() == ["0", str(FIRST), "65536"]
        await successor.clean()


@pytest.mark.parametrize(("masked", "seen"), [(("/proc/keys",), "/proc/keys"), ((), "")])
async def test_proc_is_masked_unless_the_pod_wants_it_whole(
    mapped: Machine, masked: tuple[str, ...], seen: str
) -> None:
    linux = security(namespace_options=USERS, masked_paths=masked, readonly_paths=masked)
    script = "cut -d ' ' -f 5 /proc/self/mountinfo | grep /proc/ | uniq"
    assert await mapped.output(await mapped.sandbox(**OF_POD), script, linux=linux) == seen


async def test_a_container_of_other_users_than_its_pods_is_refused(mapped: Machine) -> None:
    with pytest.raises(Invalid, match="is another than that of its sandbox"):
        await mapped.start(await mapped.sandbox(**OF_POD), "true")
    with pytest.raises(Invalid, match="is another than that of its sandbox"):
        await mapped.start(await mapped.sandbox(), "true", linux=security(namespace_options=USERS))


async def test_the_hosts_network_goes_with_the_hosts_users(mapped: Machine) -> None:
    options = replace(USERS, network=NamespaceMode.NODE)
    with pytest.raises(Invalid, match="cannot use the host's network namespace"):
        await mapped.sandbox(security_context=c.LinuxSandboxSecurityContext(namespace_options=options))


async def test_the_handlers_say_it(mapped: Machine) -> None:
    answer = await mapped.server.status(r.StatusRequest())
    assert [one.features.user_namespaces for one in answer.runtime_handlers if one.features] == [True] * 4
