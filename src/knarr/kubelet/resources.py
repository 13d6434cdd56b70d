"""CPU and memory of containers and pods as the runtime wants them: shares, quota, limit, OOM score.

Pure. Numbers: 1024 shares per CPU, at least 2; a period of 100 ms, a quota of at least 1 ms; OOM scores as in docs
"Node-pressure Eviction, node out of memory behavior".
"""

from msgspec.structs import replace

from knarr.cri.messages.config import LinuxContainerResources
from knarr.kinds.lens.container import ResourceRequirements
from knarr.kinds.lens.pod import Pod
from knarr.kubelet import members, memory_rules, quantities
from knarr.kubelet.memory_rules import MemoryRules

PERIOD_MICROSECONDS = 100_000
QUOTA_MICROSECONDS_MIN = 1_000
SHARES_MIN, SHARES_MAX = 2, 262_144
NODE_CRITICAL = "system-node-critical"
"""The one priority class that shields from the kernel's choice; all others go by what they asked for."""


def container_resources(
    pod: Pod, container: members.AnyContainer, memory_capacity: int, rules: MemoryRules
) -> LinuxContainerResources:
    """The linux resources of one container."""
    base = linux_resources(container.resources)
    return LinuxContainerResources(
        cpu_period=base.cpu_period,
        cpu_quota=base.cpu_quota,
        cpu_shares=base.cpu_shares,
        memory_limit_in_bytes=base.memory_limit_in_bytes,
        # The limit of both together is cgroup v1's only word; in v2 the rules name swap alone.
        memory_swap_limit_in_bytes=0 if rules.is_v2 else base.memory_limit_in_bytes,
        oom_score_adj=oom_score(pod, container, memory_capacity),
        unified=memory_rules.unified(pod, container, memory_capacity, rules),
    )


def fingerprint(container: members.AnyContainer) -> str:
    """What a resize may change, as one word: `shares/quota/memory`."""
    linux = linux_resources(container.resources)
    return f"{linux.cpu_shares}/{linux.cpu_quota}/{linux.memory_limit_in_bytes}"


def pod_fingerprint(pod: Pod) -> str:
    """The same of what the pod says of itself; "" where it says nothing: its cgroup then goes with its containers'."""
    if pod.spec.resources is None:
        return ""
    linux = _pod_amounts(pod)
    return f"{linux.cpu_shares}/{linux.cpu_quota}/{linux.memory_limit_in_bytes}"


def needs_restart(container: members.AnyContainer, before: str) -> bool:
    """Whether the resize policy of what changed since the fingerprint `before` asks for a restart."""
    policies = {policy.resource_name: policy.restart_policy for policy in container.resize_policy}
    old, new = before.split("/"), fingerprint(container).split("/")
    is_cpu, is_memory = old[:2] != new[:2], old[2:] != new[2:]
    changed = [name for name, differs in (("cpu", is_cpu), ("memory", is_memory)) if differs]
    return any(policies.get(name) == "RestartContainer" for name in changed)


def linux_resources(resources: ResourceRequirements) -> LinuxContainerResources:
    limit = quantities.milli(resources.limits.get("cpu", "0"))
    request = quantities.milli(resources.requests.get("cpu", "0")) if "cpu" in resources.requests else limit
    quota = max(QUOTA_MICROSECONDS_MIN, limit * PERIOD_MICROSECONDS // 1000) if limit else 0
    return LinuxContainerResources(
        cpu_period=PERIOD_MICROSECONDS if quota else 0,
        cpu_quota=quota,
        cpu_shares=shares(request),
        memory_limit_in_bytes=quantities.whole(resources.limits.get("memory", "0")),
    )


def shares(milli_cpu: int) -> int:
    return max(SHARES_MIN, min(SHARES_MAX, milli_cpu * 1024 // 1000))


def pod_resources(pod: Pod, pids_max: int = 0) -> LinuxContainerResources:
    """The pod's own cgroup: sums over what runs together, limits only where every container has one."""
    unified = {"pids.max": str(pids_max)} if pids_max > 0 else {}
    return replace(_pod_amounts(pod), unified=unified)


def _pod_amounts(pod: Pod) -> LinuxContainerResources:
    """What the pod says of itself stands, resource by resource, in the place of its containers' sum."""
    summed, stated = _summed(pod), pod.spec.resources
    if stated is None:
        return summed
    own = linux_resources(stated)
    return LinuxContainerResources(
        cpu_period=own.cpu_period or summed.cpu_period,
        cpu_quota=own.cpu_quota or summed.cpu_quota,
        cpu_shares=own.cpu_shares if "cpu" in {**stated.limits, **stated.requests} else summed.cpu_shares,
        memory_limit_in_bytes=own.memory_limit_in_bytes or summed.memory_limit_in_bytes,
    )


def _summed(pod: Pod) -> LinuxContainerResources:
    together = [c.resources for c in (*members.sidecars(pod), *pod.spec.containers)]
    early = [c.resources for c in pod.spec.init_containers if not members.is_sidecar(c)]
    totals = [linux_resources(r) for r in together]
    cpu, memory = sum(r.cpu_quota for r in totals), sum(r.memory_limit_in_bytes for r in totals)
    alone = [linux_resources(r) for r in early]
    everything = [*totals, *alone]
    has_cpu, has_memory = all(r.cpu_quota for r in everything), all(r.memory_limit_in_bytes for r in everything)
    return LinuxContainerResources(
        cpu_period=PERIOD_MICROSECONDS if has_cpu else 0,
        cpu_quota=max(cpu, *(r.cpu_quota for r in alone), 0) if has_cpu else 0,
        cpu_shares=shares(sum(_cpu_request(r) for r in together)),
        memory_limit_in_bytes=max(memory, *(r.memory_limit_in_bytes for r in alone), 0) if has_memory else 0,
    )


def _cpu_request(resources: ResourceRequirements) -> int:
    return quantities.milli(resources.requests.get("cpu", resources.limits.get("cpu", "0")))


def _memory_request(resources: ResourceRequirements) -> int:
    return quantities.whole(resources.requests.get("memory", resources.limits.get("memory", "0")))


def _share_of_the_rest(pod: Pod) -> int:
    """A container's part of the memory that the pod asked for and no container did."""
    if pod.spec.resources is None or "memory" not in pod.spec.resources.requests:
        return 0
    together = (*members.sidecars(pod), *pod.spec.containers)
    rest = _memory_request(pod.spec.resources) - sum(_memory_request(each.resources) for each in together)
    return max(0, rest) // len(together)


def oom_score(pod: Pod, container: members.AnyContainer, memory_capacity: int) -> int:
    """oom_score_adj by QoS: the less memory a Burstable container asked for, the sooner it is killed."""
    quality = members.qos_class(pod)
    if pod.spec.priority_class_name == NODE_CRITICAL or quality == "Guaranteed":
        return -997
    if quality == "BestEffort":
        return 1000
    request = _memory_request(container.resources) + _share_of_the_rest(pod)
    score = 1000 - (1000 * request) // max(memory_capacity, 1)
    return min(max(score, 1000 - 997), 999)
