"""Settings of one cluster: names, places and ports, as DECISIONS fixes them, and the flags that may change them.

`Settings` is a value; every path and name follows from it. It is kept in DATA_DIR/cluster.json, so that a later
`knarr up` without flags brings the same cluster up. No other package reads the environment or this file.
"""

import hashlib
import json
import os
import re
import socket
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from knarr.base.errors import Invalid

DEFAULT_NAME = "knarr"
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
FILE_NAME = "cluster.json"


@dataclass(frozen=True, slots=True)
class Settings:
    """`owner_uid` and `owner_gid` are the user's who typed the command: owner of kubeconfig and node.sock."""

    name: str
    data_dir: Path
    run_dir: Path
    port: int = 6443
    registry_port: int = 5000
    kubelet_port: int = 10250
    api_only: bool = False
    node_name: str = ""
    pod_network: str = "10.244.0.0/16"
    service_network: str = "10.96.0.0/16"
    cluster_domain: str = "cluster.local"
    owner_uid: int = 0
    owner_gid: int = 0
    backoff: str = "standard"
    pod_security: str = "privileged"
    scheduler_config: str = ""
    """The file of a KubeSchedulerConfiguration; empty: upstream's defaults."""
    kubelet_config: str = ""
    """A KubeletConfiguration file (kubelet/configuration.py says which fields count)."""
    pod_manifest_path: str = ""
    """The folder of static pods' files; empty: DATA_DIR/manifests."""
    audit_log: str = ""
    """Where the API server writes audit events: a file, "-" for its standard output, empty for nowhere."""
    audit_policy: str = ""
    """The file of the audit policy; empty: who did what, once per request."""
    cri: str = ""
    """The socket of a foreign CRI runtime that runs the pods; empty: our own does."""

    @property
    def pki_dir(self) -> Path:
        return self.data_dir / "pki"

    @property
    def secrets_dir(self) -> Path:
        """Where the key that encrypts Secrets lies: outside the state, so that a copied state gives nothing away."""
        return Path("/etc/knarr") / self.name if str(self.run_dir).startswith("/run/") else self.data_dir / "keys"

    @property
    def log_dir(self) -> Path:
        return self.data_dir / "logs"

    @property
    def database(self) -> Path:
        return self.data_dir / "store" / "knarr.db"

    @property
    def images_dir(self) -> Path:
        return self.data_dir / "images"

    @property
    def kubelet_dir(self) -> Path:
        return self.data_dir / "kubelet"

    @property
    def static_pod_dir(self) -> Path:
        return Path(self.pod_manifest_path) if self.pod_manifest_path else self.data_dir / "manifests"

    @property
    def pod_log_dir(self) -> Path:
        return self.data_dir / "pods"

    @property
    def criserver_dir(self) -> Path:
        return self.data_dir / "cri"

    @property
    def registries_file(self) -> Path:
        """Mirrors and insecure registries (images/registries.py says in which form); it need not exist."""
        return self.data_dir / "registries.json"

    @property
    def registry_file(self) -> Path:
        """Users, quotas, proxies and TLS of the registry (registry/options.py has the form); it need not exist."""
        return self.data_dir / "registry.json"

    @property
    def node_socket(self) -> Path:
        return self.run_dir / "node.sock"

    @property
    def cri_socket(self) -> Path:
        return self.run_dir / "cri.sock"

    @property
    def cgroup(self) -> str:
        """The cgroup below the root; the default cluster's is /knarr-knarr."""
        return f"/knarr-{self.name}"

    @property
    def nft_table(self) -> str:
        return f"knarr-{self.name}"

    @property
    def bridge(self) -> str:
        """`knarr0`; other clusters get a name of their own within the kernel's 15 characters."""
        if self.name == DEFAULT_NAME:
            return "knarr0"
        return "knarr-" + hashlib.sha256(self.name.encode()).hexdigest()[:6]

    @property
    def context(self) -> str:
        """Name of kubectl's context, cluster and user."""
        return DEFAULT_NAME if self.name == DEFAULT_NAME else f"knarr-{self.name}"


def default(name: str = DEFAULT_NAME, *, is_root: bool, data_dir: Path | None = None) -> Settings:
    """The settings of a cluster nobody configured. Raises Invalid for a name that no path or link may carry."""
    if not _NAME.fullmatch(name):
        raise Invalid(f"--name: {name!r} is not a name of at most 32 lower-case letters, digits and inner dashes")
    if is_root:
        state, runtime = Path("/var/lib/knarr"), Path("/run/knarr")
    else:
        home = Path(os.environ.get("HOME", "/"))
        state = Path(os.environ.get("XDG_STATE_HOME") or home / ".local/state") / "knarr"
        runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or state / "run") / "knarr"
    return Settings(
        name=name,
        data_dir=(data_dir or state / name).absolute(),
        run_dir=runtime / name,
        node_name=socket.gethostname().lower(),
        owner_uid=int(os.environ.get("SUDO_UID", os.getuid())),
        owner_gid=int(os.environ.get("SUDO_GID", os.getgid())),
    )


def load(data_dir: Path) -> Settings | None:
    """The settings kept in the state directory, or None if there is none. Raises Invalid for a foreign file."""
    path = data_dir / FILE_NAME
    try:
        kept = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise Invalid(f"{path} is not knarr's: {error}") from error
    known = {field.name for field in fields(Settings)}
    if not isinstance(kept, dict) or not {"name", "data_dir", "run_dir"} <= kept.keys() <= known:
        raise Invalid(f"{path} is not knarr's: it lacks or adds settings")
    return Settings(**{**kept, "data_dir": Path(kept["data_dir"]), "run_dir": Path(kept["run_dir"])})


def save(settings: Settings) -> None:
    """Keep the settings in the state directory, 0600, all at once."""
    path = settings.data_dir / FILE_NAME
    draft = path.with_suffix(".tmp")
    text = json.dumps({key: str(v) if isinstance(v, Path) else v for key, v in asdict(settings).items()}, indent=1)
    draft.touch(mode=0o600)
    draft.write_text(text)
    os.replace(draft, path)


def changed(settings: Settings, **flags: object) -> Settings:
    """The settings with the flags that were given (not None) put in."""
    given = {key: value for key, value in flags.items() if value is not None}
    return replace(settings, **given)  # type: ignore[arg-type]  # the CLI's parser gave each flag its field's type
