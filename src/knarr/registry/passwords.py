"""Users of a registry: lines `user:hash`, as htpasswd writes them and docker-registry reads them.

Hashes are those of the system's crypt(3), called in libcrypt: bcrypt, yescrypt, SHA-512. Python's own `crypt` module
left the standard library with 3.13, and the library is there wherever somebody can log in. New hashes are bcrypt, which
every registry reads. Not here: what a user may do (registry/access.py).
"""

import ctypes
import hmac
import os
import re
from functools import cache
from pathlib import Path

from knarr.base.errors import Invalid, Unimplemented
from knarr.images.local_content import replace_file

_STATE_SIZE = 32768
"""sizeof(struct crypt_data), part of libcrypt's interface."""
_SETTING_MAX = 192
_ROUNDS = 10
"""2^10 rounds of bcrypt: about 60 ms, paid once for each user and process."""
_BCRYPT_PASSWORD_MAX = 72
_STRONG = re.compile(r"\$(?:2[aby]|y|gy|7|6|5)\$[./A-Za-z0-9$=,]{20,180}")
_USER = re.compile(r"[A-Za-z0-9._@+-]{1,128}")


@cache
def _libcrypt() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libcrypt.so.1")
        library.crypt_rn.restype = ctypes.c_char_p
        library.crypt_gensalt_rn.restype = ctypes.c_char_p
    except (OSError, AttributeError) as error:
        raise Unimplemented(f"passwords need libcrypt.so.1 (Debian's package libcrypt1): {error}") from error
    return library


def hashed(password: str, rounds: int = _ROUNDS) -> str:
    """A new bcrypt hash of the password. Raises Invalid for one that bcrypt would cut short."""
    encoded = password.encode()
    if not 1 <= len(encoded) <= _BCRYPT_PASSWORD_MAX or b"\0" in encoded:
        raise Invalid(f"password: 1 to {_BCRYPT_PASSWORD_MAX} bytes are possible, none of them NUL")
    setting = ctypes.create_string_buffer(_SETTING_MAX)
    random = os.urandom(16)
    made = _libcrypt().crypt_gensalt_rn(b"$2y$", ctypes.c_ulong(rounds), random, len(random), setting, _SETTING_MAX)
    return _crypt(encoded, made or b"")


def is_right(password: str, known: str) -> bool:
    """Whether the password has this hash. Takes as long as the hash was made to take."""
    encoded = password.encode()
    if b"\0" in encoded or len(encoded) > 512:
        return False
    try:
        return hmac.compare_digest(_crypt(encoded, known.encode()), known)
    except Invalid:
        return False


def read(path: Path) -> dict[str, str]:
    """User → hash. Raises Invalid naming the line that is neither a user with a strong hash nor a comment."""
    users: dict[str, str] = {}
    try:
        lines = path.read_text("ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{path}: {getattr(error, 'strerror', None) or 'it is not ASCII text'}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        user, _, known = line.strip().partition(":")
        if not _USER.fullmatch(user):
            raise Invalid(f"{path}:{number}: {user[:80]!r} is not a user name")
        if not _STRONG.fullmatch(known):
            raise Invalid(f"{path}:{number}: the hash of {user} is not bcrypt, yescrypt or SHA-2 crypt (htpasswd -B)")
        users[user] = known
    return users


def write(path: Path, user: str, password: str) -> None:
    """Give the user this password; others keep theirs."""
    if not _USER.fullmatch(user):
        raise Invalid(f"user: {user[:80]!r} is not 1 to 128 letters, digits and . _ @ + -")
    users = read(path) if path.exists() else {}
    users[user] = hashed(password)
    replace_file(path, "".join(f"{name}:{known}\n" for name, known in sorted(users.items())).encode())


def _crypt(password: bytes, setting: bytes) -> str:
    state = ctypes.create_string_buffer(_STATE_SIZE)
    made = _libcrypt().crypt_rn(password, setting, state, _STATE_SIZE)
    if made is None or made.startswith(b"*"):
        raise Invalid("the hash is of a kind that libcrypt does not know")
    return bytes(made).decode("ascii")
