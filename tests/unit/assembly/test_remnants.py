"""What a cluster left is found by the cluster's name, and a delete that is cut short can begin again."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from knarr.assembly import remnants, supervise
from knarr.assembly import settings as settings_module
from knarr.assembly.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    plain = settings_module.default("nobody-has-this", is_root=True)
    return replace(plain, data_dir=tmp_path / "state", run_dir=tmp_path / "run")


def kept(settings: Settings) -> Path:
    (settings.data_dir / "images").mkdir(parents=True)
    (settings.data_dir / "images" / "blob").write_text("x")
    settings_module.save(settings)
    return settings.data_dir / settings_module.FILE_NAME


@contextlib.contextmanager
def running(settings: Settings, *flags: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process with the command line of a cluster's node."""
    wait = "import sys; print(flush=True); sys.stdin.read()"
    words = [sys.executable, "-c", wait, "-m", "knarr", "node", "--name", settings.name, *flags]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        yield child
        child.communicate()


def test_directories_and_processes_are_found(settings: Settings) -> None:
    kept(settings)
    with running(settings) as child:
        assert remnants.found(settings) == [f"process {child.pid}", f"directory {settings.data_dir}"]
        assert remnants.processes("nobody-has") == []


def test_processes_with_their_state_elsewhere_say_where(settings: Settings) -> None:
    with running(settings, "--data-dir", "/elsewhere"):
        assert remnants.state_elsewhere(settings) == "/elsewhere"
        assert remnants.state_elsewhere(replace(settings, data_dir=Path("/elsewhere"))) == ""


def test_everything_is_forgotten_and_again(settings: Settings) -> None:
    kept(settings)
    settings.run_dir.mkdir()
    for _ in range(2):
        remnants.forget(settings)
        assert not settings.data_dir.exists()
        assert not settings.run_dir.exists()


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to keep a directory from being removed")
def test_the_record_stays_as_long_as_anything_else_does(settings: Settings) -> None:
    record = kept(settings)
    stubborn = settings.data_dir / "images"
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", stubborn], check=True)
    try:
        remnants.forget(settings)
        assert record.exists()
    finally:
        subprocess.run(["umount", stubborn], check=True)
    remnants.forget(settings)
    assert not record.exists()


def test_a_cluster_whose_run_directory_a_reboot_took_can_be_stopped(settings: Settings) -> None:
    supervise.stop(settings, supervise.roles(settings))
    assert supervise.stopping_file(settings).exists()


def test_an_nft_that_cannot_look_is_not_an_nft_that_found_nothing(tmp_path: Path) -> None:
    nft = tmp_path / "nft"
    nft.write_text("#!/bin/sh\nkill -SEGV $$\n")
    nft.chmod(0o755)
    look = "from knarr.assembly import remnants; print(*remnants.unseen())"
    words = [sys.executable, "-c", look]
    ran = subprocess.run(words, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=True)
    told = "nftables tables cannot be listed (nftables: `nft list tables` is killed by signal 11"
    assert ran.stdout.startswith(told)
