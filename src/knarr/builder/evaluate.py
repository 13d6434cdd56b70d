"""From a stage's instructions and its base image to planned steps: the configuration after each, and what it does.

A fold without I/O: variables, working directory, user and shell are carried along, every text is expanded. It decides
no caching and no order between stages (graph.py). Rules: Dockerfile reference, one function for each instruction.
"""

import itertools
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec

from knarr.builder.dockerfile import arguments as forms
from knarr.builder.dockerfile import expand, faults, parser, run_mounts
from knarr.builder.dockerfile import instructions as kinds
from knarr.builder.dockerfile.faults import Place, fault
from knarr.builder.dockerfile.instructions import Command, Instruction
from knarr.builder.dockerfile.lexer import Heredoc
from knarr.builder.operations import SCRIPT_PATH, CopyFiles, MakeDirectory, Network, Operation, Run
from knarr.oci.image_config import ContainerConfig, Healthcheck

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_SHELL = ("/bin/sh", "-c")
PROXY_ARGUMENTS = tuple(
    word
    for name in ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
    for word in (name.upper(), name)
)
_SIGNAL = re.compile(
    r"(?:[1-9]|[1-5][0-9]|6[0-4])|(?:SIG)?(?:HUP|INT|QUIT|ILL|TRAP|ABRT|IOT|BUS|FPE|KILL|USR[12]|SEGV|PIPE|ALRM|TERM"
    r"|STKFLT|CHLD|CLD|CONT|STOP|TSTP|TTIN|TTOU|URG|XCPU|XFSZ|VTALRM|PROF|WINCH|IO|POLL|PWR|SYS|UNUSED"
    r"|RTMIN(?:\+(?:[1-9]|1[0-5]))?|RTMAX(?:-(?:[1-9]|1[0-4]))?)"
)
"""Linux' signals by number or name (signal(7))."""
_PORT_WORK = 20
"""A port of a range is made from two characters of text."""
WORK_MAX = 2_500_000
"""Characters expanded and entries copied for one stage; the largest of real ones needs some hundred thousand."""
SCRATCH = ContainerConfig(env=(f"PATH={DEFAULT_PATH}",), working_dir="/")
"""What a stage FROM scratch begins with."""


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """`config` is the configuration after the step; `created_by` its line in the image's history.

    `undefined` are variables that the instruction asks for and nothing sets, with the nearest name that is set.
    """

    instruction: Instruction
    config: ContainerConfig
    operation: Operation | None
    created_by: str
    author: str = ""
    undefined: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Arguments:
    """`given` are --build-arg, `platform` TARGETPLATFORM and its like, `globals` the ARGs before FROM."""

    given: Mapping[str, str] = field(default_factory=dict)
    platform: Mapping[str, str] = field(default_factory=dict)
    globals: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Stage:
    """What is carried from step to step. `declared` are the ARGs seen, in order; `env` is the configuration's,
    `entries` its texts, and `variables` both."""

    config: ContainerConfig
    arguments: Arguments
    escape: str
    place: Place = Place("", 0, 0, "")
    declared: dict[str, str] = field(default_factory=dict)
    author: str = ""
    has_cmd: bool = False
    missing: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    entries: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    _work: int = 0

    def __post_init__(self) -> None:
        self.env = environment(self.config)
        self.entries = {entry.partition("=")[0]: entry for entry in self.config.env}
        self.variables = dict(self.env)

    def declare(self, name: str, value: str) -> None:
        """An ARG; ENV of the same name hides it."""
        self.spend(len(value))
        self.declared[name] = value
        if name not in self.env:
            self.variables[name] = value

    def expand(self, instruction: Instruction, text: str) -> str:
        try:
            expanded = expand.word(text, self.variables, self.escape, missing=self.missing)
        except ValueError as error:
            raise fault(instruction.place, str(error)) from error
        self.spend(len(expanded))
        return expanded

    def change(self, **fields: Any) -> None:
        """Every step keeps a configuration of its own: what is in it is copied."""
        self.spend(sum(len(value) for value in fields.values() if isinstance(value, Sized)))
        self.config = msgspec.structs.replace(self.config, **fields)

    def spend(self, amount: int) -> None:
        """Raises DockerfileFault where a few lines would make more than any machine should hold."""
        self._work += amount
        if self._work > WORK_MAX:
            raise fault(self.place, "the stage's variables, labels, ports and paths are too many or too long")


def evaluate(
    instructions: Iterable[Instruction], base: ContainerConfig, arguments: Arguments, escape: str = "\\"
) -> list[PlannedStep]:
    """The steps of a stage that starts from `base`. Raises DockerfileFault."""
    stage = _Stage(msgspec.structs.replace(base, on_build=()), arguments, escape)
    instructions = list(instructions)
    planned: list[PlannedStep] = []
    for instruction in [*triggers(base, instructions), *instructions]:
        stage.missing.clear()
        stage.place = instruction.place
        operation = APPLIERS[type(instruction)](stage, instruction)
        created_by = _created_by(stage, instruction, operation)
        stage.spend(len(created_by))
        undefined = tuple((name, _nearest(name, stage.variables)) for name in dict.fromkeys(stage.missing))
        planned.append(PlannedStep(instruction, stage.config, operation, created_by, stage.author, undefined))
    return planned


def _nearest(name: str, known: Mapping[str, str]) -> str:
    lower = name.lower()
    same = next((other for other in itertools.islice(known, faults.CANDIDATES_MAX) if other.lower() == lower), "")
    return faults.close(name, known, 0.7) or same


def global_arguments(declared: Iterable[kinds.Arg], arguments: Arguments, escape: str) -> dict[str, str]:
    """Values of the ARGs before the first FROM: only FROM lines, and stages that declare them again, see them."""
    values: dict[str, str] = {}
    for instruction in declared:
        for name, default in instruction.pairs:
            value = _argument(instruction, name, default, {**arguments.platform, **values}, arguments, escape=escape)
            if value is not None:
                values[name] = value
    return values


def environment(config: ContainerConfig) -> dict[str, str]:
    return dict(entry.partition("=")[::2] for entry in config.env)


def triggers(base: ContainerConfig, instructions: Sequence[Instruction]) -> list[Instruction]:
    """The base image's ONBUILD instructions run first."""
    if not base.on_build:
        return []
    place = instructions[0].place if instructions else Place("ONBUILD", 1, 1, "")
    return [parser.parse_trigger(text, place) for text in base.on_build]


def _argument(
    instruction: Instruction,
    name: str,
    default: str | None,
    variables: Mapping[str, str],
    arguments: Arguments,
    *,
    escape: str,
) -> str | None:
    if name in arguments.given:
        return arguments.given[name]
    if default is not None:
        try:
            return expand.word(default, variables, escape)
        except ValueError as error:
            raise fault(instruction.place, str(error), name) from error
    return arguments.globals.get(name, arguments.platform.get(name))


def _arg(stage: _Stage, instruction: kinds.Arg) -> None:
    for name, default in instruction.pairs:
        value = _argument(instruction, name, default, stage.variables, stage.arguments, escape=stage.escape)
        if value is not None:
            stage.declare(name, value)


def _env(stage: _Stage, instruction: kinds.Env) -> None:
    pairs = _pairs(stage, instruction, instruction.pairs)
    stage.env |= pairs
    stage.variables |= pairs
    # Every step keeps the whole environment: the texts are shared.
    stage.entries |= {name: f"{name}={value}" for name, value in pairs.items()}
    stage.change(env=tuple(stage.entries.values()))


def _label(stage: _Stage, instruction: kinds.Label) -> None:
    stage.change(labels={**stage.config.labels, **_pairs(stage, instruction, instruction.pairs)})


def _pairs(stage: _Stage, instruction: Instruction, pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Every value is expanded with what held before the instruction."""
    return {stage.expand(instruction, name): stage.expand(instruction, value) for name, value in pairs}


def _run(stage: _Stage, instruction: kinds.Run) -> Run:
    env = stage.env
    stage.spend(len(env) + len(stage.declared))
    declared = {name: value for name, value in stage.declared.items() if name not in env}
    proxies = {name: stage.arguments.given[name] for name in PROXY_ARGUMENTS if name in stage.arguments.given}
    hidden = {name: value for name, value in proxies.items() if name not in declared and name not in env}
    words, script = _run_words(instruction)
    arguments = _arguments_of(stage, Command(words, instruction.command.is_shell and not script))
    return Run(
        arguments=arguments,
        env=tuple(f"{name}={value}" for name, value in {"PATH": DEFAULT_PATH, **declared, **env}.items()),
        cwd=stage.config.working_dir or "/",
        user=stage.config.user,
        hidden_env=tuple(f"{name}={value}" for name, value in hidden.items()),
        mounts=tuple(_mount(stage, instruction, mount) for mount in instruction.mounts),
        network=cast(Network, instruction.network),
        is_insecure=instruction.security == "insecure",
        script=script,
    )


def _mount(stage: _Stage, instruction: kinds.Run, mount: kinds.RunMount) -> kinds.RunMount:
    """With its variables; a relative target lies below the working directory."""
    options = {key: stage.expand(instruction, value) for key, value in mount.options.items()}
    try:
        options = run_mounts.checked(mount.type, options)
        if mount.type in ("bind", "cache", "tmpfs"):
            target = posixpath.normpath(posixpath.join("/", stage.config.working_dir, options["target"]))
            options["target"] = "/" + target.lstrip("/")
            if options["target"] == "/":
                raise ValueError("the target cannot be /")
    except ValueError as error:
        raise fault(instruction.place, f"--mount: {error}", "--mount") from error
    return kinds.RunMount(mount.type, options)


def _run_words(instruction: kinds.Run) -> tuple[tuple[str, ...], str]:
    """The command's words, and a here-document that brings its own interpreter."""
    documents, words = instruction.heredocs, instruction.command.words
    if not documents:
        return words, ""
    first = documents[0]
    if len(documents) == 1 and forms.heredoc_name(words[0].strip(), {first.name}):
        if first.content.startswith("#!"):
            return (SCRIPT_PATH,), first.content
        return (first.content,), ""
    return (words[0] + "".join(f"\n{doc.content}{doc.name}" for doc in documents),), ""


def _copy(stage: _Stage, instruction: kinds.Copy) -> CopyFiles:
    def expanded(texts: Iterable[str]) -> tuple[str, ...]:
        return tuple(stage.expand(instruction, text) for text in texts)

    target = stage.expand(instruction, instruction.target)
    sources = expanded(instruction.sources)
    is_directory = target.endswith(("/", "/.")) or target in (".", "..")
    if len(sources) + len(instruction.heredocs) > 1 and not is_directory:
        word = "ADD" if instruction.is_add else "COPY"
        what = f"{word} of several sources needs a directory: write {instruction.target}/"
        raise fault(instruction.place, what, instruction.target)
    absolute = posixpath.normpath(posixpath.join("/", stage.config.working_dir, target))
    return CopyFiles(
        from_=instruction.from_,
        sources=sources,
        target=absolute.rstrip("/") + "/" if is_directory else absolute,
        inline=tuple((doc.name, _inline(stage, instruction, doc)) for doc in instruction.heredocs),
        chown=stage.expand(instruction, instruction.chown),
        chmod=stage.expand(instruction, instruction.chmod),
        exclude=expanded(instruction.exclude),
        keeps_parents=instruction.keeps_parents,
        unpacks=instruction.is_add and instruction.unpacks is not False,
        unpacks_downloads=instruction.unpacks is True,
        is_add=instruction.is_add,
        checksum=stage.expand(instruction, instruction.checksum),
        keeps_git=instruction.keeps_git,
    )


def _inline(stage: _Stage, instruction: Instruction, document: Heredoc) -> str:
    if not document.expands:
        return document.content
    try:
        expanded = expand.word(document.content, stage.variables, stage.escape, keeps_quotes=True)
    except ValueError as error:
        raise fault(instruction.place, str(error)) from error
    stage.spend(len(expanded))
    return expanded


def _workdir(stage: _Stage, instruction: kinds.Workdir) -> MakeDirectory:
    path = stage.expand(instruction, instruction.path)
    absolute = posixpath.normpath(posixpath.join("/", stage.config.working_dir, path))
    stage.change(working_dir=absolute)
    return MakeDirectory(absolute)


def _user(stage: _Stage, instruction: kinds.User) -> None:
    stage.change(user=stage.expand(instruction, instruction.user))


def _expose(stage: _Stage, instruction: kinds.Expose) -> None:
    ports = dict(stage.config.exposed_ports)
    for text in instruction.ports:
        try:
            words = expand.words(text, stage.variables, stage.escape)
            ports.update({port: {} for word in words for port in _ports(word)})
        except ValueError as error:
            raise fault(instruction.place, str(error), text) from error
        stage.spend(_PORT_WORK * len(ports))
    stage.change(exposed_ports=ports)


def _ports(word: str) -> list[str]:
    """`80`, `53/udp`, `8000-8010/tcp`. Raises ValueError."""
    numbers, _, protocol = word.partition("/")
    protocol = protocol.lower() or "tcp"
    first, dash, last = numbers.rpartition(":")[2].partition("-")
    last = last if dash else first
    are_numbers = all(text.isascii() and text.isdigit() and len(text) <= 5 for text in (first, last))
    if protocol not in ("tcp", "udp", "sctp") or not are_numbers or not int(first) <= int(last) <= 65535:
        raise ValueError(f"{word!r} is not PORT[-PORT][/tcp|udp|sctp]")
    return [f"{port}/{protocol}" for port in range(int(first), int(last) + 1)]


def _volume(stage: _Stage, instruction: kinds.Volume) -> None:
    paths: dict[str, dict[str, Any]] = {stage.expand(instruction, path): {} for path in instruction.paths}
    stage.change(volumes={**stage.config.volumes, **paths})


def _stop_signal(stage: _Stage, instruction: kinds.StopSignal) -> None:
    signal = stage.expand(instruction, instruction.signal)
    if not _SIGNAL.fullmatch(signal.upper()):
        shown = signal[:40]
        raise fault(instruction.place, f"{shown!r} is not a signal such as SIGTERM or 15", instruction.signal)
    stage.change(stop_signal=signal)


def _healthcheck(stage: _Stage, instruction: kinds.Healthcheck) -> None:
    if instruction.command is None:
        stage.change(healthcheck=Healthcheck(test=("NONE",)))
        return
    kind = "CMD-SHELL" if instruction.command.is_shell else "CMD"
    timings = {name.replace("-", "_"): value for name, value in instruction.timings.items()}
    test = (kind, *instruction.command.words)
    stage.change(healthcheck=Healthcheck(test=test, retries=instruction.retries, **timings))


def _shell(stage: _Stage, instruction: kinds.Shell) -> None:
    stage.change(shell=instruction.words)


def _onbuild(stage: _Stage, instruction: kinds.OnBuild) -> None:
    stage.change(on_build=(*stage.config.on_build, instruction.trigger))


def _entrypoint(stage: _Stage, instruction: kinds.Entrypoint) -> None:
    """A new ENTRYPOINT forgets the base image's CMD, which was made for another program."""
    stage.change(entrypoint=_arguments_of(stage, instruction.command))
    if not stage.has_cmd:
        stage.change(cmd=())


def _cmd(stage: _Stage, instruction: kinds.Cmd) -> None:
    stage.has_cmd = True
    stage.change(cmd=_arguments_of(stage, instruction.command))


def _maintainer(stage: _Stage, instruction: kinds.Maintainer) -> None:
    stage.author = instruction.author


def _arguments_of(stage: _Stage, command: Command) -> tuple[str, ...]:
    if not command.is_shell or not command.words[0]:
        return command.words if not command.is_shell else ()
    return (*(stage.config.shell or DEFAULT_SHELL), *command.words)


def _created_by(stage: _Stage, instruction: Instruction, operation: Operation | None) -> str:
    """As BuildKit writes it: RUN names the build arguments and the whole command line."""
    if not isinstance(operation, Run):
        return instruction.text
    used = [f"{name}={value}" for name, value in stage.declared.items() if name not in stage.env]
    arguments = f"|{len(used)} {' '.join(used)} " if used else ""
    return f"RUN {arguments}{' '.join(operation.arguments)}"


APPLIERS: dict[type[Instruction], Callable[[_Stage, Any], Operation | None]] = {
    kinds.Arg: _arg,
    kinds.Cmd: _cmd,
    kinds.Copy: _copy,
    kinds.Entrypoint: _entrypoint,
    kinds.Env: _env,
    kinds.Expose: _expose,
    kinds.Healthcheck: _healthcheck,
    kinds.Label: _label,
    kinds.Maintainer: _maintainer,
    kinds.OnBuild: _onbuild,
    kinds.Run: _run,
    kinds.Shell: _shell,
    kinds.StopSignal: _stop_signal,
    kinds.User: _user,
    kinds.Volume: _volume,
    kinds.Workdir: _workdir,
}
