"""The sizes of the house: files, functions, parameters, Protocols, empty packages, banned names."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "knarr"
FILES = sorted(SOURCE.rglob("*.py"))
FILE_LINES_MAX, FUNCTION_LINES_MAX, PARAMETERS_MAX, PROTOCOL_METHODS_MAX = 500, 60, 5, 7
BANNED_MODULES = {"utils", "util", "helpers", "common", "misc", "manager"}
EXEMPT = {"cri/protocol.py"}  # mirrors a specification

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def parameters(function: Function) -> int:
    names = [a.arg for a in (*function.args.posonlyargs, *function.args.args)]
    return len([name for name in names if name not in ("self", "cls")])


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_file_and_its_functions_fit_the_eye(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    faults = []
    if text.count("\n") > FILE_LINES_MAX:
        faults.append(f"{text.count(chr(10))} lines")
    for function in functions(tree):
        lines = (function.end_lineno or 0) - function.lineno + 1
        if lines > FUNCTION_LINES_MAX:
            faults.append(f"{function.name}: {lines} lines")
        if parameters(function) > PARAMETERS_MAX:
            faults.append(f"{function.name}: {parameters(function)} positional parameters")
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and any(isinstance(b, ast.Name) and b.id == "Protocol" for b in node.bases):
            methods = [n for n in node.body if isinstance(n, Function)]
            if len(methods) > PROTOCOL_METHODS_MAX and str(path.relative_to(SOURCE)) not in EXEMPT:
                faults.append(f"Protocol {node.name}: {len(methods)} methods")
    assert not faults


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_module_says_what_it_is(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), "a module opens with a docstring"
    assert path.stem not in BANNED_MODULES
    if path.name == "__init__.py" and path.parent != SOURCE:
        assert len(tree.body) == 1, "__init__.py holds only a docstring"
