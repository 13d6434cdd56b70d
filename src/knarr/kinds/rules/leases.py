"""Checks of Lease. Texts are upstream's."""

from collections.abc import Iterator
from typing import Any, Final

from knarr.base.errors import Cause
from knarr.kinds.rules import numbers
from knarr.objects import faults, names

Json = dict[str, Any]
STRATEGIES: Final = ("OldestEmulationVersion",)


def lease(found: Json) -> Iterator[Cause]:
    spec = found.get("spec") or {}
    yield from numbers.positive(spec.get("leaseDurationSeconds"), "spec.leaseDurationSeconds")
    yield from numbers.non_negative(spec.get("leaseTransitions"), "spec.leaseTransitions")
    strategy = spec.get("strategy")
    if strategy is not None:
        # Upstream's path names the field twice.
        field = "spec.strategy.strategy"
        if "/" in strategy:
            yield from faults.each(field, strategy, names.qualified(strategy))
        elif strategy not in STRATEGIES:
            yield faults.unsupported(field, strategy, STRATEGIES)
    if spec.get("preferredHolder") and not strategy:
        yield faults.forbidden("spec.preferredHolder", "may only be specified if `strategy` is defined")
