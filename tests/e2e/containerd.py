"""A containerd of the tests' own: configuration, state, socket and pod network of its own, nothing of the machine's.

KNARR_CONTAINERD names the folder of another containerd's programs (containerd, ctr, its shim) than those in PATH; the
configuration is of version 2, which 1.6 to 2.1 read.
"""

import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.e2e import cni_rules

PLUGINS = Path("/usr/lib/cni")
START_SECONDS = 20.0
ENVIRONMENT = {
    **os.environ,
    "PATH": os.pathsep.join(filter(None, (os.environ.get("KNARR_CONTAINERD"), os.environ["PATH"]))),
}
"""containerd finds its shim there, too."""

CONFIGURATION = """\
version = 2
root = "{place}/root"
state = "{place}/state"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
  address = "{place}/sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{place}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{snapshotter}"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
"""


@dataclass(slots=True)
class Containerd:
    """Started by `start`; `stop` ends it and removes its bridge and rules."""

    place: Path
    pause: str
    network: str
    bridge: str = "knarr-e2e-cni"
    running: "subprocess.Popen[bytes] | None" = None
    had_table: bool = True

    @property
    def network_name(self) -> str:
        """The CNI plugins' name for it: of those addresses, so that nobody else's rules are taken for these."""
        return f"knarr-e2e-{self.network.replace('/', '-')}"

    @property
    def socket(self) -> Path:
        return self.place / "sock"

    def start(self) -> None:
        cni_rules.remove(self.network_name)  # of a run that was cut off
        self.had_table = cni_rules.has_table()
        self._configure()
        self.run()

    def _configure(self) -> None:
        (self.place / "cni").mkdir(parents=True)
        (self.place / "cni/10-pods.conflist").write_text(json.dumps(self._conflist()))
        text = CONFIGURATION.format(
            place=self.place, pause=self.pause, plugins=PLUGINS, snapshotter=_snapshotter(self.place)
        )
        (self.place / "config.toml").write_text(text)

    def run(self) -> None:
        """Start it over the state that there is."""
        with (self.place / "log").open("ab") as log:
            words = [_program("containerd"), "--config", str(self.place / "config.toml")]
            running = subprocess.Popen(
                words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True, env=ENVIRONMENT
            )
        self.running = running
        end = time.monotonic() + START_SECONDS
        while self._asks("version").returncode != 0:
            has_failed = running.poll() is not None or time.monotonic() > end
            assert not has_failed, (self.place / "log").read_text()[-2000:]
            time.sleep(0.1)  # containerd tells nobody when its socket is there

    def crash(self) -> None:
        """kill -9; its shims and containers go on."""
        assert self.running is not None
        self.running.kill()
        self.running.wait(20)

    def stop(self) -> None:
        assert self.running is not None
        self.running.terminate()
        self.running.wait(20)
        subprocess.run(["ip", "link", "delete", self.bridge], capture_output=True, check=False)
        cni_rules.remove(self.network_name)
        if not self.had_table and cni_rules.has_table():
            cni_rules.remove_table()

    def rules(self) -> list[str]:
        """What the plugins have written for pods that are there."""
        return cni_rules.left(self.network_name)

    def ctr(self, *words: str) -> str:
        done = self._asks(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def containers(self) -> list[str]:
        """Ids of all containers that it knows, sandboxes too."""
        return sorted(self.ctr("containers", "list", "--quiet").split())

    def _asks(self, *words: str) -> "subprocess.CompletedProcess[str]":
        command = [_program("ctr"), "--address", str(self.socket), "--namespace", "k8s.io", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

    def _conflist(self) -> object:
        bridge = {
            "type": "bridge", "bridge": self.bridge, "isGateway": True, "ipMasq": True,
            "ipam": {
                "type": "host-local", "dataDir": str(self.place / "addresses"),
                "ranges": [[{"subnet": self.network}]], "routes": [{"dst": "0.0.0.0/0"}],
            },
        }  # fmt: skip
        mapping = {"type": "portmap", "capabilities": {"portMappings": True}}
        return {"cniVersion": "1.0.0", "name": self.network_name, "plugins": [bridge, mapping]}


def is_installed() -> bool:
    return all(map(_found, ("containerd", "ctr", "iptables-save", "nft"))) and (PLUGINS / "bridge").exists()


def _found(name: str) -> str | None:
    return shutil.which(name, path=ENVIRONMENT["PATH"])


def _program(name: str) -> str:
    found = _found(name)
    assert found is not None, f"{name} is not installed"
    return found


def _snapshotter(place: Path) -> str:
    """overlayfs, or native where the directory lies on an overlay itself."""
    for name in ("lower", "upper", "work", "merged"):
        (place / "try" / name).mkdir(parents=True)
    at = place / "try"
    options = f"lowerdir={at}/lower,upperdir={at}/upper,workdir={at}/work"
    words = ["mount", "-t", "overlay", "overlay", "-o", options, str(at / "merged")]
    if subprocess.run(words, capture_output=True, check=False).returncode != 0:
        return "native"
    subprocess.run(["umount", str(at / "merged")], check=True)
    return "overlayfs"
