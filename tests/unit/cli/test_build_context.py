"""The list of a build context: kinds, digests kept between builds, .dockerignore, content frames."""

import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from knarr.base.errors import Invalid
from knarr.base.removal import remove_tree
from knarr.cli import build_context
from knarr.oci import digest


@pytest.fixture(autouse=True)
def cache(tmp_path: Path) -> Iterator[Path]:
    """A cache directory of the test's own."""
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    yield tmp_path / "cache"
    os.environ.pop("XDG_CACHE_HOME")
    if before is not None:
        os.environ["XDG_CACHE_HOME"] = before


@pytest.fixture
def root(tmp_path: Path) -> Path:
    context = tmp_path / "context"
    (context / "dir").mkdir(parents=True)
    (context / "a").write_text("alpha")
    (context / "dir" / "b").write_text("beta")
    (context / "link").symlink_to("dir/b")
    (context / "a").chmod(0o640)
    (context / "dir").chmod(0o750)
    return context


def listed(root: Path) -> list[list[object]]:
    return [[*row[:4], row[5]] for row in build_context.read(root, None).rows]


def test_files_directories_and_links_are_listed(root: Path) -> None:
    assert listed(root) == [
        ["a", "f", 0o640, 5, digest.of(b"alpha")],
        ["dir", "d", 0o750, 0, ""],
        ["dir/b", "f", 0o644, 4, digest.of(b"beta")],
        ["link", "l", 0o777, 0, "dir/b"],
    ]


def test_a_digest_is_kept_until_the_file_changes(root: Path) -> None:
    for path in (root / "a", root / "dir" / "b"):
        os.utime(path, (1, 1))
    first = listed(root)
    assert listed(root) == first
    (root / "a").write_text("other")
    os.utime(root / "a", (1, 1))
    assert listed(root)[0][4] == digest.of(b"other")


def test_a_broken_cache_is_ignored(root: Path, cache: Path) -> None:
    listed(root)
    for path in cache.rglob("*.json"):
        path.write_text("{broken")
    assert listed(root)[0][4] == digest.of(b"alpha")


def test_the_dockerfiles_own_ignore_file_wins(root: Path) -> None:
    (root / ".dockerignore").write_text("a\n")
    (root / "Other.dockerignore").write_text("dir\nlink\n")
    assert "a" not in [row[0] for row in build_context.read(root, root / "Dockerfile").rows]
    rows = build_context.read(root, root / "Other").rows
    assert [row[0] for row in rows] == [".dockerignore", "Other.dockerignore", "a"]


def test_a_bad_pattern_and_a_missing_directory_are_refused(root: Path) -> None:
    (root / ".dockerignore").write_text("ok\n[\n")
    with pytest.raises(Invalid, match=r"\.dockerignore:2: "):
        build_context.read(root, None)
    with pytest.raises(Invalid, match="is not a directory"):
        build_context.read(root / "none", None)


def test_content_goes_out_in_frames(root: Path) -> None:
    out = io.BytesIO()
    build_context.send([build_context.read(root, None)], [digest.of(b"beta"), digest.of(b"alpha")], out)
    assert out.getvalue() == f"{digest.of(b'beta')} 4\nbeta{digest.of(b'alpha')} 5\nalpha".encode()


def test_a_tree_may_be_deeper_than_python_calls_go(root: Path) -> None:
    depth = 1010
    here = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    try:
        assert max(len(str(row[0])) for row in listed(root)) == 2 * depth - 1
    finally:
        # The test's own removal of what is left cannot go that deep.
        remove_tree(root / "d")


def test_names_that_json_cannot_carry_are_told(root: Path) -> None:
    os.symlink(b"to\xff", root / "way")
    with pytest.raises(Invalid, match=r"way: the link's target 'to\\udcff' is not UTF-8"):
        build_context.read(root, None)
    (root / "way").unlink()
    Path(os.fsdecode(bytes(root) + b"/n\xff")).touch()
    with pytest.raises(Invalid, match=r"'n\\udcff' is not UTF-8; rename it"):
        build_context.read(root, None)
    (root / ".dockerignore").write_text("n*\n")
    assert [row[0] for row in build_context.read(root, None).rows][:2] == [".dockerignore", "a"]
