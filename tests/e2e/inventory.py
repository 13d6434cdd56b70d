"""The leak inventory: what knarr may leave on a machine, as a sorted list of lines to compare before and after."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from knarr.assembly import settings
from tests.e2e.cluster import Cluster


def inventory(name: str) -> list[str]:
    """Processes, mounts, namespaces, links, addresses, nft tables, cgroups, loop devices and runtime files of a cluster
    (by its name, its directories, its bridge and its veths)."""
    return sorted({*_processes(name), *_mounts(name), *_links(name), *_tables(name), *_cgroups(name), *_files(name)})


def without_processes(cluster: Cluster) -> list[str]:
    """The inventory but for knarr's own two processes, whose numbers change, and a folder that the first pod makes."""
    pins = f"file /run/knarr/{cluster.name}/ns"
    lines = [line for line in inventory(cluster.name) if line != pins]
    return [line for line in lines if not line.startswith("process") or "conmon" in line]


def _processes(name: str) -> Iterator[str]:
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        line = b" ".join(words).decode(errors="replace")
        if f"/knarr/{name}/" in line or re.search(rf"knarr (control|node) --name {re.escape(name)}( |$)", line):
            yield f"process {line[:200]}"


def _mounts(name: str) -> Iterator[str]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        target = line.split(" ")[4]
        if f"/knarr/{name}/" in target or f"/knarr-{name}" in target:
            yield f"mount {target}"


def _links(name: str) -> Iterator[str]:
    bridge = settings.default(name, is_root=True).bridge
    answer = subprocess.run(["ip", "-json", "address"], capture_output=True, text=True, check=True).stdout
    for link in json.loads(answer):
        if bridge in (link["ifname"], link.get("master")):
            addresses = ",".join(sorted(each["local"] for each in link.get("addr_info", ())))
            yield f"link {link['ifname']} {addresses}"


def _tables(name: str) -> Iterator[str]:
    answer = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    yield from (f"nft {line}" for line in answer.splitlines() if line.endswith(f" knarr-{name}"))


def _cgroups(name: str) -> Iterator[str]:
    for depth in ("*", "*/*"):
        yield from (
            f"cgroup {path}" for path in Path("/sys/fs/cgroup").glob(f"{depth}") if path.name == f"knarr-{name}"
        )


def _files(name: str) -> Iterator[str]:
    # os.walk passes over what vanishes meanwhile; mounted file systems are listed as mounts, not walked.
    for directory, below, files in os.walk(Path("/run/knarr") / name):
        yield from (f"file {directory}/{entry}" for entry in (*below, *files))
        below[:] = [entry for entry in below if not os.path.ismount(f"{directory}/{entry}")]
