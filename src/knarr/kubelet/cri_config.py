"""What the kubelet sends to the runtime: the configuration of a pod's sandbox and of each container.

Pure: everything that must be looked up (image user, environment, mounts, addresses) comes in as values. Labels and
annotations are upstream's, so that a container is recognised after a restart and by other CRI tools.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

from knarr.cri.messages import config
from knarr.cri.messages.enums import Protocol, Signal
from knarr.cri.messages.image import Image
from knarr.kinds.lens.pod import Pod
from knarr.kubelet import dns, expansion, members, observed, resources, security
from knarr.kubelet.members import AnyContainer
from knarr.kubelet.memory_rules import MemoryRules
from knarr.kubelet.settings import KubeletSettings

SECONDS_DEFAULT = 30


def sandbox_config(pod: Pod, attempt: int, settings: KubeletSettings, host: dns.Resolver) -> config.PodSandboxConfig:
    """The sandbox of a pod."""
    meta = pod.metadata
    context = pod.spec.security_context
    name = dns.host_name(pod, settings.cluster_domain)
    return config.PodSandboxConfig(
        metadata=config.PodSandboxMetadata(name=meta.name, namespace=meta.namespace, uid=meta.uid, attempt=attempt),
        hostname="" if pod.spec.host_network else name,
        log_directory=str(settings.log_dir(meta.namespace, meta.name, meta.uid)),
        dns_config=dns.dns_config(pod, host, settings.cluster_dns, settings.cluster_domain),
        port_mappings=tuple(
            config.PortMapping(
                protocol=Protocol[port.protocol or "TCP"],
                container_port=port.container_port,
                host_port=port.host_port,
                host_ip=port.host_ip,
            )
            for container in (*members.sidecars(pod), *pod.spec.containers)
            for port in container.ports
            if not pod.spec.host_network
        ),
        labels={**meta.labels, **_pod_labels(pod)},
        annotations={**meta.annotations, **_pod_resources(pod)},
        linux=config.LinuxPodSandboxConfig(
            cgroup_parent=settings.cgroup_parent(meta.uid),
            security_context=security.sandbox_security(pod),
            sysctls={sysctl.name: sysctl.value for sysctl in context.sysctls} if context else {},
            resources=resources.pod_resources(pod, settings.pod_pids_max),
        ),
    )


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was looked up for one container: its image, environment, mounts and the debug target's id; and of this
    machine its memory, how it is bounded, and the folder of seccomp profiles."""

    image: Image
    env: dict[str, str] = field(default_factory=dict)
    mounts: tuple[config.Mount, ...] = ()
    target_id: str = ""
    memory_capacity: int = 0
    memory_rules: MemoryRules = MemoryRules()
    seccomp_root: Path = Path("/")


def container_config(pod: Pod, container: AnyContainer, attempt: int, prepared: Prepared) -> config.ContainerConfig:
    """One container of a pod."""
    env = prepared.env
    image = prepared.image
    uid, username = image_user(image)
    return config.ContainerConfig(
        metadata=config.ContainerMetadata(name=container.name, attempt=attempt),
        image=config.ImageSpec(image=image.id, user_specified_image=container.image),
        command=tuple(expansion.expand(word, env) for word in container.command),
        args=tuple(expansion.expand(word, env) for word in container.args),
        working_dir=container.working_dir,
        envs=tuple(config.KeyValue(key=key, value=value.encode()) for key, value in env.items()),
        mounts=prepared.mounts,
        labels={observed.CONTAINER_NAME: container.name, **_pod_labels(pod)},
        annotations=_annotations(pod, container, attempt),
        log_path=f"{container.name}/{attempt}.log",
        stdin=container.stdin,
        stdin_once=container.stdin_once,
        tty=container.tty,
        stop_signal=stop_signal(container),
        linux=config.LinuxContainerConfig(
            resources=resources.container_resources(pod, container, prepared.memory_capacity, prepared.memory_rules),
            security_context=security.container_security(
                pod,
                container,
                seccomp_root=prepared.seccomp_root,
                target_id=prepared.target_id,
                uid=uid,
                username=username,
            ),
        ),
    )


def stop_signal(container: AnyContainer) -> Signal:
    """What ends the container; unless it says, the image's or SIGTERM. CRI says PLUS for +."""
    wanted = container.lifecycle.stop_signal if container.lifecycle is not None else None
    if not wanted:
        return Signal.SIGNAL_RUNTIME_DEFAULT
    return Signal[f"SIGNAL_{wanted.replace('+', 'PLUS').replace('-', 'MINUS')}"]


def image_user(image: Image) -> tuple[int | None, str]:
    """(uid, name) that the image runs as; an image that says nothing runs as root."""
    if image.uid is not None:
        return image.uid.value, ""
    return (None, image.username) if image.username else (0, "")


def _pod_resources(pod: Pod) -> dict[str, str]:
    given = resources.pod_fingerprint(pod)
    return {observed.RESOURCES: given} if given else {}


def _pod_labels(pod: Pod) -> dict[str, str]:
    return {
        observed.POD_NAME: pod.metadata.name,
        observed.POD_NAMESPACE: pod.metadata.namespace,
        observed.POD_UID: pod.metadata.uid,
    }


def _annotations(pod: Pod, container: AnyContainer, attempt: int) -> dict[str, str]:
    seconds = pod.spec.termination_grace_period_seconds
    annotations = {
        observed.CONTAINER_HASH: members.spec_hash(container),
        observed.RESOURCES: resources.fingerprint(container),
        observed.RESTART_COUNT: str(attempt),
        observed.MESSAGE_PATH: container.termination_message_path,
        observed.MESSAGE_POLICY: container.termination_message_policy,
        observed.GRACE_PERIOD: str(SECONDS_DEFAULT if seconds is None else seconds),
    }
    if container.ports:
        ports = [{"name": p.name, "containerPort": p.container_port, "protocol": p.protocol} for p in container.ports]
        annotations["io.kubernetes.container.ports"] = json.dumps(ports)
    return annotations
