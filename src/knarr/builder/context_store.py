"""Content of build contexts on disk, by digest: what the CLI sent once is not sent again.

Files of their own, apart from images: no image names them. `prune` bounds them, oldest use first.
"""

import hashlib
import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from knarr.base.errors import Invalid, NotFound

_PIECE = 1 << 20


class ContextStore:
    """A directory `context/` with one file for each digest."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left_over in root.glob(".*"):
            left_over.unlink(missing_ok=True)

    def missing(self, digests: Iterable[str]) -> list[str]:
        """Those that are not here, each once."""
        return [digest for digest in dict.fromkeys(digests) if not self._path(digest).exists()]

    def open(self, digest: str) -> int:
        try:
            descriptor = os.open(self._path(digest), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise NotFound(f"context content {digest} is not here") from error
        os.utime(descriptor)
        return descriptor

    def add(self, source: BinaryIO, size: int) -> str:
        """Store `size` bytes of the stream; their digest. Raises Invalid where the stream is shorter."""
        draft = self._root / f".{secrets.token_hex(8)}"
        digest, left = hashlib.sha256(), size
        try:
            with open(draft, "xb", buffering=0) as file:
                while left and (piece := source.read(min(left, _PIECE))):
                    digest.update(piece)
                    file.write(piece)
                    left -= len(piece)
            if left:
                raise Invalid(f"context: {left} of {size} bytes of a file are missing")
            name = f"sha256:{digest.hexdigest()}"
            draft.rename(self._path(name))
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        return name

    def draft(self) -> Path:
        """A name for content on its way in; `adopt` or unlink it."""
        return self._root / f".{secrets.token_hex(8)}"

    def adopt(self, draft: Path, digest: str) -> None:
        draft.rename(self._path(digest))

    def prune(self, size_max: int) -> int:
        """Remove what was not used for longest until at most `size_max` bytes are left; the bytes freed."""
        found = sorted(((path.stat(), path) for path in self._root.iterdir()), key=lambda pair: pair[0].st_mtime)
        total = sum(stat.st_size for stat, _ in found)
        freed = 0
        for stat, path in found:
            if total - freed <= size_max:
                break
            path.unlink(missing_ok=True)
            freed += stat.st_size
        return freed

    def _path(self, digest: str) -> Path:
        algorithm, _, encoded = digest.partition(":")
        is_hex = len(encoded) == 64 and all(character in "0123456789abcdef" for character in encoded)
        if algorithm != "sha256" or not is_hex:
            raise Invalid(f"context: {digest[:80]!r} is not a sha256 digest")
        return self._root / encoded
