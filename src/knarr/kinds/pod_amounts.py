"""How much of a resource a pod takes at most: while it starts, or once it runs. Pure.

Init containers run one after another, each beside the sidecars (init containers that stay) before it; then the
containers run beside all sidecars. Spec: "Sidecar Containers", resource sharing within containers.
"""

from collections.abc import Iterable
from fractions import Fraction


def at_most(running: Fraction, starting: Iterable[tuple[Fraction, bool]]) -> Fraction:
    """`running` is what the containers take together; `starting`, in order, what each init container takes, and
    whether it stays."""
    sidecars = most = Fraction(0)
    for amount, stays in starting:
        if stays:
            sidecars += amount
        else:
            most = max(most, sidecars + amount)
    return max(running + sidecars, most)
