"""`RUN --mount=…`: the options of each type, and their values in one form (Dockerfile reference, "RUN --mount").

`read` splits what was written and checks every value without a variable; `checked` checks all, when variables are put
in. After it switches are "true" or "false", `readonly` says what `rw` and its like mean, `size` is bytes.
"""

import csv
import re
from collections.abc import Mapping

from knarr.builder.dockerfile.instructions import RunMount

# Mount type → its options. Every type knows target (dst, destination) and readonly (ro, rw, readwrite).
OPTIONS = {
    "bind": ("source", "from"),
    "cache": ("id", "sharing", "source", "from", "mode", "uid", "gid"),
    "tmpfs": ("size",),
    "secret": ("id", "source", "required", "mode", "uid", "gid", "env"),
    "ssh": ("id", "required", "mode", "uid", "gid"),
}
SHARINGS = ("shared", "private", "locked")
_ALIASES = {"dst": "target", "destination": "target", "src": "source", "ro": "readonly", "rw": "readwrite"}
_SWITCHES = ("readonly", "readwrite", "required")
_TRUE, _FALSE = ("1", "t", "T", "true", "TRUE", "True"), ("0", "f", "F", "false", "FALSE", "False")
_SIZE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?) ?([kKmMgGtT]?)(?:i?[bB])?")
_UNITS = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}


def read(text: str) -> RunMount:
    """`type=cache,target=/x,…`; a field with a comma stands in double quotes. Raises ValueError."""
    options: dict[str, str] = {}
    for item in _fields(text):
        key, equals, value = item.strip().partition("=")
        name = _ALIASES.get(key.lower(), key.lower())
        if not equals and name not in _SWITCHES:
            raise ValueError(f"{item!r} is not KEY=VALUE")
        value = value if equals else "true"
        if name == "from" and re.search(r"\$.", value):
            raise ValueError(f"from={value}: variables are not put in here; name a stage FROM {value} instead")
        # Of readonly and readwrite the last counts.
        for other in ("readonly", "readwrite") if name in ("readonly", "readwrite") else ():
            options.pop(other, None)
        options[name] = value
    kind = options.pop("type", "bind").lower()
    _check_names(kind, options)
    known = {name: value if "$" in value else _value(name, value) for name, value in options.items()}
    return RunMount(kind, _in_form(known))


def _fields(text: str) -> list[str]:
    try:
        return next(csv.reader([text]), [])
    except csv.Error as error:
        raise ValueError(str(error)) from error


def checked(kind: str, options: Mapping[str, str]) -> dict[str, str]:
    """The options, their variables put in, with every value in its form. Raises ValueError."""
    _check_names(kind, options)
    return _in_form({name: _value(name, value) for name, value in options.items()})


def _check_names(kind: str, options: Mapping[str, str]) -> None:
    """Raises ValueError for an option that the type does not know, or needs and has not."""
    if kind not in OPTIONS:
        raise ValueError(f"type {kind!r} is none of {', '.join(OPTIONS)}")
    for name in options:
        if name not in (*OPTIONS[kind], "target", "readonly", "readwrite"):
            raise ValueError(f"{name!r} is no option of type={kind}")
    if kind in ("bind", "cache", "tmpfs") and not options.get("target"):
        raise ValueError(f"type={kind} needs target=/path")
    if kind == "secret" and not (options.get("id") or options.get("source") or options.get("target")):
        raise ValueError("type=secret needs id=ID")
    if options.get("id") and kind == "secret" and options.get("source"):
        raise ValueError("type=secret takes id or source, not both: they mean the same")


def _in_form(options: dict[str, str]) -> dict[str, str]:
    """With `readonly` in place of a `readwrite` that is known."""
    if options.get("readwrite") in ("true", "false"):
        options["readonly"] = "false" if options.pop("readwrite") == "true" else "true"
    return options


def _value(name: str, value: str) -> str:
    if name in _SWITCHES:
        if value not in (*_TRUE, *_FALSE):
            raise ValueError(f"{name} is true or false, not {value!r}")
        return "true" if value in _TRUE else "false"
    if name == "sharing" and value.lower() not in SHARINGS:
        raise ValueError(f"sharing is shared, private or locked, not {value!r}")
    if name == "mode" and not (re.fullmatch("[0-7]{1,11}", value) and int(value, 8) <= 0o7777):
        raise ValueError(f"mode={value!r} is not an octal mode")
    if name in ("uid", "gid") and not (re.fullmatch("[0-9]{1,10}", value) and int(value) < (1 << 32) - 1):
        raise ValueError(f"{name}={value!r} is not a number")
    if name == "size":
        return _size(value)
    return value.lower() if name == "sharing" else value


def _size(value: str) -> str:
    """Bytes of `64m`, `1.5GB`, `512MiB` or a number; units count in 1024s."""
    match = _SIZE.fullmatch(value)
    if match is None:
        raise ValueError(f"size={value!r} is not a size such as 64m")
    return str(int(float(match[1]) * (1 << _UNITS[match[2].lower()])))
