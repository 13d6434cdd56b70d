"""Quantities as exact numbers (`100m`, `64Mi`, `1e3`), for the few sums that the kubelet makes.

objects/quantity.py reads them; here a text that is none counts as 0, since a status must not fail over it.
"""

import math
from fractions import Fraction
from functools import lru_cache

from knarr.base.errors import Invalid
from knarr.objects import quantity


@lru_cache(maxsize=4096)
def amount(text: str) -> Fraction:
    """The number a quantity stands for; 0 for a text that is none (the API server has validated it)."""
    try:
        return quantity.parse(text)
    except Invalid:
        return Fraction(0)


def whole(text: str) -> int:
    """The quantity rounded up to an integer, as bytes are counted."""
    return math.ceil(amount(text))


def milli(text: str) -> int:
    """The quantity in thousandths, rounded up, as CPU is counted."""
    return math.ceil(amount(text) * 1000)
