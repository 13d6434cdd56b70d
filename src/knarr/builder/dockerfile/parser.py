"""From logical lines to instructions: finds the word, its flags and its arguments, and refuses what cannot be.

`parse` gives a Dockerfile as global ARGs and stages. It expands no variable and reads no file; evaluate.py and
graph.py go on. Syntax of each instruction: Dockerfile reference; one function below for each, found by READERS.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from knarr.builder.dockerfile import arguments as forms
from knarr.builder.dockerfile import instructions as kinds
from knarr.builder.dockerfile import lexer, run_mounts
from knarr.builder.dockerfile.faults import DockerfileFault, Place, fault, nearest
from knarr.builder.dockerfile.instructions import FLAGS, Arg, Command, Copy, From, Instruction
from knarr.builder.dockerfile.lexer import Heredoc, Line

STAGES_MAX = 500
FLAGS_MAX = 1000
_STAGE_NAME = re.compile(r"[a-z][a-z0-9-_.]*")


@dataclass(frozen=True, slots=True)
class Stage:
    """One FROM and what follows it. `name` is "" for a stage that only its number names."""

    number: int
    base: From
    instructions: tuple[Instruction, ...]

    @property
    def name(self) -> str:
        return self.base.stage


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """`arguments` are the ARGs before the first FROM; `empty_continuations` and `comments` are the lexer's."""

    arguments: tuple[Arg, ...]
    stages: tuple[Stage, ...]
    directives: dict[str, str]
    escape: str
    empty_continuations: tuple[Place, ...] = ()
    comments: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reading:
    """One instruction on its way: `rest` is what follows the flags."""

    place: Place
    word: str
    rest: str
    text: str
    flags: dict[str, list[str]]
    heredocs: tuple[Heredoc, ...]
    escape: str

    def flag(self, name: str, default: str = "") -> str:
        return self.flags[name][-1] if name in self.flags else default

    def switch(self, name: str) -> bool | None:
        """True or False as the flag says; None where it is not given."""
        if name not in self.flags:
            return None
        value = self.flags[name][-1].lower()
        if value not in ("", "true", "false"):
            raise self.fault(f"--{name} is true or false, not {value!r}", value)
        return value != "false"

    def fault(self, what: str, at: str = "") -> DockerfileFault:
        return fault(self.place, what, at)


def parse(text: str, file: str = "Dockerfile") -> Dockerfile:
    """The Dockerfile's stages. Raises DockerfileFault at the first thing that is wrong."""
    lexed = lexer.lex(text, file)
    parsed = [parse_line(line, lexed.escape) for line in lexed.lines]
    first = next((n for n, instruction in enumerate(parsed) if isinstance(instruction, From)), None)
    if first is None:
        place = parsed[0].place if parsed else Place(file, 1, 1, "")
        raise fault(place, "there is no FROM: a Dockerfile starts with FROM IMAGE or FROM scratch")
    arguments = []
    for instruction in parsed[:first]:
        if not isinstance(instruction, Arg):
            word = instruction.text.split()[0]
            raise fault(instruction.place, f"{word} stands before the first FROM; only ARG may", word)
        arguments.append(instruction)
    stages = _stages(parsed[first:])
    return Dockerfile(
        tuple(arguments), stages, lexed.directives, lexed.escape, lexed.empty_continuations, lexed.comments
    )


def parse_line(line: Line, escape: str = "\\") -> Instruction:
    """One instruction."""
    word, _, rest = _partition(line.text)
    upper = word.upper()
    if upper not in FLAGS:
        what = f'unknown instruction "{word}"{nearest(upper, FLAGS)}'
        raise fault(line.place, what, word)
    flags, rest = _flags(line.place, upper, rest, escape)
    return READERS[upper](Reading(line.place, upper, rest, _text(line), flags, line.heredocs, escape))


def parse_trigger(text: str, place: Place) -> Instruction:
    """An ONBUILD instruction that an image carries, about to run in the stage built on it."""
    lexed = lexer.lex(text, place.file)
    if len(lexed.lines) != 1:
        raise fault(place, f"ONBUILD of the base image is not one instruction: {text[:120]!r}")
    line = lexed.lines[0]
    return parse_line(Line(place, line.text, line.heredocs))


def _text(line: Line) -> str:
    """The instruction as written, here-documents included, for history and messages."""
    return line.text + "".join(f"\n{doc.content}{doc.name}" for doc in line.heredocs)


def _partition(text: str) -> tuple[str, str, str]:
    parts = text.split(None, 1)
    return (parts[0], " ", parts[1].strip()) if len(parts) == 2 else (parts[0], "", "")


def _stages(parsed: list[Instruction]) -> tuple[Stage, ...]:
    stages: list[Stage] = []
    body: list[Instruction] = []
    base: From | None = None
    for instruction in parsed:
        if isinstance(instruction, From):
            if base is not None:
                stages.append(Stage(len(stages), base, tuple(body)))
            base, body = instruction, []
        else:
            body.append(instruction)
    assert base is not None
    stages.append(Stage(len(stages), base, tuple(body)))
    if len(stages) > STAGES_MAX:
        raise fault(base.place, f"{len(stages)} stages are more than {STAGES_MAX}")
    return tuple(stages)


def _flags(place: Place, word: str, rest: str, escape: str) -> tuple[dict[str, list[str]], str]:
    """The flags before the arguments, and what is left. `--` alone ends them."""
    found: dict[str, list[str]] = {}
    known = {flag.rstrip("?*"): flag[-1] for flag in FLAGS[word]}
    while rest.startswith("--"):
        written = lexer.first_word(rest, escape)
        rest = rest[len(written) :].lstrip()
        if written == "--":
            break
        name, equals, value = written[2:].partition("=")
        if name not in known:
            near = nearest(f"--{name}", [f"--{flag}" for flag in known])
            takes = f"it takes {', '.join('--' + flag for flag in known)}" if known else "it takes none"
            raise fault(place, f"{word} has no flag --{name}{near or '; ' + takes}", written)
        if not equals and known[name] != "?":
            raise fault(place, f"--{name} needs a value: --{name}=…", written)
        if name in found and known[name] != "*":
            raise fault(place, f"--{name} is given twice", written)
        found.setdefault(name, []).append(forms.unquoted(value, escape))
        if len(found[name]) > FLAGS_MAX:
            raise fault(place, f"--{name} is given more than {FLAGS_MAX} times", written)
    return found, rest


def _required(reading: Reading) -> str:
    if not reading.rest:
        raise reading.fault(f"{reading.word} needs an argument: {reading.word} {kinds.FORMS[reading.word]}")
    return reading.rest


def _single(reading: Reading) -> str:
    """One argument, which may be quoted and hold variables."""
    words = lexer.split_words(_required(reading), reading.escape)
    if len(words) != 1:
        raise reading.fault(f"{reading.word} takes one argument, not {len(words)}", words[1])
    return words[0]


def _from(reading: Reading) -> From:
    words = _required(reading).split()
    if len(words) not in (1, 3) or (len(words) == 3 and words[1].upper() != "AS"):
        raise reading.fault("FROM is written FROM [--platform=…] IMAGE [AS NAME]", words[-1])
    stage = words[2].lower() if len(words) == 3 else ""
    if stage and not _STAGE_NAME.fullmatch(stage):
        raise reading.fault(f"{words[2]!r} cannot name a stage: a letter, then letters, digits, - _ .", words[2])
    return From(reading.place, reading.text, words[0], stage, reading.flag("platform"))


def _arg(reading: Reading) -> Arg:
    pairs: list[tuple[str, str | None]] = []
    for word in lexer.split_words(_required(reading), reading.escape):
        name, equals, value = word.partition("=")
        if not name:
            raise reading.fault("ARG needs a name before the =", word)
        pairs.append((forms.unquoted(name, reading.escape), value if equals else None))
    return Arg(reading.place, reading.text, tuple(pairs))


def _env(reading: Reading) -> kinds.Env:
    return kinds.Env(reading.place, reading.text, _pairs(reading))


def _label(reading: Reading) -> kinds.Label:
    return kinds.Label(reading.place, reading.text, _pairs(reading))


def _pairs(reading: Reading) -> tuple[tuple[str, str], ...]:
    """`name=value …`, or the old `name the rest is the value`."""
    words = lexer.split_words(_required(reading), reading.escape)
    if "=" not in words[0]:
        name, _, value = _partition(reading.rest)
        if not value:
            raise reading.fault(f"{reading.word} {name} has no value: {reading.word} {name}=…", name)
        return ((name, value),)
    pairs = []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise reading.fault(f"{word!r} is not name=value; quote a value with spaces", word)
        pairs.append((name, value))
    return tuple(pairs)


def _command(reading: Reading) -> Command:
    words = forms.json_words(reading.rest)
    if words is not None:
        return Command(words, is_shell=False)
    return Command((reading.rest,), is_shell=True)


def _run(reading: Reading) -> kinds.Run:
    _required(reading)
    network, security = reading.flag("network", "default"), reading.flag("security", "sandbox")
    if network not in ("default", "none", "host"):
        raise reading.fault(f"--network is default, none or host, not {network!r}", network)
    if security not in ("sandbox", "insecure"):
        raise reading.fault(f"--security is sandbox or insecure, not {security!r}", security)
    mounts = tuple(_mount(reading, text) for text in reading.flags.get("mount", []))
    return kinds.Run(reading.place, reading.text, _command(reading), reading.heredocs, mounts, network, security)


def _mount(reading: Reading, text: str) -> kinds.RunMount:
    try:
        return run_mounts.read(text)
    except ValueError as error:
        raise reading.fault(f"--mount: {error}", text) from error


def _copy(reading: Reading) -> Copy:
    words = list(forms.json_words(reading.rest) or lexer.split_words(reading.rest, reading.escape))
    if len(words) < 2:
        is_open = any(reading.rest.count(mark) % 2 for mark in "\"'")
        hint = "; a quote is not closed" if is_open else ""
        form = f"{reading.word} {kinds.FORMS[reading.word]}"
        raise reading.fault(f"{reading.word} needs at least a source and a destination: {form}{hint}")
    heredocs = {doc.name: doc for doc in reading.heredocs}
    sources = [word for word in words[:-1] if not forms.heredoc_name(word, heredocs)]
    return Copy(
        reading.place,
        reading.text,
        sources=tuple(sources),
        target=words[-1],
        heredocs=reading.heredocs,
        from_=reading.flag("from"),
        chown=reading.flag("chown"),
        chmod=reading.flag("chmod"),
        is_link=bool(reading.switch("link")),
        keeps_parents=bool(reading.switch("parents")),
        exclude=tuple(reading.flags.get("exclude", ())),
        is_add=reading.word == "ADD",
        checksum=reading.flag("checksum"),
        keeps_git=bool(reading.switch("keep-git-dir")),
        unpacks=reading.switch("unpack"),
    )


def _expose(reading: Reading) -> kinds.Expose:
    return kinds.Expose(reading.place, reading.text, tuple(lexer.split_words(_required(reading), reading.escape)))


def _volume(reading: Reading) -> kinds.Volume:
    paths = forms.json_words(_required(reading)) or tuple(lexer.split_words(reading.rest, reading.escape))
    if not all(path.strip() for path in paths):
        raise reading.fault("a VOLUME cannot be an empty string")
    return kinds.Volume(reading.place, reading.text, paths)


def _healthcheck(reading: Reading) -> kinds.Healthcheck:
    kind, _, rest = _partition(_required(reading))
    if kind.upper() == "NONE":
        if rest or reading.flags:
            raise reading.fault("HEALTHCHECK NONE takes no arguments", rest)
        return kinds.Healthcheck(reading.place, reading.text, None)
    if kind.upper() != "CMD" or not rest:
        raise reading.fault("HEALTHCHECK is written HEALTHCHECK [flags] CMD command, or HEALTHCHECK NONE", kind)
    words = forms.json_words(rest)
    command = Command((rest,), is_shell=True) if words is None else Command(words, is_shell=False)
    timings = {name: _duration(reading, name) for name in reading.flags if name != "retries"}
    retries = reading.flag("retries", "0")
    if not (retries.isascii() and retries.isdigit() and len(retries) <= 9):
        raise reading.fault(f"--retries is a number from 1, not {retries[:40]!r}", retries)
    return kinds.Healthcheck(reading.place, reading.text, command, timings, int(retries))


def _duration(reading: Reading, name: str) -> int:
    try:
        return forms.duration(reading.flag(name))
    except ValueError as error:
        raise reading.fault(f"--{name}: {error}", reading.flag(name)) from error


def _shell(reading: Reading) -> kinds.Shell:
    words = forms.json_words(_required(reading))
    if not words:
        raise reading.fault('SHELL takes a JSON array: SHELL ["/bin/bash", "-c"]', reading.rest)
    return kinds.Shell(reading.place, reading.text, words)


def _onbuild(reading: Reading) -> kinds.OnBuild:
    inner = _required(reading).split()[0].upper()
    if inner in ("ONBUILD", "FROM", "MAINTAINER"):
        raise reading.fault(f"ONBUILD {inner} is not allowed", reading.rest.split()[0])
    trigger = reading.text.split(None, 1)[1]
    parse_line(Line(reading.place, reading.rest, reading.heredocs), reading.escape)
    return kinds.OnBuild(reading.place, reading.text, trigger)


READERS: dict[str, Callable[[Reading], Instruction]] = {
    "ADD": _copy,
    "ARG": _arg,
    "CMD": lambda r: kinds.Cmd(r.place, r.text, _command(r)),
    "COPY": _copy,
    "ENTRYPOINT": lambda r: kinds.Entrypoint(r.place, r.text, _command(r)),
    "ENV": _env,
    "EXPOSE": _expose,
    "FROM": _from,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "MAINTAINER": lambda r: kinds.Maintainer(r.place, r.text, _required(r)),
    "ONBUILD": _onbuild,
    "RUN": _run,
    "SHELL": _shell,
    "STOPSIGNAL": lambda r: kinds.StopSignal(r.place, r.text, _single(r)),
    "USER": lambda r: kinds.User(r.place, r.text, _required(r)),
    "VOLUME": _volume,
    "WORKDIR": lambda r: kinds.Workdir(r.place, r.text, _required(r)),
}
