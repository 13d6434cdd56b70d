"""Networks of a cluster: real ones, apart from each other and from those of clusters that run."""

import sys
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from knarr.assembly.settings import FILE_NAME, Settings
from knarr.cli import networks, printing
from knarr.cli.printing import Failure

FRESH = Settings("new", Path("/state/new"), Path("/run/new"))
OTHER = Settings("old", Path("/state/old"), Path("/run/old"), pod_network="10.50.0.0/16")


def test_the_default_networks_are_fine_beside_another_cluster() -> None:
    networks.check(FRESH, [OTHER], {})


@pytest.mark.parametrize("text", ["", "garbage", "10.0.0.1/16", "10.0.0.0/33", "fd00::/64", "10.0.0.0/30"])
def test_what_is_no_network_is_named_with_its_flag(text: str) -> None:
    with pytest.raises(Failure, match="--pod-network") as refused:
        networks.check(replace(FRESH, pod_network=text), [], {})
    assert refused.value.code == printing.EXIT_USAGE
    assert refused.value.todo


def test_pods_and_services_have_addresses_of_their_own() -> None:
    with pytest.raises(Failure, match="overlap"):
        networks.check(replace(FRESH, pod_network="10.0.0.0/8"), [], {})


def test_two_clusters_may_not_share_addresses_of_pods_and_a_free_network_is_named() -> None:
    with pytest.raises(Failure) as refused:
        networks.check(replace(FRESH, pod_network="10.50.7.0/24"), [OTHER], {})
    failure = refused.value
    assert (failure.what, failure.code) == ("the pod network 10.50.7.0/24 is in use", printing.EXIT_IN_USE)
    assert failure.why == "the cluster 'old' has 10.50.0.0/16"
    assert failure.todo == "give another with --pod-network, say 10.244.0.0/16"


def test_settings_that_this_knarr_does_not_know_keep_no_other_cluster_from_starting(tmp_path: Path) -> None:
    (tmp_path / "newer").mkdir()
    (tmp_path / "newer" / FILE_NAME).write_text('{"name": "newer", "colour": "blue"}')
    mine = Settings(name="mine", data_dir=tmp_path / "mine", run_dir=tmp_path / "run")
    assert networks.running(mine) == []


def test_pods_hide_no_host_that_this_machine_needs(tmp_path: Path) -> None:
    (tmp_path / "resolv.conf").write_text(
        "# a comment\nsearch here\nnameserver ::1\nnameserver 10.50.255.53\nnameserver\n"
    )
    header = "Iface\tDestination\tGateway \tFlags\n"
    gateway = int.from_bytes(IPv4Address("10.60.0.1").packed, sys.byteorder)
    rows = f"eth0\t00000000\t{gateway:08X}\t0003\neth0\t0000320A\t00000000\t0001\n"
    (tmp_path / "route").write_text(header + rows)
    neighbours = networks.reached(tmp_path / "resolv.conf", tmp_path / "route")
    assert neighbours == {IPv4Address("10.50.255.53"): "name server", IPv4Address("10.60.0.1"): "gateway"}
    networks.check(FRESH, [], neighbours)
    with pytest.raises(Failure) as refused:
        networks.check(replace(FRESH, pod_network="10.50.0.0/16"), [], neighbours)
    assert refused.value.what == "the pod network 10.50.0.0/16 would hide 10.50.255.53"
    assert refused.value.todo == "give another with --pod-network, say 10.244.0.0/16"


def test_a_machine_without_those_files_has_no_such_hosts(tmp_path: Path) -> None:
    assert networks.reached(tmp_path / "none", tmp_path / "none") == {}
