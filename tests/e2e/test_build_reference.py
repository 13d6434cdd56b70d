"""The Dockerfile reference's examples, built: here-documents, --parents, --exclude, --link, expansion."""

import os
import shutil
from pathlib import Path

import pytest

from tests.e2e.build_node import Node
from tests.e2e.test_build import BASE, BUSYBOX, tree

pytestmark = pytest.mark.skipif(os.getuid() != 0 or BUSYBOX is None, reason="needs root and busybox-static")

# Name → what follows the base, and the files that come of it (a directory as "").
EXAMPLES: dict[str, tuple[str, dict[str, str]]] = {
    "run here-document": ("RUN <<EOT\n  mkdir -p /foo/bar\n  echo x > /foo/bar/y\nEOT\n", {"foo/bar/y": "x"}),
    "run here-document for an interpreter": ("RUN <<EOT sh -e\n  echo hello > /h\nEOT\n", {"h": "hello"}),
    "run here-document with an interpreter line": (
        "RUN <<EOT\n#!/bin/busybox sh\necho $0 > /n\nEOT\n",
        {"n": "/dev/pipes/f0"},
    ),
    "run keeps the shell's variables": ("ARG A=arg\nRUN <<EOT\nB=shell\necho $A $B > /v\nEOT\n", {"v": "arg shell"}),
    "run here-document in a command": (
        "RUN cat <<EOT > /f && echo done > /g\nline one\nEOT\n",
        {"f": "line one", "g": "done"},
    ),
    "run two here-documents": (
        "RUN <<FILE1 cat > file1 && <<FILE2 cat > file2\nI am\nfirst\nFILE1\nI am\nsecond\nFILE2\n",
        {"file1": "I am\nfirst", "file2": "I am\nsecond"},
    ),
    "copy two here-documents": (
        "COPY <<robots.txt <<humans.txt /html/\nUser-agent: *\nrobots.txt\nAll developers\nhumans.txt\n",
        {"html/robots.txt": "User-agent: *", "html/humans.txt": "All developers"},
    ),
    "copy here-document expands": ("ARG FOO=bar\nCOPY <<EOF /x\nfoo = ${FOO} \\$FOO\nEOF\n", {"x": "foo = bar $FOO"}),
    "copy quoted here-document does not": ('ARG FOO=bar\nCOPY <<"EOF" /x\necho ${FOO}\nEOF\n', {"x": "echo ${FOO}"}),
    "copy here-document without tabs": ("COPY <<-EOT /x\n\thello\n\t\tthere\n\tEOT\n", {"x": "hello\nthere"}),
    "copy here-document with a mode": ("COPY --chmod=755 <<EOF /s.sh\n#!/bin/sh\nEOF\n", {"s.sh": "#!/bin/sh"}),
    "copy here-document and a file": ("COPY a.txt <<b.txt /both/\nB\nb.txt\n", {"both/a.txt": "a", "both/b.txt": "B"}),
    "parents": (
        "COPY ./x/a.txt ./y/a.txt /no/\nCOPY --parents ./x/a.txt ./y/a.txt /yes/\n",
        {"no/a.txt": "ya", "yes/x/a.txt": "xa", "yes/y/a.txt": "ya"},
    ),
    "parents from a pivot": ("COPY --parents ./x/./*.txt /yes/\n", {"yes/a.txt": "xa"}),
    "parents from a deep pivot": ("COPY --parents ./deep/./er/est/z.txt /yes/\n", {"yes/er/est/z.txt": "z"}),
    "parents of a wildcard": ("COPY --parents */a.txt /yes/\n", {"yes/x/a.txt": "xa", "yes/y/a.txt": "ya"}),
    "parents at any depth": (
        "COPY --parents **/a.txt /yes/\n",
        {"yes/a.txt": "a", "yes/x/a.txt": "xa", "yes/y/a.txt": "ya"},
    ),
    "bind mounts below the working directory": (
        "WORKDIR /app\nRUN --mount=type=bind,source=home.go,target=home.go --mount=source=x,target=y/z cat home.go"
        " y/z/a.txt > got\nRUN --mount=type=bind,target=. cat deep/er/est/z.txt a.txt > /whole\n",
        {"app/got": "go\nxa", "whole": "z\na"},
    ),
    "a wildcard that means nothing": ("COPY x/a.txt *.lock /w/\nCOPY none* /nothing/\n", {"w/a.txt": "xa"}),
    "parents from a stage": (
        "FROM base AS one\nRUN mkdir -p /p/q && echo r > /p/q/r\nFROM base\nCOPY --parents --from=one /p/q/r /got/\n",
        {"got/p/q/r": "r"},
    ),
    "exclude": ("COPY --exclude=*.txt hom* /d/\n", {"d/home.md": "md", "d/home.go": "go"}),
    "exclude twice": ("COPY --exclude=*.txt --exclude=*.md hom* /d/\n", {"d/home.go": "go"}),
    "exclude below": ("COPY --exclude=**/a.txt x deep /d/\n", {"d/er/est/z.txt": "z"}),
    "exclude brings back": ("COPY --exclude=* --exclude=!home.go . /d/\n", {"d/home.go": "go"}),
    "link": ("COPY --link a.txt /l/\nADD --link home.go /l/\n", {"l/a.txt": "a", "l/home.go": "go"}),
    "pattern forms": (
        "ENV str=foobarbaz\nENV A=${str#f*b} B=${str##f*b} C=${str%b*} D=${str%%b*} E=${str/ba/fo} F=${str//ba/fo}\n"
        "RUN echo $A $B $C $D $E $F > /p\n",
        {"p": "arbaz az foobar foo fooforbaz fooforfoz"},
    ),
    "escapes": ("ENV FOO=/bar\nWORKDIR ${FOO}\nCOPY a.txt \\$FOO\n", {"bar/$FOO": "a"}),
    "shell": ('SHELL ["/bin/sh", "-ec"]\nRUN false || echo $- > /s\n', {"s": "ce"}),
    "all of a line sees one value": (
        "ENV abc=hello\nENV abc=bye def=$abc\nENV ghi=$abc\nRUN echo $def $ghi > /v\n",
        {"v": "hello bye"},
    ),
}


@pytest.fixture
def context(tmp_path: Path) -> Path:
    root = tmp_path / "context"
    root.mkdir()
    shutil.copy(str(BUSYBOX), root / "busybox")
    for name, text in (
        ("a.txt", "a"), ("x/a.txt", "xa"), ("y/a.txt", "ya"), ("deep/er/est/z.txt", "z"),
        ("home.txt", "txt"), ("home.md", "md"), ("home.go", "go"),
    ):  # fmt: skip
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n")
    return root


async def test_an_example_of_the_reference_gives_what_the_reference_says(node: Node, context: Path) -> None:
    differences = {}
    for name, (text, expected) in EXAMPLES.items():
        (context / "Dockerfile").write_text(BASE + text)
        files = tree(node, await node.build(context), skip=2)
        found = {path: words.split(" ", 2)[2:] for path, words in files.items()}
        texts = {path: words[0] for path, words in found.items() if words}
        if texts != expected:
            differences[name] = (texts, expected)
    assert differences == {}


async def test_modes_and_owners_of_here_documents_are_the_flags(node: Node, context: Path) -> None:
    (context / "Dockerfile").write_text(BASE + "COPY --chmod=u=rwX,go=rX --chown=3:4 <<EOF /d/f\nx\nEOF\n")
    files = tree(node, await node.build(context), skip=2)
    assert files == {"d": "755 3:4", "d/f": "644 3:4 x"}
