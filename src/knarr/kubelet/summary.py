"""The document of /stats/summary: node, file systems, pods, containers, in upstream's words (what `kubectl top` reads).

Pure: usages, signals of the machine and the sandboxes' statistics come in as values; what nobody could say is left out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from knarr.base.clock import Instant, rfc3339
from knarr.cri.messages.image import UInt64Value
from knarr.cri.messages.stats import LinuxPodSandboxStats, NetworkInterfaceUsage
from knarr.kinds.lens.pod import Pod
from knarr.kubelet.eviction import Signal
from knarr.kubelet.stats import ContainerUsage, Usage
from knarr.kubelet.volume_figures import PodFigures, Taken

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the machine has left (node_signals.py); network and processes, volumes and logs of each pod by its uid."""

    signals: Mapping[str, Signal] = field(default_factory=dict)
    sandboxes: Mapping[str, LinuxPodSandboxStats] = field(default_factory=dict)
    files: Mapping[str, PodFigures] = field(default_factory=dict)


def summary(
    node_name: str, node: Usage, pods: Iterable[Pod], usages: Iterable[ContainerUsage], around: Surroundings
) -> Json:
    by_pod: dict[str, list[ContainerUsage]] = {}
    for usage in usages:
        by_pod.setdefault(usage.uid, []).append(usage)
    known = {pod.metadata.uid: pod for pod in pods}
    return {
        "node": {"nodeName": node_name, **_figures(node), **_machine(node, around.signals)},
        "pods": [
            {**_pod(known[uid], found, around), **_sandbox(found[0].usage, around.sandboxes.get(uid))}
            for uid, found in by_pod.items()
            if uid in known
        ],
    }


def _machine(node: Usage, signals: Mapping[str, Signal]) -> Json:
    found: Json = {}
    if "nodefs.available" in signals:
        found["fs"] = _file_system(node, signals, "nodefs")
    if "imagefs.available" in signals:
        images = _file_system(node, signals, "imagefs")
        found["runtime"] = {"imageFs": images, "containerFs": images}
    if (pids := signals.get("pid.available")) is not None:
        limits = {"maxpid": pids.capacity, "curproc": pids.capacity - pids.available}
        found["rlimit"] = {"time": rfc3339(node.at), **limits}
    return found


def _file_system(node: Usage, signals: Mapping[str, Signal], name: str) -> Json:
    disk, inodes = signals[f"{name}.available"], signals.get(f"{name}.inodesFree")
    found = {
        "time": rfc3339(node.at),
        "availableBytes": disk.available,
        "capacityBytes": disk.capacity,
        "usedBytes": disk.capacity - disk.available,
    }
    if inodes is None:
        return found
    used = inodes.capacity - inodes.available
    return {**found, "inodesFree": inodes.available, "inodes": inodes.capacity, "inodesUsed": used}


def _figures(usage: Usage) -> Json:
    started = {"startTime": rfc3339(usage.started_at)} if usage.started_at is not None else {}
    return {**started, "cpu": _cpu(usage), "memory": _memory(usage)}


def _pod(pod: Pod, found: list[ContainerUsage], around: Surroundings) -> Json:
    files = around.files.get(pod.metadata.uid, PodFigures())
    left = [usage.usage.available for usage in found]
    whole = Usage(
        at=max(usage.usage.at for usage in found),
        cpu_nanoseconds=sum(usage.usage.cpu_nanoseconds for usage in found),
        nanocores=sum(usage.usage.nanocores or 0 for usage in found),
        working_set=sum(usage.usage.working_set for usage in found),
        rss=sum(usage.usage.rss for usage in found),
        disk=sum(usage.usage.disk for usage in found) + sum(one.used for one in _on_disk(files)),
        inodes=sum(usage.usage.inodes for usage in found) + sum(one.inodes_used for one in _on_disk(files)),
        memory=sum(usage.usage.memory for usage in found),
        available=None if None in left else sum(one for one in left if one is not None),
        page_faults=sum(usage.usage.page_faults for usage in found),
        major_page_faults=sum(usage.usage.major_page_faults for usage in found),
    )
    volumes = [{**_taken(whole.at, taken), "name": name} for name, taken in files.volumes.items()]
    meta = pod.metadata
    return {
        "podRef": {"name": meta.name, "namespace": meta.namespace, "uid": meta.uid},
        "startTime": rfc3339(pod.status.start_time) if pod.status.start_time else None,
        **_figures(whole),
        "ephemeral-storage": _written(whole, around.signals, "nodefs"),
        "containers": [
            {
                "name": usage.container,
                **_figures(usage.usage),
                "rootfs": _written(usage.usage, around.signals, "imagefs"),
                **_logs(whole.at, files.logs.get(usage.container)),
            }
            for usage in found
        ],
        **({"volume": volumes} if volumes else {}),
    }


def _on_disk(files: PodFigures) -> list[Taken]:
    """Logs and volumes; those in memory are the containers'."""
    return [*files.logs.values(), *(taken for name, taken in files.volumes.items() if name not in files.in_memory)]


def _logs(at: Instant, taken: Taken | None) -> Json:
    return {"logs": _taken(at, taken)} if taken is not None else {}


def _taken(at: Instant, taken: Taken) -> Json:
    return {
        "time": rfc3339(at),
        "availableBytes": taken.available,
        "capacityBytes": taken.capacity,
        "usedBytes": taken.used,
        "inodesFree": taken.inodes_free,
        "inodes": taken.inodes,
        "inodesUsed": taken.inodes_used,
    }


def _written(usage: Usage, signals: Mapping[str, Signal], name: str) -> Json:
    """What was written, beside what its file system has and has left."""
    found: Json = {"time": rfc3339(usage.at), "usedBytes": usage.disk}
    if (disk := signals.get(f"{name}.available")) is not None:
        found |= {"availableBytes": disk.available, "capacityBytes": disk.capacity}
    if (inodes := signals.get(f"{name}.inodesFree")) is not None:
        found |= {"inodesFree": inodes.available, "inodes": inodes.capacity, "inodesUsed": usage.inodes}
    return found


def _sandbox(at: Usage, found: LinuxPodSandboxStats | None) -> Json:
    if found is None:
        return {}
    shown: Json = {}
    if found.network is not None and found.network.default_interface is not None:
        first = _interface(found.network.default_interface)
        links = [_interface(link) for link in found.network.interfaces]
        shown["network"] = {"time": rfc3339(at.at), **first, "interfaces": links}
    if found.process is not None and found.process.process_count is not None:
        shown["process_stats"] = {"process_count": found.process.process_count.value}
    return shown


def _interface(link: NetworkInterfaceUsage) -> Json:
    named: dict[str, UInt64Value | None] = {
        "rxBytes": link.rx_bytes,
        "rxErrors": link.rx_errors,
        "txBytes": link.tx_bytes,
        "txErrors": link.tx_errors,
    }
    return {"name": link.name, **{key: wrapped.value for key, wrapped in named.items() if wrapped is not None}}


def _cpu(usage: Usage) -> Json:
    cpu: Json = {"time": rfc3339(usage.at), "usageCoreNanoSeconds": usage.cpu_nanoseconds}
    return cpu if usage.nanocores is None else {**cpu, "usageNanoCores": usage.nanocores}


def _memory(usage: Usage) -> Json:
    left = {"availableBytes": usage.available} if usage.available is not None else {}
    return {
        "time": rfc3339(usage.at),
        **left,
        "usageBytes": usage.memory,
        "workingSetBytes": usage.working_set,
        "rssBytes": usage.rss,
        "pageFaults": usage.page_faults,
        "majorPageFaults": usage.major_page_faults,
    }
