"""Rules about FROM, stages and what stands before the first stage."""

import re
from collections.abc import Callable, Iterator

from knarr.base.errors import Invalid
from knarr.builder.dockerfile import expand
from knarr.builder.dockerfile.findings import Finding, Subject
from knarr.builder.dockerfile.parser import Stage
from knarr.oci import reference

PLATFORM_ARGUMENTS = tuple(
    f"{prefix}{what}" for prefix in ("TARGET", "BUILD") for what in ("PLATFORM", "OS", "ARCH", "VARIANT")
)
RESERVED = ("context", "scratch")
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")


def variables(text: str) -> list[str]:
    """Names of `$x` and `${x}` without a modifier; what an escape takes the meaning from is not one."""
    return [braced or plain for braced, plain in _VARIABLE.findall(re.sub(r"\\\$", "", text))]


def _casing(subject: Subject) -> Iterator[Finding]:
    for stage in subject.dockerfile.stages:
        words = stage.base.text.split()
        if stage.name and words[0].isupper() != words[-2].isupper():
            text = f"'{words[-2]}' and '{words[0]}' keywords' casing do not match"
            yield Finding("FromAsCasing", stage.base.place, text)
        if stage.name and words[-1] != stage.name:
            text = f"stage name '{words[-1]}' should be lowercase"
            yield Finding("StageNameCasing", stage.base.place, text)


def _names(subject: Subject) -> Iterator[Finding]:
    seen = set()
    for stage in subject.dockerfile.stages:
        if stage.name in RESERVED:
            text = f"stage name should not be the reserved name '{stage.name}'"
            yield Finding("ReservedStageName", stage.base.place, text)
        if stage.name and stage.name in seen:
            text = f"duplicate stage name '{stage.name}', stage names should be unique"
            yield Finding("DuplicateStageName", stage.base.place, text)
        seen.add(stage.name)


def _undefined(subject: Subject) -> Iterator[Finding]:
    known = {name for argument in subject.dockerfile.arguments for name, _ in argument.pairs}
    for stage in subject.dockerfile.stages:
        for name in variables(f"{stage.base.image} {stage.base.platform}"):
            if name not in known and name not in (*PLATFORM_ARGUMENTS, "TARGETSTAGE"):
                text = f"FROM argument '{name}' is not declared by an ARG before the first FROM"
                yield Finding("UndefinedArgInFrom", stage.base.place, text)


def _default(subject: Subject) -> Iterator[Finding]:
    """A base that the ARGs' defaults alone do not make a name of."""
    dockerfile = subject.dockerfile
    defaults: dict[str, str] = {}
    for argument in dockerfile.arguments:
        for name, value in argument.pairs:
            if value is not None:
                defaults[name] = _expanded(value, defaults, dockerfile.escape)
    names = {stage.name for stage in dockerfile.stages}
    declared = {name for argument in dockerfile.arguments for name, _ in argument.pairs}
    for stage in dockerfile.stages:
        if not set(variables(stage.base.image)) & declared:
            continue
        image = _expanded(stage.base.image, defaults, dockerfile.escape)
        if image not in names and not _is_reference(image):
            text = f"default value for ARG {stage.base.image} results in empty or invalid base image name"
            yield Finding("InvalidDefaultArgInFrom", stage.base.place, text)


def _expanded(text: str, values: dict[str, str], escape: str) -> str:
    try:
        return expand.word(text, values, escape)
    except ValueError:
        return ""


def _is_reference(text: str) -> bool:
    if text == "scratch":
        return True
    try:
        reference.parse(text)
    except Invalid:
        return False
    return bool(text)


def _platform(subject: Subject) -> Iterator[Finding]:
    for stage in subject.dockerfile.stages:
        platform = stage.base.platform
        if platform in ("$TARGETPLATFORM", "${TARGETPLATFORM}"):
            text = f"setting platform to predefined {platform} in FROM is redundant as this is the default behavior"
            yield Finding("RedundantTargetPlatform", stage.base.place, text)
        elif platform and "$" not in platform and not _is_named_after(stage):
            text = f"FROM --platform flag should not use constant value {platform!r}"
            yield Finding("FromPlatformFlagConstDisallowed", stage.base.place, text)


def _is_named_after(stage: Stage) -> bool:
    """A stage for each platform, chosen by `FROM base-$TARGETARCH`, names its platform on purpose."""
    return any(part and part in stage.name for part in stage.base.platform.split("/"))


def _description(subject: Subject) -> Iterator[Finding]:
    """A comment above a definition that is meant as its description begins with its name."""
    for stage in subject.dockerfile.stages:
        comment = subject.dockerfile.comments.get(stage.base.place.line, "")
        if stage.name and comment and comment.split()[0] != stage.name:
            yield Finding("InvalidDefinitionDescription", stage.base.place, _described("FROM", stage.name))
    for argument in subject.dockerfile.arguments:
        comment = subject.dockerfile.comments.get(argument.place.line, "")
        name = argument.pairs[0][0]
        if comment and comment.split()[0] != name:
            yield Finding("InvalidDefinitionDescription", argument.place, _described("ARG", name))


def _described(word: str, name: str) -> str:
    return f"comment for {word} should follow the format: `# {name} <description>`; or leave an empty line below it"


RULES: tuple[Callable[[Subject], Iterator[Finding]], ...] = (
    _casing,
    _names,
    _undefined,
    _default,
    _platform,
    _description,
)
