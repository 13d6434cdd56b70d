"""The admission chain: a table of steps that see every write after decoding and before the store.

A mutating step returns the object it wants; a validating one raises Forbidden or Invalid. Order is upstream's.
Webhooks and policies become rows here later.
"""

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Final

from knarr.apiserver.admission import namespaces
from knarr.apiserver.context import RequestContext
from knarr.apiserver.resources import Json

Step = Callable[[RequestContext, Json, Json | None], Json]
"""(context, the wanted object, the live one or None on create) → the object to go on with."""

# Steps in order; each says itself which kinds and operations it looks at.
MUTATING: Final[tuple[Step, ...]] = (namespaces.lifecycle,)


async def mutated(context: RequestContext, obj: Json, old: Json | None) -> Json:
    for step in MUTATING:
        obj = step(context, obj, old)
    return obj


@contextlib.asynccontextmanager
async def validated(context: RequestContext, obj: Json, old: Json | None) -> AsyncIterator[None]:
    """Hold what a write needs (quota) while it is made; released when it fails."""
    yield
