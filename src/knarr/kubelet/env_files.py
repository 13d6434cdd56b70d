"""Env files: variables that an init container left in an emptyDir, for `valueFrom.fileKeyRef`.

`parsed` is pure: lines `NAME='value'`, a value as it stands between its quotes and over several lines if need be, blank
lines and `#` comments. `read` opens the file below the volume and follows no link out of it. Spec: docs "Define
Environment Variable Values Using An Init Container".
"""

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from knarr.base.errors import Invalid
from knarr.kubelet import mounting

BYTES_MAX: Final = 64 * 1024
_LINE: Final = re.compile(
    r"[ \t]*(?:#[^\n]*|(?P<name>[^\s='#][^\s=']*)='(?P<value>[^']*)'[ \t]*)?(?:\r?\n|\Z)", re.ASCII
)


def parsed(text: str) -> dict[str, str]:
    """The variables of a file. Raises Invalid with the line that is none."""
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        line = _LINE.match(text, at)
        if line is None:
            number = text.count("\n", 0, at) + 1
            raise Invalid(f"env file, line {number}: wanted NAME='value', a comment or nothing")
        if line["name"] is not None:
            found[line["name"]] = line["value"]
        at = line.end()
    return found


def read(volume: Path, path: str) -> Mapping[str, str] | None:
    """The variables of the file in the volume; None if it is not there. Raises Invalid for one that is no env file."""
    try:
        directory = os.open(volume, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        descriptor = mounting.open_beneath(directory, path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Invalid(f"env file {path}: {error.strerror}") from error
    finally:
        os.close(directory)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Invalid(f"env file {path}: not a regular file")
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(BYTES_MAX + 1)
    if len(content) > BYTES_MAX:
        raise Invalid(f"env file {path}: larger than {BYTES_MAX} bytes")
    try:
        return parsed(content.decode())
    except UnicodeDecodeError as error:
        raise Invalid(f"env file {path}: not UTF-8 text") from error
