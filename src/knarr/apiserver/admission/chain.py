"""The admission chain: a table of steps that see every write after decoding and before the store.

A step returns the object it wants or raises Forbidden or Invalid. Order is upstream's. What a step holds for the time
of the write (an address, a share of quota) it puts into context.releases. Webhooks and policies become rows later.
"""

import functools
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
    pod_security_labels,
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

Kinds = frozenset[str] | None
EVERY: Final = None
_POD: Final[Kinds] = frozenset({"Pod"})
_CLAIM: Final[Kinds] = frozenset({"PersistentVolumeClaim"})
_LIMITED: Final[Kinds] = frozenset({"Pod", "PersistentVolumeClaim"})
_RBAC: Final[Kinds] = frozenset({"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"})
_CERTIFICATES: Final[Kinds] = frozenset({"CertificateSigningRequest", "ClusterTrustBundle", "PodCertificateRequest"})

# What must be there before anything is decided; these may wait. Each with the kinds that it may look at.
WAITING: Final[tuple[tuple[Wait, Kinds], ...]] = ((serviceaccounts.awaited, _POD),)
# Steps in order, each with the kinds (as stored) that it may look at: a ConfigMap meets a quarter of them. The step
# itself says which of their operations.
MUTATING: Final[tuple[tuple[Step, Kinds], ...]] = (
    (namespaces.lifecycle, EVERY),
    (limits.defaults, _POD),
    (serviceaccounts.service_account, _POD),
    (pods.priority, _POD),
    (pods.tolerations, _POD),
    (runtime_class.runtime_class, _POD),
    (taints.not_ready, frozenset({"Node"})),
    (topology.pod_labels, _POD),
    (storage.default_class, _CLAIM),
    (storage.protect, frozenset(storage.PROTECTED)),
    (ingresses.default_class, frozenset({"Ingress"})),
    (services.allocate, frozenset({"Service"})),
    (certificates.conditions, _CERTIFICATES),
)
# After validation. Warnings come first: upstream gives them with what admission then refuses, too.
VALIDATING: Final[tuple[tuple[Step, Kinds], ...]] = (
    (warn.tell, EVERY),
    (node_restriction.check, EVERY),
    (pod_security.admit, frozenset(pod_security.TEMPLATES)),
    (pod_security_labels.check, frozenset({"Namespace"})),
    (escalation.check, _RBAC),
    (certificates.check, _CERTIFICATES),
    (storage.resize, _CLAIM),
    (limits.check, _LIMITED),
    (quota.check, EVERY),
)


async def ready(context: RequestContext, obj: Json, old: Json | None) -> None:
    for wait in _concerning(context.resource.stored.kind)[0]:
        await wait(context, obj, old)


def mutated(context: RequestContext, obj: Json, old: Json | None) -> Json:
    for step in _concerning(context.resource.stored.kind)[1]:
        obj = step(context, obj, old)
    return obj


def validated(context: RequestContext, obj: Json, old: Json | None) -> None:
    """Raises Forbidden; what it holds is in context.releases."""
    for step in _concerning(context.resource.stored.kind)[2]:
        step(context, obj, old)


@functools.lru_cache(1024)
def _concerning(kind: str) -> tuple[tuple[Wait, ...], tuple[Step, ...], tuple[Step, ...]]:
    """The waiting, mutating and validating steps that may look at a kind."""
    return (
        tuple(wait for wait, kinds in WAITING if kinds is None or kind in kinds),
        tuple(step for step, kinds in MUTATING if kinds is None or kind in kinds),
        tuple(step for step, kinds in VALIDATING if kinds is None or kind in kinds),
    )
