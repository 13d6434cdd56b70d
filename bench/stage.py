"""A cluster of its own for a benchmark of the node: up, a busybox image, kubectl, one watch of its pods; deleted after.

Needs root. Not here: what is measured (node.py, probes.py, streams.py) and the API's client (outside.py).
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import outside

PODS = "/api/v1/namespaces/default/pods"
SECONDS_MAX = 120.0
DOCKERFILE = (
    "FROM scratch\nCOPY busybox /bin/busybox\n"
    'RUN ["/bin/busybox", "sh", "-c", "/bin/busybox mkdir -p /tmp /www && /bin/busybox --install -s /bin'
    ' && echo ok > /www/healthz"]\nENV PATH=/bin\n'
)
ENDS_AT_ONCE = ["sh", "-c", "trap 'exit 0' TERM; sleep 3600 & wait"]
"""A main process that obeys SIGTERM, as the peers' pods had."""

Pod = dict[str, Any]


class Pods:
    """The pods of the namespace as a watch tells them, by a thread that notes when each picture came."""

    def __init__(self, api: outside.Api) -> None:
        self._now: dict[str, Pod] = {}
        self._changed = threading.Condition()
        listed = api.call("GET", PODS)
        self._now = {pod["metadata"]["name"]: pod for pod in listed["items"]}
        since = listed["metadata"]["resourceVersion"]
        events = api.watch(f"{PODS}?watch=true&resourceVersion={since}")
        self._at = 0.0
        threading.Thread(target=self._read, args=(events,), daemon=True).start()

    def _read(self, events: Iterator[tuple[float, dict[str, Any]]]) -> None:
        with contextlib.suppress(OSError, ValueError):  # the cluster's end ends the watch
            for arrived, event in events:
                name = event["object"]["metadata"]["name"]
                with self._changed:
                    self._at = arrived
                    if event["type"] == "DELETED":
                        self._now.pop(name, None)
                    else:
                        self._now[name] = event["object"]
                    self._changed.notify_all()

    def when(self, is_so: Callable[[dict[str, Pod]], bool]) -> float:
        """The moment (monotonic) at which the picture was so first. Raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: is_so(self._now), SECONDS_MAX):
                raise TimeoutError(f"not within {SECONDS_MAX:.0f} s; pods: {sorted(self._now)}")
            return self._at

    def __getitem__(self, name: str) -> Pod:
        with self._changed:
            return self._now[name]


@dataclass(slots=True)
class Stage:
    """`port` is the API's; the registry's and the kubelet's are the two behind it."""

    name: str
    port: int
    pod_network: str
    directory: Path
    pods: Pods = field(init=False)
    api: outside.Api = field(init=False)

    @property
    def image(self) -> str:
        return f"localhost:{self.port + 1}/bench/busybox:1"

    def up(self, *flags: str) -> None:
        os.environ["KUBECONFIG"] = str(self.directory / "config")
        ports = ("--port", self.port, "--registry-port", self.port + 1, "--kubelet-port", self.port + 2)
        words = [str(word) for word in (*ports, "--pod-network", self.pod_network)]
        outside.knarr("up", "--name", self.name, *words, *flags)
        context = self.directory / "context"
        context.mkdir()
        busybox = shutil.which("busybox")
        assert busybox, "needs the package busybox-static"
        shutil.copy(busybox, context)
        (context / "Dockerfile").write_text(DOCKERFILE)
        outside.knarr("build", "--name", self.name, "-t", self.image, str(context))
        self.api = outside.Api(self.directory / "config")
        self.pods = Pods(self.api)

    def pids(self) -> list[int]:
        """Of control and node, in this order."""
        return [int(pid) for pid in outside.knarr("status", "--name", self.name, "--pids").split()]

    def create(self, name: str, *, grace: int = 5, volumes: list[Any] | None = None, **container: Any) -> None:
        body = {"name": "c", "image": self.image, "command": ENDS_AT_ONCE, **container}
        spec = {"terminationGracePeriodSeconds": grace, "containers": [body], "volumes": volumes or []}
        self.api.call("POST", PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})

    def delete(self, *names: str) -> None:
        """Delete the pods and wait until they are gone."""
        for name in names:
            self.api.call("DELETE", f"{PODS}/{name}")
        self.pods.when(lambda now: not set(names) & set(now))

    def kubectl(self, *words: str) -> float:
        """Seconds that the command took."""
        began = time.monotonic()
        subprocess.run(["kubectl", *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return time.monotonic() - began


@contextlib.contextmanager
def opened(name: str, port: int, pod_network: str, *flags: str) -> Iterator[Stage]:
    with tempfile.TemporaryDirectory() as directory:
        stage = Stage(name, port, pod_network, Path(directory))
        try:
            stage.up(*flags)
            yield stage
        finally:
            outside.knarr("delete", "--name", name, "--yes")


def is_running(pod: Pod) -> bool:
    statuses = pod["status"].get("containerStatuses", ())
    return bool(statuses) and all("running" in status["state"] for status in statuses)


def is_ready(pod: Pod) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", ()))


def restarts(pod: Pod) -> int:
    return sum(status["restartCount"] for status in pod["status"].get("containerStatuses", ()))
