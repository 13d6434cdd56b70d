"""Seeded stories: pods come and go while containers crash, sandboxes die, the API refuses and the kubelet is restarted.

Safety at every moment: one container of a name runs, one sandbox is ready. Afterwards: what should run runs, and what
is gone has left nothing. `SEED=7 pytest …` tells one story again.
"""

import asyncio
import os
import random
from pathlib import Path

import pytest

from knarr.base.errors import Unavailable
from knarr.client.client import DeleteOptions
from knarr.cri.memory import MemoryContainer
from knarr.cri.messages.enums import ContainerState, PodSandboxState
from knarr.cri.messages.sandbox import StopPodSandboxRequest
from knarr.kinds.core_pod import POD
from knarr.kinds.registry import Kind
from tests.simulation.memory_api import Faults
from tests.unit.kubelet.harness import Node, run

SEEDS = [int(os.environ["SEED"])] if "SEED" in os.environ else list(range(int(os.environ.get("SEEDS", "8"))))
STEPS = 40


class Refusals(Faults):
    """A share of the writes is refused before or after it happened."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self.share = 0.0

    def before_write(self, verb: str, kind: Kind, name: str) -> None:
        if self._dice.random() < self.share:
            raise Unavailable(f"{verb} {name}: refused before")

    def after_write(self, verb: str, kind: Kind, name: str) -> None:
        if self._dice.random() < self.share:
            raise Unavailable(f"{verb} {name}: refused after")


class Story:
    def __init__(self, node: Node, group: asyncio.TaskGroup, seed: int) -> None:
        self.node = node
        self.group = group
        self.dice = random.Random(seed)
        self.refusals = Refusals(self.dice)
        node.client.faults = self.refusals
        self.alive: set[str] = set()
        self.made = 0

    async def step(self) -> None:
        deeds = [self.create, self.create, self.delete, self.crash, self.crash, self.end_sandbox, self.restart]
        await self.dice.choice(deeds)()
        for _ in range(self.dice.randrange(1, 20)):
            self.check()
            await asyncio.sleep(self.dice.random() * 0.2)

    async def create(self) -> None:
        self.made += 1
        name = f"p{self.made}"
        inits = [{"name": "side", "restartPolicy": "Always"}] if self.dice.random() < 0.5 else []
        spec = {"containers": [{"name": "a"}, {"name": "b"}], "initContainers": inits}
        self.refusals.share = 0.0
        await self.node.create(name, {**spec, "terminationGracePeriodSeconds": self.dice.choice([0, 1, 5])})
        self.refusals.share = 0.1
        self.alive.add(name)

    async def delete(self) -> None:
        if not self.alive:
            return
        name = self.dice.choice(sorted(self.alive))
        self.alive.discard(name)
        self.refusals.share = 0.0
        force = DeleteOptions(grace_period_seconds=0) if self.dice.random() < 0.3 else None
        await self.node.client.delete(POD, "default", name, force)
        self.refusals.share = 0.1

    async def crash(self) -> None:
        running = self.running()
        if running:
            self.node.runtime.exit(self.dice.choice(running).status.id, self.dice.choice([0, 1, 137]))

    async def end_sandbox(self) -> None:
        if self.node.runtime.sandboxes:
            chosen = self.dice.choice(sorted(self.node.runtime.sandboxes))
            await self.node.runtime.stop_pod_sandbox(StopPodSandboxRequest(pod_sandbox_id=chosen))

    async def restart(self) -> None:
        await self.node.stop()
        self.refusals.share = 0.0  # the kubelet's own start is told elsewhere
        await self.node.start(self.group)
        self.refusals.share = 0.1

    def running(self) -> list[MemoryContainer]:
        return [c for c in self.node.runtime.containers.values() if c.status.state == ContainerState.CONTAINER_RUNNING]

    def check(self) -> None:
        """Nothing runs twice."""
        names = [
            (c.status.labels["io.kubernetes.pod.uid"], c.status.labels["io.kubernetes.container.name"])
            for c in self.running()
        ]
        assert len(names) == len(set(names)), names
        boxes = self.node.runtime.sandboxes.values()
        ready = [s.labels["io.kubernetes.pod.uid"] for s in boxes if s.state == PodSandboxState.SANDBOX_READY]
        assert len(ready) == len(set(ready)), ready

    async def settle(self) -> None:
        self.refusals.share = 0.0
        self.dice.shuffle(order := sorted(self.alive))
        for name in order:
            await self.node.until(lambda name=name: self.node.ready(name), seconds=700)  # type: ignore[misc]  # the name is bound on purpose
        self.check()


@pytest.mark.parametrize("seed", SEEDS)
def test_pods_survive_everything_and_leave_nothing(tmp_path: Path, seed: int) -> None:
    async def told(node: Node, group: asyncio.TaskGroup) -> None:
        story = Story(node, group, seed)
        for _ in range(STEPS):
            await story.step()
        await story.settle()
        for name in sorted(story.alive):
            await node.client.delete(POD, "default", name)
        await asyncio.sleep(30)
        assert (node.runtime.containers, node.runtime.sandboxes) == ({}, {})
        assert list((node.settings.root_dir / "pods").iterdir()) == []
        assert node.kubelet.pods() == []
        assert node.client.all(POD) == []

    run(tmp_path, told)
