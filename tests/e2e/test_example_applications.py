"""The examples that make an application: base made of Debian packages, image built, pushed and deployed."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster

EXAMPLES = Path(__file__).parents[2] / "examples"
needs_dpkg = pytest.mark.skipif(
    shutil.which("dpkg-query") is None, reason="the bases are made of Debian packages: no dpkg"
)
needs_gcc = pytest.mark.skipif(
    shutil.which("dpkg-query") is None
    or subprocess.run(["dpkg-query", "-W", "gcc", "libc6-dev"], capture_output=True, check=False).returncode != 0,
    reason="the packages gcc and libc6-dev are not installed",
)


def make_base(cluster: Cluster, name: str, *packages: str) -> None:
    """examples/bases, as its README says, in a copy."""
    place = cluster.directory / f"base-{name.replace('/', '-')}"
    shutil.copytree(EXAMPLES / "bases", place)
    cluster.ok(cluster.run("python3", str(place / "rootfs.py"), "-o", str(place / "rootfs.tar"), *packages))
    cluster.ok(cluster.knarr("build", "-t", f"{cluster.registry}/{name}", str(place)))
    shutil.rmtree(place)


@pytest.fixture
def deploy(cluster: Cluster) -> Iterator[Callable[[str, str], str]]:
    """Build, push and deploy an example under the image's name; the answer is the address of one of its pods."""
    applied = []

    def deploy(example: str, name: str) -> str:
        image = f"{cluster.registry}/{name}:v1"
        argument = f"REGISTRY={cluster.registry}"
        cluster.ok(cluster.knarr("build", "--build-arg", argument, "-t", image, str(EXAMPLES / example)))
        cluster.ok(cluster.knarr("push", image))
        text = (EXAMPLES / example / "deployment.yaml").read_text().replace("localhost:5000", cluster.registry)
        applied.append(text)
        cluster.ok(cluster.kubectl("apply", "-f", "-", text=text))
        cluster.ok(cluster.kubectl("rollout", "status", f"deployment/{name}", "--timeout=60s"))
        return cluster.ok(
            cluster.kubectl("get", "pods", "-l", f"app={name}", "-o", "jsonpath={.items[0].status.podIP}")
        )

    yield deploy
    for text in applied:
        cluster.ok(cluster.kubectl("delete", "-f", "-", "--timeout=60s", text=text))


def curl(*words: str) -> str:
    done = subprocess.run(["curl", "-sS", "--max-time", "20", *words], capture_output=True, text=True, check=True)
    return done.stdout


@needs_dpkg
def test_the_python_application_keeps_its_guests(cluster: Cluster, deploy: Callable[[str, str], str]) -> None:
    make_base(cluster, "bases/python:3", "python3", "dash")
    book = f"http://{deploy('python', 'guestbook')}:8080/"
    curl("-d", "Leif", book)
    curl("-d", "Gudrid", book)
    assert json.loads(curl(book)) == {"greeting": "good day", "guests": ["Leif", "Gudrid"]}
    assert (
        cluster.ok(
            cluster.kubectl("exec", "deployment/guestbook", "--", "python3", "-c", "import os; print(os.getuid())")
        )
        == "1000\n"
    )
    assert (
        "Read-only file system"
        in cluster.kubectl("exec", "deployment/guestbook", "--", "sh", "-c", "echo > /srv/x").err
    )


def test_the_static_files_are_served_without_the_draft(cluster: Cluster, deploy: Callable[[str, str], str]) -> None:
    base = f"{cluster.registry}/busybox:v1"
    context = cluster.context(Dockerfile=(EXAMPLES / "busybox" / "Dockerfile").read_text())
    cluster.ok(cluster.knarr("build", "-t", base, str(context)))
    site = f"http://{deploy('static-files', 'site')}:8080"
    assert curl(f"{site}/") == (EXAMPLES / "static-files" / "site" / "index.html").read_text()
    assert "image/svg+xml" in curl("-I", f"{site}/ship.svg")
    assert "No such page" in curl(f"{site}/news.draft.html")


@needs_gcc
def test_the_c_application_is_its_binary_alone(cluster: Cluster, deploy: Callable[[str, str], str]) -> None:
    make_base(cluster, "bases/gcc:1", "gcc", "libc6-dev", "dash")
    address = deploy("c-multi-stage", "hello")
    assert curl(f"http://{address}:8080/").startswith("hello from hello-")
    layers = json.loads(curl(f"http://{cluster.registry}/v2/hello/manifests/v1"))["layers"]
    assert [layer["size"] < 1_000_000 for layer in layers] == [True]


@needs_dpkg
def test_grpc_probes_ask_for_a_service_and_for_the_server(cluster: Cluster) -> None:
    make_base(cluster, "bases/python:3", "python3", "dash")
    image = f"{cluster.registry}/grpc-health:v1"
    words = ("--build-arg", f"REGISTRY={cluster.registry}", "-t", image, str(EXAMPLES / "probes-grpc"))
    cluster.ok(cluster.knarr("build", *words))
    cluster.ok(cluster.knarr("push", image))
    text = (EXAMPLES / "probes-grpc" / "pod.yaml").read_text().replace("localhost:5000", cluster.registry)
    cluster.ok(cluster.kubectl("apply", "-f", "-", text=text))
    wait = ("wait", "pod/probes-grpc", "--timeout=30s")
    cluster.ok(cluster.kubectl(*wait, "--for=condition=Ready"))
    cluster.ok(cluster.kubectl("exec", "probes-grpc", "--", "sh", "-c", "echo until Monday > /tmp/closed"))
    cluster.ok(cluster.kubectl(*wait, "--for=condition=Ready=false"))
    told = 'Readiness probe failed: service unhealthy (responded with "NOT_SERVING")'
    cluster.until(told, "describe", "pod", "probes-grpc")
    cluster.ok(cluster.kubectl("exec", "probes-grpc", "--", "sh", "-c", "> /tmp/closed"))
    cluster.ok(cluster.kubectl(*wait, "--for=condition=Ready"))
    assert "Running   0" in cluster.ok(cluster.kubectl("get", "pod", "probes-grpc"))
    cluster.ok(cluster.kubectl("delete", "-f", "-", "--timeout=30s", text=text))


def test_the_readmes_say_what_the_tests_do() -> None:
    for example, name in (("python", "guestbook"), ("static-files", "site"), ("c-multi-stage", "hello")):
        text = (EXAMPLES / example / "README.md").read_text()
        for command in (
            f"knarr build -t localhost:5000/{name}:v1 examples/{example}",
            f"examples/{example}/deployment.yaml",
        ):
            assert command in text
