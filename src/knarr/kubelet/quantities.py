"""Quantities as exact numbers (`100m`, `64Mi`, `1e3`), for the few sums that the kubelet makes.

Pure. Not here: canonical forms and validation, which are objects/quantity.py's.
"""

import math
import re
from fractions import Fraction

_SUFFIXES = {
    "": Fraction(1),
    **{suffix: Fraction(1, 10**power) for suffix, power in (("n", 9), ("u", 6), ("m", 3))},
    **{suffix: Fraction(10**power) for suffix, power in zip("kMGTPE", (3, 6, 9, 12, 15, 18), strict=True)},
    **{f"{suffix}i": Fraction(1 << shift) for suffix, shift in zip("KMGTPE", (10, 20, 30, 40, 50, 60), strict=True)},
}
_FORM = re.compile(r"([+-]?[0-9]*\.?[0-9]*)(?:([eE][+-]?[0-9]{1,3})|([numkMGTPE]i?|Ki))?", re.ASCII)


def amount(text: str) -> Fraction:
    """The number a quantity stands for; 0 for a text that is none (the API server has validated it)."""
    match = _FORM.fullmatch(text)
    if match is None or not match[1].strip("+-."):
        return Fraction(0)
    return Fraction(match[1] + (match[2] or "")) * _SUFFIXES.get(match[3] or "", Fraction(0))


def whole(text: str) -> int:
    """The quantity rounded up to an integer, as bytes are counted."""
    return math.ceil(amount(text))


def milli(text: str) -> int:
    """The quantity in thousandths, rounded up, as CPU is counted."""
    return math.ceil(amount(text) * 1000)
