"""The build context as `knarr build` sends it: a list of paths with digests, and the content that the node asks for.

Digests are kept between builds in the user's cache directory, by size, times and inode, so that an unchanged context
costs one stat for each file. What .dockerignore leaves out is not even looked into.
"""

from __future__ import annotations

import json
import os
import stat
import time

from knarr.base.errors import Invalid
from knarr.builder.dockerfile import ignore
from knarr.builder.dockerfile.ignore import Ignore

_PIECE = 1 << 20
_SETTLED_NS = 100_000_000
"""A file younger than this may change again within the same time stamp: its digest is not kept."""
TYPE_CHECKING = False  # see main.py
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, BinaryIO, Protocol, TypeAlias

    Row: TypeAlias = list[Any]
    """path, kind (f, d, l), mode, size, mtime in nanoseconds, digest or link."""

    class Source(Protocol):
        """A context: a directory, or a tar (build_sources.py). `ignored` is the text of its .dockerignore."""

        rows: list[Row]
        ignored: str

        def open(self, digest: str) -> BinaryIO | None:
            """The file with that content, if the context has it."""
            ...


def send(sources: list[Source], digests: list[str], body: BinaryIO) -> None:
    """Frames of content: `DIGEST SIZE` and a newline, then the bytes."""
    for digest in digests:
        found = next((file for source in sources if (file := source.open(digest)) is not None), None)
        if found is None:
            raise Invalid(f"no context has the content {digest}")
        with found as file:
            left = os.fstat(file.fileno()).st_size
            body.write(f"{digest} {left}\n".encode())
            while left and (piece := file.read(min(_PIECE, left))):
                body.write(piece)
                left -= len(piece)
            if left:
                raise Invalid(f"{file.name} became shorter while it was read")


def check_name(text: str, of: str = "") -> str:
    """A path, or the target of the link `of`, that JSON can carry. Raises Invalid."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            what = f"{of}: the link's target {text!r}" if of else f"{text!r}"
            raise Invalid(f"{what} is not UTF-8; rename it, or name it in .dockerignore") from error
    return text


class Context:
    """One directory. `rows` is the list; `paths` finds a file by digest."""

    def __init__(self, root: str, patterns: Ignore, ignored: str = "") -> None:
        self.root = root
        self.ignored = ignored
        self.rows: list[Row] = []
        self.paths: dict[str, str] = {}
        self._ignore = patterns
        self._cache_file = _cache_file(root)
        self._known = _read(self._cache_file)
        self._seen: dict[str, list[Any]] = {}
        self._settled = time.time_ns() - _SETTLED_NS
        self._walk()
        self._save()

    def open(self, digest: str) -> BinaryIO | None:
        path = self.paths.get(digest)
        return None if path is None else open(os.path.join(self.root, path), "rb")

    def _walk(self) -> None:
        """Depth first, by a list instead of calls: a tree may be deeper than Python calls go."""
        pending = [("", self._ignore.nothing, self._entries(""))]
        while pending:
            directory, parent, entries = pending[-1]
            for entry in entries:
                path = f"{directory}/{entry.name}" if directory else entry.name
                is_out, matched = self._ignore.step(path, parent) if parent else (False, parent)
                if not is_out:
                    self._add(path, entry)
                if entry.is_dir(follow_symlinks=False) and (not is_out or self._ignore.may_hold_kept(path)):
                    pending.append((path, matched, self._entries(path)))
                    break
            else:
                pending.pop()

    def _entries(self, directory: str) -> Iterator[os.DirEntry[str]]:
        with os.scandir(os.path.join(self.root, directory)) as entries:
            return iter(sorted(entries, key=lambda entry: entry.name))

    def _add(self, path: str, entry: os.DirEntry[str]) -> None:
        check_name(path)
        status = entry.stat(follow_symlinks=False)
        mode = stat.S_IMODE(status.st_mode)
        if stat.S_ISREG(status.st_mode):
            digest = self._digest(path, status)
            self.paths[digest] = path
            self.rows.append([path, "f", mode, status.st_size, status.st_mtime_ns, digest])
        elif stat.S_ISDIR(status.st_mode):
            self.rows.append([path, "d", mode, 0, status.st_mtime_ns, ""])
        elif stat.S_ISLNK(status.st_mode):
            self.rows.append([path, "l", mode, 0, status.st_mtime_ns, check_name(os.readlink(entry.path), path)])

    def _digest(self, path: str, status: os.stat_result) -> str:
        stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
        known = self._known.get(path)
        if known is not None and known[:4] == stamp:
            digest = str(known[4])
        else:
            import hashlib  # two milliseconds that an unchanged context does not need

            try:
                with open(os.path.join(self.root, path), "rb") as file:
                    digest = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
            except PermissionError as error:
                raise Invalid(
                    f"{path} cannot be read; name it in .dockerignore if the build does not need it"
                ) from error
        if max(stamp[1], stamp[2]) < self._settled:
            self._seen[path] = [*stamp, digest]
        return digest

    def _save(self) -> None:
        if self._seen == self._known:
            return
        draft = f"{self._cache_file}.{os.getpid()}"
        try:
            os.makedirs(os.path.dirname(draft), exist_ok=True, mode=0o700)
            with open(draft, "w", encoding="utf-8") as file:
                json.dump(self._seen, file)
            os.replace(draft, self._cache_file)
        except OSError:
            # A read-only home costs time at the next build, nothing else.
            if os.path.exists(draft):
                os.unlink(draft)


def read(root: str | os.PathLike[str], dockerfile: str | os.PathLike[str] | None) -> Context:
    """The context in a directory. `FILE.dockerignore` beside the Dockerfile wins over .dockerignore."""
    root = os.fspath(root)
    if not os.path.isdir(root):
        raise Invalid(f"{root} is not a directory: the build context is a directory")
    candidates = [os.path.join(root, ".dockerignore")]
    if dockerfile is not None:
        candidates.insert(0, os.fspath(dockerfile) + ".dockerignore")
    for candidate in candidates:
        try:
            with open(candidate, encoding="utf-8") as file:
                text = file.read()
        except FileNotFoundError:
            continue
        return Context(root, ignore.read(text, os.path.basename(candidate)), text)
    return Context(root, Ignore())


def _cache_file(root: str) -> str:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    status = os.stat(root)
    return os.path.join(base, "knarr", "contexts", f"{status.st_dev:x}-{status.st_ino:x}.json")


def _read(path: str) -> dict[str, list[Any]]:
    try:
        with open(path, encoding="utf-8") as file:
            known = json.load(file)
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
