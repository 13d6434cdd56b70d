"""What the CRI server decides about a container: users, arguments, mounts, signals, profiles."""

import os
import platform
import struct
from pathlib import Path
from typing import Any

import pytest

from knarr.base.errors import Invalid, NotFound
from knarr.cri.messages import config as c
from knarr.cri.messages.enums import MountPropagation, ProfileType, Signal, SupplementalGroupsPolicy
from knarr.criserver.containers import create, guard, profiles, settings, update, users
from knarr.criserver.sandboxes import files, pause, run
from knarr.oci.image_config import ContainerConfig as Image
from knarr.runtime import apparmor
from knarr.runtime.spec import User

ACCOUNTS = users.Accounts(
    "root:x:0:0:root:/root:/bin/sh\n# comment\nweb:x:101:102::/:/bin/sh\nbroken\nbad:x:y:z:\n1000:x:0:0::/:\n",
    "root:x:0:\nweb:x:102:\nextra:x:777:other,web\nhuge:x:4294967296:web2\n",
)


def context(**words: Any) -> c.LinuxContainerSecurityContext:
    return c.LinuxContainerSecurityContext(**words)


@pytest.mark.parametrize(
    ("wanted", "image_user", "expected"),
    [
        (context(), "", User(0, 0, (0,))),
        (context(), "web", User(101, 102, (102, 777))),
        (context(), "web:root", User(101, 0, (0, 777))),
        (context(), "5:6", User(5, 6, (6,))),
        (context(run_as_user=c.Int64Value(value=7)), "web", User(7, 0, (0,))),
        (context(run_as_user=c.Int64Value(value=101)), "", User(101, 102, (102, 777))),
        (context(run_as_username="web"), "", User(101, 102, (102, 777))),
        (
            context(run_as_user=c.Int64Value(value=7), run_as_group=c.Int64Value(value=8), supplemental_groups=(9,)),
            "",
            User(7, 8, (8, 9)),
        ),
        (
            context(run_as_username="web", supplemental_groups_policy=SupplementalGroupsPolicy.Strict),
            "",
            User(101, 102, (102,)),
        ),
        # A name that is a number is that number, whatever passwd calls it (CVE-2024-40635's cousin).
        (context(), "1000", User(1000, 0, (0,))),
    ],
)
def test_users_are_looked_up_in_the_image(wanted: Any, image_user: str, expected: User) -> None:
    assert users.user(wanted, image_user, ACCOUNTS) == expected


@pytest.mark.parametrize(
    ("wanted", "image_user"),
    [
        (context(), "nobody"),
        (context(), "web:nogroup"),
        (context(), "4294967296"),
        (context(), "2147483648"),
        (context(run_as_user=c.Int64Value(value=-1)), ""),
        (context(run_as_group=c.Int64Value(value=5)), ""),
    ],
)
def test_unknown_names_and_impossible_numbers_are_invalid(wanted: Any, image_user: str) -> None:
    with pytest.raises(Invalid):
        users.user(wanted, image_user, ACCOUNTS)


def test_a_passwd_that_is_a_link_leads_nowhere_outside(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("evil:x:0:0::/:\n")
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "passwd").symlink_to(outside)
    (root / "etc" / "group").symlink_to("/other")
    (root / "other").write_text("g:x:5:\n")
    assert users.read_accounts(root) == users.Accounts("", "g:x:5:\n")


@pytest.mark.parametrize(
    ("pod", "image", "expected"),
    [
        (((), ()), (("e",), ("c",)), ["e", "c"]),
        (((), ("a",)), (("e",), ("c",)), ["e", "a"]),
        ((("k",), ()), (("e",), ("c",)), ["k"]),
        ((("k",), ("a",)), (("e",), ("c",)), ["k", "a"]),
        (((), ()), ((), ("c",)), ["c"]),
    ],
)
def test_command_and_args_stand_for_entrypoint_and_cmd(
    pod: tuple[Any, Any], image: tuple[Any, Any], expected: list[str]
) -> None:
    config = c.ContainerConfig(command=pod[0], args=pod[1])
    assert settings.arguments(config, Image(entrypoint=image[0], cmd=image[1])) == expected


def test_nothing_to_run_is_invalid() -> None:
    with pytest.raises(Invalid, match="no command specified"):
        settings.arguments(c.ContainerConfig(), Image())


def test_the_environment_is_the_images_under_the_pods() -> None:
    config = c.ContainerConfig(envs=(c.KeyValue(key="A", value=b"2"), c.KeyValue(key="B", value=b"x=y")), tty=True)
    assert settings.environment(config, Image(env=("A=1", "PATH=/bin")), "web-0") == [
        "PATH=/bin",
        "HOSTNAME=web-0",
        "A=2",
        "TERM=xterm",
        "B=x=y",
    ]


def test_an_environment_that_is_no_text_is_refused_by_name() -> None:
    with pytest.raises(Invalid, match="environment variable A: not UTF-8 text"):
        settings.environment(c.ContainerConfig(envs=(c.KeyValue(key="A", value=b"\xff"),)), Image(), "web-0")


@pytest.mark.parametrize(("directory", "expected"), [("", "/"), ("/a", "/a"), ("work", "/work")])
def test_the_working_directory_is_absolute(directory: str, expected: str) -> None:
    assert settings.working_directory(c.ContainerConfig(working_dir=directory), Image()) == expected


@pytest.mark.parametrize("directory", ["/proc/self/fd/7", "/a\0b"])
def test_a_working_directory_behind_a_descriptor_is_refused(directory: str) -> None:
    with pytest.raises(Invalid):
        settings.working_directory(c.ContainerConfig(), Image(working_dir=directory))


def test_mounts_keep_propagation_and_mode() -> None:
    mount = c.Mount(
        container_path="/a",
        host_path="/b",
        readonly=True,
        propagation=MountPropagation.PROPAGATION_HOST_TO_CONTAINER,
    )
    found = settings.volume(mount)
    assert (found.target, found.source, found.options) == ("/a", "/b", ("rbind", "rslave", "ro"))


@pytest.mark.parametrize(
    ("name", "number"),
    [("SIGTERM", 15), ("TERM", 15), ("9", 9), ("SIGRTMIN+3", 37), ("RTMAXMINUS1", 63), ("sigusr1", 10), ("RTMIN", 34)],
)
def test_signals_have_many_names(name: str, number: int) -> None:
    assert create.signal_number(name) == number


@pytest.mark.parametrize("name", ["", "SIGNOPE", "0", "65", "١"])
def test_what_is_no_signal_is_invalid(name: str) -> None:
    with pytest.raises(Invalid):
        create.signal_number(name)


def test_every_signal_of_the_interface_is_known() -> None:
    for signal in Signal:
        if signal is not Signal.SIGNAL_RUNTIME_DEFAULT:
            assert 1 <= create.stop_signal(c.ContainerConfig(stop_signal=signal), Image()) <= 64
    assert create.stop_signal(c.ContainerConfig(), Image(stop_signal="SIGQUIT")) == 3
    assert create.stop_signal(c.ContainerConfig(), Image()) == 15


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/var/run/secrets/x", "/run/secrets/x"),
        ("/up/x", "/x"),
        ("/abs/y", "/etc/y"),
        ("/new/dir", "/new/dir"),
        ("rel//./a", "/rel/a"),
    ],
)
def test_mount_targets_are_resolved_inside_the_root(tmp_path: Path, target: str, expected: str) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "etc").mkdir()
    (tmp_path / "var" / "run").symlink_to("/run")
    (tmp_path / "up").symlink_to("../../../..")
    (tmp_path / "abs").symlink_to("/var/../etc")
    assert guard.resolve(tmp_path, target) == expected


def test_links_in_a_circle_and_dots_are_invalid(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    for target in ("/a/x", "/x/../y", "/x\0"):
        with pytest.raises(Invalid):
            guard.resolve(tmp_path, target)


def test_the_working_directory_is_made_inside_the_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "srv").symlink_to("/data")
    guard.make_directory(root, "/srv/app", os.getuid(), os.getgid())
    assert (root / "data" / "app").is_dir()
    (root / "file").touch()
    with pytest.raises(Invalid, match="not a directory"):
        guard.make_directory(root, "/file/x", os.getuid(), os.getgid())


def test_profiles_are_default_unconfined_or_a_file(tmp_path: Path) -> None:
    assert profiles.seccomp_profile(context(), frozenset()) is None
    default = c.SecurityProfile(profile_type=ProfileType.RuntimeDefault)
    assert profiles.seccomp_profile(context(seccomp=default, privileged=True), frozenset()) is None
    found = profiles.seccomp_profile(context(seccomp=default), frozenset())
    assert found is not None
    assert found["defaultAction"] == "SCMP_ACT_ERRNO"
    off = context(seccomp=c.SecurityProfile(profile_type=ProfileType.Unconfined))
    assert profiles.seccomp_profile(off, frozenset()) is None
    assert profiles.seccomp_profile(context(seccomp_profile_path="unconfined"), frozenset()) is None
    file = tmp_path / "p.json"
    local = context(seccomp=c.SecurityProfile(profile_type=ProfileType.Localhost, localhost_ref=str(file)))
    with pytest.raises(NotFound, match="cannot load seccomp profile"):
        profiles.seccomp_profile(local, frozenset())
    file.write_text('{"defaultAction": "SCMP_ACT_LOG", "archMap": [], "syscalls": null}')
    assert profiles.seccomp_profile(local, frozenset()) == {"defaultAction": "SCMP_ACT_LOG"}
    file.write_text("[]")
    with pytest.raises(Invalid):
        profiles.seccomp_profile(local, frozenset())


def test_an_update_changes_what_it_sets() -> None:
    old = c.LinuxContainerResources(cpu_shares=5, memory_limit_in_bytes=7)
    new = c.LinuxContainerResources(cpu_shares=6)
    assert update.merge(old, new) == c.LinuxContainerResources(cpu_shares=6, memory_limit_in_bytes=7)


def test_resolv_conf_and_hosts_are_written_as_their_manuals_say() -> None:
    dns = c.DNSConfig(servers=("10.96.0.10",), searches=("a", "b"), options=("ndots:5",))
    assert files.resolv_conf(dns) == "search a b\nnameserver 10.96.0.10\noptions ndots:5\n"
    assert files.hosts("web", ["10.244.0.2"]).endswith("10.244.0.2\tweb\n")


def test_sysctls_of_the_network_need_a_network_of_ones_own() -> None:
    host = c.LinuxPodSandboxConfig(
        sysctls={"net.core.somaxconn": "5"},
        security_context=c.LinuxSandboxSecurityContext(
            namespace_options=c.NamespaceOption(network=run.NamespaceMode.NODE)
        ),
    )
    with pytest.raises(Invalid):
        run.sysctls(c.PodSandboxConfig(linux=host))
    assert run.sysctls(c.PodSandboxConfig())["net.ipv4.ip_unprivileged_port_start"] == "0"


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_pause_program_is_a_small_static_elf(machine: str) -> None:
    content = pause.program(machine)
    assert content[:4] == b"\x7fELF"
    entry, size = struct.unpack_from("<Q", content, 24)[0], struct.unpack_from("<Q", content, 96)[0]
    assert entry == 0x400000 + 120
    assert size == len(content) < 256


@pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64"), reason="no pause program for this machine")
async def test_the_pause_program_sleeps_and_ends_by_a_kill(tmp_path: Path) -> None:
    import asyncio

    program = tmp_path / "pause"
    program.write_bytes(pause.program(platform.machine()))
    program.chmod(0o755)
    started = await asyncio.create_subprocess_exec(program)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(started.wait(), 0.05)
    started.kill()
    assert await started.wait() == -9


NO_ARMOR = apparmor.Kernel()


@pytest.fixture
def armor(tmp_path: Path) -> apparmor.Kernel:
    """A kernel that enforces AppArmor and has two profiles."""
    listing = tmp_path / "profiles"
    listing.write_text("knarr-default (enforce)\nweb (complain)\n/usr/bin/man (enforce)\n")
    return apparmor.Kernel(True, "knarr-default", listing)


def of_type(kind: ProfileType, reference: str = "") -> c.SecurityProfile:
    return c.SecurityProfile(profile_type=kind, localhost_ref=reference)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, "knarr-default"),
        ({"apparmor": of_type(ProfileType.RuntimeDefault)}, "knarr-default"),
        ({"apparmor": of_type(ProfileType.Unconfined)}, ""),
        ({"apparmor": of_type(ProfileType.Localhost, "web")}, "web"),
        ({"apparmor": of_type(ProfileType.Localhost, "localhost//usr/bin/man")}, "/usr/bin/man"),
        ({"apparmor": of_type(ProfileType.Unconfined), "apparmor_profile": "localhost/web"}, ""),
        ({"apparmor_profile": "runtime/default"}, "knarr-default"),
        ({"apparmor_profile": "unconfined"}, ""),
        ({"apparmor_profile": "localhost/web"}, "web"),
        ({"privileged": True}, ""),
        ({"privileged": True, "apparmor": of_type(ProfileType.RuntimeDefault)}, ""),
        ({"privileged": True, "apparmor": of_type(ProfileType.Localhost, "web")}, "web"),
    ],
)
def test_a_container_gets_the_apparmor_profile_it_asks_for_or_the_default_one(
    wanted: dict[str, Any], expected: str, armor: apparmor.Kernel
) -> None:
    assert profiles.apparmor_profile(context(**wanted), armor=armor) == expected


def test_a_local_apparmor_profile_is_enforced_or_refused_never_ignored(armor: apparmor.Kernel) -> None:
    with pytest.raises(Invalid, match=r"apparmor profile not found we$"):
        profiles.apparmor_profile(context(apparmor=of_type(ProfileType.Localhost, "we")), armor=armor)
    for wanted in (context(apparmor=of_type(ProfileType.Localhost, "web")), context(apparmor_profile="localhost/web")):
        with pytest.raises(Invalid, match="AppArmor is not enabled"):
            profiles.apparmor_profile(wanted, armor=NO_ARMOR)


def test_without_apparmor_the_default_profile_is_as_good_as_none() -> None:
    for wanted in (
        context(),
        context(apparmor=of_type(ProfileType.RuntimeDefault)),
        context(apparmor_profile="unconfined"),
    ):
        assert profiles.apparmor_profile(wanted, armor=NO_ARMOR) == ""


def test_a_default_profile_that_could_not_be_loaded_is_refused_to_who_asks_for_it_and_to_nobody_else() -> None:
    unloaded = apparmor.Kernel(is_enabled=True)
    assert profiles.apparmor_profile(context(), armor=unloaded) == ""
    for wanted in (context(apparmor=of_type(ProfileType.RuntimeDefault)), context(apparmor_profile="runtime/default")):
        with pytest.raises(Invalid, match="knarr-default could not be loaded"):
            profiles.apparmor_profile(wanted, armor=unloaded)


async def test_a_default_profile_that_somebody_unloaded_is_loaded_again_or_the_container_is_refused(
    armor: apparmor.Kernel,
) -> None:
    loads: list[str] = []

    def load() -> apparmor.Kernel:
        loads.append(apparmor.DEFAULT)
        armor.loaded.write_text("web (complain)\nknarr-default (enforce)\n")
        return armor

    assert await profiles.ready_apparmor_profile(context(), armor=armor, load=load) == "knarr-default"
    assert loads == []
    armor.loaded.write_text("web (complain)\n")
    unconfined = context(apparmor=of_type(ProfileType.Unconfined))
    assert await profiles.ready_apparmor_profile(unconfined, armor=armor, load=load) == ""
    with pytest.raises(Invalid, match="knarr-default was unloaded on this machine, and could not be loaded again"):
        await profiles.ready_apparmor_profile(context(), armor=armor, load=lambda: apparmor.Kernel(is_enabled=True))
    assert loads == []
    assert await profiles.ready_apparmor_profile(context(), armor=armor, load=load) == "knarr-default"
    assert loads == ["knarr-default"]


def test_devices_that_cannot_be_given_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for device in (c.Device(host_path=str(tmp_path / "none")), c.Device(host_path=str(tmp_path / "file"))):
        with pytest.raises((NotFound, Invalid)):
            profiles.devices(c.ContainerConfig(devices=(device,)))
    with pytest.raises(Invalid, match="CDI"):
        profiles.devices(c.ContainerConfig(CDI_devices=(c.CDIDevice(name="x"),)))
    null = c.Device(host_path="/dev/null", container_path="/dev/mine", permissions="r")
    (found,) = profiles.devices(c.ContainerConfig(devices=(null,)))
    assert (found.path, found.kind, found.major, found.minor, found.access) == ("/dev/mine", "c", 1, 3, "r")


@pytest.mark.parametrize("target", ["/proc", "/sys/fs", "/dev", "/dev/null", "/dev/pts", "/dev/pts/0", "/dev/stdin"])
def test_no_mount_takes_the_place_of_what_the_kernel_or_the_runtime_shows(target: str) -> None:
    with pytest.raises(Invalid, match="refusing it"):
        guard.check_target(target, is_privileged=False)
    guard.check_target(target, is_privileged=True)


@pytest.mark.parametrize(
    "target", ["/dev/shm", "/dev/termination-log", "/dev/nullity", "/procs", "/devices", "/data/dev"]
)
def test_other_places_may_be_mounted_on(target: str) -> None:
    guard.check_target(target, is_privileged=False)


def test_a_mount_that_is_not_where_it_was_wanted_is_noticed() -> None:
    lines = (
        "36 35 98:0 / /shared rw,noatime - ext4 /dev/vda rw",
        "37 36 98:0 /payload /proc/sys rw - ext4 /dev/vda rw",
        "38 36 98:0 /payload /with\\040blank rw - ext4 /dev/vda rw",
    )
    guard.check_mounted("\n".join(lines), ["/shared", "/with blank"])
    with pytest.raises(Invalid, match="mount target /shared/x: a symbolic link in a volume led the mount elsewhere"):
        guard.check_mounted("\n".join(lines), ["/shared", "/shared/x"])


def test_a_target_that_is_named_twice_wants_two_mounts() -> None:
    """The rendered specification names a target once, whatever the pod names; this does not rely on it."""
    shared, x, elsewhere = (f"36 35 98:0 / {point} rw - ext4 /dev/vda rw" for point in ("/shared", "/shared/x", "/sys"))
    guard.check_mounted("\n".join((shared, x, x)), ["/shared", "/shared/x", "/shared/x"])
    with pytest.raises(Invalid, match="mount target /shared/x: a symbolic link in a volume led the mount elsewhere"):
        guard.check_mounted("\n".join((shared, x, elsewhere)), ["/shared", "/shared/x", "/shared/x"])
