"""Addresses, rules and names of the pod network."""

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from knarr.base.errors import Unavailable
from knarr.base.ids import SandboxId
from knarr.network import bridge, ipam, namespaces, rtnetlink, ruleset
from knarr.network.memory import MemoryNetwork
from knarr.network.network import HostPort

PODS = IPv4Network("10.9.0.0/29")
NAMES = ruleset.Names("knarr-x", "knarr0")


def test_addresses_go_round_and_leave_out_network_gateway_and_broadcast() -> None:
    leases, given_out = ipam.Leases(), []
    for number in range(5):
        leases, address = ipam.lease(leases, PODS, SandboxId(f"s{number}"))
        given_out.append(str(address))
    assert given_out == [f"10.9.0.{host}" for host in range(2, 7)]
    with pytest.raises(Unavailable, match=r"10\.9\.0\.0/29"):
        ipam.lease(leases, PODS, SandboxId("more"))
    leases = ipam.release(ipam.release(leases, SandboxId("s1")), SandboxId("s0"))
    leases, address = ipam.lease(leases, PODS, SandboxId("new"))
    assert str(address) == "10.9.0.2"
    leases, address = ipam.lease(leases, PODS, SandboxId("newer"))
    assert str(address) == "10.9.0.3"


@given(some.lists(some.tuples(some.booleans(), some.integers(0, 7)), max_size=60))
def test_no_two_sandboxes_ever_share_an_address(steps: list[tuple[bool, int]]) -> None:
    leases = ipam.Leases()
    for is_lease, number in steps:
        sandbox = SandboxId(f"s{number}")
        if is_lease and len(leases.by_sandbox) < 5:
            leases, address = ipam.lease(leases, PODS, sandbox)
            assert leases.by_sandbox[sandbox] == address
        else:
            leases = ipam.release(leases, sandbox)
        held = list(leases.by_sandbox.values())
        assert len(set(held)) == len(held)
        assert all(address in PODS for address in held)


def test_leases_survive_in_their_files_and_a_torn_one_is_none(tmp_path: Path) -> None:
    files = ipam.LeaseFiles(tmp_path / "addresses")
    assert files.read() == ipam.Leases()
    leases, address = ipam.lease(ipam.Leases(), PODS, SandboxId("s"))
    files.keep(leases, SandboxId("s"))
    (tmp_path / "addresses" / "10.9.0.6").write_text('{"sandb')
    assert ipam.LeaseFiles(tmp_path / "addresses").read().by_sandbox == {"s": address}
    files.forget(address)
    files.forget(address)
    assert files.read() == ipam.Leases()


def test_the_rules_masquerade_pods_and_hide_the_gateway() -> None:
    text = ruleset.pod_network(NAMES, IPv4Network("10.244.0.0/16"))
    assert 'ip saddr 10.244.0.0/16 ip daddr != 10.244.0.0/16 oifname != "knarr0" masquerade' in text
    assert 'iifname != { "knarr0", "lo" } ip daddr 10.244.0.1 drop' in text
    assert text.count("flush chain inet knarr-x ") == 4
    assert "flush table" not in text


def test_of_the_host_pods_reach_the_api_and_dns_and_nothing_else() -> None:
    lines = ruleset.pod_network(NAMES, IPv4Network("10.244.0.0/16")).splitlines()
    allowed = [line.partition('pods_in iifname "knarr0" ')[2] for line in lines if 'pods_in iifname "knarr0"' in line]
    assert allowed == [
        "ct state established,related accept",
        "ip protocol icmp accept",
        "ip daddr 10.244.0.1 tcp dport { 53, 6443 } accept",
        "ip daddr 10.244.0.1 udp dport 53 accept",
        "reject with icmpx admin-prohibited",
    ]


def test_each_port_of_the_bridge_speaks_for_one_pod() -> None:
    port = ruleset.Port("knarr01", bridge.hardware_address(IPv4Address("10.244.0.2")), IPv4Address("10.244.0.2"))
    text = ruleset.ports(NAMES, [port])
    assert text.count("add rule bridge knarr-x ports_in iifname @links") == 3
    own = 'add element bridge knarr-x ports { "knarr01" . 0a:58:0a:f4:00:02 . 10.244.0.2 }\n'
    own += 'add element bridge knarr-x links { "knarr01" }\n'
    assert text.endswith(own)
    assert ruleset.port_removed(NAMES, port) == own + own.replace("add element", "delete element")


def test_dockers_chain_gets_our_rules_once() -> None:
    assert ruleset.docker_user(NAMES, "table ip filter {\n}\n") == ""
    listing = "table ip filter {\n chain DOCKER-USER {\n"
    rules = ruleset.docker_user(NAMES, listing)
    assert rules.count("insert rule ip filter DOCKER-USER") == 2
    again = listing + 'iifname "knarr0" counter packets 0 bytes 0 accept\noifname "knarr0" counter packets 0 accept\n'
    assert ruleset.docker_user(NAMES, again) == ""


def test_link_names_fit_the_kernel_and_addresses_are_local() -> None:
    name = bridge.link_name(SandboxId("a" * 64))
    assert name.startswith("knarr")
    assert len(name) == 13
    hardware = bridge.hardware_address(IPv4Address("10.244.0.2"))
    assert len(hardware) == 6
    assert hardware[0] & 3 == 2


def test_the_mtu_is_that_of_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "eth0").mkdir()
    (tmp_path / "eth0" / "mtu").write_text("1400\n")
    routes = "Iface\tDestination\tGateway\neth0\t00000000\t0101A8C0\t0003\n"
    assert bridge.outside_mtu(routes, tmp_path) == 1400
    assert bridge.outside_mtu("Iface\tDestination\n", tmp_path) == 1500


def test_netlink_lists_the_loopback_link() -> None:
    with rtnetlink.Netlink() as netlink:
        assert netlink.links()["lo"] == netlink.index("lo") == 1
        assert netlink.index("nosuchlink") is None


def test_an_absent_pin_is_no_pin(tmp_path: Path) -> None:
    assert not namespaces.is_pinned(tmp_path / "none")
    (tmp_path / "file").touch()
    assert not namespaces.is_pinned(tmp_path / "file")


async def test_the_network_in_memory_keeps_its_promises(tmp_path: Path) -> None:
    network = MemoryNetwork()
    first = await network.attach(SandboxId("a"), tmp_path)
    assert await network.attach(SandboxId("a"), tmp_path) == first
    assert network.address(SandboxId("a")) == first.addresses[0]
    await network.detach(SandboxId("a"))
    await network.detach(SandboxId("a"))
    assert network.holders() == set()


def test_a_port_of_the_host_is_for_the_host_and_its_pods_unless_an_address_is_named() -> None:
    ports = (HostPort("tcp", 80, 8080), HostPort("udp", 53, 53, "192.0.2.1"))
    rules = ruleset.host_ports(NAMES, [(IPv4Address("10.244.0.2"), ports)]).splitlines()
    assert rules[4:] == [
        'add rule inet knarr-x ports_in iifname "knarr0" fib daddr type local tcp dport 8080 dnat ip to 10.244.0.2:80',
        "add rule inet knarr-x ports_out fib daddr type local tcp dport 8080 dnat ip to 10.244.0.2:80",
        "add rule inet knarr-x ports_in ip daddr 192.0.2.1 udp dport 53 dnat ip to 10.244.0.2:53",
        "add rule inet knarr-x ports_out ip daddr 192.0.2.1 udp dport 53 dnat ip to 10.244.0.2:53",
    ]
    with pytest.raises(ValueError, match="evil"):
        ruleset.host_ports(NAMES, [(IPv4Address("10.244.0.2"), [HostPort("tcp", 80, 80, "evil; flush ruleset")])])


def test_ports_go_with_their_sandbox(tmp_path: Path) -> None:
    leases, _ = ipam.lease(ipam.Leases(), PODS, SandboxId("s"))
    leases = ipam.with_ports(leases, SandboxId("s"), [HostPort("tcp", 80, 8080)])
    files = ipam.LeaseFiles(tmp_path / "addresses")
    files.keep(leases, SandboxId("s"))
    assert files.read().ports == leases.ports
    assert ipam.release(leases, SandboxId("s")).ports == {}


def test_our_rules_are_taken_out_of_dockers_chain_by_their_handles() -> None:
    listing = '\t\tiifname "knarr0" counter packets 0 bytes 0 accept # handle 7\n\t\tiifname "eth0" accept # handle 8\n'
    assert ruleset.docker_user_removed(NAMES, listing) == "delete rule ip filter DOCKER-USER handle 7\n"
