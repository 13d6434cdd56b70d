"""A probe over time: when the next attempt is due and what the results so far mean.

`after(state, result, now)` answers the next state, `next_due(state)` the next moment; both are pure. Thresholds count
consecutive results of attempts on the probe's own grid (initialDelay + n × period from the container's start). Between
the first attempts of a readiness or startup probe over the network there are *eager* ones, so that a container is Ready
soon after it listens: an eager success counts, an eager failure does not.
Spec: docs "Liveness, Readiness and Startup Probes".
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal

from knarr.base.clock import Instant
from knarr.kinds.lens.probes import Probe

ProbeKind = Literal["startup", "readiness", "liveness"]
EAGER_SECONDS = (0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9, 1.2, 1.6, 2.0, 3.0, 4.0, 6.0, 8.0)
"""Moments of eager attempts after the first one: dense while a server usually starts, thinning out."""


@dataclass(frozen=True, slots=True)
class Rule:
    """The numbers of a probe, with the API's defaults filled in. `is_eager` where an attempt costs next to nothing."""

    kind: ProbeKind
    initial_delay: float = 0
    period: float = 10
    timeout: float = 1
    success_threshold: int = 1
    failure_threshold: int = 3
    is_eager: bool = False


@dataclass(frozen=True, slots=True)
class ProbeState:
    """`verdict` is None until a threshold is met. `due` is the grid's next attempt; `streak` counts equal results."""

    rule: Rule
    began: Instant
    due: Instant
    verdict: bool | None = None
    last: bool | None = None
    streak: int = 0
    eager_made: int = 0


def rule_of(kind: ProbeKind, probe: Probe) -> Rule:
    return Rule(
        kind=kind,
        initial_delay=probe.initial_delay_seconds,
        period=probe.period_seconds or 10,
        timeout=probe.timeout_seconds or 1,
        success_threshold=probe.success_threshold or 1,
        failure_threshold=probe.failure_threshold or 3,
        is_eager=kind != "liveness" and probe.initial_delay_seconds == 0 and probe.exec is None,
    )


def begin(rule: Rule, started_at: Instant, now: Instant) -> ProbeState:
    """The state of a probe whose container started then. A first moment that has passed is due now; for a container
    that ran for longer than a period (the kubelet started anew) it is the next of its grid: containers started at
    different times, so a hundred of them are not probed all at once, which is what upstream's random delay is for."""
    first = started_at + timedelta(seconds=rule.initial_delay)
    missed = (now - first).total_seconds() // rule.period
    due = first + timedelta(seconds=(missed + 1) * rule.period) if missed >= 1 else max(now, first)
    return ProbeState(rule, began=started_at, due=due)


def next_due(state: ProbeState) -> Instant:
    """When the next attempt is due, eager ones included."""
    eager = _next_eager(state)
    return state.due if eager is None else min(state.due, eager)


def is_grid(state: ProbeState, now: Instant) -> bool:
    """Whether an attempt at `now` is one of the grid's, whose failure counts."""
    return now >= state.due


def after(state: ProbeState, success: bool | None, now: Instant, *, on_grid: bool) -> ProbeState:
    """The state after an attempt that began on the grid or eagerly; None is an attempt that could not be made."""
    moved = _moved(state, now, on_grid=on_grid)
    if success is None or (not on_grid and not success):
        return moved
    streak = state.streak + 1 if state.last is success else 1
    threshold = state.rule.success_threshold if success else state.rule.failure_threshold
    verdict = success if streak >= threshold else state.verdict
    return replace(moved, last=success, streak=streak, verdict=verdict)


def is_ready(state: ProbeState | None) -> bool:
    """Readiness: not before the first verdict."""
    return state is None or state.verdict is True


def has_failed(state: ProbeState | None) -> bool:
    """Liveness and startup: only a negative verdict."""
    return state is not None and state.verdict is False


def _moved(state: ProbeState, now: Instant, *, on_grid: bool) -> ProbeState:
    if not on_grid:
        return replace(state, eager_made=_passed(state, now))
    due = state.due + timedelta(seconds=state.rule.period)
    return replace(
        state, due=due if due > now else now + timedelta(seconds=state.rule.period), eager_made=_passed(state, now)
    )


def _passed(state: ProbeState, now: Instant) -> int:
    """How many eager moments lie behind."""
    elapsed = (now - state.began).total_seconds()
    return max(state.eager_made, sum(1 for moment in EAGER_SECONDS if moment <= elapsed))


def _next_eager(state: ProbeState) -> Instant | None:
    """The next eager moment: only until the first verdict, and only within the first period."""
    if not state.rule.is_eager or state.verdict is not None or state.eager_made >= len(EAGER_SECONDS):
        return None
    moment = EAGER_SECONDS[state.eager_made]
    return state.began + timedelta(seconds=moment) if moment < state.rule.period else None
