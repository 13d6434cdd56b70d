"""Failpoints: named places where a test may make the process exit, raise, sleep or hold.

`KNARR_FAILPOINTS="store.before_commit=exit;criserver.create=raise*1"` arms them; an action may end in `*N` (only the
first N hits). Without the variable `failpoint` is one dictionary look-up in an empty dictionary.
Sleep and hold stop the whole process on purpose: they stand for a machine that stalls there.
"""

import os
import signal
import time
from typing import Final

ENVIRONMENT: Final = "KNARR_FAILPOINTS"


class FailpointError(Exception):
    """Raised by an armed failpoint with the action `raise`."""


def parse(text: str) -> dict[str, list[str | int]]:
    """`name=action[*count]` joined by `;` → {name: [action, count]}; a count of -1 is unlimited."""
    armed: dict[str, list[str | int]] = {}
    for item in filter(None, (part.strip() for part in text.split(";"))):
        name, separator, action = item.partition("=")
        action, star, count = action.partition("*")
        if not separator or action not in ACTIONS or (star and not (count.isascii() and count.isdigit())):
            raise ValueError(f"{ENVIRONMENT}: {item!r} is not NAME=ACTION[*COUNT] with ACTION in {sorted(ACTIONS)}")
        armed[name] = [action, int(count) if star else -1]
    return armed


def arm(text: str) -> None:
    """Arm these failpoints and no others: what the environment does for a whole process, for one test of it."""
    _armed.clear()
    _armed.update(parse(text))


def failpoint(name: str) -> None:
    """Do what `name` is armed with, if it is."""
    state = _armed.get(name)
    if state is None or state[1] == 0:
        return
    assert isinstance(state[1], int)
    state[1] -= 1
    ACTIONS[str(state[0])](name)


def _exit(_name: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _raise(name: str) -> None:
    raise FailpointError(name)


def _sleep(_name: str) -> None:
    time.sleep(5)


def _hold(_name: str) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


ACTIONS: Final = {"exit": _exit, "raise": _raise, "sleep": _sleep, "hold": _hold}
_armed = parse(os.environ.get(ENVIRONMENT, ""))
