"""Namespaces of a pod sandbox, pinned: bind-mounted on files, so that they live without a process in them.

One thread is kept for this: it unshares or enters, acts, and goes back to where the process is, which never leaves its
own namespaces. What it is given to do must be short and must not wait.
Vocabulary: a *pin* is the file below /run/knarr/NAME/ns that holds a namespace open.
"""

import asyncio
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Final, TypeVar

from knarr.base import linux
from knarr.base.errors import Invalid
from knarr.network.rtnetlink import Netlink

_FLAGS: Final = {"net": linux.CLONE_NEWNET, "ipc": linux.CLONE_NEWIPC, "uts": linux.CLONE_NEWUTS}
_LOOPBACK_INDEX: Final = 1
T = TypeVar("T")


async def pin(pins: Mapping[str, Path], hostname: str, sysctls: Mapping[str, str]) -> None:
    """Make new namespaces (`net`, `ipc`, `uts` → the file to pin it on) with that host name, sysctls and `lo` up."""
    if pins:
        await _in_thread(lambda: _pin(pins, hostname, sysctls))


def unpin(path: Path) -> None:
    """Let the namespace go; unpinning the absent succeeds."""
    linux.umount(path)
    path.unlink(missing_ok=True)


def is_pinned(path: Path) -> bool:
    """Whether a namespace is held there: a file of the kernel's own file system for them lies on the path."""
    try:
        return path.stat().st_dev != path.parent.stat().st_dev
    except FileNotFoundError:
        return False


async def inside(namespace: Path, act: Callable[[], T]) -> T:
    """What `act` answers, called inside that network namespace. It must be short: others wait for the thread."""

    def enter_and_act() -> T:
        descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
        try:
            linux.setns(descriptor, linux.CLONE_NEWNET)
        finally:
            os.close(descriptor)
        return act()

    return await _in_thread(enter_and_act)


async def _in_thread(act: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(_thread(), _act_and_return, act)


@cache
def _thread() -> ThreadPoolExecutor:
    # A thread of its own for every call would cost a millisecond or two each.
    return ThreadPoolExecutor(1, "namespaces")


def _act_and_return(act: Callable[[], T]) -> T:
    try:
        return act()
    finally:
        home = os.pidfd_open(os.getpid())
        try:
            linux.setns(home, linux.CLONE_NEWNET | linux.CLONE_NEWUTS | linux.CLONE_NEWIPC)
        finally:
            os.close(home)


def _pin(pins: Mapping[str, Path], hostname: str, sysctls: Mapping[str, str]) -> None:
    flags = linux.CLONE_FS
    for kind in pins:
        flags |= _FLAGS[kind]
    linux.unshare(flags)
    if "uts" in pins:
        linux.sethostname(hostname)
    if "net" in pins:
        with Netlink() as netlink:
            netlink.set_up(_LOOPBACK_INDEX)
    for name, value in sysctls.items():
        _set(name, value)
    for kind, path in pins.items():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o711)
        unpin(path)  # of an attempt that was cut short
        path.touch(mode=0o600)
        linux.mount(f"/proc/thread-self/ns/{kind}", path, None, linux.MS_BIND)


def _set(name: str, value: str) -> None:
    # Dots separate, unless slashes do (a link's name may hold dots).
    file = Path("/proc/sys") / (name if "/" in name else name.replace(".", "/"))
    try:
        file.write_text(value)
    except OSError as error:
        raise Invalid(f"sysctl {name}={value}: {error.strerror}") from error
