"""Names and identifiers: NewTypes of the integers and strings that must not be mixed up, and how they are made."""

import os
import uuid
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


def new_uid(random_bytes: RandomBytes = os.urandom) -> Uid:
    """A random UUID, version 4."""
    return Uid(str(uuid.UUID(bytes=random_bytes(16), version=4)))


def name_suffix(random_bytes: RandomBytes = os.urandom, length: int = 5) -> str:
    """A random suffix for metadata.generateName."""
    return "".join(NAME_ALPHABET[byte % len(NAME_ALPHABET)] for byte in random_bytes(length))


def hex_id(random_bytes: RandomBytes = os.urandom) -> str:
    """A random 64-digit hexadecimal id, as containers and sandboxes have."""
    return random_bytes(32).hex()
