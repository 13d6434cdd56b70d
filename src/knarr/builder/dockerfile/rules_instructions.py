"""Rules about the instructions of stages."""

import posixpath
import re
from collections.abc import Callable, Iterator

from knarr.builder.dockerfile import instructions as kinds
from knarr.builder.dockerfile.findings import Finding, Subject
from knarr.builder.dockerfile.instructions import Instruction

_SECRET = re.compile(r"(?:_|^)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)", re.I)
_PUBLIC = re.compile(r"(?:_|^)public(?:_|$)", re.I)
_PORT_SHOWN_MAX = 256
_REMOTE = ("http://", "https://", "git@", "git://", "ssh://")


def _all(subject: Subject) -> Iterator[Instruction]:
    for stage in subject.dockerfile.stages:
        yield from stage.instructions


def _casing(subject: Subject) -> Iterator[Finding]:
    stages = subject.dockerfile.stages
    words = [(i.place, i.text.split()[0]) for stage in stages for i in (stage.base, *stage.instructions)]
    words += [(i.place, i.text.split()[0]) for i in subject.dockerfile.arguments]
    is_lower = sum(word.islower() for _, word in words) > sum(word.isupper() for _, word in words)
    for place, word in words:
        right = word.lower() if is_lower else word.upper()
        if word != right:
            case = "lowercase" if is_lower else "uppercase"
            text = f"command '{word}' should match the case of the command majority ({case})"
            yield Finding("ConsistentInstructionCasing", place, text)


def _empty_lines(subject: Subject) -> Iterator[Finding]:
    for place in subject.dockerfile.empty_continuations:
        yield Finding("NoEmptyContinuation", place, "empty continuation line")


def _json_recommended(subject: Subject) -> Iterator[Finding]:
    for stage in subject.dockerfile.stages:
        if any(isinstance(instruction, kinds.Shell) for instruction in stage.instructions):
            continue
        for instruction in stage.instructions:
            if isinstance(instruction, kinds.Cmd | kinds.Entrypoint) and instruction.command.is_shell:
                word = instruction.text.split()[0]
                text = f"JSON arguments recommended for {word} to prevent unintended behavior related to OS signals"
                yield Finding("JSONArgsRecommended", instruction.place, text)


def _maintainer(subject: Subject) -> Iterator[Finding]:
    for instruction in _all(subject):
        if isinstance(instruction, kinds.Maintainer):
            text = "MAINTAINER is deprecated: use LABEL org.opencontainers.image.authors=… instead"
            yield Finding("MaintainerDeprecated", instruction.place, text)


def _workdir(subject: Subject) -> Iterator[Finding]:
    for stage in subject.dockerfile.stages:
        is_absolute = False
        for instruction in stage.instructions:
            if isinstance(instruction, kinds.Workdir):
                path = instruction.path.strip("\"'")
                if not is_absolute and not path.startswith(("/", "$")):
                    text = f"relative workdir {path!r} can have unexpected results if the base image changes"
                    yield Finding("WorkdirRelativePath", instruction.place, text)
                is_absolute = True


def _repeated(subject: Subject) -> Iterator[Finding]:
    for stage in subject.dockerfile.stages:
        for kind in (kinds.Cmd, kinds.Entrypoint, kinds.Healthcheck):
            several = [instruction for instruction in stage.instructions if isinstance(instruction, kind)]
            for instruction in several[:-1]:
                word = instruction.text.split()[0].upper()
                text = f"multiple {word} instructions should not be used in the same stage: only the last one counts"
                yield Finding("MultipleInstructionsDisallowed", instruction.place, text)


def _old_pairs(subject: Subject) -> Iterator[Finding]:
    for instruction in _all(subject):
        if isinstance(instruction, kinds.Env | kinds.Label):
            words = instruction.text.split(None, 2)
            if len(words) == 3 and "=" not in words[1]:
                text = f'"{words[0]} key=value" should be used instead of legacy "{words[0]} key value" format'
                yield Finding("LegacyKeyValueFormat", instruction.place, text)


def _secrets(subject: Subject) -> Iterator[Finding]:
    for instruction in (*subject.dockerfile.arguments, *_all(subject)):
        if isinstance(instruction, kinds.Arg | kinds.Env):
            for name, _ in instruction.pairs:
                if _SECRET.search(name) and not _PUBLIC.search(name):
                    word = instruction.text.split()[0].upper()
                    text = f"{word} {name}: the image keeps it for everybody to read; use RUN --mount=type=secret"
                    yield Finding("SecretsUsedInArgOrEnv", instruction.place, text)


def _expose(subject: Subject) -> Iterator[Finding]:
    for instruction in _all(subject):
        if not isinstance(instruction, kinds.Expose):
            continue
        for port in instruction.ports:
            protocol = port.rpartition("/")[2] if "/" in port else ""
            if "$" not in protocol and protocol != protocol.lower():
                text = f"defined protocol '{port}' in EXPOSE instruction should be lowercase"
                yield Finding("ExposeProtoCasing", instruction.place, text)
            if ":" in re.sub(r"\$\{[^}]*\}", "", port[:_PORT_SHOWN_MAX]):
                text = f"EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'"
                yield Finding("ExposeInvalidFormat", instruction.place, text)


def _ignored(subject: Subject) -> Iterator[Finding]:
    if subject.is_ignored is None:
        return
    for instruction in _all(subject):
        if not isinstance(instruction, kinds.Copy) or instruction.from_:
            continue
        for source in instruction.sources:
            path = posixpath.normpath("/" + source.strip("\"'")).lstrip("/")
            is_plain = not any(character in source for character in "$*?[")
            if path and is_plain and not source.startswith(_REMOTE) and subject.is_ignored(path):
                word = instruction.text.split()[0]
                text = f"attempting to {word} file {path!r} that is excluded by .dockerignore"
                yield Finding("CopyIgnoredFile", instruction.place, text)


RULES: tuple[Callable[[Subject], Iterator[Finding]], ...] = (
    _casing,
    _empty_lines,
    _json_recommended,
    _maintainer,
    _workdir,
    _repeated,
    _old_pairs,
    _secrets,
    _expose,
    _ignored,
)
