"""Names and identifiers: NewTypes of the integers and strings that must not be mixed up, and how they are made."""

import os
import struct
from collections.abc import Callable
from typing import NewType, cast

Revision = NewType("Revision", int)
"""The store's one order of changes; a resourceVersion is its decimal text."""
Uid = NewType("Uid", str)
ContainerId = NewType("ContainerId", str)
SandboxId = NewType("SandboxId", str)

NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""Kubernetes' alphabet for generated names: no vowels, so no words; no 0, 1, 3, so no misreading."""

RandomBytes = Callable[[int], bytes]


class _Pool:
    """The system's random bytes, fetched many at once: a call for 16 of them costs several microseconds."""

    SIZE = 4096

    def __init__(self) -> None:
        self._bytes = b""
        self._used = 0
        os.register_at_fork(after_in_child=self._empty)

    def take(self, count: int) -> bytes:
        start = self._used
        self._used = start + count
        if self._used > len(self._bytes):
            self._bytes, start = os.urandom(max(self.SIZE, count)), 0
            self._used = count
        return self._bytes[start : self._used]

    def _empty(self) -> None:
        self._bytes, self._used = b"", 0


pooled_bytes = _Pool().take
"""Random bytes for names and ids; never two times the same ones, not even after a fork."""


class _Uids:
    """UUIDs made many at once: every request asks for one or two, and so each costs a third."""

    COUNT = 256

    def __init__(self) -> None:
        self._ready: list[Uid] = []
        os.register_at_fork(after_in_child=self._ready.clear)

    def take(self) -> Uid:
        try:
            return self._ready.pop()
        except IndexError:  # asked for, and not tested before: another thread may take the last one in between
            made = uids(os.urandom(16 * self.COUNT))
            last = made.pop()
            self._ready += made
            return last


_ready_uids = _Uids()
_FIELDS = struct.Struct("8s4s4s4s12s")
# A UUID's digit 13 is its version, 4; digit 17 begins with the bits 10.
_RANDOM = bytes.fromhex("ffffffffffff0fff3fffffffffffffff")
_FIXED = bytes.fromhex("00000000000040008000000000000000")


def uids(random: bytes) -> list[Uid]:
    """The UUIDs, version 4, of random bytes: one for every 16."""
    count = len(random) // 16
    number = int.from_bytes(random) & int.from_bytes(_RANDOM * count) | int.from_bytes(_FIXED * count)
    digits = number.to_bytes(16 * count).hex().encode()
    return cast("list[Uid]", b" ".join(map(b"-".join, _FIELDS.iter_unpack(digits))).decode().split())


def new_uid(random_bytes: RandomBytes | None = None) -> Uid:
    """A random UUID, version 4."""
    return _ready_uids.take() if random_bytes is None else uids(random_bytes(16))[0]


def name_suffix(random_bytes: RandomBytes = pooled_bytes, length: int = 5) -> str:
    """A random suffix for metadata.generateName."""
    return "".join(NAME_ALPHABET[byte % len(NAME_ALPHABET)] for byte in random_bytes(length))


def hex_id(random_bytes: RandomBytes = pooled_bytes) -> str:
    """A random 64-digit hexadecimal id, as containers and sandboxes have."""
    return random_bytes(32).hex()
