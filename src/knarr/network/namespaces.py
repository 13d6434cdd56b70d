"""Namespaces of a pod sandbox, pinned: bind-mounted on files, so that they live without a process in them.

One thread is kept for this: it unshares or enters, acts, and goes back to where the process is, which never leaves its
own namespaces. What it is given to do must be short and must not wait.
A user namespace can only be made by a process of one thread: `unshare` with `cat`, which is there until all is pinned.
Vocabulary: a *pin* is the file below /run/knarr/NAME/ns that holds a namespace open.
"""

import asyncio
import contextlib
import os
import select
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Final, TypeVar

from knarr.base import id_mappings, linux
from knarr.base.errors import Invalid, Unavailable
from knarr.base.id_mappings import IdMappings
from knarr.network.rtnetlink import Netlink
from knarr.oci.sysctls import namespace_of

_FLAGS: Final = {"net": linux.CLONE_NEWNET, "ipc": linux.CLONE_NEWIPC, "uts": linux.CLONE_NEWUTS}
_WORDS: Final = {"user": "--user", "net": "--net", "ipc": "--ipc", "uts": "--uts"}
_MAKE_SECONDS: Final = 10.0
_LOOPBACK_INDEX: Final = 1
T = TypeVar("T")


async def pin(pins: Mapping[str, Path], hostname: str, sysctls: Mapping[str, str]) -> None:
    """Make new namespaces (`net`, `ipc`, `uts` → the file to pin it on) with that host name, sysctls and `lo` up."""
    if pins:
        await _in_thread(lambda: _pin(pins, hostname, sysctls))


async def pin_mapped(pins: Mapping[str, Path], mappings: IdMappings, hostname: str, sysctls: Mapping[str, str]) -> None:
    """As `pin`, with a user namespace (`user`) that owns the others and has those ids. Raises Unavailable where the
    kernel makes none."""
    await asyncio.to_thread(_pin_mapped, pins, mappings)
    await _in_thread(lambda: _configure_mapped(pins, hostname, sysctls))


@contextlib.contextmanager
def user_namespace(mappings: IdMappings) -> Iterator[int]:
    """A descriptor of a user namespace with those ids, for as long as it lasts. Blocks for a moment."""
    with _unshared(("user",), mappings) as process:
        descriptor = os.open(f"/proc/{process}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


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
        _enter(namespace, linux.CLONE_NEWNET)
        return act()

    return await _in_thread(enter_and_act)


def _enter(namespace: Path, kind: int) -> None:
    descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        linux.setns(descriptor, kind)
    finally:
        os.close(descriptor)


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
    _configure(pins, hostname, sysctls)
    for kind, path in pins.items():
        _hold(f"/proc/thread-self/ns/{kind}", path)


def _configure(kinds: Iterable[str], hostname: str, sysctls: Mapping[str, str]) -> None:
    """Set up the namespaces that the thread is in."""
    if "uts" in kinds:
        linux.sethostname(hostname)
    if "net" in kinds:
        with Netlink() as netlink:
            netlink.set_up(_LOOPBACK_INDEX)
    for name, value in sysctls.items():
        _set(name, value)


def _hold(namespace: str, pin: Path) -> None:
    pin.parent.mkdir(parents=True, exist_ok=True, mode=0o711)
    unpin(pin)  # of an attempt that was cut short
    pin.touch(mode=0o600)
    linux.mount(namespace, pin, None, linux.MS_BIND)


def _pin_mapped(pins: Mapping[str, Path], mappings: IdMappings) -> None:
    with _unshared(pins, mappings) as process:
        for kind, path in pins.items():
            _hold(f"/proc/{process}/ns/{kind}", path)


@contextlib.contextmanager
def _unshared(kinds: Iterable[str], mappings: IdMappings) -> Iterator[int]:
    """The pid of a process in new namespaces, the user namespace with its ids; it ends behind the block."""
    words = ["unshare", *(_WORDS[kind] for kind in kinds), "cat"]
    pipe = subprocess.PIPE
    # Unbuffered: what a dead `unshare` did not take would be flushed again when the pipes are closed.
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0) as process:
        try:
            _await_echo(process)
            Path(f"/proc/{process.pid}/uid_map").write_text(id_mappings.lines(mappings.uids))
            Path(f"/proc/{process.pid}/gid_map").write_text(id_mappings.lines(mappings.gids))
            yield process.pid
        finally:
            process.kill()


def _await_echo(process: "subprocess.Popen[bytes]") -> None:
    """`cat` answers once `unshare` has done its work."""
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(b"x")
        process.stdin.flush()
    ready, _, _ = select.select([process.stdout], [], [], _MAKE_SECONDS)
    if not ready:
        raise Unavailable(f"user namespace: unshare does not answer within {_MAKE_SECONDS:g}s")
    if process.stdout.read(1) != b"x":
        raise Unavailable(f"user namespace: {process.stderr.read(4096).decode(errors='replace').strip()}")


def _configure_mapped(pins: Mapping[str, Path], hostname: str, sysctls: Mapping[str, str]) -> None:
    for kind, path in pins.items():
        if kind in _FLAGS:
            _enter(path, _FLAGS[kind])
    by_owner = {name: value for name, value in sysctls.items() if namespace_of(name) == "ipc"}
    _configure(pins, hostname, {name: value for name, value in sysctls.items() if name not in by_owner})
    for name, value in by_owner.items():
        _set_as_owner(pins, name, value)


def _set_as_owner(pins: Mapping[str, Path], name: str, value: str) -> None:
    """Sysctls of an ipc namespace obey the root of the user namespace that owns it, not the host's."""
    inside = [f"--{kind}={pins[kind]}" for kind in ("user", "ipc")]
    words = ["nsenter", *inside, "sh", "-c", 'printf %s "$2" >"$1"', "sh", str(_file(name)), value]
    try:
        ran = subprocess.run(words, capture_output=True, timeout=_MAKE_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"sysctl {name}={value}: nsenter does not end within {_MAKE_SECONDS:g}s") from error
    if ran.returncode != 0:
        raise Invalid(f"sysctl {name}={value}: {ran.stderr.decode(errors='replace').strip()}")


def _set(name: str, value: str) -> None:
    try:
        _file(name).write_text(value)
    except OSError as error:
        raise Invalid(f"sysctl {name}={value}: {error.strerror}") from error


def _file(name: str) -> Path:
    # Dots separate, unless slashes do (a link's name may hold dots).
    return Path("/proc/sys") / (name if "/" in name else name.replace(".", "/"))
