"""The volumes of images in containers whose root file system is read-only: which there are, and which not."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from knarr.cri.messages import config as c
from knarr.criserver.containers import declared_volumes, settings
from knarr.criserver.node import Root
from knarr.oci.image_config import ContainerConfig as Image
from knarr.runtime import spec
from knarr.runtime.spec import User

READ_ONLY = c.ContainerConfig(
    command=("/bin/sh",),
    linux=c.LinuxContainerConfig(security_context=c.LinuxContainerSecurityContext(readonly_rootfs=True)),
    mounts=(c.Mount(container_path="/etc/web", host_path="/pods"),),
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("etc", "var"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "var" / "run").symlink_to("/run")
    (tmp_path / "round").symlink_to("round")
    return tmp_path


def declared(root: Path, *paths: str, taken: frozenset[str] = frozenset()) -> list[str]:
    image = Root(root, "", "", Image(volumes={path: {} for path in paths}))
    found = declared_volumes.mounts(READ_ONLY, image, taken, None)
    assert [mount.host_path for mount in found] == [f"{root}{mount.container_path}" for mount in found]
    return [mount.container_path for mount in found]


def test_a_volume_is_a_directory_of_the_root(root: Path) -> None:
    assert declared(root, "/new/deep", "/var/run/x", "relative", "/var/../other/", "//two") == [
        "/new/deep",
        "/other",
        "/relative",
        "/run/x",
        "/two",
    ]
    assert (root / "new" / "deep").is_dir()


@pytest.mark.parametrize(
    "path", ["/sys/fs/cgroup", "/proc", "/dev/pts", "/dev", "/", "/..", "/file", "/file/x", "/round/x", "/x\0"]
)
def test_a_volume_that_cannot_be_is_left_out_and_the_container_runs(root: Path, path: str) -> None:
    assert declared(root, path, "/data") == ["/data"]


def test_what_is_mounted_there_anyway_wins(root: Path) -> None:
    assert declared(root, "/dev/shm", "/data", taken=frozenset({"/dev/shm"})) == ["/data"]


def test_a_volume_that_holds_the_sandboxs_files_does_not_hide_them(root: Path) -> None:
    image = Root(root, "", "", Image(volumes={"/etc": {}}))
    config = replace(READ_ONLY, mounts=(*declared_volumes.mounts(READ_ONLY, image, (), None), *READ_ONLY.mounts))
    found = settings.Found(
        rootfs=root,
        cgroup_path="/c",
        hostname="web",
        user=User(0, 0, ()),
        shared_namespaces={},
        sandbox_files={"/etc/hosts": "/run/hosts"},
        devices=(),
        seccomp_profile=None,
        apparmor_profile="",
        oom_score_adj=None,
    )
    targets = [mount["destination"] for mount in spec.render(settings.render(config, image.config, found))["mounts"]]
    assert [target for target in targets if target.startswith("/etc")] == ["/etc", "/etc/hosts", "/etc/web"]
