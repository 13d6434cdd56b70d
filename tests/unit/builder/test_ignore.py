"""`.dockerignore`: Go's patterns, `**`, negation and order; the oracle is a port of moby's matcher."""

import re

import pytest
from e2b_dockerfile_utils import PatternMatcher
from hypothesis import given
from hypothesis import strategies as st

from knarr.base.errors import Invalid
from knarr.builder.dockerfile import ignore


@pytest.mark.parametrize(
    ("patterns", "path", "is_out"),
    [
        ("*.log", "a.log", True),
        ("*.log", "d/a.log", False),
        ("**/*.log", "d/e/a.log", True),
        ("**/*.log", "a.log", True),
        ("node_modules", "node_modules/x/y", True),
        ("/leading", "leading", True),
        ("trailing/", "trailing/x", True),
        ("**/skip/*\n!**/skip/keep.txt", "src/skip/keep.txt", False),
        ("**/skip/*\n!**/skip/keep.txt", "src/skip/x.txt", True),
        ("!a\n*", "a", True),
        ("*\n!a", "a/b", False),
        ("# comment\n\na?c", "abc", True),
        ("a[b-d]", "ac", True),
        ("a[^b-d]", "ac", False),
        (r"a\*", "a*", True),
        (r"a\*", "ab", False),
        ("a/**", "a/b/c", True),
        ("a/**", "a", False),
        ("a/./b//c", "a/b/c", True),
        ("dir/**/x", "dir/x", True),
        ("**", "anything/at/all", True),
    ],
)
def test_the_last_pattern_that_fits_decides(patterns: str, path: str, is_out: bool) -> None:
    assert ignore.read(patterns).excludes(path) is is_out


def test_an_excluded_directory_is_walked_only_where_something_comes_back() -> None:
    patterns = ignore.read("vendor\ndocs\n!docs/README.md\n")
    assert [patterns.may_hold_kept(directory) for directory in ("vendor", "docs", "docs/sub")] == [False, True, False]


@pytest.mark.parametrize("pattern", ["[", "a[]", "[b-a]", "a\\", "!"])
def test_a_bad_pattern_is_told_with_its_line(pattern: str) -> None:
    with pytest.raises(Invalid, match=r"\.dockerignore:2: "):
        ignore.read(f"fine\n{pattern}")


PIECE = st.sampled_from(["a", "b", "*", "**", "?", "a*", "[ab]", "*.x", "c.x"])
PATTERN = st.lists(PIECE, min_size=1, max_size=4).map("/".join)
LINES = st.lists(st.tuples(st.booleans(), PATTERN).map(lambda pair: "!" * pair[0] + pair[1]), min_size=1, max_size=4)


@given(LINES, st.lists(st.sampled_from(["a", "b", "ab", "c.x"]), min_size=1, max_size=4).map("/".join))
def test_matching_agrees_with_the_oracle(lines: list[str], path: str) -> None:
    ours = ignore.read("\n".join(lines)).excludes(path)
    assert ours == PatternMatcher(lines).matches(path)


def fits(pattern: list[str], path: str) -> bool:
    """The dumb way: every wildcard tries everything."""
    if not pattern:
        return not path
    head, rest = pattern[0], pattern[1:]
    if head == "*":
        return any(fits(rest, path[end:]) for end in range(len(path) + 1) if "/" not in path[:end])
    if head == "**":
        return any(fits(rest, path[end:]) for end in range(len(path) + 1))
    if head == "**/":
        return any(fits(rest, path[end:]) for end in range(len(path) + 1) if end == 0 or path[end - 1] == "/")
    return path[:1] != "" and path[0] in {"?": "ab", "[ab]": "ab"}.get(head, head) and fits(rest, path[1:])


@given(
    st.lists(st.sampled_from(["a", "b", "/", "*", "**", "?", "[ab]", "**/"]), min_size=1, max_size=7),
    st.text("ab/", max_size=8),
)
def test_a_pattern_that_never_tries_again_fits_what_it_would_by_trying_everything(signs: list[str], path: str) -> None:
    pieces = {"*": "[^/]*", "**": ".*", "?": "[^/]", "**/": "(?:.*/)?"}
    try:
        expression = ignore._without_retries([pieces.get(sign, sign) for sign in signs])
    except ValueError:
        return
    assert (re.fullmatch(expression, path) is not None) == fits(signs, path)


@pytest.mark.parametrize(
    "pattern", ["a*" * 60 + "b", "**/a/" * 60 + "b", "**a" * 60 + "b", "a*a/" * 60 + "**/b", "*a**b" * 40]
)
def test_no_pattern_takes_longer_than_its_length_says(pattern: str) -> None:
    # Trying everything would take longer than anybody lives.
    assert not ignore.read(pattern).excludes("/".join(["a" * 200] * 3) + "c")
    assert not ignore.read(pattern).excludes("a/" * 200 + "c")


def test_a_pattern_that_would_try_again_for_ever_is_refused() -> None:
    with pytest.raises(Invalid, match=r"\.dockerignore:1: more than 2"):
        ignore.read("**a**/b" * 9)
