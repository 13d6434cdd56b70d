"""Documents name what exists: every file and symbol in where-is.md, every file named in the other documents."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "knarr"
WHERE = re.compile(r"`([a-z_0-9/]+\.py)(?:::([A-Za-z_][\w.]*))?`")
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


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


def test_where_is_has_a_row_for_every_package() -> None:
    text = (ROOT / "docs" / "where-is.md").read_text()
    packages = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert {package for package in packages if f"`{package}/" not in text} == set()


def test_nothing_names_this_machine() -> None:
    banned = re.compile(r"/wor" + r"k/|\.libra" + r"ry|pypi\.or" + r"g|files\.pythonh")
    tracked = [path for path in ROOT.rglob("*") if path.suffix in {".py", ".md", ".sh", ".lock", ".toml", ".yaml"}]
    ours = [path for path in tracked if not {".venv", ".cache", ".git"} & set(path.relative_to(ROOT).parts)]
    assert [str(path) for path in ours if banned.search(path.read_text(errors="replace"))] == []
