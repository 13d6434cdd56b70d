"""The default AppArmor profile: its text, the parser's word on it, and what the kernel's list names."""

import shutil
import subprocess
from pathlib import Path

import pytest

from knarr.runtime import apparmor


def test_the_kernels_list_is_read_by_name_whatever_the_mode() -> None:
    listing = "knarr-default (enforce)\n/usr/bin/a b (complain)\nsnap//x (unconfined)\nbroken\n"
    assert apparmor.names(listing) == {"knarr-default", "/usr/bin/a b", "snap//x"}


def test_a_kernel_without_a_list_knows_no_profile(tmp_path: Path) -> None:
    assert not apparmor.Kernel(True, "", tmp_path / "none").knows("knarr-default")


def test_the_profile_names_itself_where_containers_may_reach_each_other() -> None:
    text = apparmor.profile("mine", has_abi=False)
    assert text.startswith("profile mine flags=")
    assert "signal (send) peer={mine,mine//&**,**//&mine},\n" in text
    assert "ptrace (read, trace) peer={mine,mine//&**,**//&mine},\n" in text
    assert apparmor.profile("mine", has_abi=True) == f"abi <abi/3.0>,\n{text}"


@pytest.mark.skipif(shutil.which(apparmor.PARSER) is None, reason="needs apparmor_parser")
def test_the_parser_takes_the_profile() -> None:
    text = apparmor.profile(apparmor.DEFAULT, has_abi=apparmor.ABI.exists()).encode()
    words = [apparmor.PARSER, "--skip-cache", "--skip-kernel-load"]
    done = subprocess.run(words, input=text, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, b"")
