"""Warnings about Dockerfiles that build but say something odd, under the names that BuildKit's checks have.

`# check=skip=Name,Name` (or `all`) silences, `# check=error=true` makes them faults. Pure: a row for each rule below.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from knarr.builder.dockerfile import instructions as kinds
from knarr.builder.dockerfile.faults import Place, fault
from knarr.builder.dockerfile.instructions import Instruction
from knarr.builder.dockerfile.parser import Dockerfile, Stage

_SECRET_WORDS = ("apikey", "auth", "credential", "key", "password", "pword", "passwd", "secret", "token")
_NO_SECRET = ("public",)


@dataclass(frozen=True, slots=True)
class Finding:
    """One warning: which rule, where, and what to do."""

    rule: str
    place: Place
    text: str

    def __str__(self) -> str:
        return f"{self.place.file}:{self.place.line}: {self.rule}: {self.text}"


def check(dockerfile: Dockerfile) -> list[Finding]:
    """What the rules find, in the file's order. Raises DockerfileFault where the directive makes them errors."""
    skipped, is_error = _directive(dockerfile.directives.get("check", ""))
    if "all" in skipped:
        return []
    found = [finding for rule in RULES for finding in rule(dockerfile) if finding.rule.lower() not in skipped]
    found.sort(key=lambda finding: finding.place.line)
    if is_error and found:
        raise fault(found[0].place, f"{found[0].rule}: {found[0].text} (the check directive makes this an error)")
    return found


def unused_arguments(dockerfile: Dockerfile, given: Sequence[str], predefined: Sequence[str]) -> list[str]:
    """Build arguments that no ARG asks for."""
    declared = {name for arg in _arguments(dockerfile) for name, _ in arg.pairs}
    return [name for name in given if name not in declared and name not in predefined]


def _directive(text: str) -> tuple[set[str], bool]:
    options = dict(part.strip().partition("=")[::2] for part in text.split(";") if part.strip())
    skipped = {name.strip().lower() for name in options.get("skip", "").split(",") if name.strip()}
    return skipped, options.get("error", "").lower() == "true"


def _arguments(dockerfile: Dockerfile) -> Iterator[kinds.Arg]:
    yield from dockerfile.arguments
    for instruction in _all(dockerfile):
        if isinstance(instruction, kinds.Arg):
            yield instruction


def _all(dockerfile: Dockerfile) -> Iterator[Instruction]:
    for stage in dockerfile.stages:
        yield from stage.instructions


def _casing(dockerfile: Dockerfile) -> Iterator[Finding]:
    words = [(i.place, i.text.split()[0]) for stage in dockerfile.stages for i in (stage.base, *stage.instructions)]
    is_lower = sum(word.islower() for _, word in words) > len(words) / 2
    for place, word in words:
        right = word.lower() if is_lower else word.upper()
        if word != right:
            text = f"{word} should be {right}, as the rest of the file writes instructions"
            yield Finding("ConsistentInstructionCasing", place, text)


def _from_as(dockerfile: Dockerfile) -> Iterator[Finding]:
    for stage in dockerfile.stages:
        words = stage.base.text.split()
        if stage.name and words[0].isupper() != words[-2].isupper():
            yield Finding("FromAsCasing", stage.base.place, f"{words[0]} and {words[-2]} are written differently")
        if stage.name and words[-1] != stage.name:
            yield Finding("StageNameCasing", stage.base.place, f"stage name {words[-1]} should be lower case")


def _json_recommended(dockerfile: Dockerfile) -> Iterator[Finding]:
    for stage in dockerfile.stages:
        has_shell = any(isinstance(instruction, kinds.Shell) for instruction in stage.instructions)
        for instruction in stage.instructions:
            if isinstance(instruction, kinds.Cmd | kinds.Entrypoint) and instruction.command.is_shell and not has_shell:
                word = instruction.text.split()[0]
                text = f"write {word} as a JSON array, or signals go to a shell and not to the program"
                yield Finding("JSONArgsRecommended", instruction.place, text)


def _maintainer(dockerfile: Dockerfile) -> Iterator[Finding]:
    for instruction in _all(dockerfile):
        if isinstance(instruction, kinds.Maintainer):
            text = "MAINTAINER is deprecated: use LABEL org.opencontainers.image.authors=…"
            yield Finding("MaintainerDeprecated", instruction.place, text)


def _workdir(dockerfile: Dockerfile) -> Iterator[Finding]:
    for stage in dockerfile.stages:
        is_absolute = False
        for instruction in stage.instructions:
            if isinstance(instruction, kinds.Workdir):
                path = instruction.path.strip("\"'")
                if not is_absolute and not path.startswith(("/", "$")):
                    text = f"relative path {path} depends on the base image; begin with an absolute one"
                    yield Finding("WorkdirRelativePath", instruction.place, text)
                is_absolute = True


def _repeated(dockerfile: Dockerfile) -> Iterator[Finding]:
    for stage in dockerfile.stages:
        for kind in (kinds.Cmd, kinds.Entrypoint, kinds.Healthcheck):
            several = [instruction for instruction in stage.instructions if isinstance(instruction, kind)]
            for instruction in several[:-1]:
                word = instruction.text.split()[0].upper()
                text = f"only the last {word} of a stage counts; this one is without effect"
                yield Finding("MultipleInstructionsDisallowed", instruction.place, text)


def _old_pairs(dockerfile: Dockerfile) -> Iterator[Finding]:
    for instruction in _all(dockerfile):
        if isinstance(instruction, kinds.Env | kinds.Label):
            words = instruction.text.split(None, 2)
            if len(words) == 3 and "=" not in words[1]:
                text = f"write {words[0]} {words[1]}=… instead of the old form with a space"
                yield Finding("LegacyKeyValueFormat", instruction.place, text)


def _secrets(dockerfile: Dockerfile) -> Iterator[Finding]:
    for instruction in (*dockerfile.arguments, *_all(dockerfile)):
        if isinstance(instruction, kinds.Arg | kinds.Env):
            for name, _ in instruction.pairs:
                parts = name.lower().split("_")
                if any(word in parts for word in _SECRET_WORDS) and not any(word in parts for word in _NO_SECRET):
                    word = instruction.text.split()[0].upper()
                    text = f"{word} {name} stays in the image for everybody to read; use RUN --mount=type=secret"
                    yield Finding("SecretsUsedInArgOrEnv", instruction.place, text)


def _undefined_in_from(dockerfile: Dockerfile) -> Iterator[Finding]:
    known = {name for arg in dockerfile.arguments for name, _ in arg.pairs}
    for stage in dockerfile.stages:
        for name in _plain_variables(stage):
            if name not in known and not name.startswith(("TARGET", "BUILD")):
                text = f"FROM uses ${name}, which no ARG before the first FROM declares"
                yield Finding("UndefinedArgInFrom", stage.base.place, text)


def _plain_variables(stage: Stage) -> Iterator[str]:
    """Names of `$x` and `${x}` without a default."""
    for part in stage.base.image.split("$")[1:]:
        braced = part.startswith("{")
        name = ""
        for character in part[braced:]:
            if not (character.isascii() and (character.isalnum() or character == "_")):
                break
            name += character
        following = part[braced + len(name) :][:1]
        if name and (not braced or following == "}"):
            yield name


def _platform(dockerfile: Dockerfile) -> Iterator[Finding]:
    for stage in dockerfile.stages:
        if stage.base.platform in ("$TARGETPLATFORM", "${TARGETPLATFORM}"):
            text = "--platform=$TARGETPLATFORM is what FROM does anyway"
            yield Finding("RedundantTargetPlatform", stage.base.place, text)


RULES: tuple[Callable[[Dockerfile], Iterator[Finding]], ...] = (
    _casing,
    _from_as,
    _json_recommended,
    _maintainer,
    _workdir,
    _repeated,
    _old_pairs,
    _secrets,
    _undefined_in_from,
    _platform,
)
