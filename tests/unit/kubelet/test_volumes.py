"""Volumes: what files they show, that readers never see a mixture, and that no path leads out."""

import base64
import os
import re
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest

from knarr.base import linux
from knarr.base.errors import Invalid, Unimplemented
from knarr.kinds.lens.config import ConfigMap, Secret
from knarr.kinds.lens.container import ResourceRequirements
from knarr.kinds.lens.pod import Pod
from knarr.kubelet import mounting
from knarr.kubelet.env import Sources
from knarr.kubelet.volumes import atomic, files, sub_path
from knarr.kubelet.volumes.files import File, Inputs, TokenWanted
from knarr.kubelet.volumes.volumes import PodVolumes

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")
CONFIG = ConfigMap(data={"color": "blue", "app.conf": "size=1"}, binary_data={"raw": base64.b64encode(b"\0").decode()})
SECRET = Secret(data={"password": base64.b64encode(b"hunter2").decode()})
INPUTS = Inputs(
    Sources({"cfg": CONFIG}, {"sec": SECRET}), {TokenWanted("", 3600): "token", TokenWanted("vault", 600): "other"}
)


def pod(*volumes: Any, mounts: Any = (), **spec: Any) -> Pod:
    container = {"name": "c", "image": "i", "volumeMounts": list(mounts)}
    body = {
        "metadata": {"name": "web", "namespace": "ns", "uid": "u", "labels": {"app": "multi"}},
        "spec": {"containers": [container], "volumes": [{"name": "v", **v} for v in volumes], **spec},
    }
    return msgspec.convert(body, Pod)


def shown(volume: Any, **spec: Any) -> dict[str, tuple[bytes, int]]:
    subject = pod(volume, **spec)
    found = files.files(subject, subject.spec.volumes[0], INPUTS)
    return {path: (file.content, file.mode) for path, file in found.items()}


def test_all_keys_or_only_the_chosen_ones() -> None:
    assert shown({"configMap": {"name": "cfg"}}) == {
        "color": (b"blue", 0o644),
        "app.conf": (b"size=1", 0o644),
        "raw": (b"\0", 0o644),
    }
    items = [{"key": "color", "path": "a/b", "mode": 0o600}]
    assert shown({"configMap": {"name": "cfg", "items": items}}) == {"a/b": (b"blue", 0o600)}
    assert shown({"secret": {"secretName": "sec", "defaultMode": 0o400}}) == {"password": (b"hunter2", 0o400)}


def test_a_projected_volume_joins_its_sources() -> None:
    sources = [
        {"serviceAccountToken": {"path": "token"}},
        {"serviceAccountToken": {"path": "vault", "audience": "vault", "expirationSeconds": 600}},
        {"configMap": {"name": "cfg", "items": [{"key": "color", "path": "color"}]}},
        {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
    ]
    volume = {"projected": {"defaultMode": 0o440, "sources": sources}}
    assert shown(volume) == {
        "token": (b"token", 0o440),
        "vault": (b"other", 0o440),
        "color": (b"blue", 0o440),
        "labels": (b'app="multi"', 0o440),
    }
    assert shown(volume, securityContext={"fsGroup": 7})["token"] == (b"token", 0o600)


TOKEN = {"projected": {"defaultMode": 0o644, "sources": [{"serviceAccountToken": {"path": "token"}}]}}


@pytest.mark.parametrize(
    ("pods", "first", "second", "expected"),
    [
        (1000, None, None, File(b"token", 0o600, 1000)),
        (None, 1000, 1000, File(b"token", 0o600, 1000)),
        (1000, None, 2000, File(b"token", 0o644)),
        (None, 1000, None, File(b"token", 0o644)),
        (None, None, None, File(b"token", 0o644)),
    ],
)
def test_a_token_belongs_to_the_one_user_that_all_containers_run_as(
    pods: int | None, first: int | None, second: int | None, expected: File
) -> None:
    users = {"c": first, "d": second}
    containers = [{"name": n, "image": "i", "securityContext": {"runAsUser": uid}} for n, uid in users.items()]
    subject = pod(TOKEN, containers=containers, securityContext={"runAsUser": pods})
    assert files.files(subject, subject.spec.volumes[0], INPUTS) == {"token": expected}


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        ({"configMap": {"name": "nope"}}, 'configmap "nope" not found'),
        ({"secret": {"secretName": "nope"}}, 'secret "nope" not found'),
        (
            {"configMap": {"name": "cfg", "items": [{"key": "x", "path": "x"}]}},
            "references non-existent config key: x",
        ),
    ],
)
def test_what_is_missing_is_named_unless_it_is_optional(volume: dict[str, Any], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        shown(volume)
    optional = {kind: {**source, "optional": True} for kind, source in volume.items()}
    assert shown(optional) == {}


def read(directory: Path) -> dict[str, bytes]:
    return {name: (directory / name).read_bytes() for name in os.listdir(directory) if not name.startswith("..")}


def test_an_update_swaps_all_files_at_once_and_leaves_no_remains(tmp_path: Path) -> None:
    target = tmp_path / "v"
    assert atomic.write(target, {"a": File(b"1"), "b": File(b"1"), "gone": File(b"1")})
    before = os.readlink(target / "..data")
    assert re.fullmatch(r"\.\.\d{4}(_\d\d){5}\.\d{10}", before), "named by the time, as upstream's"
    held = os.open(target / "..data" / "a", os.O_RDONLY)
    assert not atomic.write(target, {"a": File(b"1"), "b": File(b"1"), "gone": File(b"1")})
    assert os.readlink(target / "..data") == before, "what is the same is not written again"
    assert atomic.write(target, {"a": File(b"2"), "b": File(b"2"), "new/deep": File(b"3", 0o400)})
    assert os.read(held, 9) == b"1"
    os.close(held)
    assert sorted(n for n in os.listdir(target) if not n.startswith("..")) == ["a", "b", "new"]
    assert (target / "new/deep").read_bytes() == b"3"
    assert stat.S_IMODE((target / "new/deep").stat().st_mode) == 0o400
    assert len([n for n in os.listdir(target) if n.startswith("..")]) == 2


@pytest.mark.parametrize("path", ["../x", "/x", "a/../../x", "", "..data", "a\0b"])
def test_a_path_that_leads_out_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(Invalid):
        atomic.write(tmp_path / "v", {path: File(b"")})
    assert list(tmp_path.rglob("x")) == []


def test_a_mode_changed_is_an_update(tmp_path: Path) -> None:
    atomic.write(tmp_path, {"a": File(b"1", 0o644)})
    assert atomic.write(tmp_path, {"a": File(b"1", 0o600)})


@ROOT_ONLY
def test_an_fs_group_may_read_what_is_projected_and_write_what_is_empty(tmp_path: Path) -> None:
    subject = pod({"emptyDir": {}}, securityContext={"fsGroup": 3000})
    volumes = PodVolumes(tmp_path / "pod", tmp_path / "memory")
    path = volumes.prepare(subject, subject.spec.volumes[0], INPUTS)
    assert path is not None
    assert (path.stat().st_gid, stat.S_IMODE(path.stat().st_mode)) == (3000, 0o2777)
    subject = pod({"emptyDir": {"medium": "Memory"}}, securityContext={"fsGroup": 3000})
    memory = PodVolumes(tmp_path / "other", tmp_path / "memory").prepare(subject, subject.spec.volumes[0], INPUTS)
    assert memory is not None
    mode = stat.S_IMODE(memory.stat().st_mode)
    mounting.unmount(memory)
    assert mode == 0o3777, "sticky, as a tmpfs is"
    atomic.write(tmp_path / "v", {"a": File(b"1", 0o400)}, gid=3000)
    found = (tmp_path / "v" / "a").stat()
    assert (found.st_gid, stat.S_IMODE(found.st_mode)) == (3000, 0o440)


@ROOT_ONLY
def test_a_file_of_a_user_is_that_users_and_another_users_is_an_update(tmp_path: Path) -> None:
    atomic.write(tmp_path, {"a": File(b"1", 0o600, 1000)})
    found = (tmp_path / "a").stat()
    assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (1000, 0o600)
    assert not atomic.write(tmp_path, {"a": File(b"1", 0o600, 1000)})
    assert atomic.write(tmp_path, {"a": File(b"1", 0o600, 2000)})


@ROOT_ONLY
@pytest.mark.parametrize("propagation", [None, "Bidirectional"])
def test_what_the_host_has_mounted_below_a_sub_path_stays_when_the_pod_goes(
    tmp_path: Path, propagation: str | None
) -> None:
    host = tmp_path / "host"
    (host / "sub" / "disk").mkdir(parents=True)
    linux.mount(str(host), host, None, linux.MS_BIND)
    try:
        linux.mount("none", host, None, 1 << 20)  # MS_SHARED, as distributions have their mounts
        disk = host / "sub" / "disk"
        linux.mount("tmpfs", disk, "tmpfs", 0, "size=1m")
        (disk / "kept").write_text("x")
        mount = {"name": "v", "mountPath": "/v", "subPath": "sub", "mountPropagation": propagation}
        subject = pod({"hostPath": {"path": str(host)}}, mounts=[mount])
        volumes = PodVolumes(tmp_path / "pod", tmp_path / "memory")
        [mounted] = volumes.mounts(subject, subject.spec.containers[0], {})
        assert (Path(mounted.host_path) / "disk").is_dir()
        volumes.remove()
        assert (disk / "kept").read_text() == "x"
    finally:
        for point in linux.mounts_below(tmp_path):
            linux.umount(point)


def test_secrets_and_tokens_live_in_memory_and_the_rest_on_disk(tmp_path: Path) -> None:
    volumes = PodVolumes(tmp_path / "pod", tmp_path / "memory")
    secret, config, token = (
        pod(source).spec.volumes[0]
        for source in (
            {"secret": {"secretName": "sec"}},
            {"configMap": {"name": "cfg"}},
            {"projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
        )
    )
    assert [volumes.directory(v).parent for v in (secret, config, token)] == [
        tmp_path / "memory",
        tmp_path / "pod" / "volumes",
        tmp_path / "memory",
    ]


@pytest.mark.parametrize(
    ("kind", "message"),
    [("Directory", "is not a directory"), ("Socket", "is not a socket"), ("BlockDevice", "is not a block device")],
)
def test_a_host_path_of_another_type_is_refused(tmp_path: Path, kind: str, message: str) -> None:
    (tmp_path / "f").touch()
    subject = pod({"hostPath": {"path": str(tmp_path / "f"), "type": kind}})
    with pytest.raises(Invalid, match=f"hostPath type check failed: {tmp_path}/f {message}"):
        PodVolumes(tmp_path, tmp_path).prepare(subject, subject.spec.volumes[0], INPUTS)


def test_a_host_path_may_be_made(tmp_path: Path) -> None:
    subject = pod({"hostPath": {"path": str(tmp_path / "a/b"), "type": "DirectoryOrCreate"}})
    PodVolumes(tmp_path, tmp_path).prepare(subject, subject.spec.volumes[0], INPUTS)
    assert (tmp_path / "a/b").is_dir()


@pytest.mark.parametrize(
    ("source", "type_"),
    [
        ({"persistentVolumeClaim": {"claimName": "x"}}, "persistentVolumeClaim"),
        ({"ephemeral": {"volumeClaimTemplate": {"spec": {}}}}, "ephemeral"),
        ({"another": {}}, "unknown"),
    ],
)
def test_a_volume_that_is_not_there_yet_says_so(tmp_path: Path, source: Any, type_: str) -> None:
    subject = pod(source)
    with pytest.raises(Unimplemented, match=f"volumes of type {type_} yet: use"):
        PodVolumes(tmp_path, tmp_path).prepare(subject, subject.spec.volumes[0], INPUTS)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ({"emptyDir": {"medium": "HugePages-2Mi"}}, "huge pages"),
        ({"projected": {"sources": [{"clusterTrustBundle": {"path": "ca"}}]}}, "clusterTrustBundle"),
        ({"projected": {"sources": [{"podCertificate": {}}]}}, "podCertificate"),
    ],
)
def test_what_this_node_does_not_have_is_refused_by_name(tmp_path: Path, source: Any, says: str) -> None:
    subject = pod(source)
    with pytest.raises(Unimplemented, match=says):
        PodVolumes(tmp_path, tmp_path).prepare(subject, subject.spec.volumes[0], INPUTS)


@pytest.mark.parametrize(
    ("asked", "can", "is_recursive"),
    [("Enabled", True, True), ("IfPossible", True, True), ("IfPossible", False, False), ("Disabled", True, False)],
)
def test_mounts_are_recursively_read_only_where_the_runtime_can(
    tmp_path: Path, asked: str, can: bool, is_recursive: bool
) -> None:
    mount = [{"name": "v", "mountPath": "/v", "readOnly": True, "recursiveReadOnly": asked}]
    subject = pod({"emptyDir": {}}, mounts=mount)
    volumes = PodVolumes(tmp_path / "pod", tmp_path / "memory", can)
    [found] = volumes.mounts(subject, subject.spec.containers[0], {})
    assert (found.readonly, found.recursive_read_only) == (True, is_recursive)


def test_recursively_read_only_is_refused_where_the_runtime_cannot(tmp_path: Path) -> None:
    mount = [{"name": "v", "mountPath": "/v", "readOnly": True, "recursiveReadOnly": "Enabled"}]
    subject = pod({"emptyDir": {}}, mounts=mount)
    with pytest.raises(Invalid, match="no recursive read-only mounts"):
        PodVolumes(tmp_path, tmp_path, False).mounts(subject, subject.spec.containers[0], {})


@ROOT_ONLY
def test_a_sub_path_is_mounted_made_and_let_go(tmp_path: Path) -> None:
    mount = [{"name": "v", "mountPath": "/one", "subPathExpr": "$(POD)/x"}]
    subject = pod({"emptyDir": {}}, mounts=mount)
    volumes = PodVolumes(tmp_path / "pod", tmp_path / "memory")
    source = volumes.prepare(subject, subject.spec.volumes[0], INPUTS)
    assert source is not None
    found = volumes.mounts(subject, subject.spec.containers[0], {"POD": "web"})[0]
    Path(found.host_path, "seen").touch()
    assert (source / "web/x/seen").exists()
    volumes.remove()
    assert (mounting.mounts_below(tmp_path), list(tmp_path.iterdir())) == ([], [])
    with pytest.raises(Invalid, match="missing value for 'POD'"):
        volumes.mounts(subject, subject.spec.containers[0], {})


@ROOT_ONLY
@pytest.mark.parametrize("path", ["out", "out/etc", "proc/self/root", "..", "deep/up/x"])
def test_no_link_in_a_volume_leads_a_sub_path_out_of_it(tmp_path: Path, path: str) -> None:
    volume = tmp_path / "v"
    (volume / "deep").mkdir(parents=True)
    (volume / "out").symlink_to("/")
    (volume / "proc").symlink_to("/proc")
    (volume / "deep/up").symlink_to("../..")
    with pytest.raises(Invalid, match="failed to prepare subPath"):
        sub_path.prepare(volume, path, tmp_path / "target")
    assert mounting.mounts_below(tmp_path) == []


@ROOT_ONLY
def test_restarts_of_a_container_put_no_mount_on_top_of_another(tmp_path: Path) -> None:
    volume, target = tmp_path / "v", tmp_path / "target"
    volume.mkdir()
    for _ in range(3):
        sub_path.prepare(volume, "x", target)
    assert len(mounting.mounts_below(target)) == 1
    (volume / "x").rmdir()
    (volume / "x").write_text("now a file")
    assert sub_path.prepare(volume, "x", target).read_text() == "now a file"
    mounting.unmount(target)
    assert mounting.mounts_below(tmp_path) == []


@ROOT_ONLY
def test_a_volume_in_memory_is_no_larger_than_the_pods_limit(tmp_path: Path) -> None:
    def size(limit: str, **source: str) -> int:
        volume = {"emptyDir": {"medium": "Memory", **source}}
        subject = pod(volume)
        limited = msgspec.structs.replace(
            subject.spec.containers[0], resources=ResourceRequirements(limits={"memory": limit} if limit else {})
        )
        subject = msgspec.structs.replace(subject, spec=msgspec.structs.replace(subject.spec, containers=(limited,)))
        volumes = PodVolumes(tmp_path / "pod", tmp_path / "memory")
        made = volumes.prepare(subject, subject.spec.volumes[0], INPUTS)
        assert made is not None
        found = os.statvfs(made)
        volumes.remove()
        return found.f_blocks * found.f_frsize

    assert size("8Mi") == 8 << 20
    assert size("8Mi", sizeLimit="1Mi") == 1 << 20
    assert size("8Mi", sizeLimit="1Gi") == 8 << 20
    assert size("", sizeLimit="2Mi") == 2 << 20


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    clash = {"a": File(b"1"), "a/b": File(b"2")}
    for _ in range(3):
        with pytest.raises(FileExistsError):
            atomic.write(tmp_path / "v", clash)
    assert list((tmp_path / "v").iterdir()) == []


def test_a_directory_that_a_sub_path_made_yields_to_the_file_that_comes(tmp_path: Path) -> None:
    directory = tmp_path / "v"
    atomic.write(directory, {"color": File(b"blue")})
    (directory / "size").mkdir()  # a container mounted the subPath `size` before there was one
    atomic.write(directory, {"color": File(b"green")})
    assert (directory / "color").read_bytes() == b"green"
    atomic.write(directory, {"color": File(b"green"), "size": File(b"1")})
    assert (directory / "size").read_bytes() == b"1"


def test_a_deep_directory_that_a_sub_path_made_yields_to_the_file_that_comes(tmp_path: Path) -> None:
    atomic.write(tmp_path, {"color": File(b"blue")})
    (tmp_path / "size" / "deep").mkdir(parents=True)  # a container mounted the subPath `size/deep`
    assert atomic.write(tmp_path, {"size": File(b"1")})
    assert read(tmp_path) == {"size": b"1"}


def test_a_write_that_was_cut_short_after_the_swap_is_finished_by_the_next_one(tmp_path: Path) -> None:
    atomic.write(tmp_path, {"a": File(b"1"), "b": File(b"1")})
    (tmp_path / "..older").mkdir()
    (tmp_path / "..older" / "a").write_bytes(b"0")
    (tmp_path / "a").unlink()
    (tmp_path / "gone").symlink_to("..data/gone")
    before = os.readlink(tmp_path / "..data")
    assert not atomic.write(tmp_path, {"a": File(b"1"), "b": File(b"1")}), "the files are the same"
    assert read(tmp_path) == {"a": b"1", "b": b"1"}
    assert sorted(os.listdir(tmp_path)) == sorted(["..data", before, "a", "b"])
