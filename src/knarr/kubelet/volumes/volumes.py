"""All volumes of one pod on disk: prepare, refresh, mount into containers, remove.

One table says which source is whose; projected content comes in as files.Inputs. Refusals are errors.Invalid with
upstream's text. Secrets and tokens live under `memory_dir` (a tmpfs), everything else in the pod's directory.
"""

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from knarr.base.errors import Invalid, Unimplemented
from knarr.base.removal import drop_tree
from knarr.cri.messages.config import ImageSpec, Mount
from knarr.cri.messages.enums import MountPropagation
from knarr.kinds.lens.pod import Pod
from knarr.kinds.lens.volumes import Volume, VolumeMount
from knarr.kubelet import expansion, mounting, resources
from knarr.kubelet.members import AnyContainer
from knarr.kubelet.volumes import atomic, empty_dir, files, host_path, sub_path
from knarr.kubelet.volumes.files import Inputs

PROPAGATION = {
    None: MountPropagation.PROPAGATION_PRIVATE,
    "None": MountPropagation.PROPAGATION_PRIVATE,
    "HostToContainer": MountPropagation.PROPAGATION_HOST_TO_CONTAINER,
    "Bidirectional": MountPropagation.PROPAGATION_BIDIRECTIONAL,
}


@dataclass(frozen=True, slots=True)
class PodVolumes:
    """Where one pod's volumes are. `memory_dir` is a directory of this pod on a tmpfs; `can_recurse`: the runtime makes
    mounts read-only with all that is below them."""

    pod_dir: Path
    memory_dir: Path
    can_recurse: bool = True

    def directory(self, volume: Volume) -> Path:
        """Where the kubelet keeps a volume's content."""
        is_secret = volume.secret is not None or bool(files.tokens(volume)) or bool(files.references(volume)[1])
        return (self.memory_dir if is_secret else self.pod_dir / "volumes") / volume.name

    def prepare(self, pod: Pod, volume: Volume, inputs: Inputs) -> Path | None:
        """Make a volume ready to mount; again is harmless. None for an image volume, which the runtime mounts."""
        gid = fs_group(pod)
        if volume.host_path is not None:
            return host_path.prepare(volume.host_path)
        if volume.empty_dir is not None:
            limit = resources.pod_resources(pod).memory_limit_in_bytes
            return empty_dir.prepare(self.directory(volume), volume.empty_dir, gid=gid, memory_max=limit)
        if files.is_projected(volume):
            atomic.write(self.directory(volume), files.files(pod, volume, inputs), gid=gid)
            return self.directory(volume)
        if volume.image is not None:
            return None
        # preparation.py says which volume it is.
        raise Unimplemented(f"knarr does not mount volumes of type {_type(volume)} yet: use emptyDir or hostPath")

    def mounts(self, pod: Pod, container: AnyContainer, env: dict[str, str]) -> list[Mount]:
        """The CRI mounts of a container's volumeMounts; all volumes must have been prepared."""
        volumes = {volume.name: volume for volume in pod.spec.volumes}
        return [
            self._mount(container, volumes[mount.name], mount, index=index, env=env)
            for index, mount in enumerate(container.volume_mounts)
        ]

    def _mount(
        self, container: AnyContainer, volume: Volume, mount: VolumeMount, *, index: int, env: dict[str, str]
    ) -> Mount:
        inner = _sub_path(mount, env)
        if volume.image is not None:
            image = ImageSpec(image=volume.image.reference, user_specified_image=volume.image.reference)
            return Mount(container_path=_absolute(mount.mount_path), image=image, image_sub_path=inner, readonly=True)
        source = Path(volume.host_path.path) if volume.host_path else self.directory(volume)
        if inner:
            target = self.pod_dir / "volume-subpaths" / volume.name / container.name / str(index)
            is_shared = mount.mount_propagation == "Bidirectional"
            bind = mounting.bind_shared_fd if is_shared else mounting.bind_fd
            source = sub_path.prepare(source, inner, target, bind)
        return Mount(
            container_path=_absolute(mount.mount_path),
            host_path=str(source),
            readonly=mount.read_only or (files.is_projected(volume)),
            recursive_read_only=self._is_recursive(mount),
            propagation=PROPAGATION[mount.mount_propagation],
        )

    def _is_recursive(self, mount: VolumeMount) -> bool:
        """Whether all that is mounted below is to be read-only too. Raises Invalid where that is asked for in vain."""
        if mount.recursive_read_only == "Enabled" and not self.can_recurse:
            raise Invalid(f'volume "{mount.name}": the runtime has no recursive read-only mounts')
        return mount.recursive_read_only in ("Enabled", "IfPossible") and self.can_recurse

    def remove(self) -> None:
        """Unmount and delete everything of the pod; again is harmless."""
        for directory in (self.pod_dir, self.memory_dir):
            for point in mounting.mounts_below(directory):
                mounting.unmount(point)
            drop_tree(directory)


def fs_group(pod: Pod) -> int | None:
    return pod.spec.security_context.fs_group if pod.spec.security_context else None


def _absolute(path: str) -> str:
    return path if path.startswith("/") else os.path.join("/", path)


def _type(volume: Volume) -> str:
    if volume.persistent_volume_claim is not None:
        return "persistentVolumeClaim"
    return "ephemeral" if volume.ephemeral is not None else "unknown"


def _sub_path(mount: VolumeMount, env: dict[str, str]) -> str:
    if not mount.sub_path_expr:
        return mount.sub_path
    missing = expansion.unresolved(mount.sub_path_expr, env)
    if missing is not None:
        raise Invalid(f"failed to expand subPathExpr of volumeMount {mount.name!r}: missing value for {missing!r}")
    text = expansion.expand(mount.sub_path_expr, env)
    if text.startswith("/") or ".." in PurePosixPath(text).parts:
        raise Invalid(f'error SubPath `{text}` must not be an absolute path or contain ".."')
    return text
