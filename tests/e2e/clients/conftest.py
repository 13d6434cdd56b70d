"""A namespace with one pod, for clients that know nothing of knarr; and a revision that the API has forgotten."""

import gc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import kubernetes
import pytest

from tests.e2e.cluster import Cluster

NAMESPACE, POD, PORT = "clients", "web", 8080
PROGRAM = "echo first; echo hello > /www/index.html; exec httpd -f -p 8080 -h /www"
WINDOW_BYTES = 33 << 20
"""More than the API keeps of what was replaced."""


@dataclass(frozen=True)
class Place:
    """Where the clients work: their kubeconfig, and a revision from which no watch can go on."""

    kubeconfig: Path
    forgotten: str


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sockets that a foreign client leaves to the garbage collector are its own affair."""
    mark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(mark)


@pytest.fixture(autouse=True)
def left_alone() -> Iterator[None]:
    """What a test's client left is collected within that test, not in somebody else's."""
    yield
    gc.collect()


@pytest.fixture(scope="module")  # no longer: other tests look for what is left on the node
def place(cluster: Cluster, busybox: str) -> Iterator[Place]:
    """Pod `web` serves /index.html and has said "first"."""
    cluster.ok(cluster.kubectl("create", "namespace", NAMESPACE))
    run = ("-n", NAMESPACE, "run", POD, f"--image={busybox}", f"--port={PORT}", "--labels=app=web")
    cluster.ok(cluster.kubectl(*run, "--", "sh", "-c", PROGRAM))
    cluster.ok(cluster.kubectl("-n", NAMESPACE, "wait", "--for=condition=Ready", f"pod/{POD}", "--timeout=60s"))
    kubeconfig = cluster.directory / "kubeconfig"
    yield Place(kubeconfig, forgotten_revision(kubeconfig))
    cluster.ok(cluster.kubectl("-n", NAMESPACE, "delete", "pod", POD, "--grace-period=1"))  # it ignores SIGTERM
    cluster.ok(cluster.kubectl("delete", "namespace", NAMESPACE, "--timeout=60s"))


def forgotten_revision(kubeconfig: Path) -> str:
    """A revision that is past the window: as much was replaced since as the window may hold."""
    with kubernetes.config.new_client_from_config(str(kubeconfig)) as api:
        core = kubernetes.client.CoreV1Api(api)
        body = {"metadata": {"name": "large"}, "data": {"a": "x" * (900 << 10)}}
        forgotten: str = core.create_namespaced_config_map(NAMESPACE, body).metadata.resource_version
        for number in range(WINDOW_BYTES // (900 << 10) + 1):
            core.replace_namespaced_config_map(
                "large", NAMESPACE, {**body, "metadata": {"name": "large", "labels": {"n": str(number)}}}
            )
        core.delete_namespaced_config_map("large", NAMESPACE)
    return forgotten
