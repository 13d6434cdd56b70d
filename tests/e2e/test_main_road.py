"""The main road with real containers: build, deploy, look inside, scale, update, undo, survive."""

import os
import signal
import time
import urllib.request

import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.inventory import inventory

SERVE = """#!/bin/sh
mkdir -p /www && echo "$GREETING version $VERSION" >/www/index.html
echo "serving version $VERSION"
exec httpd -f -p 8080 -h /www
"""
DOCKERFILE = """ARG BASE
FROM ${BASE}
ARG VERSION=v1
ENV VERSION=$VERSION GREETING=hello
WORKDIR /srv
COPY --chmod=755 serve.sh ./
RUN test -x serve.sh && echo built > /srv/stamp
CMD ["/srv/serve.sh"]
"""


@pytest.fixture(scope="module")
def application(cluster: Cluster, busybox: str) -> str:
    """The repository of an application in two versions; a Deployment `web` of the first runs."""
    repository = f"{cluster.registry}/e2e/web"
    context = cluster.context(Dockerfile=DOCKERFILE, serve__sh=SERVE)
    for version in ("v1", "v2"):
        arguments = ("--build-arg", f"VERSION={version}", "--build-arg", f"BASE={busybox}")
        cluster.ok(cluster.knarr("build", "-t", f"{repository}:{version}", *arguments, str(context)))
        cluster.ok(cluster.knarr("push", f"{repository}:{version}"))
    cluster.ok(cluster.kubectl("create", "deployment", "web", f"--image={repository}:v1"))
    cluster.ok(cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s"))
    return repository


def pods(cluster: Cluster) -> list[dict[str, object]]:
    found = cluster.get("pods", "-l", "app=web")["items"]
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def first(cluster: Cluster) -> dict[str, object]:
    return pods(cluster)[0]


def page(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}:8080/", timeout=5) as answer:
        return str(answer.read().decode())


def page_soon(cluster: Cluster, seconds: float = 30) -> str:
    """The first pod's page, once its container listens: after a restart the API still says what was true before."""
    end = time.monotonic() + seconds
    while True:
        try:
            return page(first(cluster)["status"]["podIP"])  # type: ignore[index]  # kubectl's JSON
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.1)  # an outside view has to look again


def test_the_pod_answers_logs_and_runs_commands(cluster: Cluster, application: str) -> None:
    pod = first(cluster)
    name, address = pod["metadata"]["name"], pod["status"]["podIP"]  # type: ignore[index]  # kubectl's JSON
    assert page(address) == "hello version v1\n"
    assert "serving version v1" in cluster.ok(cluster.kubectl("logs", name))
    assert cluster.ok(cluster.kubectl("exec", name, "--", "cat", "/srv/stamp")) == "built\n"
    assert cluster.ok(cluster.kubectl("exec", "-i", name, "--", "cat", text="abc")) == "abc"
    assert cluster.kubectl("exec", name, "--", "sh", "-c", "exit 7").code == 7


def test_it_scales_updates_and_rolls_back(cluster: Cluster, application: str) -> None:
    cluster.ok(cluster.kubectl("scale", "deployment/web", "--replicas=3"))
    cluster.ok(cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s"))
    cluster.ok(cluster.kubectl("set", "image", "deployment/web", f"web={application}:v2"))
    cluster.ok(cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s"))
    assert {page(pod["status"]["podIP"]) for pod in pods(cluster)} == {"hello version v2\n"}  # type: ignore[index]
    cluster.ok(cluster.kubectl("rollout", "undo", "deployment/web"))
    cluster.ok(cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s"))
    assert {page(pod["status"]["podIP"]) for pod in pods(cluster)} == {"hello version v1\n"}  # type: ignore[index]


def test_containers_outlive_a_kill_of_every_knarr_process(cluster: Cluster, application: str) -> None:
    before = {
        pod["metadata"]["name"]: pod["status"]["containerStatuses"][0]["containerID"]  # type: ignore[index]
        for pod in pods(cluster)
    }
    address = first(cluster)["status"]["podIP"]  # type: ignore[index]
    for pid in cluster.ok(cluster.knarr("status", "--pids")).split():
        os.kill(int(pid), signal.SIGKILL)
    assert page(address) == "hello version v1\n"
    cluster.up()
    cluster.until(" Ready ", "get", "nodes")
    cluster.ok(cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s"))
    after = pods(cluster)
    assert {
        pod["metadata"]["name"]: pod["status"]["containerStatuses"][0]["containerID"]
        for pod in after  # type: ignore[index]
    } == before
    assert [pod["status"]["containerStatuses"][0]["restartCount"] for pod in after] == [0] * len(after)  # type: ignore[index]


@pytest.mark.parametrize("role", ["control", "node"])
def test_a_killed_process_is_started_again_by_its_sibling(cluster: Cluster, application: str, role: str) -> None:
    control, node = cluster.ok(cluster.knarr("status", "--pids")).split()
    killed, other = (control, node) if role == "control" else (node, control)
    os.kill(int(killed), signal.SIGKILL)
    end = time.monotonic() + 10
    while True:
        pids = cluster.ok(cluster.knarr("status", "--pids")).split()
        if len(pids) == 2 and killed not in pids:
            break
        assert time.monotonic() < end, f"{role} was not started again: {pids}"
        time.sleep(0.1)  # an outside view has to look again
    assert other in pids
    cluster.until(" Ready ", "get", "nodes")
    cluster.until("web", "get", "deployments")


def test_down_leaves_no_container_and_up_brings_the_pods_back(cluster: Cluster, application: str) -> None:
    cluster.ok(cluster.knarr("down", "--grace", "1"))
    assert [line for line in inventory(cluster.name) if line.startswith("process")] == []
    cluster.up()
    assert page_soon(cluster) == "hello version v1\n"
    cluster.ok(cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s"))
    cluster.ok(cluster.kubectl("delete", "deployment", "web"))
