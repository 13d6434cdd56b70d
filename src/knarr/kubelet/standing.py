"""Standing: what a pod's worker remembers beside the API object and the runtime's report, as one value.

`in_flight` names acts that have begun (so a plan does not repeat them), `problems` why a container does not start,
`probes` the verdicts of its probes, `resized` the resources given to a running container since it was made;
`hooked` holds ids of containers whose preStop ran before their turn to end;
`resize_pending` is (reason, message) of a resize that is not begun, `resize_error` what went wrong with one that is.
Everything here may be lost: after a restart it is rebuilt or harmless.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from knarr.base.backoff import Backoff, BackoffRule
from knarr.base.clock import Instant
from knarr.kubelet.restarts import RULES

SANDBOX = "sandbox"


START_FAILED: Final = "RunContainerError"
"""The reason of a problem whose container was made and has ended with its start."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a container does not start: the waiting reason, its message, and when to try again."""

    reason: str
    message: str = ""
    retry_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What the probes say of one container: `failed` is "", "liveness" or "startup"."""

    is_started: bool = True
    is_ready: bool = True
    failed: str = ""
    grace_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """The pod must stop for good though nobody deleted it: phase Failed, with upstream's reason. `grace_seconds` bounds
    the pod's own grace."""

    reason: str
    message: str
    grace_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    in_flight: frozenset[str] = frozenset()
    backoffs: Mapping[str, Backoff] = field(default_factory=dict)
    problems: Mapping[str, Problem] = field(default_factory=dict)
    probes: Mapping[str, Verdicts] = field(default_factory=dict)
    rule: BackoffRule = RULES["standard"]
    stop: Stop | None = None
    is_gone: bool = False
    kill_at: Instant | None = None
    messages: Mapping[str, str] = field(default_factory=dict)
    resized: Mapping[str, str] = field(default_factory=dict)
    hooked: frozenset[str] = frozenset()
    resize_pending: tuple[str, str] | None = None
    resize_error: str = ""

    def verdicts(self, container_id: str, *, probed: bool, gated: bool) -> Verdicts:
        """The verdicts of a running container; before its first probe ran, readiness and startup count as not yet."""
        return self.probes.get(container_id, Verdicts(is_started=not gated, is_ready=not probed and not gated))


def resize_key(container_id: str) -> str:
    return f"resize/{container_id}"


def start_key(name: str) -> str:
    return f"start/{name}"


def kill_key(container_id: str) -> str:
    return f"kill/{container_id}"


def hook_key(container_id: str) -> str:
    return f"hook/{container_id}"
