"""Settings of a container to the OCI configuration."""

from pathlib import Path
from typing import Any

import pytest

from knarr.runtime import defaults, host, seccomp, spec
from knarr.runtime.cgroups import Resources

SETTINGS = spec.ContainerSettings(rootfs=Path("/r"), arguments=("sh",), cgroup_path="/k/c")


def settings(**words: Any) -> spec.ContainerSettings:
    return spec.ContainerSettings(**{"rootfs": Path("/r"), "arguments": ("sh",), "cgroup_path": "/k/c", **words})


def test_who_asks_for_nothing_is_confined() -> None:
    config = spec.render(SETTINGS)
    linux = config["linux"]
    assert config["process"]["capabilities"]["effective"] == sorted(
        defaults.CAPABILITIES, key=defaults.ALL_CAPABILITIES.index
    )
    assert len(config["process"]["capabilities"]["bounding"]) == 11
    assert "inheritable" not in config["process"]["capabilities"]
    assert len(linux["maskedPaths"]) == 11
    assert len(linux["readonlyPaths"]) == 5
    assert linux["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO"
    assert linux["resources"]["devices"][0] == {"allow": False, "access": "rwm"}
    assert {item["type"] for item in linux["namespaces"]} == {"pid", "network", "ipc", "uts", "mount", "cgroup"}


def test_privileged_is_confined_by_nothing_but_its_namespaces() -> None:
    config = spec.render(settings(is_privileged=True))
    assert config["process"]["capabilities"]["effective"] == list(defaults.ALL_CAPABILITIES)
    assert "seccomp" not in config["linux"]
    assert "maskedPaths" not in config["linux"]
    assert config["linux"]["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    assert "ro" not in next(mount for mount in config["mounts"] if mount["destination"] == "/sys")["options"]


@pytest.mark.parametrize(
    ("added", "dropped", "expected"),
    [
        ((), ("ALL",), []),
        (("NET_ADMIN",), ("ALL",), ["CAP_NET_ADMIN"]),
        (("ALL",), ("CAP_KILL",), [name for name in defaults.ALL_CAPABILITIES if name != "CAP_KILL"]),
        (("net_admin",), ("NET_ADMIN",), None),
        (("NOT_A_CAPABILITY",), (), None),
    ],
)
def test_capabilities_are_added_to_and_taken_from_the_default(
    added: tuple[str, ...], dropped: tuple[str, ...], expected: list[str] | None
) -> None:
    found = spec.capabilities(settings(capabilities_added=added, capabilities_dropped=dropped))
    assert found == (expected if expected is not None else spec.capabilities(SETTINGS))


def test_a_namespace_is_new_joined_or_the_hosts() -> None:
    linux = spec.render(settings(namespaces={"pid": "", "network": "/run/ns/x"}, hostname="x"))["linux"]
    assert linux["namespaces"] == [{"type": "pid"}, {"type": "network", "path": "/run/ns/x"}]


def test_the_hosts_network_brings_the_hosts_sysfs() -> None:
    mounts = {mount["destination"]: mount for mount in spec.render(settings(namespaces={"mount": ""}))["mounts"]}
    assert mounts["/sys"]["type"] == "bind"
    assert "ro" in mounts["/sys"]["options"]


def test_a_volume_takes_the_place_of_a_standard_mount_and_parents_come_first() -> None:
    volumes = (spec.VolumeMount("/a/b", "/x"), spec.VolumeMount("/dev/shm", "/s"), spec.VolumeMount("/a", "/y"))
    targets = [mount["destination"] for mount in spec.render(settings(mounts=volumes))["mounts"]]
    assert targets.count("/dev/shm") == 1
    assert targets.index("/a") < targets.index("/a/b")
    assert targets.index("/dev") < targets.index("/dev/shm")


def test_the_root_is_joined_to_the_hosts_mounts_as_far_as_a_volume_asks() -> None:
    private, slave, shared = (
        spec.VolumeMount(f"/{kind}", "/x", ("rbind", kind)) for kind in ("rprivate", "rslave", "rshared")
    )
    found = [
        spec.render(spec.ContainerSettings(rootfs=Path("/r"), arguments=["a"], cgroup_path="/c", mounts=mounts))[
            "linux"
        ]
        for mounts in ([private], [private, slave], [slave, shared])
    ]
    assert [linux.get("rootfsPropagation") for linux in found] == [None, "rslave", "rshared"]


def test_limits_are_written_where_they_are_set() -> None:
    limits = Resources(cpu_shares=512, cpu_quota=50000, memory_limit=1 << 20, pids_limit=10)
    resources = spec.render(settings(resources=limits))["linux"]["resources"]
    del resources["devices"]
    assert resources == {
        "cpu": {"shares": 512, "quota": 50000, "period": 100000},
        "memory": {"limit": 1 << 20},
        "pids": {"limit": 10},
    }


def test_the_filter_refuses_namespaces_kernels_and_keyrings_but_follows_capabilities() -> None:
    plain = {
        name for rule in seccomp.profile()["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]
    }
    refused = {"mount", "unshare", "setns", "bpf", "init_module", "kexec_load", "keyctl", "io_uring_setup", "reboot"}
    assert not plain & refused
    assert {"openat2", "execve", "futex", "socket", "clone", "personality", "ptrace"} <= plain
    admin = seccomp.profile(frozenset({"CAP_SYS_ADMIN"}))["syscalls"]
    assert {"mount", "unshare", "clone3"} <= {name for rule in admin for name in rule["names"]}
    fallback = [rule for rule in seccomp.profile()["syscalls"] if rule["names"] == ["clone3"]]
    assert fallback == [{"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]


def test_what_the_host_cannot_give_is_left_out() -> None:
    limits = host.parse("Name:\tx\nCapBnd:\t0000000000000001\n", oom_score=100)
    assert limits == host.Limits(frozenset({"CAP_CHOWN"}), 100)
    clamped = host.clamp(spec.render(settings(oom_score_adj=-997)), limits)["process"]
    assert clamped["capabilities"]["bounding"] == ["CAP_CHOWN"]
    assert clamped["oomScoreAdj"] == 100
    full = host.Limits(frozenset(defaults.ALL_CAPABILITIES), 100)
    assert host.clamp(spec.render(settings(oom_score_adj=-997)), full)["process"]["oomScoreAdj"] == -997
