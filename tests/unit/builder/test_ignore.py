"""`.dockerignore`: Go's patterns, `**`, negation and order; the oracle is a port of moby's matcher."""

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
