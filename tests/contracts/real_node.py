"""A real CRI server for tests: conmon, crun or runc, a bridge and a busybox root, in names that no cluster has."""

import contextlib
import os
import shutil
import stat
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from knarr.assembly import remnants
from knarr.base import failpoints
from knarr.criserver import compose
from knarr.criserver.node import Places, Root
from knarr.criserver.rootfs import DirectoryRoots
from knarr.criserver.service import RuntimeServer
from knarr.network.ruleset import Names
from knarr.oci.image_config import ContainerConfig
from knarr.runtime.cgroups import ROOT, Cgroups

NEEDED = ("conmon", "nft", "busybox", "ip")
NUMBER = int(os.environ.get("KNARR_TEST_NUMBER", os.getpid()))
NAME = f"knarr-t{NUMBER}"
BRIDGE = f"knt{NUMBER}"
PODS = f"10.245.{NUMBER % 250}.0/24"


def missing() -> str:
    """What this machine lacks for real containers; "" if nothing."""
    absent = [program for program in NEEDED if shutil.which(program) is None]
    if shutil.which("crun") is None and shutil.which("runc") is None:
        absent.append("crun or runc")
    if os.getuid() != 0:
        absent.append("root")
    return ", ".join(absent)


def busybox_root(directory: Path) -> Path:
    """A root file system with a static busybox and nothing else."""
    program = shutil.which("busybox")
    assert program is not None
    for name in ("bin", "etc", "tmp", "proc", "sys", "dev", "var"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    shutil.copy(program, directory / "bin" / "busybox")
    for applet in subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.split():
        link = directory / "bin" / applet
        if not link.exists():
            link.symlink_to("busybox")
    (directory / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\nguest:x:405:100:guest:/home:/bin/sh\n")
    (directory / "etc" / "group").write_text("root:x:0:\nusers:x:100:\nextra:x:777:guest\n")
    (directory / "var" / "run").symlink_to("/run")
    return directory


def image(root: Path, *volumes: str) -> Root:
    """`volumes` are those that it declares."""
    config = ContainerConfig(
        env=("PATH=/bin", "FROM_IMAGE=yes"),
        cmd=("/bin/sh",),
        working_dir="/work",
        volumes={volume: {} for volume in volumes},
    )
    return Root(root, "sha256:busybox", "sha256:busybox", config)


@contextlib.asynccontextmanager
async def opened(directory: Path) -> AsyncIterator[RuntimeServer]:
    """A server over `directory`; what an earlier one left there is taken over. Pods go on when it closes."""
    places = Places(directory / "state", directory / "run", f"/{NAME}")
    runtime = compose.oci_runtime(places.run, places.cgroup)
    network = compose.bridge_network(places.run, Names(NAME, BRIDGE), PODS)
    root = directory / "root"
    roots = DirectoryRoots({"busybox": image(root), "declaring": image(root, "/tmp", "var/new")})
    server, streaming = compose.runtime_server(places, runtime, network, roots)
    await network.set_up()
    await server.recover()
    await streaming.start()
    try:
        yield server
    finally:
        failpoints.arm("")
        await server.close()
        await streaming.close()
        runtime.close()


@contextlib.contextmanager
def passable(directory: Path) -> Iterator[None]:
    """Others may walk through it meanwhile, as through a cluster's: pytest closes its directories to them."""
    closed = {path: mode for path in (directory, *directory.parents) if not (mode := path.stat().st_mode) & 0o001}
    for path, mode in closed.items():
        path.chmod(stat.S_IMODE(mode) | 0o001)
    try:
        yield
    finally:
        for path, mode in closed.items():
            path.chmod(stat.S_IMODE(mode))


async def torn_down(directory: Path) -> None:
    """Remove bridge, rules and control groups."""
    await compose.bridge_network(directory / "run", Names(NAME, BRIDGE), PODS).tear_down()
    Cgroups().remove(f"/{NAME}")


def sweep() -> None:
    """Remove control groups with their processes, bridges and tables of runs whose pytest is dead: it was killed."""
    # Version 1 has a folder of groups for each controller, version 2 has one for all.
    for group in {path.name for pattern in ("*/knarr-t*", "knarr-t*") for path in ROOT.glob(pattern)}:
        if _is_of_the_dead(group.removeprefix("knarr-t")):
            Cgroups().kill(f"/{group}")
            remnants.remove_group(Cgroups(), f"/{group}")
    for link in Path("/sys/class/net").glob("knt*"):
        if _is_of_the_dead(link.name.removeprefix("knt")):
            subprocess.run(["ip", "link", "delete", link.name], check=False)
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=False).stdout
    for line in tables.splitlines():
        _, family, table = line.split()
        if table.startswith("knarr-t") and _is_of_the_dead(table.removeprefix("knarr-t")):
            subprocess.run(["nft", "delete", "table", family, table], check=False)


def _is_of_the_dead(number: str) -> bool:
    """Whether that is a process id of nobody. Anything else is some cluster's name."""
    return number.isdecimal() and not Path("/proc", number).exists()


def inventory(directory: Path) -> list[str]:
    """Every trace on the machine of what runs below `directory`: mounts, processes, links, rules, cgroups, files."""
    own = str(directory)
    lines = [
        f"mount {line.split()[4]}" for line in Path("/proc/self/mountinfo").read_text().splitlines() if own in line
    ]
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if "conmon" in line and own in line:
                lines.append(f"process {line}")
    groups = [path for pattern in ("*/", "") for path in Path("/sys/fs/cgroup").glob(f"{pattern}{NAME}/**/")]
    lines += [f"cgroup {path}" for path in groups if path.name not in ("pods", "monitors", NAME)]
    links = subprocess.run(["ip", "-o", "link", "show", "master", BRIDGE], capture_output=True, text=True, check=False)
    lines += [f"link {line.split()[1]}" for line in links.stdout.splitlines()]
    kept = ("logs", "root", ".cache")  # newer cruns keep compiled seccomp profiles in .cache, one for all containers
    lines += [f"file {p}" for p in directory.rglob("*") if p.is_file() and not any(part in kept for part in p.parts)]
    return sorted(lines)
