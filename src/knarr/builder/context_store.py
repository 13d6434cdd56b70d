"""Content of build contexts on disk, by digest: what the CLI sent once is not sent again.

Files of their own, apart from images: no image names them. `prune` bounds them, oldest use first.
"""

import contextlib
import hashlib
import math
import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from knarr.base.errors import Invalid, NotFound

_PIECE = 1 << 20
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


class ContextStore:
    """A directory `context/` with one file for each digest."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._directory = str(root)
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left_over in root.glob(".*"):
            left_over.unlink(missing_ok=True)

    def missing(self, digests: Iterable[str]) -> list[str]:
        """Those that are not here, each once; those that are, are in use from now on."""
        return [digest for digest in dict.fromkeys(digests) if not self._touch(digest)]

    def _touch(self, digest: str) -> bool:
        try:
            os.utime(f"{self._directory}/{_encoded(digest)}")
        except FileNotFoundError:
            return False
        return True

    def open(self, digest: str) -> int:
        try:
            descriptor = os.open(f"{self._directory}/{_encoded(digest)}", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise NotFound(f"context content {digest} is not here") from error
        os.utime(descriptor)
        return descriptor

    def add(self, source: BinaryIO, size: int) -> str:
        """Store `size` bytes of the stream; their digest. Raises Invalid where the stream is shorter."""
        writer = self.writer()
        left = size
        try:
            while left and (piece := source.read(min(left, _PIECE))):
                writer.write(piece)
                left -= len(piece)
            if left:
                raise Invalid(f"context: {left} of {size} bytes of a file are missing")
            return writer.commit()
        finally:
            writer.abort()

    def writer(self) -> "ContentWriter":
        """Content on its way in, piece by piece."""
        return ContentWriter(self.root / f".{secrets.token_hex(8)}", self._path)

    def prune(self, size_max: int, used_before: float = math.inf) -> int:
        """Remove what was not used for longest until at most `size_max` bytes are left; the bytes freed.

        What was used at that time or later (seconds since 1970) stays: a build may be about to copy it.
        """
        found = sorted(self._files(), key=lambda pair: pair[0].st_mtime)
        total = sum(stat.st_size for stat, _ in found)
        freed = 0
        for stat, path in found:
            if total - freed <= size_max or stat.st_mtime >= used_before:
                break
            path.unlink(missing_ok=True)
            freed += stat.st_size
        return freed

    def _files(self) -> Iterator[tuple[os.stat_result, Path]]:
        for path in self.root.iterdir():
            with contextlib.suppress(FileNotFoundError):  # a draft that took its place meanwhile
                yield path.stat(), path

    def _path(self, digest: str) -> Path:
        return self.root / _encoded(digest)


def _encoded(digest: str) -> str:
    match = _DIGEST.fullmatch(digest)
    if match is None:
        raise Invalid(f"context: {digest[:80]!r} is not a sha256 digest")
    return match[1]


class ContentWriter:
    """One file on its way in; `commit` or `abort` ends it, and `abort` after `commit` does nothing."""

    def __init__(self, draft: Path, place: Callable[[str], Path]) -> None:
        self._draft = draft
        self._place = place
        self._file = open(draft, "xb", buffering=0)  # noqa: SIM115  closed by commit and abort
        self._hash = hashlib.sha256()

    def write(self, piece: bytes) -> None:
        self._hash.update(piece)
        left = memoryview(piece)
        while left:
            left = left[self._file.write(left) :]

    def commit(self, expected: str = "") -> str:
        """Raises Invalid where the content has another digest than was said."""
        self._file.close()
        digest = f"sha256:{self._hash.hexdigest()}"
        if expected and digest != expected:
            raise Invalid(f"context: the content of {expected} is {digest}; the file changed while it was sent")
        self._draft.rename(self._place(digest))
        return digest

    def abort(self) -> None:
        self._file.close()
        self._draft.unlink(missing_ok=True)
