"""JSON merge patch (RFC 7386): objects merge, null removes, all else replaces. Pure; nothing is changed in place."""

from typing import Any


def merged(target: Any, patch: Any) -> Any:
    """The target with the patch put in."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result
