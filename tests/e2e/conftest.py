"""One real cluster for all end-to-end tests; afterwards nothing of it may be left on the machine."""

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.e2e import build_node
from tests.e2e.build_node import Node
from tests.e2e.cluster import Cluster
from tests.e2e.inventory import inventory

NEEDED = ("conmon", "nft", "busybox", "kubectl", "ip")
CLUSTER = os.environ.get("KNARR_E2E_CLUSTER", "e2e,16443,15000,16250,10.248.0.0/16")
"""Name, the ports of API, registry and kubelet, and the pods' network: two runs at once need two of each.

test_containerd.py (e2e-cri, 10.249/16) and test_remnants.py (e2e-gone, 10.247/16) have fixed ones: not twice at once.
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = [program for program in NEEDED if not shutil.which(program)]
    if os.getuid() != 0:
        missing.append("root")
    if missing:
        mark = pytest.mark.skip(reason=f"end-to-end tests need {', '.join(missing)}")
        for item in items:
            if "e2e" in Path(item.fspath).parts:
                item.add_marker(mark)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    name, *ports, network = CLUSTER.split(",")
    named = {flag: int(port) for flag, port in zip(("port", "registry-port", "kubelet-port"), ports, strict=True)}
    made = Cluster(name, tmp_path_factory.mktemp("e2e"), named, network)
    made.knarr("delete", "--yes")
    before = inventory(made.name)
    made.up()
    yield made
    made.ok(made.knarr("delete", "--yes"))
    assert inventory(made.name) == before


@pytest.fixture(scope="session")
def busybox(cluster: Cluster) -> str:
    """A busybox image, built here from the static binary."""
    image = f"{cluster.registry}/e2e/busybox:1"
    context = cluster.context(
        Dockerfile=(
            "FROM scratch\nCOPY busybox /bin/busybox\n"
            'RUN ["/bin/busybox", "sh", "-c", "/bin/busybox mkdir -p /tmp /etc /www && /bin/busybox --install -s /bin'
            ' && echo root:x:0:0:root:/root:/bin/sh > /etc/passwd"]\nENV PATH=/bin\nCMD ["sh"]\n'
        )
    )
    cluster.ok(cluster.knarr("build", "-t", image, str(context)))
    return image


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    """A machine that builds, without a cluster."""
    async with build_node.node(tmp_path) as running:
        yield running


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """A build context with Debian's static busybox."""
    directory, busybox = tmp_path / "context", shutil.which("busybox")
    directory.mkdir()
    assert busybox is not None
    shutil.copy(busybox, directory / "busybox")
    return directory
