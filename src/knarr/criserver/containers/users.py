"""Whom a container runs as: names and numbers of CRI and the image, looked up in the image's own passwd and group.

The files are opened inside the root file system (openat2, RESOLVE_IN_ROOT), so a link in an image leads nowhere else,
and only their first megabytes are read. A name that is a number is a number. (TRUST, SEC-24.)
"""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from knarr.base import linux
from knarr.base.errors import Invalid
from knarr.cri.messages.config import LinuxContainerSecurityContext
from knarr.cri.messages.enums import SupplementalGroupsPolicy
from knarr.runtime.spec import User

_SIZE_MAX: Final = 4 << 20
_ID_MAX: Final = (1 << 31) - 1


@dataclass(frozen=True, slots=True)
class Accounts:
    """The lines of /etc/passwd and /etc/group."""

    passwd: str = ""
    group: str = ""


def read_accounts(rootfs: Path) -> Accounts:
    """What the image says; an image without the files has no names."""
    directory = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return Accounts(_read(directory, "etc/passwd"), _read(directory, "etc/group"))
    finally:
        os.close(directory)


def user(context: LinuxContainerSecurityContext, image_user: str, accounts: Accounts) -> User:
    """uid, gid and further groups. Raises Invalid for a name that the image does not know, or a number too big."""
    name, _, group = _asked(context, image_user).partition(":")
    uid, primary, login = _find_user(name, accounts)
    gid = _find_group(group, accounts) if group else primary
    if context.run_as_group is not None:
        if context.run_as_user is None and not context.run_as_username and not image_user:
            raise Invalid("run_as_group is given without run_as_user")
        gid = _checked(context.run_as_group.value, "run_as_group")
    groups = [_checked(number, "supplemental_groups") for number in context.supplemental_groups]
    if context.supplemental_groups_policy is SupplementalGroupsPolicy.Merge and login:
        groups = [*_groups_of(login, accounts), *groups]
    return User(uid, gid, tuple(sorted({gid, *groups})))


def _asked(context: LinuxContainerSecurityContext, image_user: str) -> str:
    if context.run_as_user is not None:
        return str(_checked(context.run_as_user.value, "run_as_user"))
    return context.run_as_username or image_user


def _find_user(name: str, accounts: Accounts) -> tuple[int, int, str]:
    """uid, primary gid and login name."""
    entries = [fields for fields in _lines(accounts.passwd) if len(fields) >= 4 and _is_number(fields[2])]
    if not name:
        name = "0"
    number = _number(name)
    for fields in entries:
        if (int(fields[2]) == number) if number is not None else (fields[0] == name):
            return _checked(int(fields[2]), name), int(fields[3]) if _is_number(fields[3]) else 0, fields[0]
    if number is None:
        raise Invalid(f"unable to find user {name}: no matching entries in passwd file")
    return _checked(number, "user"), 0, ""


def _find_group(name: str, accounts: Accounts) -> int:
    number = _number(name)
    if number is not None:
        return _checked(number, "group")
    for fields in _lines(accounts.group):
        if len(fields) >= 3 and fields[0] == name and _is_number(fields[2]):
            return _checked(int(fields[2]), name)
    raise Invalid(f"unable to find group {name}: no matching entries in group file")


def _groups_of(login: str, accounts: Accounts) -> Iterable[int]:
    for fields in _lines(accounts.group):
        if len(fields) >= 4 and login in fields[3].split(",") and _is_number(fields[2]):
            yield _checked(int(fields[2]), login)


def _lines(text: str) -> Iterable[list[str]]:
    return (line.strip().split(":") for line in text.splitlines() if line.strip() and not line.startswith("#"))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _number(text: str) -> int | None:
    return int(text) if _is_number(text) else None


def _checked(number: int, what: str) -> int:
    if not 0 <= number <= _ID_MAX:
        raise Invalid(f"{what}: {number} is not between 0 and {_ID_MAX}")
    return number


def _read(directory: int, path: str) -> str:
    try:
        descriptor = linux.openat2(
            directory, path, os.O_RDONLY | os.O_NONBLOCK, linux.RESOLVE_IN_ROOT | linux.RESOLVE_NO_MAGICLINKS
        )
    except OSError:
        return ""
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return ""
        return file.read(_SIZE_MAX).decode(errors="replace")
