"""`knarr build --check` and `--call`, run as a user runs them: no node is there, and none is needed."""

import json
import subprocess
import sys
from pathlib import Path

TEXT = """ARG V=1
FROM busybox:$V AS deps
ARG TOKEN_FILE
RUN --mount=type=secret,id=tok --mount=type=ssh,required=true true
FROM deps
ARG W=2
"""


def knarr(context: Path, *words: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "knarr", "build", "--name", "no-such-cluster", *words, str(context)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout + done.stderr


def test_check_prints_findings_with_their_lines_and_fails(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM a\nMAINTAINER me\nCOPY tmp/x /\n")
    (tmp_path / ".dockerignore").write_text("tmp\n")
    code, said = knarr(tmp_path, "--check")
    assert code == 1
    assert "Dockerfile:2: MaintainerDeprecated" in said
    assert "  2 | MAINTAINER me\n" in said
    assert "Dockerfile:3: CopyIgnoredFile" in said
    assert "2 warnings have been found" in said
    code, said = knarr(tmp_path, "--call", "check,format=json")
    assert [row["ruleName"] for row in json.loads(said)["warnings"]] == ["MaintainerDeprecated", "CopyIgnoredFile"]
    (tmp_path / "Dockerfile").write_text("FROM a\n")
    assert knarr(tmp_path, "--check") == (0, "Check complete, no warnings found.\n")


def test_outline_and_targets_say_what_a_build_takes(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(TEXT)
    code, said = knarr(tmp_path, "--call", "outline,format=json")
    assert (code, json.loads(said)) == (
        0,
        {
            "name": "",
            "args": [
                {"name": "V", "value": "1"},
                {"name": "TOKEN_FILE", "value": ""},
                {"name": "W", "value": "2"},
            ],
            "secrets": [{"name": "tok", "required": False}],
            "ssh": [{"name": "default", "required": True}],
        },
    )
    code, said = knarr(tmp_path, "--call", "targets")
    assert [line.split() for line in said.splitlines()] == [
        ["TARGET", "BASE"], ["deps", "busybox:$V"], ["-", "deps", "default"],
    ]  # fmt: skip
    code, said = knarr(tmp_path, "--call", "nonsense")
    assert code == 2


def test_check_evaluates_what_needs_no_base(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch AS a\nENV HOME_DIR=/h\nFROM a\nWORKDIR $HOMEDIR\n")
    code, said = knarr(tmp_path, "--check")
    assert "Dockerfile:4: UndefinedVar: usage of undefined variable '$HOMEDIR' (did you mean $HOME_DIR?)" in said
    (tmp_path / "Dockerfile").write_text("FROM busybox\nWORKDIR $FROM_THE_BASE\nENV A=${NEEDED:?missing}\n")
    assert knarr(tmp_path, "--check") == (0, "Check complete, no warnings found.\n")
    (tmp_path / "Dockerfile").write_text("FROM busybox\nEXPOSE http\n")
    code, said = knarr(tmp_path, "--check")
    assert (code, "'http' is not PORT" in said) == (2, True)
