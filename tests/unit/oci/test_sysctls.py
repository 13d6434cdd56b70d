"""Which namespace holds a sysctl."""

import pytest

from knarr.oci.sysctls import namespace_of


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("net.ipv4.ip_forward", "net"),
        ("net/ipv4/conf/eth0.1/forwarding", "net"),
        ("kernel.shmmax", "ipc"),
        ("kernel.sem", "ipc"),
        ("fs.mqueue.msg_max", "ipc"),
        ("kernel.domainname", "uts"),
        ("kernel.core_pattern", ""),
        ("vm.swappiness", ""),
        ("net/../vm/swappiness", ""),
        ("net", ""),
    ],
)
def test_what_no_namespace_holds_is_the_machines(name: str, wanted: str) -> None:
    assert namespace_of(name) == wanted
