"""The quota scope VolumeAttributesClass: which claims a selector of their classes chooses. Pure.

A claim counts under the class that it asks for, the one that it has and the one that it is being changed to.
Spec: "Resource Quotas", resource quota per VolumeAttributesClass.
"""

from collections.abc import Sequence
from typing import Final

ATTRIBUTES_CLASS: Final = "VolumeAttributesClass"


def attributes_classes(*names: str | None) -> frozenset[str]:
    return frozenset(name for name in names if name)


def holds(operator: str, values: Sequence[str], classes: frozenset[str]) -> bool:
    """Does one of the classes suit the selector, or none of them, where there is none?"""
    match operator:
        case "In":
            return any(name in values for name in classes)
        case "NotIn":
            return not classes or any(name not in values for name in classes)
        case "DoesNotExist":
            return not classes
        case _:
            return bool(classes)
