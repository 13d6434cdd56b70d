"""Layer compression: gzip by isal, zstd, or none; recognised by its first bytes, never by what a media type claims.

`PlainReader` reads a compressed file, hashes the plain bytes as they pass and stops at the limits against
decompression bombs. `gzip_writer` makes gzip that is the same for the same input. Neither reads tar.
"""

import hashlib
import importlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from isal import isal_zlib

from knarr.base.errors import Invalid, TooLarge
from knarr.oci.digest import Digest

_READ_SIZE = 128 << 10
_RATIO_MAX = 200
_RATIO_FREE = 64 << 20
"""So many plain bytes may come at any ratio: a small file of zeros is no bomb."""
PLAIN_SIZE_MAX = 64 << 30
GZIP_LEVEL = 1
"""isal level 1: 425 MB/s at ratio 2.4, where zlib level 6 makes 31 MB/s."""
_GZIP_BITS = 31
_MAGIC_SIZE = 6


class Source(Protocol):
    """What can be read to its end; each read returns what there is, b"" at the end."""

    def read(self, size: int, /) -> bytes | None: ...


def gzip_writer() -> Any:
    """A compressor with compress(bytes) and flush(); its header has no time stamp."""
    return isal_zlib.compressobj(GZIP_LEVEL, isal_zlib.DEFLATED, _GZIP_BITS)


class PlainReader:
    """The plain bytes of a layer file: `read(n)` returns exactly n, fewer only at the end."""

    def __init__(self, source: Source, *, size_max: int = PLAIN_SIZE_MAX) -> None:
        self._source = source
        self._size_max = size_max
        self._hash = hashlib.sha256()
        self._buffer = bytearray()
        self._taken = 0
        self.plain_size = 0
        self._read_size = 0
        self._form: _Form | None = None
        self._codec: Any = None
        self._is_started = self._is_ended = False

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes unless the end is near. Raises Invalid, TooLarge."""
        while len(self._buffer) - self._taken < size and not self._is_ended:
            self._fill()
        end = min(self._taken + size, len(self._buffer))
        with memoryview(self._buffer) as view:
            piece = bytes(view[self._taken : end])
        self._taken = end
        if self._taken >= 1 << 20 or self._taken == len(self._buffer):
            del self._buffer[: self._taken]
            self._taken = 0
        return piece

    def diff_id(self) -> Digest:
        """The digest of all plain bytes; reads what is left."""
        while not self._is_ended:
            self._fill()
            self._buffer.clear()
            self._taken = 0
        return Digest("sha256:" + self._hash.hexdigest())

    def _fill(self) -> None:
        chunk = self._source.read(_READ_SIZE) or b""
        if not self._is_started:
            while 0 < len(chunk) < _MAGIC_SIZE and (more := self._source.read(_READ_SIZE)):
                chunk += more
            self._form, self._is_started = _form_of(chunk), True
        self._read_size += len(chunk)
        if not chunk:
            self._end()
            return
        if self._form is None:
            self._keep(chunk)
            return
        while chunk:
            if self._codec is None:
                self._codec = self._form.new()
            chunk = self._step(chunk)

    def _step(self, chunk: bytes) -> bytes:
        """Decompress a chunk in bounded pieces; returns what follows the end of a member or frame."""
        assert self._form is not None
        for piece in self._form.pieces(self._codec, chunk):
            self._keep(piece)
        if not self._codec.eof:
            return b""
        left: bytes = self._codec.unused_data
        self._codec = None
        return left.lstrip(b"\0") if self._form.may_be_padded else left

    def _keep(self, piece: bytes) -> None:
        self.plain_size += len(piece)
        if self.plain_size > self._size_max:
            raise TooLarge(f"layer: it unpacks to more than {self._size_max} bytes")
        if self.plain_size > _RATIO_FREE and self.plain_size > _RATIO_MAX * self._read_size:
            raise TooLarge(f"layer: it unpacks to more than {_RATIO_MAX} times its size")
        self._hash.update(piece)
        self._buffer += piece

    def _end(self) -> None:
        if self._codec is not None:
            raise Invalid("layer: its compressed stream is cut short")
        self._is_ended = True


_PIECE_SIZE = 1 << 20


@dataclass(frozen=True, slots=True)
class _Form:
    """How one compression is undone: `new` makes a decoder, `pieces` feeds it a chunk."""

    new: Callable[[], Any]
    pieces: Callable[[Any, bytes], Iterator[bytes]]
    may_be_padded: bool


def _gzip_pieces(codec: Any, chunk: bytes) -> Iterator[bytes]:
    try:
        yield codec.decompress(chunk, _PIECE_SIZE)
        while codec.unconsumed_tail and not codec.eof:
            yield codec.decompress(codec.unconsumed_tail, _PIECE_SIZE)
    except isal_zlib.error as error:  # type: ignore[misc]  # isal's stub gives an instance
        raise Invalid(f"layer: its compression is broken: {error}") from error


def zstd() -> Any:
    """The standard library's zstd module or, before Python 3.14, its backport: 2 MB, for the few that need it."""
    return importlib.import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")


def _zstd_pieces(codec: Any, chunk: bytes) -> Iterator[bytes]:
    try:
        yield codec.decompress(chunk, _PIECE_SIZE)
        while not codec.eof and not codec.needs_input:
            yield codec.decompress(b"", _PIECE_SIZE)
    except zstd().ZstdError as error:
        raise Invalid(f"layer: its compression is broken: {error}") from error


_GZIP = _Form(lambda: isal_zlib.decompressobj(_GZIP_BITS), _gzip_pieces, may_be_padded=True)
_ZSTD = _Form(lambda: zstd().ZstdDecompressor(), _zstd_pieces, may_be_padded=False)


def _form_of(head: bytes) -> _Form | None:
    """The compression that the first bytes show; None for none."""
    if head.startswith(b"\x1f\x8b"):
        return _GZIP
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return _ZSTD
    if head.startswith((b"BZh", b"\xfd7zXZ\0")):
        raise Invalid("layer: bzip2 and xz are not layer compressions")
    return None
