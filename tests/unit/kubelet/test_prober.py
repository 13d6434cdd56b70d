"""Probes over time: when attempts are made, by a loop and a clock that do not agree to the millisecond."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from knarr.base.clock import Instant, LoopClock
from knarr.cri.memory import MemoryRuntime
from knarr.cri.messages.container import ExecSyncRequest, ExecSyncResponse
from knarr.cri.messages.enums import ContainerState
from knarr.kinds.lens.pod import Pod
from knarr.kubelet.observed import ObservedContainer, ObservedPod, ObservedSandbox
from knarr.kubelet.probes.prober import Prober
from tests.simulation import virtual_time

START = datetime(2030, 1, 1, tzinfo=UTC)


class SlowClock(LoopClock):
    """Behind the loop by half a thousandth: every sleep of a second ends half a millisecond early."""

    def now(self) -> Instant:
        return START + (super().now() - START) * 0.9995


class Answering(MemoryRuntime):
    """Every command succeeds; `asked` is when."""

    def __init__(self, clock: LoopClock) -> None:
        super().__init__(clock)
        self.asked: list[timedelta] = []
        self._own = clock

    async def exec_sync(self, request: ExecSyncRequest) -> ExecSyncResponse:
        self.asked.append(self._own.now() - START)
        return ExecSyncResponse(exit_code=0)


def pod(**probes: Any) -> Pod:
    container = {"name": "c", "image": "i", **probes}
    return msgspec.convert(
        {"metadata": {"name": "web", "namespace": "default", "uid": "u"}, "spec": {"containers": [container]}}, Pod
    )


@pytest.mark.parametrize("kind", ["livenessProbe", "readinessProbe"])
def test_a_loop_that_wakes_early_makes_one_attempt_per_period(kind: str) -> None:
    async def told() -> list[timedelta]:
        clock = SlowClock(START)
        runtime = Answering(clock)
        prober = Prober(runtime, clock, lambda: None, lambda *_: None)
        running = ObservedContainer("c", "c", "box", 0, ContainerState.CONTAINER_RUNNING, started_at=START)
        observed = ObservedPod((ObservedSandbox("box", ips=("10.0.0.2",)),), (running,))
        probe = {"exec": {"command": ["true"]}, "periodSeconds": 1, "initialDelaySeconds": 1}
        prober.follow(pod(**{kind: probe}), observed, frozenset())
        await asyncio.sleep(5.5)
        prober.stop()
        return runtime.asked

    moments = virtual_time.run(told())
    assert [round(moment.total_seconds(), 2) for moment in moments] == [1, 2, 3, 4, 5]
