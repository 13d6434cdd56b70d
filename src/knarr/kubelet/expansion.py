"""`$(NAME)` in env values, commands, arguments and subPathExpr.

`$$` is a dollar sign, a reference to an unknown name stays as it is, so does an unclosed one (docs: Define Dependent
Environment Variables). Pure.
"""

from collections.abc import Mapping


def expand(text: str, values: Mapping[str, str]) -> str:
    """The text with every known `$(NAME)` replaced."""
    out: list[str] = []
    position = 0
    while (dollar := text.find("$", position)) >= 0 and dollar + 1 < len(text):
        out.append(text[position:dollar])
        following = text[dollar + 1]
        if following == "$":
            out.append("$")
            position = dollar + 2
        elif following == "(" and (end := text.find(")", dollar)) >= 0:
            name = text[dollar + 2 : end]
            out.append(values.get(name, text[dollar : end + 1]))
            position = end + 1
        else:
            out.append(text[dollar : dollar + 2])
            position = dollar + 2
    out.append(text[position:])
    return "".join(out)


def unresolved(text: str, values: Mapping[str, str]) -> str | None:
    """The first name that `expand` could not replace, for subPathExpr, where that is an error."""
    missing: list[str] = []

    class _Recorder(dict[str, str]):
        def get(self, name: str, default: str | None = None) -> str:  # type: ignore[override]  # records what is asked
            if name not in values:
                missing.append(name)
            return values.get(name, default or "")

    expand(text, _Recorder())
    return missing[0] if missing else None
