"""Names of users and groups in an image: `--chown` and USER, by its /etc/passwd and /etc/group. Pure."""

from dataclasses import dataclass

from knarr.base.errors import Invalid

ID_MAX = (1 << 32) - 2


@dataclass(frozen=True, slots=True)
class Identity:
    uid: int
    gid: int
    additional_gids: tuple[int, ...] = ()


def identity(text: str, passwd: str, group: str) -> Identity:
    """The numbers of `user[:group]`. Raises Invalid for a name that the image does not know.

    Without a group it is the user's own: that of passwd, or 0 for a number that passwd lacks.
    """
    user, colon, group_text = text.partition(":")
    row = _row(passwd, user or "0")
    if row is not None:
        uid, own_gid = _number(row[2]), _number(row[3])
    else:
        uid, own_gid = _id(user or "0", "user", "/etc/passwd"), 0
    if colon and group_text:
        return Identity(uid, group_id(group_text, group))
    name = row[0] if row is not None else ""
    return Identity(uid, own_gid, _memberships(name, group))


def owner(text: str, passwd: str, group: str) -> tuple[int, int]:
    """(uid, gid) of --chown: without a group, a user's number is the group's too."""
    user, colon, _ = text.partition(":")
    found = identity(text, passwd, group)
    is_bare_number = not colon and user.isascii() and user.isdigit()
    return found.uid, found.uid if is_bare_number else found.gid


def group_id(text: str, group: str) -> int:
    row = _row(group, text)
    return _number(row[2]) if row is not None else _id(text, "group", "/etc/group")


def home(uid: int, passwd: str) -> str:
    """The user's home directory, "/" where passwd names none; root's is /root."""
    row = _row(passwd, str(uid))
    if row is not None and len(row) > 5 and row[5]:
        return row[5]
    return "/root" if uid == 0 else "/"


def _row(table: str, text: str) -> list[str] | None:
    """The row of a name, else of a number."""
    rows = [line.split(":") for line in table.splitlines() if line and not line.startswith("#")]
    rows = [row for row in rows if len(row) >= 3 and _is_id(row[2])]
    by_name = next((row for row in rows if row[0] == text), None)
    found = by_name or next((row for row in rows if row[2] == text), None)
    return [*found, "0"] if found is not None and len(found) == 3 else found


def _memberships(name: str, group: str) -> tuple[int, ...]:
    found = []
    for line in group.splitlines():
        row = line.split(":")
        if name and len(row) >= 4 and name in row[3].split(",") and _is_id(row[2]):
            found.append(int(row[2]))
    return tuple(found)


def _number(text: str) -> int:
    return int(text) if _is_id(text) else 0


def _is_id(text: str) -> bool:
    """The image wrote it: it may be anything, of any length."""
    return text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= ID_MAX


def _id(text: str, what: str, file: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise Invalid(f"{what} {text[:80]!r} is not in the image's {file}")
    if not _is_id(text):
        raise Invalid(f"{what} {text[:80]} is above {ID_MAX}")
    return int(text)
