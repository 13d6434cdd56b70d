"""What a pod's plan may ask for: acts as plain values, and the plan that holds them.

Decided in pod_plan.py and ending.py, done in acts.py.
"""

from dataclasses import dataclass
from typing import Literal

from knarr.base.clock import Instant


@dataclass(frozen=True, slots=True)
class RunSandbox:
    attempt: int


@dataclass(frozen=True, slots=True)
class StopSandbox:
    id: str


@dataclass(frozen=True, slots=True)
class StartContainer:
    name: str
    role: Literal["init", "main", "ephemeral"]
    attempt: int


@dataclass(frozen=True, slots=True)
class KillContainer:
    """`why` is the event's text after "Stopping container" or instead of it; `has_run_hook`: its preStop is over."""

    id: str
    name: str
    grace_seconds: int
    why: str = ""
    has_run_hook: bool = False


@dataclass(frozen=True, slots=True)
class RunPreStop:
    """The preStop hook of a sidecar whose turn to end has not come: all hooks of a pod begin together."""

    id: str
    name: str
    grace_seconds: int


@dataclass(frozen=True, slots=True)
class RemoveContainer:
    id: str


@dataclass(frozen=True, slots=True)
class ResizeContainer:
    """Give a running container the resources that its spec has now."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class ResizePod:
    """Give the pod's own cgroup what the spec says of the pod itself; `id` is its sandbox."""

    id: str


@dataclass(frozen=True, slots=True)
class RemoveSandbox:
    id: str


Act = (
    RunSandbox
    | StopSandbox
    | RemoveSandbox
    | StartContainer
    | ResizeContainer
    | ResizePod
    | RunPreStop
    | KillContainer
    | RemoveContainer
)


@dataclass(frozen=True, slots=True)
class PodPlan:
    """`waiting` holds containers held back by back-off; `is_over` says that nothing runs and nothing will."""

    acts: tuple[Act, ...] = ()
    waiting: tuple[tuple[str, Instant], ...] = ()
    again_at: Instant | None = None
    is_over: bool = False
