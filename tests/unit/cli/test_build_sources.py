"""Contexts that are tars: what is listed, what .dockerignore leaves out, and entries that would lead elsewhere."""

import contextlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from knarr.base.errors import Invalid
from knarr.cli import build_results, build_sources
from knarr.cli.build_sources import TarContext
from knarr.oci import digest


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as opened:
        yield opened


def packed(*entries: tuple[str, bytes, str], mode: str = "w", **members: str) -> io.BytesIO:
    """Entries as name, type and content (a link's target for links)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]  # the mode is a variable
        for name, kind, text in entries:
            member = tarfile.TarInfo(name)
            member.type, member.mode = kind, 0o755 if kind == tarfile.DIRTYPE else 0o640
            if kind == tarfile.REGTYPE:
                member.size = len(text)
            else:
                member.linkname = text
            archive.addfile(member, io.BytesIO(text.encode()))
    buffer.seek(0)
    return buffer


FILE, DIRECTORY, LINK, HARD = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_is_listed_as_a_directory_would_be(stack: contextlib.ExitStack, mode: str) -> None:
    stream = packed(
        ("./d", DIRECTORY, ""), ("./d/f", FILE, "one"), ("l", LINK, "/etc/passwd"), ("h", HARD, "d/f"), mode=mode
    )
    context = TarContext(stream, stack)
    assert [[*row[:4], row[5]] for row in context.rows] == [
        ["d", "d", 0o755, 0, ""],
        ["d/f", "f", 0o640, 3, digest.of(b"one")],
        ["h", "f", 0o640, 3, digest.of(b"one")],
        ["l", "l", 0o640, 0, "/etc/passwd"],
    ]
    found = context.open(digest.of(b"one"))
    assert found is not None
    with found:
        assert found.read() == b"one"
    assert context.text("d/../d/f") == "one"
    assert context.open(digest.of(b"two")) is None


def test_dockerignore_of_the_tar_holds_and_the_last_entry_of_a_name_counts(stack: contextlib.ExitStack) -> None:
    stream = packed((".dockerignore", FILE, "*.log\n"), ("a.log", FILE, "x"), ("b", FILE, "old"), ("b", FILE, "new"))
    context = TarContext(stream, stack)
    assert [(row[0], row[5]) for row in context.rows][1:] == [("b", digest.of(b"new"))]
    assert context.ignored == "*.log\n"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (("../x", FILE, "evil"), "lies outside the context"),
        (("/etc/x", FILE, "evil"), "lies outside the context"),
        (("a/../../x", FILE, "evil"), "lies outside the context"),
        (("h", HARD, "/etc/passwd"), "is a link to what is not in it"),
    ],
)
def test_an_entry_that_leads_elsewhere_is_refused(
    stack: contextlib.ExitStack, entry: tuple[str, bytes, str], message: str
) -> None:
    with pytest.raises(Invalid, match=message):
        TarContext(packed(entry), stack)


def test_a_broken_tar_is_refused(stack: contextlib.ExitStack) -> None:
    stream = packed(("f", FILE, "x" * 5000))
    with pytest.raises(Invalid, match="cannot be read"):
        TarContext(io.BytesIO(stream.getvalue()[:2000]), stack)


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_a_compressed_tar_that_is_damaged_anywhere_is_refused(stack: contextlib.ExitStack, mode: str) -> None:
    whole = packed(("f", FILE, "some text " * 300), ("g", FILE, "x"), mode=mode).getvalue()
    for place in range(12, len(whole), max(1, len(whole) // 40)):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        with contextlib.suppress(Invalid):
            # A bit that nobody reads, such as the name in a gzip header, may be another one.
            rows = TarContext(io.BytesIO(damaged), stack).rows
            assert [(row[0], row[5]) for row in rows] == [("f", digest.of(b"some text " * 300)), ("g", digest.of(b"x"))]


@pytest.mark.parametrize("time", ["nan", "inf", "1e999"])
def test_a_tar_whose_times_are_no_times_is_refused(stack: contextlib.ExitStack, time: str) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("f")
        member.pax_headers = {"mtime": time}
        archive.addfile(member)
    buffer.seek(0)
    with pytest.raises(Invalid, match="cannot be read"):
        TarContext(buffer, stack)


def test_a_repositorys_git_directories_go_and_nothing_behind_its_links(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / ".git").mkdir(parents=True)
    (outside / ".git" / "config").touch()
    tree = tmp_path / "tree"
    for name in (".git", "sub/.git", "lib"):
        (tree / name).mkdir(parents=True)
    (tree / "sub" / "way").symlink_to(outside)
    (tree / "lib" / ".git").symlink_to(outside / ".git")
    (tree / "lib" / "f").touch()
    build_sources._remove_git(tree)
    assert sorted(str(path.relative_to(tree)) for path in tree.rglob("*")) == ["lib", "lib/f", "sub", "sub/way"]
    assert (outside / ".git" / "config").exists()


def test_a_tree_is_written_below_the_directory_and_no_standing_link_is_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    target = tmp_path / "out"
    target.mkdir()
    (target / "f").symlink_to(outside / "victim")
    build_results.extract(
        packed(("d", DIRECTORY, ""), ("d/g", FILE, "g"), ("f", FILE, "f"), ("l", LINK, "d/g"), ("m", HARD, "d/g")),
        target,
    )
    assert {path.name: path.read_text() for path in target.rglob("*") if path.is_file()} == {
        "g": "g", "f": "f", "l": "g", "m": "g",
    }  # fmt: skip
    assert list(outside.iterdir()) == []
    (target / "way").symlink_to(outside)
    with pytest.raises(Invalid, match="refusing to write through it"):
        build_results.extract(packed(("way/x", FILE, "evil")), target)
    with pytest.raises(Invalid, match="holds the path"):
        build_results.extract(packed(("../x", FILE, "evil")), target)
    assert list(outside.iterdir()) == []
