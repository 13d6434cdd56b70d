"""Build contexts that are not a directory: a tar on standard input, a URL, a git repository; and named contexts.

What is fetched lies in a temporary directory until the build ends. A tar is never extracted by its names: each file's
content goes into a file with a number, so no entry can lead anywhere. git runs as the user, with the user's keys.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import io
import json
import lzma
import os
import posixpath
import shutil
import sys
import tarfile
import tempfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from knarr.base.errors import Invalid, TooLarge, Unavailable
from knarr.builder import git
from knarr.builder.dockerfile import ignore
from knarr.cli import build_context, node_client
from knarr.cli.printing import EXIT_USAGE, Failure

if TYPE_CHECKING:
    from knarr.cli.build_context import Row, Source

FETCH_SECONDS = 600.0
_FETCH_MAX = 8 << 30
_TEXT_MAX = 1 << 20
_ENTRIES_MAX = 500_000
_PIECE = 1 << 20


def elsewhere(arguments: argparse.Namespace, stack: contextlib.ExitStack) -> tuple[Source, str]:
    """The context and the Dockerfile's text."""
    where = arguments.context
    if arguments.file == "-" and where == "-":
        why = "it is the context or the Dockerfile"
        raise Failure("standard input is named twice", why, "give a directory", EXIT_USAGE)
    repository = git.parse(where)
    if repository is not None:
        root = _cloned(repository, stack, keeps_git=_keeps_git(arguments))
        text, path = _file_in(arguments, root)
        return build_context.read(root, path), text
    stream = _spool(stack)
    if where == "-":
        _copy(sys.stdin.buffer, stream)
    else:
        _fetch(where, stream)
    return _of_stream(arguments, stream, stack)


def named(arguments: argparse.Namespace, stack: contextlib.ExitStack) -> tuple[dict[str, Source], dict[str, str]]:
    """`--build-context NAME=WHERE`: those that are directories, and the references of those that are images."""
    trees: dict[str, Source] = {}
    images: dict[str, str] = {}
    for given in arguments.build_context:
        name, equals, where = given.partition("=")
        if not equals or not name or not where:
            raise Invalid(f"--build-context {given!r} is not NAME=WHERE")
        name = name.lower()
        if where.startswith("docker-image://"):
            images[name] = where.removeprefix("docker-image://")
        elif where.startswith("oci-layout://"):
            images[name] = _loaded(arguments, where.removeprefix("oci-layout://"))
        elif (repository := git.parse(where)) is not None:
            root = _cloned(repository, stack, keeps_git=_keeps_git(arguments))
            trees[name] = build_context.read(root, None)
        elif "://" in where:
            stream = _spool(stack)
            _fetch(where, stream)
            trees[name] = TarContext(stream, stack)
        else:
            trees[name] = build_context.read(Path(where), None)
    return trees, images


def _spool(stack: contextlib.ExitStack) -> BinaryIO:
    spool: BinaryIO = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115  the stack closes it
    return spool


def fetched_text(url: str) -> str:
    """A Dockerfile from a URL."""
    stream = io.BytesIO()
    _fetch(url, stream, _TEXT_MAX)
    return _text(stream.getvalue(), url)


class TarContext:
    """The entries of a tar, plain or compressed, that its .dockerignore leaves in."""

    def __init__(self, stream: BinaryIO, stack: contextlib.ExitStack) -> None:
        self.rows: list[Row] = []
        self.ignored = ""
        self._files: dict[str, Path] = {}
        self._by_path: dict[str, str] = {}
        self._directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="knarr-context-")))
        stream.seek(0)
        try:
            with tarfile.open(fileobj=stream, mode="r:*") as archive:
                rows = self._rows(archive)
                _drain(archive)
        # zlib's and lzma's errors are none of tarfile's; a time may be nan or endless.
        except (tarfile.TarError, EOFError, OSError, ArithmeticError, ValueError, zlib.error, lzma.LZMAError) as error:
            raise Invalid(f"the context's tar cannot be read: {error}") from error
        self.ignored = self.text(".dockerignore") or ""
        patterns = ignore.read(self.ignored, ".dockerignore")
        self.rows = [row for path, row in sorted(rows.items()) if not patterns.excludes(path)]

    def open(self, digest: str) -> BinaryIO | None:
        path = self._files.get(digest)
        return None if path is None else open(path, "rb")

    def text(self, path: str) -> str | None:
        """A file's text, None where there is none."""
        digest = self._by_path.get(posixpath.normpath(path))
        return None if digest is None else _text(self._files[digest].read_bytes(), path)

    def _rows(self, archive: tarfile.TarFile) -> dict[str, Row]:
        """The last entry of a name counts."""
        rows: dict[str, Row] = {}
        for count, member in enumerate(archive):
            path = posixpath.normpath(member.name)
            if path == ".":
                continue
            if count >= _ENTRIES_MAX:
                raise TooLarge(f"the context's tar has more than {_ENTRIES_MAX} entries")
            if path == ".." or path.startswith(("/", "../")):
                raise Invalid(f"the context's tar: {member.name!r} lies outside the context")
            if (row := self._row(archive, member, path, rows)) is not None:
                rows[path] = row
        return rows

    def _row(self, archive: tarfile.TarFile, member: tarfile.TarInfo, path: str, rows: dict[str, Row]) -> Row | None:
        build_context.check_name(path)
        build_context.check_name(member.linkname, path)
        mtime = int(member.mtime * 10**9)
        if member.isreg():
            digest, size = self._stored(archive, member)
            self._by_path[path] = digest
            return [path, "f", member.mode, size, mtime, digest]
        if member.islnk():
            first = rows.get(posixpath.normpath(member.linkname))
            if first is None or first[1] != "f":
                raise Invalid(f"the context's tar: {member.name!r} is a link to what is not in it")
            self._by_path[path] = str(first[5])
            return [path, *first[1:]]
        if member.isdir():
            return [path, "d", member.mode, 0, mtime, ""]
        return [path, "l", member.mode, 0, mtime, member.linkname] if member.issym() else None

    def _stored(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> tuple[str, int]:
        source = archive.extractfile(member)
        assert source is not None
        hashed, size = hashlib.sha256(), 0
        place = self._directory / str(len(self._files))
        with open(place, "wb") as target:
            while piece := source.read(_PIECE):
                hashed.update(piece)
                size += len(piece)
                target.write(piece)
        digest = f"sha256:{hashed.hexdigest()}"
        self._files.setdefault(digest, place)
        return digest, size


class Nothing:
    """The context of a Dockerfile that came alone."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.ignored = ""

    def open(self, _digest: str) -> BinaryIO | None:
        return None


def _drain(archive: tarfile.TarFile) -> None:
    """Read to the end of what is compressed: only there is the checksum."""
    while archive.fileobj is not None and archive.fileobj.read(_PIECE):
        pass


def _of_stream(arguments: argparse.Namespace, stream: BinaryIO, stack: contextlib.ExitStack) -> tuple[Source, str]:
    """A tar with a Dockerfile in it, or a Dockerfile alone."""
    stream.seek(0)
    if not tarfile.is_tarfile(stream):
        stream.seek(0)
        return Nothing(), _text(stream.read(_TEXT_MAX), "standard input")
    context = TarContext(stream, stack)
    if arguments.file == "-":
        return context, sys.stdin.read()
    path = arguments.file or "Dockerfile"
    text = context.text(path)
    if text is None:
        raise Failure(f"there is no {path} in the context", "a build needs a Dockerfile", "name it with -f", EXIT_USAGE)
    return context, text


def _file_in(arguments: argparse.Namespace, root: Path) -> tuple[str, Path | None]:
    """The Dockerfile of a repository; -f names one inside it."""
    if arguments.file == "-":
        return sys.stdin.read(), None
    path = root / (arguments.file or "Dockerfile")
    if not path.resolve().is_relative_to(root.resolve()) or not path.is_file():
        what = f"there is no {arguments.file or 'Dockerfile'} in the repository"
        raise Failure(what, "a build needs a Dockerfile", "name it with -f", EXIT_USAGE)
    return _text(path.read_bytes(), path.name), path


def _keeps_git(arguments: argparse.Namespace) -> bool:
    return any(f"BUILDKIT_CONTEXT_KEEP_GIT_DIR={value}" in arguments.build_arg for value in ("1", "true"))


def _cloned(source: git.GitSource, stack: contextlib.ExitStack, *, keeps_git: bool) -> Path:
    """The directory that the source means, there until the stack ends."""
    work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="knarr-git-")))
    root = work / "tree"
    asyncio.run(_kept(source, root))
    place = root / source.subdir
    if not place.resolve().is_relative_to(root.resolve()) or not place.is_dir():
        raise Invalid(f"{source.remote}: there is no directory {source.subdir!r}")
    if not (source.keeps_git or keeps_git):
        _remove_git(root)
    return place


async def _kept(source: git.GitSource, root: Path) -> None:
    commit = await git.commit_of(source, git.Access())
    await git.cloned(root, source, commit, git.Access())


def _remove_git(root: Path) -> None:
    """Every .git of the work tree and its submodules. The repository's links lead anywhere: none is followed."""
    for place, directories, files in os.walk(root, followlinks=False):
        path = Path(place, ".git")
        if path.is_symlink() or ".git" in files:
            path.unlink()
        elif ".git" in directories:
            shutil.rmtree(path)
        if ".git" in directories:
            directories.remove(".git")


def _loaded(arguments: argparse.Namespace, where: str) -> str:
    """Load one image of an OCI layout (`DIR`, `DIR:TAG`, `DIR@DIGEST`); the name that it has here."""
    text, _, digest = where.partition("@")
    directory, tag = Path(text), ""
    if not directory.is_dir() and ":" in text:
        head, _, tag = text.rpartition(":")
        directory = Path(head)
    try:
        listed = json.loads((directory / "index.json").read_bytes())["manifests"]
    except (OSError, ValueError, KeyError) as error:
        raise Invalid(f"oci-layout://{where}: {directory} is not an OCI layout: {error}") from error
    chosen = [entry for entry in listed if _is_meant(entry, tag, digest)]
    if len(chosen) != 1:
        raise Invalid(f"oci-layout://{where} means {len(chosen)} of {len(listed)} images; name one by :TAG or @DIGEST")
    entry = {key: value for key, value in chosen[0].items() if key != "annotations"}
    index = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()

    def body(stream: BinaryIO) -> None:
        with tarfile.open(fileobj=stream, mode="w|") as archive:
            header = tarfile.TarInfo("index.json")
            header.size = len(index)
            archive.addfile(header, io.BytesIO(index))
            archive.add(directory / "blobs", "blobs")

    names: list[str] = node_client.call(arguments, "POST", "/load", body).json()["names"]
    return names[0]


def _is_meant(entry: dict[str, Any], tag: str, digest: str) -> bool:
    name = str((entry.get("annotations") or {}).get("org.opencontainers.image.ref.name", ""))
    return entry.get("digest") == digest if digest else not tag or name.rpartition(":")[2] == tag


def _fetch(url: str, target: BinaryIO, limit: int = _FETCH_MAX) -> None:
    import urllib.error
    import urllib.request

    if not url.startswith(("http://", "https://")):
        raise Invalid(f"{url}: a context is a directory, -, an http(s) URL or a git repository")
    try:
        with urllib.request.urlopen(url, timeout=FETCH_SECONDS) as answer:  # noqa: S310  the scheme is checked above
            _copy(answer, target, limit)
    except (urllib.error.URLError, OSError) as error:
        raise Unavailable(f"{url}: {error}") from error


def _copy(source: Any, target: BinaryIO, limit: int = _FETCH_MAX) -> None:
    size = 0
    while piece := source.read(_PIECE):
        size += len(piece)
        if size > limit:
            raise TooLarge(f"the context is larger than {limit} bytes")
        target.write(piece)


def _text(content: bytes, name: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise Invalid(f"{name} is not text") from error
