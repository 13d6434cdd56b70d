"""Completion indexes: sets of numbers as text like `0-2,5`, and the index that a pod carries.

Spec: "Job: completion mode Indexed".
"""

from collections.abc import Iterable
from typing import Final

from knarr.kinds.lens.meta import ObjectMeta

COMPLETION_INDEX: Final = "batch.kubernetes.io/job-completion-index"
DIGITS_MAX: Final = 9
"""Of a number in a pod's annotation, which anybody may have written: no Job has more than 10^9 indexes."""


def parse(text: str, limit: int) -> frozenset[int]:
    """The indexes below `limit` that a text names; a part that is no interval names none."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        last = last or first
        if first.isascii() and first.isdigit() and last.isascii() and last.isdigit():
            found.update(range(int(first), min(int(last), limit - 1) + 1))
    return frozenset(index for index in found if index < limit)


def render(indexes: Iterable[int]) -> str:
    """As text: two neighbours stay apart by a comma, three and more become an interval."""
    parts: list[str] = []
    ordered = sorted(indexes)
    start = 0
    for position in range(1, len(ordered) + 1):
        if position == len(ordered) or ordered[position] != ordered[position - 1] + 1:
            run = ordered[start:position]
            parts += [f"{run[0]}-{run[-1]}"] if len(run) > 2 else [str(one) for one in run]
            start = position
    return ",".join(parts)


def index_of(metadata: ObjectMeta) -> int | None:
    """The index that a pod works on; None where it has none."""
    text = metadata.annotations.get(COMPLETION_INDEX, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX else None
