"""Restarts: whether an ended container starts again, and after how long (CrashLoopBackOff).

The first restart is immediate; each later one waits from the container's end, 10 s doubled up to 300 s, and a
container that ran for ten minutes starts over (docs: Pod lifecycle, container restart policy). The profile `dev`
shortens all three. Not here: image pull back-off, which uses the same numbers (images.py).
"""

from dataclasses import replace
from datetime import timedelta

from knarr.base.backoff import Backoff, BackoffRule
from knarr.base.clock import Instant
from knarr.kinds.lens.container import Container, ContainerRestartRule, EphemeralContainer

RULES = {
    "standard": BackoffRule(first=10, cap=300, reset_after=600),
    "dev": BackoffRule(first=1, cap=10, reset_after=60),
}


def rule(name: str, seconds_max: float | None = None) -> BackoffRule:
    """The rule of that name, which waits at most so long, the first time too. When a container starts over does not
    change with it."""
    found = RULES[name]
    if seconds_max is None:
        return found
    return replace(found, first=min(found.first, seconds_max), cap=min(found.cap, seconds_max))


def restarts(container: Container | EphemeralContainer, policy: str, exit_code: int) -> bool:
    """Whether a container that ended with that code runs again: the first of its rules that matches decides, then its
    policy does."""
    return bool(_action(container, exit_code)) or should_restart(policy, exit_code)


def restarts_all(container: Container | EphemeralContainer, exit_code: int) -> bool:
    """Whether all containers of the pod begin anew because this one ended with that code."""
    return _action(container, exit_code) == "RestartAllContainers"


def _action(container: Container | EphemeralContainer, exit_code: int) -> str:
    """What the first rule that matches says; "" for none."""
    return next((rule.action for rule in container.restart_policy_rules if _matches(rule, exit_code)), "")


def _matches(rule: ContainerRestartRule, exit_code: int) -> bool:
    wanted = rule.exit_codes
    if wanted is None:
        return False
    return (exit_code in wanted.values) == (wanted.operator == "In")


def should_restart(policy: str, exit_code: int) -> bool:
    """Whether a container that ended with that code runs again under its restart policy."""
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def due_at(backoff: Backoff, finished_at: Instant, rule: BackoffRule) -> Instant:
    """The moment a container that ended at `finished_at` may start again."""
    return finished_at + timedelta(seconds=fresh(backoff, finished_at, rule).delay(rule))


def fresh(backoff: Backoff, finished_at: Instant, rule: BackoffRule) -> Backoff:
    """The back-off, forgotten if the container ran long enough after its last restart."""
    last = backoff.last_failure
    if last is not None and (finished_at - last).total_seconds() > rule.reset_after:
        return Backoff()
    return backoff


def restarted(backoff: Backoff, finished_at: Instant, now: Instant, rule: BackoffRule) -> Backoff:
    """The back-off after a restart at `now` of a container that ended at `finished_at`."""
    return Backoff(fresh(backoff, finished_at, rule).failures + 1, now)


def recovered(restart_count: int, created_at: Instant) -> Backoff:
    """The back-off of a container found running or ended when the kubelet itself starts again."""
    return Backoff(restart_count, created_at) if restart_count else Backoff()
