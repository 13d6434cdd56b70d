"""A delete that is killed at any moment goes on with the next one, and a lost record does not keep what it told of."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from knarr.assembly import settings
from tests.e2e import deaths
from tests.e2e.cluster import Cluster
from tests.e2e.inventory import inventory

ROUNDS = int(os.environ.get("KNARR_DELETE_ROUNDS", "2"))
SECONDS = 0.6
"""About as long as a delete takes."""


@pytest.fixture
def gone(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster of its own, to be deleted in odd ways; nothing of it is there before and after."""
    ports = {"port": 16453, "registry-port": 15010, "kubelet-port": 16260}
    made = Cluster("e2e-gone", tmp_path, ports, "10.247.0.0/16")
    made.knarr("delete", "--yes")
    yield made
    made.knarr("delete", "--yes")


def everything(cluster: Cluster) -> list[str]:
    """The inventory with the directories that outlive a reboot."""
    own = settings.default(cluster.name, is_root=True)
    return [*inventory(cluster.name), *(str(path) for path in (own.data_dir, own.secrets_dir) if path.exists())]


def with_a_pod(cluster: Cluster) -> None:
    cluster.up()
    image = f"{cluster.registry}/sleep:1"
    cluster.ok(cluster.knarr("build", "-t", image, str(cluster.context(Dockerfile="FROM scratch\nCOPY busybox /b\n"))))
    deaths.apply(cluster, [deaths.pod("sleep-0", image, ["/b", "sleep", "3600"])])
    cluster.ok(cluster.kubectl("wait", "--for=condition=Ready", "--timeout=60s", "pod/sleep-0"))


def test_a_killed_delete_goes_on_with_the_next_one(gone: Cluster) -> None:
    dice = random.Random(5)
    for _ in range(ROUNDS):
        with_a_pod(gone)
        words = [sys.executable, "-m", "knarr", "delete", "--yes", "--name", gone.name]
        deleting = subprocess.Popen(
            words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=gone.directory, env=gone.variables
        )
        time.sleep(dice.random() * SECONDS)  # the moment of the kill is what varies
        deleting.send_signal(signal.SIGKILL)
        assert deleting.wait() in (-signal.SIGKILL, 0), "it failed before it was killed"
        if everything(gone):
            gone.ok(gone.knarr("delete", "--yes"))
        assert everything(gone) == []


def test_what_a_cluster_without_a_record_left_is_told_and_removed(gone: Cluster) -> None:
    with_a_pod(gone)
    own = settings.default(gone.name, is_root=True)
    (own.data_dir / settings.FILE_NAME).unlink()
    assert f"knarr delete --name {gone.name} --yes removes it" in gone.run(sys.executable, "-m", "knarr", "doctor").out
    gone.ok(gone.knarr("delete", "--yes"))
    assert everything(gone) == []
    assert "there is no cluster" in gone.knarr("delete", "--yes").err
