"""Variables in Dockerfile words: every form of the reference, nesting, quotes, limits."""

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knarr.builder.dockerfile import expand

VARIABLES = {"x": "one", "empty": "", "path": "/a/b/c.tar.gz", "s": "foobarfoo", "A1": "n"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$x", "one"),
        ("${x}y", "oney"),
        ("$xy", ""),
        ("$A1_", ""),
        ("$", "$"),
        ("a$/b", "a$/b"),
        (r"\$x", "$x"),
        ("'$x'", "$x"),
        ('"$x  y"', "one  y"),
        (r'"\"$x\""', '"one"'),
        (r"a\ b", "a b"),
        ("${no:-$x}", "one"),
        ("${no-d}", "d"),
        ("${empty:-d}", "d"),
        ("${empty-d}", ""),
        ("${x:+yes}", "yes"),
        ("${empty:+yes}", ""),
        ("${empty+yes}", "yes"),
        ("${no+yes}", ""),
        ("${x:?must}", "one"),
        ("${path#*/}", "a/b/c.tar.gz"),
        ("${path##*/}", "c.tar.gz"),
        ("${path%.*}", "/a/b/c.tar"),
        ("${path%%.*}", "/a/b/c"),
        ("${s/foo/X}", "Xbarfoo"),
        ("${s//foo/X}", "XbarX"),
        ("${s//o}", "fbarf"),
        ("${s/b?r/-}", "foo-foo"),
        ("${s%%nothing}", "foobarfoo"),
        ("${no:-${no:-deep}}", "deep"),
        ("${no:-'a}b'}", "a}b"),
    ],
)
def test_a_form_expands(text: str, expected: str) -> None:
    assert expand.word(text, VARIABLES) == expected


@pytest.mark.parametrize("text", ["${x", "${}", "${x!}", "${no:?it is needed}", "'open", '"open', "${no:-" * 101])
def test_a_bad_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        expand.word(text, VARIABLES)


def test_a_variable_of_several_words_makes_several_ports() -> None:
    assert expand.words("80 $p", {"p": "81 82"}) == ["80", "81", "82"]


def test_a_here_document_keeps_its_quotes() -> None:
    assert expand.word('it\'s "$x" \\$x \\n', VARIABLES, keeps_quotes=True) == 'it\'s "one" $x \\n'


def test_an_expansion_that_grows_without_end_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than"):
        expand.word("${big}" * 40, {"big": "x" * 100_000})


@given(st.text("ab*?", max_size=6), st.text("ab", max_size=8))
def test_trimming_agrees_with_trying_every_cut(pattern: str, value: str) -> None:
    starts = [end for end in range(len(value) + 1) if fnmatch.fnmatchcase(value[:end], pattern)]
    assert expand.trim_prefix(value, pattern, is_longest=False) == (value[starts[0] :] if starts else value)
    assert expand.trim_prefix(value, pattern, is_longest=True) == (value[starts[-1] :] if starts else value)
    ends = [start for start in range(len(value), -1, -1) if fnmatch.fnmatchcase(value[start:], pattern)]
    assert expand.trim_suffix(value, pattern, is_longest=False) == (value[: ends[0]] if ends else value)


def replaced(value: str, pattern: str, *, is_all: bool) -> str:
    """By trying every place and every length there, the longest first."""
    for start in range(len(value)):
        for end in range(len(value), start, -1):
            if fnmatch.fnmatchcase(value[start:end], pattern):
                rest = value[end:]
                return value[:start] + "X" + (replaced(rest, pattern, is_all=True) if is_all else rest)
    return value


@given(st.text("ab*?", max_size=6), st.text("ab", max_size=8), st.booleans())
def test_replacing_agrees_with_trying_every_fit(pattern: str, value: str, is_all: bool) -> None:
    assert expand.replace(value, pattern, "X", is_all=is_all) == replaced(value, pattern, is_all=is_all)


@pytest.mark.parametrize("operator", ["#", "%%", "/", "//"])
def test_a_pattern_without_end_is_refused(operator: str) -> None:
    with pytest.raises(ValueError, match="a pattern has at most 1024 characters"):
        expand.word(f"${{a{operator}*$p}}", {"a": "a", "p": "a" * 1024})
