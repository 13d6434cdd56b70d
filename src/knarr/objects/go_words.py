"""How Go says things about JSON: what `fmt` prints for a value, and why a value does not become a field of a struct.

Upstream turns the result of a strategic merge patch into its struct without the JSON decoder, so the refusal of a wrong
type reads differently there than in every other body. Pure. Refusals of decoders: decoding.py.
"""

from typing import Any, Final

_NO_STRUCT: Final = ("string", "bool", "int32", "int64", "float64")


def printed(value: Any) -> str:
    """The value as `%v` shows it: `map[a:1 b:[x y]]`."""
    match value:
        case dict():
            return f"map[{' '.join(f'{key}:{printed(value[key])}' for key in sorted(value))}]"
        case list():
            return f"[{' '.join(map(printed, value))}]"
        case bool():
            return "true" if value else "false"
        case None:
            return "<nil>"
        case float():
            return f"{value:g}" if value.is_integer() and abs(value) < 1e21 else repr(value)
        case _:
            return str(value)


def not_restored(value: Any, wanted: str) -> str:
    """Why a value does not become the Go type `wanted`."""
    found = _kind(value)
    if wanted == "v1.ResourceList" or wanted.startswith("map["):
        return f"cannot restore map from {found}"
    if wanted.startswith("[]"):
        return f"cannot restore slice from {found}"
    if wanted not in _NO_STRUCT:
        return f"cannot restore struct from: {found}"
    # Go can convert these; JSON has no such conversion.
    if (found, wanted) == ("int64", "string") or (found == "float64" and wanted.startswith("int")):
        return f"cannot convert {found} to {wanted}"
    return f"unrecognized type: {wanted}"


def _kind(value: Any) -> str:
    match value:
        case bool():
            return "bool"
        case str():
            return "string"
        case int():
            return "int64"
        case float():
            return "float64"
        case list():
            return "slice"
        case _:
            return "map"
