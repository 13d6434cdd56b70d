"""Runs the probes of one pod: one task per container and probe, each attempt when state.py says it is due.

The worker calls `follow` whenever it has looked at the pod; a verdict that changes wakes the worker. The startup probe
holds back the others. Not here: what a verdict leads to (pod_plan.py kills, pod_status.py reports).
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from knarr.base.clock import Clock, Instant
from knarr.base.errors import Invalid
from knarr.cri.protocol import RuntimeService
from knarr.kinds.lens.pod import Pod
from knarr.kinds.lens.probes import Probe
from knarr.kubelet import members
from knarr.kubelet.members import AnyContainer
from knarr.kubelet.observed import ObservedContainer, ObservedPod
from knarr.kubelet.probes import exec, grpc, http, state, target, tcp
from knarr.kubelet.probes.history import History
from knarr.kubelet.probes.result import Result
from knarr.kubelet.probes.state import ProbeKind, ProbeState
from knarr.kubelet.standing import Verdicts

Tell = Callable[[str, Literal["Normal", "Warning"], str, str], None]
"""(container name, type, reason, message)."""


@dataclass(slots=True)
class _Probed:
    """One running container under probes."""

    container: AnyContainer
    seen: ObservedContainer
    states: dict[ProbeKind, ProbeState] = field(default_factory=dict)
    tasks: dict[ProbeKind, asyncio.Task[None]] = field(default_factory=dict)
    started: asyncio.Event = field(default_factory=asyncio.Event)


class Prober:
    """The probes of one pod. `changed` is called when a verdict changed."""

    def __init__(self, runtime: RuntimeService, clock: Clock, changed: Callable[[], None], tell: Tell) -> None:
        self._runtime = runtime
        self._clock = clock
        self._changed = changed
        self._tell = tell
        self._probed: dict[str, _Probed] = {}
        self._ip = ""
        self.history = History()

    def follow(self, pod: Pod, observed: ObservedPod, ready_before: frozenset[str]) -> None:
        """Probe exactly the running containers; those in `ready_before` were Ready before the kubelet restarted."""
        sandbox = observed.ready_sandbox
        self._ip = sandbox.ips[0] if sandbox and sandbox.ips else self._ip
        running = {}
        for container in (*members.sidecars(pod), *pod.spec.containers):
            current = observed.current(container.name)
            if current is not None and current.is_running and _probes(container):
                running[current.id] = (container, current)
        for container_id in [known for known in self._probed if known not in running]:
            self._drop(container_id)
        for container_id, (container, current) in running.items():
            if container_id not in self._probed:
                self._begin(container, current, was_ready=container_id in ready_before)

    def verdicts(self) -> dict[str, Verdicts]:
        """What the probes say of each container, by id."""
        return {container_id: _verdicts(probed) for container_id, probed in self._probed.items()}

    def end_restarting(self) -> None:
        """The pod is ending: no probe may restart a container any more; readiness goes on."""
        for probed in self._probed.values():
            for kind in ("liveness", "startup"):
                if (task := probed.tasks.get(kind)) is not None:
                    task.cancel()

    def stop(self) -> None:
        for container_id in list(self._probed):
            self._drop(container_id)

    def _begin(self, container: AnyContainer, seen: ObservedContainer, *, was_ready: bool) -> None:
        probed = _Probed(container, seen)
        self._probed[seen.id] = probed
        now = self._clock.now()
        for kind, probe in _probes(container).items():
            first = state.begin(state.rule_of(kind, probe), seen.started_at or now, now)
            if was_ready and kind != "liveness":
                first = state.after(first, True, now, on_grid=False)
            probed.states[kind] = first
        if "startup" not in probed.states or probed.states["startup"].verdict:
            probed.started.set()
        for kind, probe in _probes(container).items():
            name = f"{kind} probe of {container.name}"
            probed.tasks[kind] = asyncio.create_task(self._run(probed, kind, probe), name=name)

    def _drop(self, container_id: str) -> None:
        for task in self._probed.pop(container_id).tasks.values():
            task.cancel()

    async def _run(self, probed: _Probed, kind: ProbeKind, probe: Probe) -> None:
        """Attempts until the probe has nothing more to say."""
        if kind != "startup" and not probed.started.is_set():
            await probed.started.wait()
            now = self._clock.now()
            probed.states[kind] = state.begin(probed.states[kind].rule, now, now)
        while True:
            current = probed.states[kind]
            if kind == "startup" and current.verdict:
                return
            due = state.next_due(current)
            wait = (due - self._clock.now()).total_seconds()
            if wait > 0:
                await asyncio.sleep(wait)
            # Loops count whole milliseconds: who wakes a moment early still makes the attempt of `due`, and only that.
            began = max(due, self._clock.now())
            result = await self._attempt(probed, probe, current.rule.timeout)
            self._take(probed, kind, result, began)
            if kind != "readiness" and state.has_failed(probed.states[kind]):
                return

    def _take(self, probed: _Probed, kind: ProbeKind, result: Result, began: Instant) -> None:
        """Take the result of the attempt that began then."""
        before = _verdicts(probed)
        current = probed.states[kind]
        self.history.add(probed.container.name, kind, result, began, self._clock.now())
        success = None if result.is_error else result.is_success
        on_grid = state.is_grid(current, began)
        probed.states[kind] = state.after(current, success, max(began, self._clock.now()), on_grid=on_grid)
        if on_grid and not result.is_success:
            verb = "errored" if result.is_error else "failed"
            name = kind.capitalize()
            self._tell(probed.container.name, "Warning", "Unhealthy", f"{name} probe {verb}: {result.output}")
        if result.warning:
            self._tell(
                probed.container.name, "Warning", "ProbeWarning", f"{kind.capitalize()} probe warning: {result.warning}"
            )
        if kind == "startup" and probed.states[kind].verdict:
            probed.started.set()
        if _verdicts(probed) != before:
            self._changed()

    async def _attempt(self, probed: _Probed, probe: Probe, seconds: float) -> Result:
        try:
            if probe.exec is not None:
                return await exec.attempt(self._runtime, probed.seen.id, probe.exec.command, seconds)
            if probe.http_get is not None:
                return await http.attempt(target.http(probe.http_get, probed.container, self._ip), seconds)
            if probe.tcp_socket is not None:
                host, port = target.tcp(probe.tcp_socket, probed.container, self._ip)
                return await tcp.attempt(host, port, seconds)
            if probe.grpc is not None:
                return await grpc.attempt(self._ip, probe.grpc.port, probe.grpc.service or "", seconds)
        except Invalid as error:
            return Result(False, str(error), is_error=True)
        return Result(False, "missing probe handler", is_error=True)


def _probes(container: AnyContainer) -> dict[ProbeKind, Probe]:
    found: dict[ProbeKind, Probe | None] = {
        "startup": container.startup_probe,
        "readiness": container.readiness_probe,
        "liveness": container.liveness_probe,
    }
    return {kind: probe for kind, probe in found.items() if probe is not None}


def _verdicts(probed: _Probed) -> Verdicts:
    startup, liveness = probed.states.get("startup"), probed.states.get("liveness")
    is_started = startup is None or startup.verdict is True
    failed, probe = "", None
    if state.has_failed(startup):
        failed, probe = "startup", probed.container.startup_probe
    elif state.has_failed(liveness):
        failed, probe = "liveness", probed.container.liveness_probe
    return Verdicts(
        is_started=is_started,
        is_ready=is_started and state.is_ready(probed.states.get("readiness")),
        failed=failed,
        grace_seconds=probe.termination_grace_period_seconds if probe else None,
    )
