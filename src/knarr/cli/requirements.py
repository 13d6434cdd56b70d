"""What a node needs of the machine: the programs, and where Debian and Ubuntu keep them. `up` asks, `doctor` tells."""

import shutil
from dataclasses import dataclass

from knarr.cli import printing
from knarr.cli.printing import Failure


@dataclass(frozen=True, slots=True)
class Requirement:
    """One of `programs` must be there; `package` is Debian's name of what brings it; `purpose` says what for."""

    programs: tuple[str, ...]
    package: str
    purpose: str


REQUIREMENTS = (
    Requirement(("crun", "runc"), "crun", "runs containers"),
    Requirement(("conmon",), "conmon", "keeps a container's output and exit code"),
    Requirement(("nft",), "nftables", "lets pods reach the network"),
)


def missing(path: str | None = None) -> list[Requirement]:
    """What is in none of the path's directories (PATH's)."""
    return [need for need in REQUIREMENTS if not any(shutil.which(program, path=path) for program in need.programs)]


def check() -> None:
    """Raises Failure naming everything that is missing and the one command that installs it."""
    lacking = missing()
    if not lacking:
        return
    names = ", ".join(" or ".join(need.programs) for need in lacking)
    raise Failure(
        f"{names} {'is' if len(lacking) == 1 else 'are'} not installed",
        "; ".join(f"{' or '.join(need.programs)} {need.purpose}" for need in lacking),
        f"apt-get install {' '.join(need.package for need in lacking)}",
        printing.EXIT_MISSING,
    )
