"""Names and identifiers: NewTypes of the integers and strings that must not be mixed up, and how they are made."""

import os
from collections.abc import Callable
from typing import NewType

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


_VARIANT = "89ab"  # a UUID's digit 17 begins with the bits 10
pooled_bytes = _Pool().take
"""Random bytes for names and ids; never two times the same ones, not even after a fork."""


def new_uid(random_bytes: RandomBytes = pooled_bytes) -> Uid:
    """A random UUID, version 4."""
    random = random_bytes(16)
    text = random.hex()
    return Uid(f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{_VARIANT[random[8] >> 4 & 3]}{text[17:20]}-{text[20:]}")


def name_suffix(random_bytes: RandomBytes = pooled_bytes, length: int = 5) -> str:
    """A random suffix for metadata.generateName."""
    return "".join(NAME_ALPHABET[byte % len(NAME_ALPHABET)] for byte in random_bytes(length))


def hex_id(random_bytes: RandomBytes = pooled_bytes) -> str:
    """A random 64-digit hexadecimal id, as containers and sandboxes have."""
    return random_bytes(32).hex()
