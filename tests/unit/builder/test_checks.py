"""Warnings about Dockerfiles: each rule on a file that breaks it and on one that does not."""

import pytest

from knarr.builder.dockerfile import checks, ignore, parser
from knarr.builder.dockerfile.faults import DockerfileFault


def found(text: str) -> list[tuple[str, int]]:
    return [(finding.rule, finding.place.line) for finding in checks.check(parser.parse(text))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM a\nrun x\nCOPY a b", [("ConsistentInstructionCasing", 2)]),
        ("FROM a\nRun x\nCOPY a b", [("ConsistentInstructionCasing", 2)]),
        ("from a\nrun x\ncopy a b", []),
        ("FROM a as b\nRUN x", [("FromAsCasing", 1)]),
        ("from a as b\nrun x", []),
        ("FROM a AS B\nRUN x", [("StageNameCasing", 1)]),
        ("FROM a AS b\nFROM c AS b", [("DuplicateStageName", 2)]),
        ("FROM a AS scratch\nFROM b AS context", [("ReservedStageName", 1), ("ReservedStageName", 2)]),
        ("FROM a\nRUN one \\\n\n two", [("NoEmptyContinuation", 3)]),
        ("FROM a\nRUN one \\\n# a comment\n two", []),
        ("FROM a\nRUN one \\\n two\n\n\nRUN x", []),
        ("FROM a\nCMD x", [("JSONArgsRecommended", 2)]),
        ("FROM a\nENTRYPOINT x", [("JSONArgsRecommended", 2)]),
        ('FROM a\nSHELL ["/bin/sh"]\nCMD x', []),
        ("FROM a\nMAINTAINER me", [("MaintainerDeprecated", 2)]),
        ("FROM a\nWORKDIR b\nWORKDIR c", [("WorkdirRelativePath", 2)]),
        ("FROM a\nWORKDIR /b\nWORKDIR c", []),
        ('FROM a\nCMD ["x"]\nCMD ["y"]', [("MultipleInstructionsDisallowed", 2)]),
        ("FROM a\nHEALTHCHECK NONE\nHEALTHCHECK NONE", [("MultipleInstructionsDisallowed", 2)]),
        ('FROM a\nCMD ["x"]\nFROM b\nCMD ["y"]', []),
        ("FROM a\nENV A b", [("LegacyKeyValueFormat", 2)]),
        ("FROM a\nLABEL A b c", [("LegacyKeyValueFormat", 2)]),
        ('FROM a\nENV A="b c"', []),
        ("FROM a\nARG API_TOKEN\nENV PUBLIC_KEY=x MONKEY=y", [("SecretsUsedInArgOrEnv", 2)]),
        ("FROM a\nENV AWS_SECRET_ACCESS_KEY=x", [("SecretsUsedInArgOrEnv", 2)]),
        ("ARG V=1\nFROM a:$V\nFROM b:${W}\nFROM c:${X:-d}", [("UndefinedArgInFrom", 3)]),
        ("FROM --platform=$BUILDPLATFORM a", []),
        ("ARG TAG\nFROM busybox:${TAG}", [("InvalidDefaultArgInFrom", 2)]),
        ("ARG TAG=latest\nFROM busybox:${TAG}", []),
        ("ARG TAG\nFROM busybox:${TAG:-latest}", []),
        ("ARG BASE=one\nFROM a AS one\nFROM $BASE", []),
        ("FROM --platform=$TARGETPLATFORM a", [("RedundantTargetPlatform", 1)]),
        ("FROM --platform=linux/amd64 a", [("FromPlatformFlagConstDisallowed", 1)]),
        ("FROM --platform=linux/amd64 a AS build_amd64", []),
        ("FROM a\nEXPOSE 80/TCP 53/udp", [("ExposeProtoCasing", 2)]),
        ("FROM a\nEXPOSE 127.0.0.1:80:80 90", [("ExposeInvalidFormat", 2)]),
        ("FROM a\nEXPOSE ${P:-80}", []),
        ("# check=experimental=all\n# bar a stage\nFROM a AS foo", [("InvalidDefinitionDescription", 3)]),
        ("# check=experimental=all\n# foo a stage\nFROM a AS foo", []),
        ("# check=experimental=all\n# free text\n\nFROM a AS foo", []),
        ("# bar a stage\nFROM a AS foo", []),
        ("# check=skip=MaintainerDeprecated\nFROM a\nMAINTAINER me", []),
        ("# check=skip=all\nFROM a\nMAINTAINER me\nCMD x", []),
    ],
)
def test_a_rule_finds_what_it_is_about(text: str, expected: list[tuple[str, int]]) -> None:
    assert found(text) == expected


def test_copying_what_dockerignore_keeps_out_is_named() -> None:
    dockerfile = parser.parse("FROM a\nCOPY tmp/x ok /y/\nADD *.log /y/\nCOPY --from=b tmp /y\n")
    excludes = ignore.read("tmp\n*.log\n", ".dockerignore").excludes
    rules = [(finding.rule, finding.place.line) for finding in checks.check(dockerfile, excludes)]
    assert rules == [("CopyIgnoredFile", 2)]


def test_a_build_argument_stands_for_the_directive() -> None:
    dockerfile = parser.parse("FROM a\nMAINTAINER me\n")
    assert checks.check(dockerfile, given="skip=MaintainerDeprecated") == []
    with pytest.raises(DockerfileFault, match="MaintainerDeprecated"):
        checks.check(dockerfile, given="error=true")


def test_a_finding_says_where_its_rule_is_explained() -> None:
    findings = checks.check(parser.parse("FROM a AS B\nCMD x\n"))
    pages = [finding.url.removeprefix("https://docs.docker.com/go/dockerfile/rule/") for finding in findings]
    assert pages == ["stage-name-casing/", "json-args-recommended/"]


def test_the_directive_makes_findings_errors() -> None:
    with pytest.raises(DockerfileFault, match="MaintainerDeprecated"):
        found("# check=error=true\nFROM a\nMAINTAINER me")


def test_build_arguments_that_nobody_asks_for_are_named() -> None:
    dockerfile = parser.parse("ARG A\nFROM a\nARG B\n")
    assert checks.unused_arguments(dockerfile, ["A", "B", "C", "HTTP_PROXY"], ["HTTP_PROXY"]) == ["C"]
