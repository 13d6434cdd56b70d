"""Warnings about Dockerfiles: each rule on a file that breaks it and on one that does not."""

import pytest

from knarr.builder.dockerfile import checks, parser
from knarr.builder.dockerfile.faults import DockerfileFault


def found(text: str) -> list[tuple[str, int]]:
    return [(finding.rule, finding.place.line) for finding in checks.check(parser.parse(text))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM a\nrun x\nCOPY a b", [("ConsistentInstructionCasing", 2)]),
        ("from a\nrun x\ncopy a b", []),
        ("FROM a as b\nRUN x", [("FromAsCasing", 1)]),
        ("FROM a AS B\nRUN x", [("StageNameCasing", 1)]),
        ("FROM a\nCMD x", [("JSONArgsRecommended", 2)]),
        ('FROM a\nSHELL ["/bin/sh"]\nCMD x', []),
        ("FROM a\nMAINTAINER me", [("MaintainerDeprecated", 2)]),
        ("FROM a\nWORKDIR b\nWORKDIR c", [("WorkdirRelativePath", 2)]),
        ("FROM a\nWORKDIR /b\nWORKDIR c", []),
        ('FROM a\nCMD ["x"]\nCMD ["y"]', [("MultipleInstructionsDisallowed", 2)]),
        ("FROM a\nENV A b", [("LegacyKeyValueFormat", 2)]),
        ("FROM a\nARG API_TOKEN\nENV PUBLIC_KEY=x MONKEY=y", [("SecretsUsedInArgOrEnv", 2)]),
        ("ARG V\nFROM a:$V\nFROM b:${W}\nFROM c:${X:-d}", [("UndefinedArgInFrom", 3)]),
        ("FROM --platform=$TARGETPLATFORM a", [("RedundantTargetPlatform", 1)]),
        ("# check=skip=MaintainerDeprecated\nFROM a\nMAINTAINER me", []),
        ("# check=skip=all\nFROM a\nMAINTAINER me\nCMD x", []),
    ],
)
def test_a_rule_finds_what_it_is_about(text: str, expected: list[tuple[str, int]]) -> None:
    assert found(text) == expected


def test_the_directive_makes_findings_errors() -> None:
    with pytest.raises(DockerfileFault, match="MaintainerDeprecated"):
        found("# check=error=true\nFROM a\nMAINTAINER me")


def test_build_arguments_that_nobody_asks_for_are_named() -> None:
    dockerfile = parser.parse("ARG A\nFROM a\nARG B\n")
    assert checks.unused_arguments(dockerfile, ["A", "B", "C", "HTTP_PROXY"], ["HTTP_PROXY"]) == ["C"]
