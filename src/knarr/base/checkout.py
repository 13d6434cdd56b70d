"""The commit that this program was checked out at, read from git's own files; "" for a program that was installed.

Spec: gitrepository-layout(5): HEAD is a commit, or names a branch: a file below refs/, or a line of packed-refs.
"""

import functools
import re
from pathlib import Path
from typing import Final

_COMMIT: Final = re.compile(r"[0-9a-f]{40,64}")
ROOT: Final = Path(__file__).parents[3]


@functools.cache
def commit(root: Path = ROOT) -> str:
    """What HEAD of the checkout at `root` is."""
    git = root / ".git"
    try:
        head = (git / "HEAD").read_text("ascii").strip()
        found = _branch(git, head.removeprefix("ref: ")) if head.startswith("ref: ") else head
    except (OSError, UnicodeDecodeError):
        return ""
    return found if _COMMIT.fullmatch(found) else ""


def _branch(git: Path, name: str) -> str:
    loose = git / name
    if loose.is_file():
        return loose.read_text("ascii").strip()
    packed = (git / "packed-refs").read_text("ascii").splitlines()
    return next((line.split()[0] for line in packed if line.endswith(f" {name}")), "")
