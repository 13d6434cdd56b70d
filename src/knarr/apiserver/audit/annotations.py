"""Annotations: what parts of the server put into the audit event of the request that runs, by upstream's keys.

A context variable, since admission knows nothing of the pipeline around it; without an audit log nobody collects and
`annotate` does nothing. Not here: what the authorizers said (pipeline.py).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_collected: Final[ContextVar[dict[str, str] | None]] = ContextVar("audit_annotations", default=None)


@contextmanager
def collecting() -> Iterator[dict[str, str]]:
    """What is annotated within the block, in this task."""
    found: dict[str, str] = {}
    token = _collected.set(found)
    try:
        yield found
    finally:
        _collected.reset(token)


def annotate(key: str, value: str) -> None:
    found = _collected.get()
    if found is not None:
        found[key] = value
