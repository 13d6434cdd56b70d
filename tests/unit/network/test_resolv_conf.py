"""Which file names resolvers that pods can reach."""

from pathlib import Path

import pytest

from knarr.network import resolv_conf

STUB = "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch .\n"


@pytest.mark.parametrize(
    ("host", "is_behind"),
    [
        (STUB, True),
        ("# nobody\n", True),
        ("nameserver 127.0.0.53\nnameserver ::1\n", True),
        ("nameserver 192.0.2.1\n", False),
        (STUB + "nameserver 192.0.2.1\n", False),
    ],
)
def test_resolvers_are_taken_from_behind_a_stub(tmp_path: Path, host: str, is_behind: bool) -> None:
    first, second = tmp_path / "resolv.conf", tmp_path / "behind"
    first.write_text(host)
    assert resolv_conf.path(first, second) == first  # there is nothing else
    second.write_text("nameserver 192.0.2.53\n")
    assert resolv_conf.path(first, second) == (second if is_behind else first)


def test_a_machine_without_the_file_names_nobody(tmp_path: Path) -> None:
    assert resolv_conf.nameservers(tmp_path / "none") == []


def test_lines_that_name_a_stub_are_left_out_whatever_follows_the_address() -> None:
    content = "search here\nnameserver 127.0.0.53 # stub\nnameserver\nnameserver 192.0.2.1 # not 127.0.0.1\n"
    assert resolv_conf.without_stubs(content) == "search here\nnameserver\nnameserver 192.0.2.1 # not 127.0.0.1\n"
