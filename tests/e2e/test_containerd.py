"""Our kubelet on a foreign runtime: `knarr up --cri` with a containerd that these tests start themselves."""

import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.containerd import Containerd, is_installed
from tests.e2e.inventory import inventory

pytestmark = pytest.mark.skipif(
    not is_installed(), reason="needs containerd, containernetworking-plugins, iptables and nft"
)

PORTS = {"port": 17443, "registry-port": 17500, "kubelet-port": 17250}
REGISTRY = f"localhost:{PORTS['registry-port']}"
PAUSE = 'FROM scratch\nCOPY busybox /busybox\nENTRYPOINT ["/busybox", "sleep", "2147483647"]\n'
BUSYBOX = (
    "FROM scratch\nCOPY busybox /bin/busybox\n"
    'RUN ["/bin/busybox", "sh", "-c", "/bin/busybox mkdir -p /tmp /etc /www && /bin/busybox --install -s /bin"]\n'
    'ENV PATH=/bin\nCMD ["sh"]\n'
)
SERVE = "echo started; echo page > /www/index.html; exec httpd -f -p 8080 -h /www"
SPDY = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false", "KUBECTL_PORT_FORWARD_WEBSOCKETS": "false"}


def deployment(image: str) -> str:
    probe = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}
    container = {
        "name": "web", "image": image, "command": ["sh", "-c", SERVE], "readinessProbe": probe, "livenessProbe": probe,
        "startupProbe": {"exec": {"command": ["true"]}},
    }  # fmt: skip
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]}}
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    return json.dumps({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec})


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containerd]:
    made = Containerd(tmp_path_factory.mktemp("ctr"), f"{REGISTRY}/pause:1", "10.249.128.0/17")
    made.start()
    yield made
    made.stop()
    assert made.rules() == []  # the table itself may be anybody's


@pytest.fixture(scope="module")
def web(runtime: Containerd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster on that containerd with a Deployment `web`; afterwards nothing of it may be left."""
    made = Cluster("e2e-cri", tmp_path_factory.mktemp("cri"), PORTS, "10.249.0.0/17")
    made.knarr("delete", "--yes")
    before = inventory(made.name)
    flags = [word for key, port in PORTS.items() for word in (f"--{key}", str(port))]
    made.ok(made.knarr("up", "--pod-network", made.pod_network, "--cri", f"unix://{runtime.socket}", *flags))
    made.ok(made.knarr("build", "-t", f"{REGISTRY}/pause:1", str(made.context(Dockerfile=PAUSE))))
    made.ok(made.knarr("build", "-t", f"{REGISTRY}/busybox:1", str(made.context(Dockerfile=BUSYBOX))))
    archive = made.directory / "pause.tar"
    made.ok(made.knarr("save", "-o", str(archive), f"{REGISTRY}/pause:1"))
    runtime.ctr("images", "import", str(archive))
    made.ok(made.kubectl("apply", "-f", "-", text=deployment(f"{REGISTRY}/busybox:1")))
    made.ok(made.kubectl("rollout", "status", "deployment/web", "--timeout=60s"))
    assert runtime.rules() != []
    yield made
    made.ok(made.knarr("delete", "--yes"))
    assert runtime.containers() == []
    assert runtime.rules() == []
    assert inventory(made.name) == before


def pod(web: Cluster) -> str:
    return str(web.get("pods", "-l", "app=web")["items"][0]["metadata"]["name"])


def containers(web: Cluster) -> set[tuple[str, int]]:
    """(id, restarts) of the containers of `web`."""
    statuses = [found["status"]["containerStatuses"][0] for found in web.get("pods", "-l", "app=web")["items"]]
    return {(status["containerID"], status["restartCount"]) for status in statuses}


def test_pods_run_on_containerd_in_its_network_with_probes_and_logs(web: Cluster) -> None:
    node = web.get("nodes")["items"][0]
    assert node["status"]["nodeInfo"]["containerRuntimeVersion"].startswith("containerd://")
    for found in web.get("pods", "-l", "app=web")["items"]:
        status = found["status"]["containerStatuses"][0]
        assert (status["ready"], status["restartCount"]) == (True, 0)
        assert status["containerID"].startswith("containerd://")
        assert found["status"]["podIP"].startswith("10.249.1")
    assert web.ok(web.kubectl("logs", pod(web))) == "started\n"


@pytest.mark.parametrize("environment", [{}, SPDY], ids=["websocket", "spdy"])
def test_exec_carries_streams_exit_code_and_much_output(web: Cluster, environment: dict[str, str]) -> None:
    client = replace(web, environment=environment)
    answer = client.kubectl("exec", "-i", pod(web), "--", "sh", "-c", "cat; echo err >&2; exit 7", text="in")
    assert (answer.code, answer.out) == (7, "in")
    assert answer.err.startswith("err\n")
    much = client.ok(client.kubectl("exec", pod(web), "--", "sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x"))
    assert much == "x" * 3_000_000


@pytest.mark.parametrize("environment", [{}, SPDY], ids=["websocket", "spdy"])
def test_a_forwarded_port_serves_several_requests(web: Cluster, environment: dict[str, str]) -> None:
    words = [web.kubectl_program, "port-forward", pod(web), ":8080"]
    variables = {**os.environ, **environment, "KUBECONFIG": str(web.directory / "kubeconfig")}
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=variables
    ) as running:
        try:
            assert running.stdout is not None
            port = running.stdout.readline().split("127.0.0.1:")[1].split()[0]
            for _ in range(3):
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as page:
                    assert page.read() == b"page\n"
        finally:
            running.terminate()


def test_a_followed_log_ends_with_its_container_though_the_runtime_tells_no_events(web: Cluster) -> None:
    web.ok(
        web.kubectl(
            "run", "brief", f"--image={REGISTRY}/busybox:1", "--restart=Never", "--", "sh", "-c", "sleep 2; echo bye"
        )
    )
    web.until("Running", "get", "pod", "brief")
    assert web.ok(web.kubectl("logs", "-f", "brief", seconds=20)) == "bye\n"
    web.until("Succeeded", "get", "pod", "brief", "-o", "jsonpath={.status.phase}")


def test_a_deleted_pod_leaves_no_control_group(web: Cluster) -> None:
    web.ok(web.kubectl("run", "gone", f"--image={REGISTRY}/busybox:1", "--", "sleep", "1000"))
    web.until("Running", "get", "pod", "gone")
    uid = web.get("pod", "gone")["metadata"]["uid"]
    web.ok(web.kubectl("delete", "pod", "gone", "--grace-period=1"))
    end = time.monotonic() + 20
    while groups := [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/knarr-{web.name}/pod{uid}")]:
        assert time.monotonic() < end, groups
        time.sleep(0.1)  # a directory of the kernel's, which tells nobody


def test_containers_outlive_a_killed_node_process(web: Cluster) -> None:
    before = containers(web)
    words = [b"knarr", b"node", b"--name", web.name.encode()]
    pids = [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and b" ".join(words) in _command(entry)
    ]
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    web.ok(web.kubectl("scale", "deployment/web", "--replicas=3"))
    web.ok(web.kubectl("rollout", "status", "deployment/web", "--timeout=60s"))
    after = containers(web)
    assert before <= after
    assert [count for _, count in after] == [0, 0, 0]


def test_pods_outlive_a_crash_of_the_runtime_and_its_absence_is_told(web: Cluster, runtime: Containerd) -> None:
    before = containers(web)
    following = [web.kubectl_program, "logs", "-f", pod(web)]
    variables = {**os.environ, "KUBECONFIG": str(web.directory / "kubeconfig")}
    with subprocess.Popen(following, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=variables) as follower:
        runtime.crash()
        try:
            web.until(" NotReady ", "get", "nodes")
            refused = web.kubectl("exec", pod(web), "--", "true")
            assert refused.code != 0
            assert refused.err
        finally:
            runtime.run()
        web.until(" Ready ", "get", "nodes")
        assert web.ok(web.kubectl("exec", pod(web), "--", "echo", "back")) == "back\n"
        follower.kill()
    web.ok(web.kubectl("scale", "deployment/web", f"--replicas={len(before) + 1}"))
    web.ok(web.kubectl("rollout", "status", "deployment/web", "--timeout=60s"))
    after = containers(web)
    assert before <= after
    assert {count for _, count in after} == {0}


def _command(entry: Path) -> bytes:
    try:
        return (entry / "cmdline").read_bytes().replace(b"\0", b" ")
    except OSError:
        return b""
