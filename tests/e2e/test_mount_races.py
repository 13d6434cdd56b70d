"""Two containers and a volume that they share: one exchanges what the other is about to mount on (TRUST SEC-26).

KNARR_MOUNT_TRIES makes it a soak (the claim: 10,000 tries). The runtimes of the distribution are used as they are.
"""

import itertools
import os
from pathlib import Path

import pytest

from knarr.base.errors import KnarrError
from knarr.cri.messages import config as c
from knarr.cri.messages import container as m
from tests.contracts import real_node
from tests.e2e.test_containers import Machine, machine
from tests.races.exchange import exchanged

__all__ = ["machine"]
pytestmark = pytest.mark.skipif(bool(real_node.missing()), reason=f"needs {real_node.missing()}")
TRIES = int(os.environ.get("KNARR_MOUNT_TRIES", "18"))
CANARY = Path("/proc/sys/kernel/core_pattern")
LINKS = ("/proc/sys", "/", "../../../../proc/sys")
TARGETS = ("/shared/x", "/shared/x/deep", "/shared/x/kernel/core_pattern")
EACH = max(1, TRIES // (len(LINKS) * len(TARGETS)))
READ = "cat /proc/sys/kernel/core_pattern; echo hostile > /proc/sys/kernel/core_pattern"


async def test_no_exchange_in_a_shared_volume_puts_a_mount_outside_of_it(machine: Machine, tmp_path: Path) -> None:
    before = CANARY.read_bytes()
    shared, payload = tmp_path / "logs" / "shared", tmp_path / "logs" / "payload"
    for directory in (shared / "x" / "deep", shared / "x" / "kernel", payload):
        directory.mkdir(parents=True)
    (shared / "x" / "kernel" / "core_pattern").write_text("of the volume")
    (payload / "hostile").write_text("hostile")
    sandbox = await machine.sandbox()
    peaceful = await machine.start(sandbox, "exec sleep 60", name="peaceful")
    usual = mounted(machine, peaceful)
    await forget(machine, sandbox)
    outcomes = {True: 0, False: 0}
    try:
        for number, (wanted, target) in enumerate(itertools.product(LINKS, TARGETS)):
            link = shared / f"link-{number}"
            link.symlink_to(wanted)
            source = payload / "hostile" if target.endswith("core_pattern") else payload
            mounts = {"/shared": shared, target: source}
            with exchanged(shared / "x", link):
                for _ in range(EACH):
                    outcomes[await has_begun(machine, sandbox, mounts, usual)] += 1
            if (shared / "x").is_symlink():
                (shared / "x").unlink()
                link.rename(shared / "x")
            assert CANARY.read_bytes() == before
            assert await has_begun(machine, sandbox, mounts, usual), "it is refused though nobody attacks"
    finally:
        if CANARY.read_bytes() != before:  # else the machine keeps what the failure wrote
            CANARY.write_bytes(before)
    print(f"\nbegun as wanted {outcomes[True]}, refused {outcomes[False]}")


async def has_begun(machine: Machine, sandbox: str, mounts: dict[str, Path], usual: set[str]) -> bool:
    """Start a container with those mounts: it begins with all of them in the volume, or not at all."""
    wanted = tuple(c.Mount(container_path=target, host_path=str(source)) for target, source in mounts.items())
    try:
        identity = await machine.start(sandbox, "exec sleep 60", name="victim", mounts=wanted)
    except KnarrError:
        await forget(machine, sandbox)
        return False
    points = mounted(machine, identity) - usual
    assert all(point == "/shared" or point.startswith("/shared/") for point in points), points
    seen = await machine.exec(identity, READ)
    assert (seen.stdout, seen.exit_code != 0) == (CANARY.read_bytes(), True), (seen, points)
    await forget(machine, sandbox)
    return True


def mounted(machine: Machine, identity: str) -> set[str]:
    """The mount points that the container has."""
    pid = machine.server.node.runtime.pid(identity)  # type: ignore[arg-type]  # ids are strings
    return {line.split(" ")[4] for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()}


async def forget(machine: Machine, sandbox: str) -> None:
    for record in machine.server.node.containers_of(sandbox):
        await machine.server.remove_container(m.RemoveContainerRequest(container_id=record.id))
