"""What the sources of a COPY select from a tree, and content keys of it."""

import dataclasses

import pytest

from knarr.base.errors import Invalid
from knarr.builder import cache_keys
from knarr.builder.dockerfile import ignore
from knarr.builder.trees import ContextTree, Entry, Pick, follow, outside, select


def file(content: str, **fields: int) -> Entry:
    return Entry("file", fields.pop("mode", 0o644), content=content, **fields)


DIRECTORY = Entry("directory", 0o755)
ENTRIES = {
    "a.txt": file("sha256:a"),
    "b.c": file("sha256:b"),
    "dir": DIRECTORY,
    "dir/one": file("sha256:1"),
    "dir/sub": DIRECTORY,
    "dir/sub/two": file("sha256:2"),
    "link": Entry("link", 0o777, link="dir/one"),
    "out": Entry("link", 0o777, link="../../etc/passwd"),
    "around": Entry("link", 0o777, link="around"),
    "into": Entry("link", 0o777, link="/dir"),
}
TREE = ContextTree(ENTRIES)


def places(*sources: str, exclude: str = "", keeps_parents: bool = False) -> list[tuple[str, str]]:
    patterns = ignore.of(exclude.split())
    return [(pick.path, pick.place) for pick in select(TREE, sources, patterns, keeps_parents=keeps_parents)]


def test_a_file_keeps_its_name_and_a_directory_gives_its_content() -> None:
    assert places("a.txt", "dir/") == [
        ("a.txt", "a.txt"),
        ("dir", ""),
        ("dir/one", "one"),
        ("dir/sub", "sub"),
        ("dir/sub/two", "sub/two"),
    ]


def test_a_wildcard_may_mean_nothing_and_a_name_may_not() -> None:
    assert places("a.txt", "*.lock", "no/such*", "dir/x[0-9]") == [("a.txt", "a.txt")]
    with pytest.raises(Invalid, match="'none' is not there"):
        places("a.txt", "none")


@pytest.mark.parametrize("source", ["no\\ne", "no\\*ne", "a.txt\\?", "none/\\[x"])
def test_an_escape_is_no_wildcard(source: str) -> None:
    with pytest.raises(Invalid, match="is not there"):
        places(source)
    assert places("\\a.txt", source + "*") == [("a.txt", "a.txt")]


DEEP = ContextTree(
    {
        **{f"{path}/package.json": file("sha256:p") for path in ("apps/one", "apps/two/sub", "libs/x")},
        "package.json": file("sha256:p"),
        "apps/one/main.js": file("sha256:m"),
        "libs/x/test/data/f": file("sha256:f"),
        "libs/y/test/data/g": file("sha256:g"),
        "out/package.json": Entry("link", 0o777, link="../package.json"),
    }
)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("**/package.json", ["apps/one/package.json", "apps/two/sub/package.json", "libs/x/package.json",
                             "out/package.json", "package.json"]),
        ("./apps/**/package.json", ["apps/one/package.json", "apps/two/sub/package.json"]),
        ("apps/./**/*.json", ["one/package.json", "two/sub/package.json"]),
        ("libs/*/./test/**/f", ["test/data/f"]),
        ("**/test/./data", ["data/f", "data/g"]),
        ("libs/**/test", ["libs/x/test/data/f", "libs/y/test/data/g"]),
        ("**/none", []),
        ("nowhere/**", []),
    ],
)  # fmt: skip
def test_parents_with_two_stars_find_files_at_any_depth(source: str, found: list[str]) -> None:
    picks = select(DEEP, [source], ignore.of([]), keeps_parents=True)
    assert sorted(pick.place for pick in picks if pick.entry.kind != "directory") == sorted(found)


def test_parents_come_before_what_lies_in_them() -> None:
    picks = select(DEEP, ["**/main.js"], ignore.of([]), keeps_parents=True)
    assert [pick.place for pick in picks] == ["apps", "apps/one", "apps/one/main.js"]


def test_a_tree_may_be_deeper_than_python_calls_go() -> None:
    deepest = "/".join(["d"] * 2000)
    tree = ContextTree({f"{deepest}/f": file("sha256:f")})
    picks = select(tree, ["d"], ignore.of([]))
    assert [picks[0].place, picks[1].place, picks[-1].path, len(picks)] == ["", "d", f"{deepest}/f", 2001]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("*.txt", ["a.txt"]),
        ("?.c", ["b.c"]),
        ("[ab].*", ["a.txt", "b.c"]),
        ("d*/o*", ["dir/one"]),
        ("/a.txt", ["a.txt"]),
    ],
)
def test_wildcards_match_names(source: str, found: list[str]) -> None:
    assert [path for path, _ in places(source)] == found


def test_a_link_that_is_named_is_followed() -> None:
    assert places("link") == [("dir/one", "link")]
    assert places("into/sub") == [("dir/sub", ""), ("dir/sub/two", "two")]


@pytest.mark.parametrize("source", ["nothere", "out", "around", "dir/none"])
def test_a_source_that_is_not_there_is_named(source: str) -> None:
    with pytest.raises(Invalid, match="is not there"):
        places(source)


def test_excluded_patterns_are_left_out() -> None:
    assert places("dir", exclude="sub") == [("dir", ""), ("dir/one", "one")]
    assert places("*.txt", "b.c", exclude="*.c") == [("a.txt", "a.txt")]


def test_parents_are_kept_up_to_the_pivot() -> None:
    assert places("dir/sub/two", keeps_parents=True) == [
        ("dir", "dir"),
        ("dir/sub", "dir/sub"),
        ("dir/sub/two", "dir/sub/two"),
    ]
    assert places("dir/./sub/two", keeps_parents=True) == [("dir/sub", "sub"), ("dir/sub/two", "sub/two")]


def test_a_directory_that_the_ignore_file_left_out_is_there_for_what_it_kept() -> None:
    tree = ContextTree({"x/y/kept": file("sha256:k")})
    assert [pick.path for pick in select(tree, ["x"], ignore.of([]))] == ["x", "x/y", "x/y/kept"]


def test_links_never_lead_above_the_root() -> None:
    entries = {"etc": DIRECTORY, "etc/passwd": file("sha256:p"), **ENTRIES}
    assert follow("out", lambda path: entries.get(path)) == "etc/passwd"


@pytest.mark.parametrize(("source", "is_outside"), [("../x", True), ("a/../../x", True), ("a/../x", False)])
def test_sources_above_the_context_are_found(source: str, is_outside: bool) -> None:
    assert bool(outside([source])) is is_outside


def key(**changes: object) -> str:
    entry = dataclasses.replace(file("sha256:a", mtime=1), **changes)  # type: ignore[arg-type]
    return cache_keys.content_key(ContextTree({"f": entry}), [Pick("f", "f", entry, is_source=True)])


def test_a_content_key_knows_mode_owner_and_content_but_no_time() -> None:
    assert key(mtime=2) == key()
    assert len({key(), key(mode=0o600), key(uid=5), key(content="sha256:b")}) == 4
