"""Regular expressions mean what they say: whole matches, and classes of ASCII alone (`٣` is no digit of a port)."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "knarr"
FILES = sorted(path for path in SOURCE.rglob("*.py") if "re." in path.read_text())
USES = ("compile", "search", "match", "fullmatch", "sub", "subn", "split", "findall", "finditer")
WIDE = re.compile(r"(?<!\\)(?:\\\\)*\\[dwsbDWSB]")
"""Classes that mean all of Unicode unless told otherwise."""


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    """The uses of the module `re`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in USES:
            owner = node.func.value
            if isinstance(owner, ast.Name) and owner.id == "re":
                yield node


def pattern(call: ast.Call) -> str:
    """The text of the pattern as far as it is written here; bytes know no Unicode."""
    texts = (node.value for node in ast.walk(call.args[0]) if isinstance(node, ast.Constant))
    return "".join(text for text in texts if isinstance(text, str))


def is_ascii(call: ast.Call) -> bool:
    flags = [node for each in (*call.args[1:], *call.keywords) for node in ast.walk(each)]
    return any(isinstance(node, ast.Attribute) and node.attr in ("ASCII", "A") for node in flags)


def faults(text: str) -> list[str]:
    found = []
    for call in calls(ast.parse(text)):
        assert isinstance(call.func, ast.Attribute)
        if call.func.attr == "match":
            found.append(f"line {call.lineno}: re.match judges a beginning; say fullmatch")
        if WIDE.search(pattern(call)) and not is_ascii(call):
            found.append(f"line {call.lineno}: a class of all of Unicode; say re.ASCII")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_regular_expression_is_ascii_and_whole(path: Path) -> None:
    assert faults(path.read_text()) == []


@pytest.mark.parametrize(
    "text",
    [r're.compile(r"\d+")', r're.match("a", x)', r're.search(rf"{a}\s", x)', r're.sub("a" "\\w", "", x)'],
)
def test_the_judge_finds_a_fault(text: str) -> None:
    assert len(faults(text)) == 1


@pytest.mark.parametrize("text", [r're.compile(r"\d+", re.ASCII)', r're.compile(b"\\d")', r're.compile("\\\\d")'])
def test_the_judge_leaves_the_rest_alone(text: str) -> None:
    assert faults(text) == []
