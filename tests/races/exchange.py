"""An attacker that exchanges two paths as fast as it can (renameat2 with RENAME_EXCHANGE), in a process of its own."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_SCRIPT = """
import ctypes, os, sys
rename = ctypes.CDLL(None, use_errno=True).renameat2
one, other = (os.fsencode(path) for path in sys.argv[1:])
print(flush=True)
while True:
    if rename(-100, one, -100, other, 2) != 0:
        sys.exit(os.strerror(ctypes.get_errno()))
"""


@contextlib.contextmanager
def exchanged(one: Path, other: Path) -> Iterator[None]:
    """What lies at the two paths changes places all the time. Afterwards either may be at either place."""
    with subprocess.Popen([sys.executable, "-c", _SCRIPT, str(one), str(other)], stdout=subprocess.PIPE) as attacker:
        assert attacker.stdout is not None
        attacker.stdout.readline()
        try:
            yield
            assert attacker.poll() is None, "nobody attacked"
        finally:
            attacker.kill()
