"""Prepares one pod's volumes, hosts file and environment inputs, and starts its containers: the acting half of a start.

`PodFiles` keeps volumes true (again on every change of an object they show); `start` goes from image to running
container and raises StartFailed with the waiting reason to show. The order of acts is upstream's.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Literal

from knarr.base import tasks
from knarr.base.clock import Instant
from knarr.base.errors import Invalid, KnarrError
from knarr.cri.messages import config
from knarr.cri.messages import container as cri_container
from knarr.kinds.core_config import CONFIGMAP, SECRET
from knarr.kinds.lens.container import Container
from knarr.kinds.lens.pod import Pod
from knarr.kinds.registry import Kind
from knarr.kubelet import cri_config, dns, env, env_files, members, security, user_namespaces
from knarr.kubelet.env import Sources
from knarr.kubelet.fields import Place
from knarr.kubelet.images import StartFailed
from knarr.kubelet.members import AnyContainer
from knarr.kubelet.observed import ObservedPod
from knarr.kubelet.shared import Shared
from knarr.kubelet.standing import START_FAILED, Problem
from knarr.kubelet.tokens import TokenSource
from knarr.kubelet.volumes import files
from knarr.kubelet.volumes.volumes import PodVolumes

Tell = Callable[[str, Literal["Normal", "Warning"], str, str], None]
"""(container name or "", type, reason, message)."""
RETRY_SECONDS = 10.0
"""How long a container that could not be made waits, unless an object it reads changes first."""


class VolumesFailed(Exception):
    """A volume is not ready; str() is the event's text."""


class PodFiles:
    """The files of one pod: volumes, hosts file, termination messages."""

    def __init__(self, shared: Shared, uid: str) -> None:
        self._shared = shared
        self._uid = uid
        self._pod_dir = shared.settings.pod_dir(uid)
        self._tokens = TokenSource(shared.client, shared.clock)
        self.volumes = PodVolumes(self._pod_dir, shared.settings.memory_dir(uid), shared.can_recurse)

    async def prepare(self, pod: Pod, ips: tuple[str, ...]) -> Instant | None:
        """Make all volumes show what they should; answers when a token wants renewal. Raises VolumesFailed."""
        await self._shared.sources.listed(self._uid)
        tokens: dict[files.TokenWanted, str] = {}
        for volume in pod.spec.volumes:
            try:
                for wanted in files.tokens(volume):
                    tokens[wanted] = await self._tokens.get(pod, wanted)
                self.volumes.prepare(pod, volume, files.Inputs(self.sources(pod, ips), tokens))
            except (KnarrError, OSError) as error:
                raise VolumesFailed(f'MountVolume.SetUp failed for volume "{volume.name}" : {error}') from error
        return self._tokens.renew_at

    def sources(self, pod: Pod, ips: tuple[str, ...]) -> Sources:
        """What environment and files read, as of now."""
        names = needed(pod)
        shared, namespace = self._shared, pod.metadata.namespace
        return Sources(
            config_maps=shared.sources.config_maps(namespace, names[CONFIGMAP]),
            secrets=shared.sources.secrets(namespace, names[SECRET]),
            services=tuple(shared.services()),
            place=Place(shared.settings.node_ip, ips, dict(shared.allocatable)),
            env_file=lambda volume, path: self._env_file(pod, volume, path),
        )

    def _env_file(self, pod: Pod, name: str, path: str) -> Mapping[str, str] | None:
        volume = next((each for each in pod.spec.volumes if each.name == name), None)
        if volume is None or volume.empty_dir is None:
            raise Invalid(f"env file {path}: {name} is not an emptyDir volume of the pod")
        return env_files.read(self.volumes.directory(volume), path)

    def hosts(self, pod: Pod, ips: tuple[str, ...]) -> Path:
        """Write the pod's hosts file."""
        path = self._pod_dir / "etc-hosts"
        host_file = Path("/etc/hosts").read_text(errors="replace") if pod.spec.host_network else ""
        text = dns.hosts_file(pod, ips, self._shared.settings.cluster_domain, host_file)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
        return path

    def message_path(self, name: str, attempt: int) -> Path:
        """Where a container's termination message is on the host."""
        return self._pod_dir / "containers" / name / str(attempt)

    def new_message_file(self, name: str, attempt: int) -> Path:
        path = self.message_path(name, attempt)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        path.chmod(0o666)
        return path


def needed(pod: Pod) -> dict[Kind, set[str]]:
    """The ConfigMaps and Secrets that the pod reads anywhere."""
    found = [env.references(c) for c in members.every(pod)] + [files.references(v) for v in pod.spec.volumes]
    config_maps = {name for names, _ in found for name in names}
    secrets = {name for _, names in found for name in names} | {s.name for s in pod.spec.image_pull_secrets}
    return {CONFIGMAP: config_maps - {""}, SECRET: secrets - {""}}


def _volume_images(pod: Pod, container: AnyContainer) -> list[Container]:
    """The images that a container mounts as volumes, in the form that pulls take: they are pulled as its own is."""
    mounted = {mount.name for mount in container.volume_mounts}
    return [
        Container(name=volume.name, image=volume.image.reference, image_pull_policy=volume.image.pull_policy)
        for volume in pod.spec.volumes
        if volume.image is not None and volume.name in mounted
    ]


class Starter:
    """Starts the containers of one pod."""

    def __init__(self, shared: Shared, pod_files: PodFiles, tell: Tell) -> None:
        self._shared = shared
        self._files = pod_files
        self._tell = tell

    async def start(
        self, pod: Pod, container: AnyContainer, attempt: int, observed: ObservedPod, sandbox: config.PodSandboxConfig
    ) -> str:
        """Pull, create and start; answers the container's id. Raises StartFailed."""
        box = observed.ready_sandbox
        assert box is not None, "containers are started in a ready sandbox only"
        secrets = self._files.sources(pod, box.ips).secrets
        pull_secrets = [secrets[s.name] for s in pod.spec.image_pull_secrets if s.name in secrets]
        image = await self._shared.puller.ensure(
            pod.metadata.uid, container, pull_secrets, sandbox, lambda *told: self._tell(container.name, *told)
        )
        for volume_image in _volume_images(pod, container):
            await self._shared.puller.ensure(
                pod.metadata.uid, volume_image, pull_secrets, sandbox, lambda *told: self._tell(container.name, *told)
            )
        shared = self._shared
        prepared = cri_config.Prepared(
            image,
            memory_capacity=shared.memory_capacity,
            memory_rules=shared.settings.memory_rules,
            seccomp_root=shared.settings.seccomp_root,
        )
        try:
            uid, username = cri_config.image_user(image)
            security.verify_non_root(pod, container, uid=uid, username=username)
            variables = env.environment(pod, container, self._files.sources(pod, box.ips))
            mounts = self._mounts(pod, container, attempt, variables, box.ips)
            prepared = replace(prepared, env=variables, mounts=mounts, target_id=self._target(container, observed))
        except (KnarrError, OSError) as error:
            raise self._failed(container, "CreateContainerConfigError", error) from error
        return await self._create_and_start(pod, container, attempt, prepared, box_id=box.id, sandbox=sandbox)

    async def _create_and_start(
        self,
        pod: Pod,
        container: AnyContainer,
        attempt: int,
        prepared: cri_config.Prepared,
        *,
        box_id: str,
        sandbox: config.PodSandboxConfig,
    ) -> str:
        runtime = self._shared.runtime
        wanted = cri_config.container_config(pod, container, attempt, prepared)
        if pod.spec.host_users is False:
            users = self._shared.user_namespaces.mapping(pod.metadata.uid)
            wanted = user_namespaces.for_container(wanted, users)
        try:
            (Path(sandbox.log_directory) / wanted.log_path).parent.mkdir(parents=True, exist_ok=True)
            created = await runtime.create_container(
                cri_container.CreateContainerRequest(pod_sandbox_id=box_id, config=wanted, sandbox_config=sandbox)
            )
        except (KnarrError, OSError) as error:
            raise self._failed(container, "CreateContainerError", error) from error
        self._tell(container.name, "Normal", "Created", "Container created")
        # The pod may end, or be deleted, meanwhile: it must be known first whether a container runs that is to be told
        # and to get its grace.
        await tasks.to_its_end(self._begin(container, created.container_id))
        return created.container_id

    async def _begin(self, container: AnyContainer, container_id: str) -> None:
        request = cri_container.StartContainerRequest(container_id=container_id)
        try:
            await self._shared.runtime.start_container(request)
        except (KnarrError, OSError) as error:
            raise self._failed(container, START_FAILED, error) from error
        self._tell(container.name, "Normal", "Started", "Container started")

    def _mounts(
        self, pod: Pod, container: AnyContainer, attempt: int, variables: dict[str, str], ips: tuple[str, ...]
    ) -> tuple[config.Mount, ...]:
        """The volumes' mounts, then the hosts file and the termination log unless the spec mounts over them."""
        mounts = self._files.volumes.mounts(pod, container, variables)
        taken = {mount.container_path for mount in mounts}
        if "/etc/hosts" not in taken:
            mounts.append(config.Mount(container_path="/etc/hosts", host_path=str(self._files.hosts(pod, ips))))
        path = container.termination_message_path
        if path and path not in taken:
            source = self._files.new_message_file(container.name, attempt)
            mounts.append(config.Mount(container_path=path, host_path=str(source)))
        return tuple(mounts)

    def _target(self, container: AnyContainer, observed: ObservedPod) -> str:
        """The id of the container whose processes a debug container sees."""
        name = getattr(container, "target_container_name", "")
        target = observed.current(name) if name else None
        if name and (target is None or not target.is_running):
            raise Invalid(f"unable to find target container {name}")
        return target.id if target else ""

    def _failed(self, container: AnyContainer, reason: str, error: Exception) -> StartFailed:
        self._tell(container.name, "Warning", "Failed", f"Error: {error}")
        return StartFailed(Problem(reason, str(error), self._shared.clock.now() + timedelta(seconds=RETRY_SECONDS)))
