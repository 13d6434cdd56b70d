"""Documents name what exists: files and symbols, links and their headings, the command's verbs and flags."""

import argparse
import ast
import importlib
import re
from pathlib import Path

import pytest

from knarr.cli import main

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "knarr"
WHERE = re.compile(r"`([a-z_0-9/]+\.py)(?:::([A-Za-z_][\w.]*))?`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^(?:\$ |sudo )*knarr ([a-z]+)([^|;&#\n]*)", re.MULTILINE)
SPAN = re.compile(r"`([^`\n]+)`")
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [*DOCUMENTS, *sorted((ROOT / "examples").rglob("*.md"))]


def symbols(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_names_exists(document: Path) -> None:
    faults = []
    for name, symbol in WHERE.findall(document.read_text()):
        places = [base / name for base in (SOURCE, ROOT) if (base / name).is_file()]
        if not places:
            faults.append(f"{name} does not exist")
        elif symbol and symbol.split(".")[-1] not in symbols(places[0]):
            faults.append(f"{name} has no {symbol}")
    assert not faults


@pytest.mark.parametrize("document", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    faults = []
    for target in LINK.findall(FENCE.sub("", document.read_text())):
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, heading = target.partition("#")
        place = (document.parent / name).resolve() if name else document
        if not place.exists():
            faults.append(f"{target} does not exist")
        elif heading and heading not in headings(place):
            faults.append(f"{target}: no such heading")
    assert not faults


@pytest.mark.parametrize("document", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_that_a_document_types_exist(document: Path) -> None:
    """The verbs of `knarr VERB --flag …`, and their flags."""
    faults = []
    text = document.read_text()
    typed = "\n".join([*FENCE.findall(text), *SPAN.findall(FENCE.sub("", text))])
    for verb, rest in COMMAND.findall(typed):
        row = next((row for row in main.VERBS if row.word == verb), None)
        if row is None:
            faults.append(f"knarr {verb} is no verb")
            continue
        known = flags(row.module)
        faults += [f"knarr {verb} has no {flag}" for flag in FLAG.findall(rest) if flag not in known]
    assert not faults


def test_the_readme_lists_every_verb_of_the_command() -> None:
    (row,) = (line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("| command |"))
    listed = {name.split()[0] for name in re.findall(r"`([a-z][a-z ]*)`", row)}
    assert listed == {verb.word for verb in main.VERBS if not verb.is_hidden}


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as forges make them."""
    lines = [line.lstrip("#") for line in FENCE.sub("", page.read_text()).splitlines() if line.startswith("#")]
    return {re.sub(r"[^\w\- ]", "", line.strip().lower()).replace(" ", "-") for line in lines}


def flags(module: str) -> set[str]:
    parser = argparse.ArgumentParser()
    importlib.import_module(f"knarr.cli.{module}").configure(parser)
    pending, found = [parser], set[str]()
    while pending:
        for action in pending.pop()._actions:  # argparse has no other way to ask
            found |= set(action.option_strings)
            if isinstance(action, argparse._SubParsersAction):
                pending += action.choices.values()
    return found


def test_where_is_has_a_row_for_every_package() -> None:
    text = (ROOT / "docs" / "where-is.md").read_text()
    packages = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert {package for package in packages if f"`{package}/" not in text} == set()


def test_nothing_names_this_machine() -> None:
    banned = re.compile(r"/wor" + r"k/|\.libra" + r"ry|pypi\.or" + r"g|files\.pythonh")
    tracked = [path for path in ROOT.rglob("*") if path.suffix in {".py", ".md", ".sh", ".lock", ".toml", ".yaml"}]
    ours = [path for path in tracked if not {".venv", ".cache", ".git"} & set(path.relative_to(ROOT).parts)]
    assert [str(path) for path in ours if banned.search(path.read_text(errors="replace"))] == []
