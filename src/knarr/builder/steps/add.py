"""What ADD does beyond COPY: a local tar archive, compressed or not, is unpacked into the target directory.

An archive is known by its content, never by its name: a tar header, after gzip, bzip2, xz or zstd where there is one.
The extractor of image layers does the writing, so nothing of an archive can lead out of the target.
"""

import bz2
import contextlib
import dataclasses
import lzma
import os
import tarfile
from collections.abc import Iterator

from knarr.base.errors import Invalid, KnarrError
from knarr.builder.rootfs import Rootfs
from knarr.builder.steps.copy import Placing
from knarr.builder.trees import clean_path
from knarr.images.compression import PlainReader
from knarr.images.extract import Extractor
from knarr.images.tar_reader import Entry, Read, TarReader

_BZIP2, _XZ = b"BZh", b"\xfd7zXZ\x00"
_ERRORS = (OSError, EOFError, lzma.LZMAError, KnarrError, tarfile.HeaderError)


def is_archive(descriptor: int) -> bool:
    """Whether the file is a tar archive; its position is at the start afterwards."""
    try:
        with _plain(descriptor) as read:
            block = read(tarfile.BLOCKSIZE)
        if len(block) < tarfile.BLOCKSIZE or block.count(0) == tarfile.BLOCKSIZE:
            return False
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (*_ERRORS, ValueError):
        return False
    finally:
        os.lseek(descriptor, 0, os.SEEK_SET)
    return True


def unpack(rootfs: Rootfs, descriptor: int, target: str, rule: Placing) -> None:
    """Unpack the archive into the directory `target`. Raises Invalid, TooLarge naming the entry."""
    place = clean_path(target)
    rootfs.make_directories(place, rule.made_by)
    with rootfs.directory(place) as directory, _plain(descriptor) as read:
        extractor = Extractor(f"/proc/self/fd/{directory}")
        try:
            extractor.apply(_Placed(read, rule))
        except (OSError, EOFError, lzma.LZMAError) as error:
            raise Invalid(f"the archive is broken: {error}") from error
        finally:
            extractor.close()


class _Placed(TarReader):
    """Entries with the owner and mode that ADD's flags give."""

    def __init__(self, read: Read, rule: Placing) -> None:
        super().__init__(read)
        self._rule = rule

    def __iter__(self) -> Iterator[Entry]:
        for entry in super().__iter__():
            if self._rule.owner is not None:
                entry = dataclasses.replace(entry, uid=self._rule.owner[0], gid=self._rule.owner[1])
            if self._rule.chmod and entry.kind != tarfile.SYMTYPE:
                entry = dataclasses.replace(entry, mode=self._rule.mode(entry.mode, entry.kind == tarfile.DIRTYPE))
            yield entry


@contextlib.contextmanager
def _plain(descriptor: int) -> Iterator[Read]:
    """Reads exactly as many plain bytes as asked for, unless the end is near."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    with open(os.dup(descriptor), "rb") as source:
        head = source.peek(6)[:6]
        if head.startswith(_BZIP2):
            with bz2.BZ2File(source) as plain:
                yield plain.read
        elif head.startswith(_XZ):
            with lzma.LZMAFile(source) as plain_xz:
                yield plain_xz.read
        else:
            yield PlainReader(source).read
