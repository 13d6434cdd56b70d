"""Namespaces of a pod sandbox, pinned: bind-mounted on files, so that they live without a process in them.

A thread made for one call unshares, configures and pins them and ends; the process itself never leaves its own.
Vocabulary: a *pin* is the file below /run/knarr/NAME/ns that holds a namespace open.
"""

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Mapping
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
        await in_thread(lambda: _pin(pins, hostname, sysctls))


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
    """What `act` answers, called by a thread inside that network namespace."""

    def enter_and_act() -> T:
        descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
        try:
            linux.setns(descriptor, linux.CLONE_NEWNET)
        finally:
            os.close(descriptor)
        return act()

    return await in_thread(enter_and_act)


async def in_thread(act: Callable[[], T]) -> T:
    """Run `act` in a thread of its own that ends with it: what it does to its namespaces ends with it too."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def resolve(value: T | None, error: BaseException | None) -> None:
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(value)  # type: ignore[arg-type]  # T itself may be None

    def run() -> None:
        try:
            value, failure = act(), None
        except BaseException as error:
            value, failure = None, error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(resolve, value, failure)

    threading.Thread(target=run, name="namespaces", daemon=True).start()
    return await answer


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
