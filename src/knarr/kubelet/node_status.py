"""The Node object: what this machine is and has, as status JSON. Pure but for `machine`, which reads /proc and /sys.

Registration, heartbeat and Lease are heartbeat.py's. Spec: docs "Node Status".
"""

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knarr.base.clock import Instant, rfc3339, rfc3339_micro
from knarr.cri.messages.image import Image
from knarr.cri.messages.runtime import StatusResponse
from knarr.kinds.lens.node import NodeStatus
from knarr.kubelet.settings import KubeletSettings

Json = dict[str, Any]
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
IMAGES_MAX = 50
"""How many images a node names (upstream's nodeStatusMaxImages)."""
LEASE_SECONDS = 40


@dataclass(frozen=True, slots=True)
class Machine:
    """What does not change while the kubelet runs."""

    hostname: str
    cpus: int
    memory_bytes: int
    disk_bytes: int
    kernel: str
    os_image: str
    architecture: str
    machine_id: str
    boot_id: str
    system_uuid: str
    swap_bytes: int = 0


def machine(root: Path) -> Machine:
    """This machine; `root` is on the file system that pods write to."""
    disk = os.statvfs(_existing(root))
    return Machine(
        hostname=platform.node(),
        cpus=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        disk_bytes=disk.f_blocks * disk.f_frsize,
        kernel=platform.release(),
        os_image=_os_image(),
        architecture=ARCHITECTURES.get(platform.machine(), platform.machine()),
        machine_id=_first_line("/etc/machine-id"),
        boot_id=_first_line("/proc/sys/kernel/random/boot_id"),
        system_uuid=_first_line("/sys/class/dmi/id/product_uuid"),
        swap_bytes=swap_bytes(),
    )


def swap_bytes() -> int:
    """What the machine may swap in all."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("SwapTotal:")), 0)


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace").splitlines()[0].strip()
    except (OSError, IndexError):
        return ""


def _os_image() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


def node(settings: KubeletSettings, host: Machine) -> Json:
    """The Node as it is registered; its status comes by `status`."""
    labels = {
        "kubernetes.io/hostname": settings.node_name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": host.architecture,
        "beta.kubernetes.io/os": "linux",
        "beta.kubernetes.io/arch": host.architecture,
    }
    body: Json = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": settings.node_name, "labels": labels},
        "spec": {},
    }
    if settings.pod_cidr:
        body["spec"] = {"podCIDR": settings.pod_cidr, "podCIDRs": [settings.pod_cidr]}
    return body


def capacity(settings: KubeletSettings, host: Machine) -> Json:
    """Nothing is reserved: on a developer's machine allocatable is what there is."""
    return {
        "cpu": str(host.cpus),
        "memory": f"{host.memory_bytes // 1024}Ki",
        "ephemeral-storage": f"{host.disk_bytes // 1024}Ki",
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
        "pods": str(settings.max_pods),
    }


def extended(amounts: Mapping[str, str]) -> dict[str, str]:
    """The resources that somebody advertised for this node by patching its capacity: those named by a domain."""
    return {name: amount for name, amount in amounts.items() if "/" in name and "kubernetes.io/" not in name}


def advertised(live: NodeStatus) -> Json:
    """What allocatable lacks of the extended resources that the live capacity has, and null for what is gone there."""
    wanted, shown = extended(live.capacity), extended(live.allocatable)
    found: Json = {name: amount for name, amount in wanted.items() if shown.get(name) != amount}
    return found | dict.fromkeys(shown.keys() - wanted.keys())


@dataclass(frozen=True, slots=True)
class Health:
    """What the conditions say: the runtime's faults and the pressures that eviction sees; and what the runtime said of
    itself when it was last heard."""

    faults: tuple[str, ...] = ()
    pressures: frozenset[str] = frozenset()
    said: StatusResponse = StatusResponse()


def status(
    settings: KubeletSettings, host: Machine, runtime: str, images: Iterable[Image], *, health: Health, now: Instant
) -> Json:
    """The node's status; `runtime` is `name://version`. Heartbeat and transition times are stamped by `stamped`."""
    amounts = capacity(settings, host)
    return {
        "capacity": amounts,
        "allocatable": dict(amounts),
        "addresses": [
            {"type": "InternalIP", "address": settings.node_ip},
            {"type": "Hostname", "address": settings.node_name},
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": settings.port}},
        "nodeInfo": {
            "machineID": host.machine_id,
            "systemUUID": host.system_uuid,
            "bootID": host.boot_id,
            "kernelVersion": host.kernel,
            "osImage": host.os_image,
            "containerRuntimeVersion": runtime,
            "kubeletVersion": settings.version,
            "kubeProxyVersion": "",  # deprecated, and upstream leaves it empty: a kubelet knows of no proxy
            "operatingSystem": "linux",
            "architecture": host.architecture,
            **({"swap": {"capacity": host.swap_bytes}} if host.swap_bytes else {}),
        },
        "images": image_list(images),
        "conditions": conditions(health, now),
        **_offers(health.said),
        "declaredFeatures": list(settings.declared_features),
    }


def _offers(said: StatusResponse) -> Json:
    """What pods may ask of the runtime, by the names of its handlers."""
    handlers = [
        {
            "name": handler.name,
            "features": {
                "recursiveReadOnlyMounts": handler.features.recursive_read_only_mounts,
                "userNamespaces": handler.features.user_namespaces,
            },
        }
        for handler in said.runtime_handlers
        if handler.features is not None
    ]
    found: Json = {"runtimeHandlers": handlers} if handlers else {}
    if said.features is not None:
        found["features"] = {"supplementalGroupsPolicy": said.features.supplemental_groups_policy}
    return found


def image_list(images: Iterable[Image]) -> list[Json]:
    """The largest images, with all their names."""
    largest = sorted(images, key=lambda image: image.size, reverse=True)[:IMAGES_MAX]
    named = (((*image.repo_digests, *image.repo_tags), image.size) for image in largest)
    return [{"names": list(names), "sizeBytes": size} for names, size in named if names]


# condition → (reason and message when there is pressure, reason and message when there is none)
_PRESSURES = {
    "MemoryPressure": (
        ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
        ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ),
    "DiskPressure": (
        ("KubeletHasDiskPressure", "kubelet has disk pressure"),
        ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ),
    "PIDPressure": (
        ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
        ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ),
}


def conditions(health: Health, now: Instant) -> list[Json]:
    found = []
    for name, (bad, good) in _PRESSURES.items():
        is_pressed = name in health.pressures
        reason, message = bad if is_pressed else good
        found.append(_condition(name, is_true=is_pressed, reason=reason, message=message, now=now))
    if health.faults:
        text = ", ".join(health.faults)
        found.append(_condition("Ready", is_true=False, reason="KubeletNotReady", message=text, now=now))
    else:
        text = "kubelet is posting ready status"
        found.append(_condition("Ready", is_true=True, reason="KubeletReady", message=text, now=now))
    return found


def _condition(name: str, *, is_true: bool, reason: str, message: str, now: Instant) -> Json:
    return {
        "type": name,
        "status": "True" if is_true else "False",
        "reason": reason,
        "message": message,
        "lastHeartbeatTime": rfc3339(now),
        "lastTransitionTime": rfc3339(now),
    }


def stamped(new: Json, old: Sequence[Json]) -> Json:
    """The status with the transition times of conditions that did not change."""
    before = {condition["type"]: condition for condition in old}
    kept = []
    for condition in new["conditions"]:
        past = before.get(condition["type"])
        is_same = past is not None and past.get("status") == condition["status"]
        kept.append({**condition, "lastTransitionTime": past["lastTransitionTime"]} if past and is_same else condition)
    return {**new, "conditions": kept}


def lease(settings: KubeletSettings, node_uid: str, now: Instant) -> Json:
    """The Lease that says the node lives."""
    owner = {"apiVersion": "v1", "kind": "Node", "name": settings.node_name, "uid": node_uid}
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": settings.node_name,
            "namespace": "kube-node-lease",
            "ownerReferences": [owner] if node_uid else [],
        },
        "spec": {
            "holderIdentity": settings.node_name,
            "leaseDurationSeconds": LEASE_SECONDS,
            "renewTime": rfc3339_micro(now),
        },
    }
