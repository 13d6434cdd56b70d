"""Sealing: values of chosen keys are encrypted in the file and plain in memory.

AES-256-GCM with a nonce per value; the key of the entry is authenticated, so a row moved to another key is refused.
The secret key lies outside of the data directory: a copied database or backup shows no Secret.
"""

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from knarr.base.errors import Invalid

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MARK: Final = b"\x00knarr-sealed-1"
"""No JSON begins with a zero byte, so plain rows of before stay readable."""
NONCE_BYTES: Final = 12
SEALED_PREFIXES: Final = ("/registry/secrets/",)


class Sealer:
    """Seals and opens with one 32-byte key."""

    def __init__(self, key: bytes, prefixes: tuple[str, ...] = SEALED_PREFIXES) -> None:
        self._key = key
        self._prefixes = prefixes

    @functools.cached_property
    def _cipher(self) -> "AESGCM":
        # Loaded with the first Secret: a start without one is 40 ms shorter.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        return AESGCM(self._key)

    def seal(self, key: str, value: bytes | None) -> bytes | None:
        """The bytes for the file."""
        if value is None or not key.startswith(self._prefixes):
            return value
        nonce = os.urandom(NONCE_BYTES)
        return MARK + nonce + self._cipher.encrypt(nonce, value, key.encode())

    def open(self, key: str, value: bytes | None) -> bytes | None:
        """The plain bytes. Raises Invalid for another key's or a changed row."""
        if value is None or not value.startswith(MARK):
            return value
        from cryptography.exceptions import InvalidTag

        sealed = value[len(MARK) :]
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], key.encode())
        except InvalidTag as error:
            raise Invalid(f"{key}: it was sealed with another key, or the database was changed") from error


def load_key(path: Path) -> bytes:
    """The key in a file of mode 0600, made on first use. Raises Invalid for a file that is no key."""
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = os.urandom(32)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
    if len(key) != 32:
        raise Invalid(f"{path}: it is not a key of 32 bytes")
    return key
