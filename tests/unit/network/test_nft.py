"""What nft itself cannot read is told before its library kills the process."""

import subprocess
import sys
from pathlib import Path

import pytest

from knarr.base.errors import Unavailable
from knarr.network import nft


def program(directory: Path, script: str) -> str:
    path = directory / "nft"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_an_nft_that_dies_of_the_rules_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="`nft list tables` is killed by signal 11 on this machine's rules"):
        nft.check(program(tmp_path, "kill -SEGV $$"))


def test_an_nft_that_is_well_or_absent_or_may_not_is_no_news(tmp_path: Path) -> None:
    nft.check(program(tmp_path, "exit 0"))
    nft.check(program(tmp_path, "exit 1"))
    nft.check(str(tmp_path / "absent"))


def test_an_nft_that_does_not_answer_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"nft does not answer within 0\.1s"):
        nft.check(program(tmp_path, "exec sleep 60"), seconds=0.1)


def test_the_first_run_of_any_process_tells_it_too(tmp_path: Path) -> None:
    program(tmp_path, "kill -SEGV $$")
    script = "from knarr.network import nft; nft.run_now('list tables')"
    words = [sys.executable, "-c", script]
    ran = subprocess.run(words, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert "Unavailable: nftables: `nft list tables` is killed by signal 11" in ran.stderr
