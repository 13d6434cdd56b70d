"""The metrics of the CRI: which there are, and what processes tell."""

import os
import socket
from pathlib import Path

import pytest

from knarr.base.clock import SystemClock
from knarr.cri.messages import config as c
from knarr.criserver.containers import metric_rows, metrics, process_figures, stats
from knarr.criserver.containers.process_figures import Processes
from knarr.criserver.records import ContainerRecord
from knarr.runtime.cgroup_figures import Disk
from tests.unit.criserver.test_stopping import EARLY, POD, Crossed, node_of


def test_every_metric_is_described_once_with_help_and_labels() -> None:
    found = metrics.descriptors().descriptors
    assert len({one.name for one in found}) == len(found) == 56
    for one in found:
        assert one.help.endswith(".")
        assert set(metrics.CONTAINER_LABELS) < set(one.label_keys) or one.label_keys in (
            metrics.CONTAINER_LABELS,
            metrics.POD_LABELS,
        )


@pytest.mark.parametrize("weight", [39, 100])
def test_shares_are_those_that_were_asked_for_however_the_runtime_weighs_them(tmp_path: Path, weight: int) -> None:
    (tmp_path / "cgroup" / "p").mkdir(parents=True)
    (tmp_path / "cgroup" / "cgroup.controllers").write_text("cpu memory\n")
    (tmp_path / "cgroup" / "p" / "cpu.weight").write_text(f"{weight}\n")
    (tmp_path / "cgroup" / "p" / "cpu.max").write_text("20000 100000\n")
    node = node_of(tmp_path, Crossed(SystemClock()))

    def told(resources: c.LinuxContainerResources | None) -> tuple[int, int | None]:
        config = c.ContainerConfig(linux=c.LinuxContainerConfig(resources=resources))
        record = ContainerRecord(id=EARLY, sandbox=POD, config=config, created_at=1, cgroup_path="/p")
        cpu = metrics.figures(node, record).cpu
        return cpu.shares, cpu.quota

    assert told(c.LinuxContainerResources(cpu_shares=1024)) == (1024, 20000)
    by_weight = {39: 998, 100: 2597}[weight]
    assert told(c.LinuxContainerResources()) == told(None) == (by_weight, 20000)


def test_open_files_and_sockets_of_a_process_are_counted() -> None:
    one = process_figures.read([os.getpid()], os.getpid())
    with socket.socket(), Path("/dev/null").open():
        other = process_figures.read([os.getpid()], os.getpid())
    assert (other.descriptors - one.descriptors, other.sockets - one.sockets) == (2, 1)
    assert one.files_max is not None
    assert one.files_max > 0


def test_a_process_that_is_gone_counts_for_nothing(tmp_path: Path) -> None:
    assert process_figures.read([7], 7, tmp_path) == Processes()


def test_no_limit_of_open_files_is_no_figure(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "limits").write_text("Max open files    unlimited    unlimited    files\n")
    assert process_figures.read([], 7, tmp_path).files_max is None


def test_disks_without_a_name_are_told_apart_by_their_numbers() -> None:
    disks = (Disk("99999:1"), Disk("99999:2"))
    assert [metric_rows.name_of(disk) for disk in disks] == ["99999:1", "99999:2"]


def test_a_link_that_goes_while_it_is_read_has_no_counters(tmp_path: Path) -> None:
    for number, name in enumerate(
        f"{way}_{kind}" for way in ("rx", "tx") for kind in ("bytes", "errors", "packets", "dropped")
    ):
        (tmp_path / name).write_text(f"{number}\n")
    found = stats.counters(tmp_path)
    assert (found["tx_bytes"], found["rx_bytes"], len(found)) == (0, 4, 8)
    (tmp_path / "tx_dropped").unlink()
    assert stats.counters(tmp_path) == {}


def test_descriptors_are_counted_up_to_a_bound(tmp_path: Path) -> None:
    for pid in ("7", "8"):
        (tmp_path / pid / "fd").mkdir(parents=True)
        for number in range(3):
            (tmp_path / pid / "fd" / str(number)).symlink_to(f"socket:[{number}]")
    assert process_figures.read([7, 8], 7, tmp_path) == Processes(6, 6)
    assert process_figures.read([7, 8], 7, tmp_path, most=4) == Processes(4, 4)
