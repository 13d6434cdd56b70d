"""What a kubelet must be told: the node's name and places. Chosen by assembly/; read-only here.

Vocabulary: `root_dir` holds one folder per pod (volumes, termination messages), `pod_log_dir` the CRI logs.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class KubeletSettings:
    """`backoff` names a row of restarts.RULES; `cgroup_root` is the parent of all pod cgroups.

    `static_pod_dir` holds the files of static pods. `removes_cgroups`: a foreign runtime makes a pod's cgroup and
    leaves it behind; our own removes it itself.
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
    version: str = "v1.37.0"
    unsafe_sysctls: tuple[str, ...] = ()
    static_pod_dir: Path | None = None
    container_log_bytes_max: int = 10 * 1024 * 1024
    container_log_files_max: int = 5
    pulls_max: int = 3
    api_wait_seconds: float = 30.0

    @property
    def memory_root(self) -> Path:
        """Where the kubelet mounts one tmpfs for the Secrets and tokens of all pods."""
        return self.root_dir / "memory"

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
