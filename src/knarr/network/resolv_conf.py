"""Which file names the resolvers of this machine that its pods and builds can reach.

systemd-resolved makes /etc/resolv.conf name a stub on the machine's own loopback, which no other network namespace
reaches, and writes the resolvers behind it to a file of its own: upstream's installers point the kubelet there.
Vocabulary: a *stub* is a resolver on loopback.
"""

from pathlib import Path
from typing import Final

HOST: Final = Path("/etc/resolv.conf")
BEHIND_STUB: Final = Path("/run/systemd/resolve/resolv.conf")


def path(host: Path = HOST, behind_stub: Path = BEHIND_STUB) -> Path:
    """The second one if the first names stubs alone."""
    return behind_stub if behind_stub.exists() and all(map(is_stub, nameservers(host))) else host


def nameservers(file: Path) -> list[str]:
    """Those that the file names; none if it is not there."""
    try:
        lines = file.read_text(errors="replace").splitlines()
    except OSError:
        return []
    return [words[1] for line in lines if len(words := line.split()) > 1 and words[0] == "nameserver"]


def without_stubs(content: str) -> str:
    """The file's content less the lines that name a stub."""
    kept = [line for line in content.splitlines() if not _names_stub(line.split())]
    return "\n".join(kept) + "\n"


def _names_stub(words: list[str]) -> bool:
    return words[:1] == ["nameserver"] and len(words) > 1 and is_stub(words[1])


def is_stub(address: str) -> bool:
    return address.startswith("127.") or address == "::1"
