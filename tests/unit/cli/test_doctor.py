"""`knarr doctor` as a plain user: what root would find is not called missing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from knarr.cli.doctor import SBIN


@pytest.mark.skipif(not any(Path(folder, "nft").exists() for folder in SBIN), reason="needs nft where root has it")
def test_programs_that_only_root_has_on_the_path_are_found(tmp_path: Path) -> None:
    environment = {**os.environ, "PATH": str(tmp_path)}
    words = [sys.executable, "-m", "knarr", "doctor"]
    told = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False).stdout
    assert "ok    nft\n" in told
    assert "warn  kubectl: not on the PATH\n" in told
