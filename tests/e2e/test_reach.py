"""What of a running cluster can be reached: no port but on loopback and the pods' bridge, no socket of others."""

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.cluster import Cluster
from tests.e2e.deaths import monitors, pids
from tests.e2e.test_pods import create, pod, ready, shell

LISTENING = "0A"


def inodes(processes: list[int]) -> set[str]:
    """Of all sockets that these processes hold."""
    found = set()
    for path in _descriptors(processes):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # closed meanwhile
            target = os.readlink(path)
            if target.startswith("socket:["):
                found.add(target[len("socket:[") : -1])
    return found


def _descriptors(processes: list[int]) -> Iterator[Path]:
    """Of those that are still there."""
    for pid in processes:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            yield from list(Path(f"/proc/{pid}/fd").iterdir())


def listeners(processes: list[int]) -> set[str]:
    """The addresses at which these processes take connections over TCP, or datagrams that nobody was asked for."""
    own = inodes(processes)
    found = set()
    for protocol in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/net/{protocol}").read_text().splitlines()[1:]:
            words = line.split()
            if words[9] in own and (protocol.startswith("udp") or words[3] == LISTENING):
                found.add(_address(words[1].split(":")[0]))
    return found


def _address(text: str) -> str:
    """/proc shows addresses in words of the machine's own order of bytes."""
    packed = b"".join(bytes.fromhex(text[at : at + 8])[::-1] for at in range(0, len(text), 8))
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)


def test_nothing_listens_but_on_loopback_and_the_pods_bridge(cluster: Cluster, busybox: str) -> None:
    create(cluster, pod("seen", busybox))
    ready(cluster, "seen")
    network = cluster.pod_network.split("/")[0].rsplit(".", 1)[0]
    assert listeners([*pids(cluster), *monitors(cluster)]) == {"127.0.0.1", f"{network}.1"}


def test_sockets_are_files_of_their_owner_alone(cluster: Cluster, busybox: str) -> None:
    """Abstract ones have no mode: whoever shares the host's network could talk to them."""
    create(cluster, pod("heard", busybox))
    ready(cluster, "heard")
    own = inodes([*pids(cluster), *monitors(cluster)])
    names = set()
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        words = line.split(maxsplit=7)
        if words[6] in own and len(words) == 8:
            names.add(words[7])
    assert names
    assert [name for name in names if name.startswith("@")] == []
    run = Path("/run/knarr") / cluster.name
    assert stat.S_IMODE(run.stat().st_mode) & 0o077 == 0 or open_to_others(run) == []


def open_to_others(run: Path) -> list[Path]:
    """Sockets below the folder that others than the owner may connect to."""
    found = []
    for path in run.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # gone meanwhile: a pod ended
            mode = path.lstat().st_mode
            if stat.S_ISSOCK(mode) and mode & 0o077 and _is_passable(path.parent, run):
                found.append(path)
    return found


def _is_passable(folder: Path, top: Path) -> bool:
    """Whether others may walk down to it."""
    return all(stat.S_IMODE(one.stat().st_mode) & 0o001 for one in (folder, *folder.parents) if one >= top)


def test_a_container_has_its_three_streams_and_no_descriptor_of_the_hosts(cluster: Cluster, busybox: str) -> None:
    create(cluster, pod("narrow", busybox))
    ready(cluster, "narrow")
    assert shell(cluster, "narrow", "ls /proc/1/fd").split() == ["0", "1", "2"]
    # The fourth is the folder that `ls` reads; the shell that runs it may hold no other.
    assert shell(cluster, "narrow", "ls /proc/self/fd").split() == ["0", "1", "2", "3"]
