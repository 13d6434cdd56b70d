"""Warnings about Dockerfiles that build but say something odd, under the names that BuildKit's checks have.

`# check=skip=Name,Name` (or `all`) silences, `error=true` makes them faults, `experimental=Name` turns on a rule that
is off. Pure. UndefinedVar needs the base image's environment and is evaluate.py's, InvalidBaseImagePlatform bases.py's.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from knarr.builder.dockerfile import instructions as kinds
from knarr.builder.dockerfile import rules_from, rules_instructions
from knarr.builder.dockerfile.faults import fault
from knarr.builder.dockerfile.findings import Finding, Subject
from knarr.builder.dockerfile.parser import Dockerfile

RULES: tuple[Callable[[Subject], Iterator[Finding]], ...] = (*rules_from.RULES, *rules_instructions.RULES)
EXPERIMENTAL = ("invaliddefinitiondescription",)
DIRECTIVE_ARGUMENT = "BUILDKIT_DOCKERFILE_CHECK"
"""The build argument that stands for the directive."""


@dataclass(frozen=True, slots=True)
class Directive:
    """What `# check=` says; names in lower case."""

    skipped: frozenset[str] = frozenset()
    experimental: frozenset[str] = frozenset()
    is_error: bool = False

    def keeps(self, rule: str) -> bool:
        name = rule.lower()
        is_on = name not in EXPERIMENTAL or bool({name, "all"} & self.experimental)
        return is_on and not {name, "all"} & self.skipped


def directive(dockerfile: Dockerfile, given: str = "") -> Directive:
    """The file's, or the build argument's where that is given."""
    options = dict(
        part.strip().partition("=")[::2]
        for part in (given or dockerfile.directives.get("check", "")).split(";")
        if part.strip()
    )
    return Directive(
        _names(options.get("skip", "")),
        _names(options.get("experimental", "")),
        options.get("error", "").strip().lower() == "true",
    )


def findings(dockerfile: Dockerfile, is_ignored: Callable[[str], bool] | None = None, given: str = "") -> list[Finding]:
    """What the rules find, in the file's order."""
    chosen = directive(dockerfile, given)
    subject = Subject(dockerfile, is_ignored)
    found = [finding for rule in RULES for finding in rule(subject) if chosen.keeps(finding.rule)]
    found.sort(key=lambda finding: finding.place.line)
    return found


def check(dockerfile: Dockerfile, is_ignored: Callable[[str], bool] | None = None, given: str = "") -> list[Finding]:
    """Like `findings`. Raises DockerfileFault where the directive makes them errors."""
    found = findings(dockerfile, is_ignored, given)
    refuse(found, directive(dockerfile, given))
    return found


def refuse(found: Iterable[Finding], chosen: Directive) -> None:
    """Raises DockerfileFault for the first finding where the directive makes findings errors."""
    for finding in found:
        if chosen.is_error:
            what = f"{finding.rule}: {finding.text} (the check directive makes this an error)"
            raise fault(finding.place, what)


def unused_arguments(dockerfile: Dockerfile, given: Sequence[str], predefined: Sequence[str]) -> list[str]:
    """Build arguments that no ARG asks for."""
    stages = [instruction for stage in dockerfile.stages for instruction in stage.instructions]
    arguments = [*dockerfile.arguments, *(i for i in stages if isinstance(i, kinds.Arg))]
    declared = {name for argument in arguments for name, _ in argument.pairs}
    return [name for name in given if name not in declared and name not in predefined]


def _names(text: str) -> frozenset[str]:
    return frozenset(name.strip().lower() for name in text.split(",") if name.strip())
