"""Quantities: Kubernetes' numbers with a unit (`500m`, `1Gi`, `2e3`), exact, as fractions.

Spec: k8s.io/apimachinery resource.Quantity. Canonical form: no fraction, the largest suffix of the same family, and
nothing finer than a nano. Parsing is strict: what Go refuses is refused.
"""

import functools
import math
import re
from fractions import Fraction

from knarr.base.errors import Invalid

_FORM = re.compile(r"([+-]?[0-9]+\.?[0-9]*|[+-]?\.[0-9]+)([eE][+-]?[0-9]{1,3}|[KMGTPE]i|[numkMGTPE]?)", re.ASCII)
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
LENGTH_MAX = 64


@functools.lru_cache(maxsize=4096)
def parse(text: str) -> Fraction:
    """The number that the text stands for. Raises Invalid in upstream's words."""
    number, suffix = _parts(text)
    value = Fraction(number)
    if suffix in _BINARY:
        return value * Fraction(1024) ** _BINARY[suffix]
    return value * Fraction(10) ** _exponent(suffix)


def _parts(text: str) -> tuple[str, str]:
    found = _FORM.fullmatch(text) if len(text) <= LENGTH_MAX else None
    if found is None:
        raise Invalid("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")
    return found[1], found[2]


def _exponent(suffix: str) -> int:
    return int(suffix[1:]) if suffix[:1] in "eE" and len(suffix) > 1 else _DECIMAL[suffix]


def milli(text: str) -> int:
    """Thousandths, rounded up: how CPU is counted."""
    return math.ceil(parse(text) * 1000)


def whole(text: str) -> int:
    """Units, rounded up: how bytes and everything else are counted."""
    return math.ceil(parse(text))


@functools.lru_cache(maxsize=4096)
def canonical(text: str) -> str:
    """The text that Go writes for the quantity. Raises Invalid."""
    _, suffix = _parts(text)
    if suffix in _BINARY:
        return _binary(parse(text))
    if suffix[:1] in ("e", "E") and len(suffix) > 1:
        return _scaled(parse(text), is_exponent=True)
    return _scaled(parse(text))


def _binary(value: Fraction) -> str:
    if value.denominator != 1 or abs(value) < 1024:
        return _scaled(value)
    number, power = value.numerator, 0
    while number and number % 1024 == 0 and power < 6:
        number, power = number // 1024, power + 1
    return f"{number}{['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'][power]}"


def _scaled(value: Fraction, is_exponent: bool = False) -> str:
    nano = math.ceil(value * 10**9) if value >= 0 else -math.ceil(-value * 10**9)
    if nano == 0:
        return "0"
    exponent = -9
    while nano % 1000 == 0 and (is_exponent or exponent < 18):  # E is the last suffix; an exponent knows no last one
        nano, exponent = nano // 1000, exponent + 3
    if is_exponent:
        return f"{nano}e{exponent}" if exponent else str(nano)
    suffix = next(suffix for suffix, power in _DECIMAL.items() if power == exponent)
    return f"{nano}{suffix}"


def in_milli(text: str) -> str:
    """The canonical quantity rounded up to thousandths, as Go rounds what it is given: away from zero."""
    value = parse(text) * 1000
    whole = math.ceil(value) if value >= 0 else math.floor(value)
    return text if whole == value else _scaled(Fraction(whole, 1000))


def text(value: Fraction, like: str = "") -> str:
    """The canonical text of a number, in the family (binary, decimal) of the quantity `like`."""
    return _binary(value) if like and _parts(like)[1] in _BINARY else _scaled(value)


def add(left: str, right: str) -> str:
    """The sum, in the family of the left one (of the right one when the left is 0), as Go adds."""
    return text(parse(left) + parse(right), like=left if parse(left) else right)


@functools.lru_cache(maxsize=4096)
def compare(left: str, right: str) -> int:
    """-1, 0 or 1."""
    difference = parse(left) - parse(right)
    return (difference > 0) - (difference < 0)
