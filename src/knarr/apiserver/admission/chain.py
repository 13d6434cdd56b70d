"""The admission chain: a table of steps that see every write after decoding and before the store.

A step returns the object it wants or raises Forbidden or Invalid. Order is upstream's. What a step holds for the time
of the write (an address, a share of quota) it puts into context.releases. Webhooks and policies become rows later.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from knarr.apiserver.admission import (
    certificates,
    escalation,
    ingresses,
    limits,
    namespaces,
    node_restriction,
    pod_security,
    pods,
    quota,
    runtime_class,
    serviceaccounts,
    services,
    storage,
    taints,
    topology,
    warn,
)
from knarr.apiserver.context import RequestContext
from knarr.apiserver.resources import Json

Wait = Callable[[RequestContext, Json, Json | None], Awaitable[None]]
Step = Callable[[RequestContext, Json, Json | None], Json]
"""(context, the wanted object, the live one or None on create) → the object to go on with."""

# What must be there before anything is decided; these may wait.
WAITING: Final[tuple[Wait, ...]] = (serviceaccounts.awaited,)
# Steps in order; each says itself which kinds and operations it looks at.
MUTATING: Final[tuple[Step, ...]] = (
    namespaces.lifecycle,
    limits.defaults,
    serviceaccounts.service_account,
    pods.priority,
    pods.tolerations,
    runtime_class.runtime_class,
    taints.not_ready,
    topology.pod_labels,
    storage.default_class,
    storage.protect,
    ingresses.default_class,
    services.allocate,
    certificates.conditions,
)
# After validation; the last sees what will be stored.
VALIDATING: Final[tuple[Step, ...]] = (
    node_restriction.check,
    pod_security.admit,
    escalation.check,
    certificates.check,
    storage.resize,
    limits.check,
    quota.check,
    warn.tell,
)


async def ready(context: RequestContext, obj: Json, old: Json | None) -> None:
    for wait in WAITING:
        await wait(context, obj, old)


def mutated(context: RequestContext, obj: Json, old: Json | None) -> Json:
    for step in MUTATING:
        obj = step(context, obj, old)
    return obj


def validated(context: RequestContext, obj: Json, old: Json | None) -> None:
    """Raises Forbidden; what it holds is in context.releases."""
    for step in VALIDATING:
        step(context, obj, old)
