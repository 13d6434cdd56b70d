"""`--chmod`: octal (`0750`) and symbolic (`u=rwX,go+r`) modes. Pure."""

import re

from knarr.base.errors import Invalid

_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=][rwxXst]*)+)")
_ACTION = re.compile(r"([-+=])([rwxXst]*)")
_SHIFTS = {"u": 6, "g": 3, "o": 0}
_BITS = {"r": 4, "w": 2, "x": 1}


def changed(mode: int, text: str, *, is_directory: bool) -> int:
    """The mode after `--chmod=text`. Raises Invalid."""
    if re.fullmatch(r"[0-7]{1,5}", text):
        return int(text, 8) & 0o7777
    for clause in text.split(","):
        match = _CLAUSE.fullmatch(clause)
        if match is None:
            raise Invalid(f"--chmod={text}: not an octal mode such as 0755, nor a symbolic one such as u=rwX,go=rX")
        who = [name for name in "ugo" if name in match[1] or "a" in match[1] or not match[1]]
        for operator, letters in _ACTION.findall(match[2]):
            mode = _apply(mode, who, operator, letters, is_directory=is_directory)
    return mode


def _apply(mode: int, who: list[str], operator: str, letters: str, *, is_directory: bool) -> int:
    has_x = bool(mode & 0o111) or is_directory
    bits = sum({_BITS.get(letter, 0) for letter in letters}) | (1 if "X" in letters and has_x else 0)
    mask = sum(bits << _SHIFTS[name] for name in who)
    special = (0o4000 if "s" in letters and "u" in who else 0) | (0o2000 if "s" in letters and "g" in who else 0)
    special |= 0o1000 if "t" in letters else 0
    if operator == "-":
        return mode & ~(mask | special)
    if operator == "=":
        mode &= ~sum(7 << _SHIFTS[name] for name in who)
    return mode | mask | special
