"""Trees of files that COPY and bind mounts read: the build context, or a stage's file system. And what they select.

`Tree` is the seam; ContextTree is the context as the CLI listed it, rootfs.py has the other one. `select` decides which
entries the sources of a COPY mean. Vocabulary: a *pick* is one entry with the place where it goes.
"""

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from knarr.base.errors import Invalid
from knarr.builder.dockerfile import ignore
from knarr.builder.dockerfile.ignore import Ignore

LINKS_MAX = 40
_WILD = "*?[\\"
_ESCAPED = re.compile(r"\\.", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Entry:
    """`content` is a file's digest where it is known beforehand; `link` a symbolic link's text. `mtime` nanoseconds."""

    kind: Literal["file", "directory", "link", "fifo", "other"]
    mode: int
    size: int = 0
    mtime: int = 0
    uid: int = 0
    gid: int = 0
    content: str = ""
    link: str = ""


Xattrs = tuple[tuple[str, bytes], ...]


class Tree(Protocol):
    """Paths are relative to the root, with slashes, "" is the root. Links in directories above are followed."""

    def entry(self, path: str) -> Entry | None:
        """The entry itself, a link as such; None where there is nothing."""
        ...

    def resolve(self, path: str) -> str | None:
        """The path with every link followed, never leaving the root; None where it leads to nothing."""
        ...

    def names(self, path: str) -> list[str]:
        """Names in a directory, sorted."""
        ...

    def digest(self, path: str) -> str:
        """The digest of a file's content."""
        ...

    def open(self, path: str) -> int:
        """A descriptor to read the file; the caller closes it."""
        ...

    def xattrs(self, path: str) -> Xattrs:
        """The extended attributes of a file that a copy keeps."""
        ...


@dataclass(frozen=True, slots=True)
class Pick:
    """`path` is where it lies in the tree, `place` where it goes below the target; "" is the target itself."""

    path: str
    place: str
    entry: Entry
    is_source: bool = False


def select(tree: Tree, sources: Sequence[str], exclude: Ignore, *, keeps_parents: bool = False) -> list[Pick]:
    """What the sources mean, parents first. Raises Invalid naming a source that is not there.

    A directory stands for its content; a file keeps its name. A source with a wildcard may mean nothing, as BuildKit
    has it (`COPY package.json yarn.lock* ./`); with --parents it may hold `**`.
    """
    picks: list[Pick] = []
    for source in sources:
        # An escaped character stands for itself: what is written so must be there.
        is_wild = any(character in "*?[" for character in _ESCAPED.sub("", source))
        is_deep = keeps_parents and "**" in source
        found = _deep_matches(tree, clean_path(source)) if is_deep else _matches(tree, source)
        if not found and not is_wild:
            raise Invalid(f"{source!r} is not there")
        for path in found:
            picks += _picks(tree, source, path, exclude, keeps_parents)
    return picks


def _matches(tree: Tree, source: str) -> list[str]:
    clean = clean_path(source)
    if not any(character in source for character in _WILD):
        return [clean] if tree.resolve(clean) is not None else []
    found = [""]
    for part in clean.split("/"):
        found = [path for directory in found for path in _matching_names(tree, directory, part)]
    return found


def _matching_names(tree: Tree, directory: str, part: str) -> Iterator[str]:
    resolved = tree.resolve(directory)
    entry = None if resolved is None else tree.entry(resolved)
    if resolved is None or entry is None or entry.kind != "directory":
        return
    for name in tree.names(resolved):
        try:
            is_match = ignore.match_path(part, name)
        except ValueError as error:
            raise Invalid(f"{part!r}: {error}") from error
        if is_match:
            yield posixpath.join(directory, name)


def _deep_matches(tree: Tree, source: str) -> list[str]:
    """Paths that a pattern with `**` fits; what lies in a directory that it fits comes with that."""
    expression = _expression(source)
    start = source[: source.index("**")].rpartition("/")[0]
    while any(character in start for character in _WILD):
        start = start.rpartition("/")[0]
    resolved = tree.resolve(start)
    entry = None if resolved is None else tree.entry(resolved)
    if resolved is None or entry is None or entry.kind != "directory":
        return []
    found: list[str] = []
    for pick in _below(tree, resolved, start, Ignore()):
        is_inside = bool(found) and pick.place.startswith(f"{found[-1]}/")
        if not is_inside and expression.fullmatch(pick.place):
            found.append(pick.place)
    return found


def _expression(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(ignore.glob_regex(pattern), re.DOTALL)
    except ValueError as error:
        raise Invalid(f"{pattern!r}: {error}") from error


def _picks(tree: Tree, source: str, path: str, exclude: Ignore, keeps_parents: bool) -> Iterator[Pick]:
    resolved = tree.resolve(path)
    entry = None if resolved is None else tree.entry(resolved)
    if resolved is None or entry is None:
        return
    if entry.kind != "directory" and exclude.excludes(posixpath.basename(path)):
        return
    place = "" if entry.kind == "directory" else posixpath.basename(path)
    if keeps_parents:
        place = _kept_place(source, path)
        yield from _parents(tree, path, place)
    yield Pick(resolved, place, entry, is_source=True)
    if entry.kind == "directory":
        yield from _below(tree, resolved, place, exclude)


def _below(tree: Tree, resolved: str, place: str, exclude: Ignore) -> Iterator[Pick]:
    """What lies in a directory, parents first, by a list instead of calls: it may be deeper than Python calls go."""
    # Paths relative to the source are what the exclude patterns mean.
    pending = [("", exclude.nothing, iter(tree.names(resolved)))]
    while pending:
        path, above, names = pending[-1]
        for name in names:
            shown = f"{path}/{name}" if path else name
            inner = posixpath.join(resolved, shown)
            entry = tree.entry(inner)
            if entry is None or entry.kind == "other":
                continue
            is_out, matched = exclude.step(shown, above) if above else (False, above)
            if not is_out:
                yield Pick(inner, posixpath.join(place, shown), entry)
            if entry.kind == "directory" and (not is_out or exclude.may_hold_kept(shown)):
                pending.append((shown, matched, iter(tree.names(inner))))
                break
        else:
            pending.pop()


def _kept_place(source: str, path: str) -> str:
    """With --parents: the whole path, or what follows `/./` in the source."""
    if "/./" not in source:
        return path
    pivot = clean_path(source.partition("/./")[0])
    parts, count = path.split("/"), len(pivot.split("/")) if pivot else 0
    if "**" in pivot:
        expression = _expression(pivot)
        count = next((n for n in range(1, len(parts)) if expression.fullmatch("/".join(parts[:n]))), 0)
    return "/".join(parts[count:])


def _parents(tree: Tree, path: str, place: str) -> Iterator[Pick]:
    parts, kept = path.split("/"), place.split("/")
    for depth in range(1, len(kept)):
        parent = tree.resolve("/".join(parts[: len(parts) - len(kept) + depth]))
        entry = None if parent is None else tree.entry(parent)
        if parent is not None and entry is not None:
            yield Pick(parent, "/".join(kept[:depth]), entry)


def clean_path(path: str) -> str:
    """The path inside the root: no `.` and `..`, no slashes around."""
    return posixpath.normpath("/" + path).strip("/")


class ContextTree:
    """The build context, from the list that the CLI sent. `files` finds the content of a digest on disk."""

    def __init__(self, entries: Mapping[str, Entry], opener: "Opener | None" = None) -> None:
        self._entries = dict(entries)
        self._opener = opener
        self._names: dict[str, list[str]] = {"": []}
        for path in sorted(entries):
            self._add_to_parent(path)
        for names in self._names.values():
            names.sort()

    def _add_to_parent(self, path: str) -> None:
        while path:
            parent, _, name = path.rpartition("/")
            self._names.setdefault(parent, []).append(name)
            if not parent or parent in self._entries:
                return
            # .dockerignore may have left the directory out and kept what lies in it.
            self._entries[parent] = Entry("directory", 0o755)
            path = parent

    def entry(self, path: str) -> Entry | None:
        return self._entries.get(path) if path else Entry("directory", 0o755)

    def names(self, path: str) -> list[str]:
        return self._names.get(path, [])

    def resolve(self, path: str) -> str | None:
        return follow(path, self.entry)

    def digest(self, path: str) -> str:
        return self._entries[path].content

    def xattrs(self, path: str) -> Xattrs:
        return ()

    def open(self, path: str) -> int:
        assert self._opener is not None, "nothing opens files of this context"
        return self._opener.open(self._entries[path].content)


class Opener(Protocol):
    def open(self, digest: str) -> int:
        """A descriptor to read content that the CLI sent."""
        ...


class _EntryOf(Protocol):
    def __call__(self, path: str, /) -> Entry | None: ...


def follow(path: str, entry_of: _EntryOf) -> str | None:
    """The path with links followed by their texts, `..` never above the root; None for a dead end or a loop."""
    pending = [part for part in path.split("/") if part not in ("", ".")]
    resolved: list[str] = []
    links = 0
    while pending:
        part = pending.pop(0)
        if part in (".", ""):
            continue
        if part == "..":
            resolved = resolved[:-1]
            continue
        entry = entry_of("/".join([*resolved, part]))
        if entry is None:
            return None
        if entry.kind != "link":
            resolved.append(part)
            continue
        links += 1
        if links > LINKS_MAX:
            return None
        resolved = [] if entry.link.startswith("/") else resolved
        pending = [*entry.link.split("/"), *pending]
    return "/".join(resolved)


def is_remote(source: str) -> bool:
    """Whether ADD fetches the source instead of finding it in the context."""
    return source.startswith(("http://", "https://", "git@", "git://", "ssh://"))


def outside(sources: Iterable[str]) -> str:
    """The first source that names something above the context; "" if none does."""
    for source in sources:
        if posixpath.normpath(source.lstrip("/")).split("/")[0] == "..":
            return source
    return ""
