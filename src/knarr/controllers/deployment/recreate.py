"""Recreate: all old pods end before the first new one begins. Spec: "Deployments: Recreate"."""

from collections.abc import Iterable

from knarr.controllers.deployment.picture import Member, Sizes
from knarr.kinds.lens.pod import Pod


def stop(old: list[Member]) -> Sizes:
    """Every old set to nothing."""
    return {one.name: 0 for one in old if one.replicas > 0}


def is_running(pods: Iterable[Pod]) -> bool:
    """Whether some pod of the old sets may still run: neither Succeeded nor Failed, terminating ones included."""
    return any(pod.status.phase not in ("Succeeded", "Failed") for pod in pods)
