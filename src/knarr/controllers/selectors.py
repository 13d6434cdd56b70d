"""Label selectors as lenses carry them: does a selector match a set of labels?

An absent selector matches nothing, an empty one everything; how text becomes a selector is objects/labels.py's.
Spec: "Labels and Selectors".
"""

from collections.abc import Mapping

from knarr.kinds.lens.meta import LabelSelector, LabelSelectorRequirement


def matches(selector: LabelSelector | None, labels: Mapping[str, str]) -> bool:
    """Whether all requirements of the selector hold."""
    if selector is None:
        return False
    return all(labels.get(key) == value for key, value in selector.match_labels.items()) and all(
        _holds(requirement, labels) for requirement in selector.match_expressions
    )


def is_empty(selector: LabelSelector | None) -> bool:
    """Whether the selector has no requirement."""
    return selector is None or (not selector.match_labels and not selector.match_expressions)


def text(selector: LabelSelector | None) -> str:
    """The selector as it is written on a command line."""
    if is_empty(selector) or selector is None:
        return "<none>" if selector is None else "<everything>"
    parts = [f"{key}={value}" for key, value in sorted(selector.match_labels.items())]
    for one in selector.match_expressions:
        match one.operator:
            case "In" | "NotIn":
                parts.append(f"{one.key} {one.operator.lower()} ({','.join(sorted(one.values))})")
            case "DoesNotExist":
                parts.append(f"!{one.key}")
            case _:
                parts.append(one.key)
    return ",".join(parts)


def _holds(requirement: LabelSelectorRequirement, labels: Mapping[str, str]) -> bool:
    match requirement.operator:
        case "In":
            return labels.get(requirement.key) in requirement.values
        case "NotIn":
            return labels.get(requirement.key) not in requirement.values
        case "Exists":
            return requirement.key in labels
        case "DoesNotExist":
            return requirement.key not in labels
        case _:
            return False
