"""What a kubelet must be told: the node's name and places. Chosen by assembly/; read-only here.

Vocabulary: `root_dir` holds one folder per pod (volumes, termination messages), `pod_log_dir` the CRI logs.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from knarr.kubelet import eviction, image_gc
from knarr.kubelet.eviction import Threshold
from knarr.kubelet.memory_rules import MemoryRules

DECLARED_FEATURES: Final = (
    "GuaranteedQoSPodCPUResize",
    "InPlacePodLevelResourcesVerticalScaling",
    "RestartAllContainersOnContainerExits",
)
"""What a node of this version tells that it can, by upstream's names and in their order: features that are on, and that
kubelets of a mixed cluster may lack. Spec: docs "Node Declared Features"."""
OWN_STREAMS: Final = "ExtendWebSocketsToKubelet"
"""One more with our own runtime: exec, attach and port-forward reach the kubelet as WebSockets."""


@dataclass(frozen=True, slots=True)
class KubeletSettings:
    """`backoff` names a row of restarts.RULES, which `restart_seconds_max` bounds; `cgroup_root` is the parent of all
    pod cgroups.

    `static_pod_dir` holds the files of static pods. `removes_cgroups`: a foreign runtime makes a pod's cgroup and
    leaves it behind; our own removes it itself. `image_dir` is on the images' file system. `pod_pids_max`: upstream
    sets no limit, so one fork bomb takes the machine along; -1 is none. `clusters_dir` and `subordinate_ids`:
    user_namespaces.py.
    """

    node_name: str
    root_dir: Path
    pod_log_dir: Path
    node_ip: str = "127.0.0.1"
    port: int = 10250
    cluster_dns: tuple[str, ...] = ()
    cluster_domain: str = "cluster.local"
    pod_cidr: str = ""
    max_pods: int = 110
    cgroup_root: str = ""
    removes_cgroups: bool = False
    backoff: str = "standard"
    restart_seconds_max: float | None = None
    version: str = "v1.37.0"
    unsafe_sysctls: tuple[str, ...] = ()
    pod_pids_max: int = 16384
    memory_rules: MemoryRules = MemoryRules()
    image_dir: Path | None = None
    image_policy: image_gc.Policy = field(default_factory=image_gc.Policy)
    thresholds: tuple[Threshold, ...] = eviction.HARD
    pressure_transition_seconds: float = 300.0
    eviction_grace_seconds_max: int = 0
    static_pod_dir: Path | None = None
    container_log_bytes_max: int = 10 * 1024 * 1024
    container_log_files_max: int = 5
    pulls_max: int = 3
    api_wait_seconds: float = 30.0
    clusters_dir: Path | None = None
    subordinate_ids: tuple[Path, ...] = ()
    declared_features: tuple[str, ...] = DECLARED_FEATURES

    @property
    def memory_root(self) -> Path:
        """Where the kubelet mounts one tmpfs for the Secrets and tokens of all pods."""
        return self.root_dir / "memory"

    @property
    def seccomp_root(self) -> Path:
        """Where a `localhostProfile` is looked for, as below upstream's /var/lib/kubelet."""
        return self.root_dir / "seccomp"

    def memory_dir(self, uid: str) -> Path:
        return self.memory_root / uid

    def pod_dir(self, uid: str) -> Path:
        """Where a pod's volumes and termination messages are."""
        return self.root_dir / "pods" / uid

    def cgroup_parent(self, uid: str) -> str:
        return f"{self.cgroup_root}/pod{uid}"

    def log_dir(self, namespace: str, name: str, uid: str) -> Path:
        """Where the runtime writes a pod's logs, as upstream names it."""
        return self.pod_log_dir / f"{namespace}_{name}_{uid}"
