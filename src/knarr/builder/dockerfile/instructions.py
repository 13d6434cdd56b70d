"""The instructions of a Dockerfile as values, and the table of their words and flags.

A value holds what was written: variables are not expanded (expand.py does, when the variables are known), quotes are
still there. The parser fills them in; evaluate.py gives them meaning.
"""

from dataclasses import dataclass, field

from knarr.builder.dockerfile.faults import Place
from knarr.builder.dockerfile.lexer import Heredoc


@dataclass(frozen=True, slots=True)
class Command:
    """`words` of the exec form, or one text in the shell form."""

    words: tuple[str, ...]
    is_shell: bool


@dataclass(frozen=True, slots=True)
class Instruction:
    """`text` is the instruction with its continuations joined, for progress, history and messages."""

    place: Place
    text: str


@dataclass(frozen=True, slots=True)
class From(Instruction):
    image: str
    stage: str = ""
    platform: str = ""


@dataclass(frozen=True, slots=True)
class Arg(Instruction):
    """A value of None means: without a default."""

    pairs: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True)
class Env(Instruction):
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Label(Instruction):
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class RunMount:
    """`--mount` of RUN: `type` and the other options as written, keys in lower case."""

    type: str
    options: dict[str, str]


@dataclass(frozen=True, slots=True)
class Run(Instruction):
    command: Command
    heredocs: tuple[Heredoc, ...] = ()
    mounts: tuple[RunMount, ...] = ()
    network: str = "default"
    security: str = "sandbox"


@dataclass(frozen=True, slots=True)
class Copy(Instruction):
    """COPY and ADD. `from_` is the stage, image or context ("" is the build context).

    `unpacks` is None where ADD decides by the content, else what `--unpack` says.
    """

    sources: tuple[str, ...]
    target: str
    heredocs: tuple[Heredoc, ...] = ()
    from_: str = ""
    chown: str = ""
    chmod: str = ""
    is_link: bool = False
    keeps_parents: bool = False
    exclude: tuple[str, ...] = ()
    is_add: bool = False
    checksum: str = ""
    keeps_git: bool = False
    unpacks: bool | None = None


@dataclass(frozen=True, slots=True)
class Workdir(Instruction):
    path: str


@dataclass(frozen=True, slots=True)
class User(Instruction):
    user: str


@dataclass(frozen=True, slots=True)
class Expose(Instruction):
    ports: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Volume(Instruction):
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StopSignal(Instruction):
    signal: str


@dataclass(frozen=True, slots=True)
class Healthcheck(Instruction):
    """`command` None is HEALTHCHECK NONE; `timings` are flag → nanoseconds; `retries` 0 is inherited."""

    command: Command | None
    timings: dict[str, int] = field(default_factory=dict)
    retries: int = 0


@dataclass(frozen=True, slots=True)
class Shell(Instruction):
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OnBuild(Instruction):
    """`trigger` is the instruction's text, kept in the image."""

    trigger: str


@dataclass(frozen=True, slots=True)
class Entrypoint(Instruction):
    command: Command


@dataclass(frozen=True, slots=True)
class Cmd(Instruction):
    command: Command


@dataclass(frozen=True, slots=True)
class Maintainer(Instruction):
    author: str


# Word → the flags it takes; a flag ending in "?" is a switch, one ending in "*" may be given several times.
FLAGS: dict[str, tuple[str, ...]] = {
    "ADD": ("checksum", "chmod", "chown", "exclude*", "keep-git-dir?", "link?", "unpack?"),
    "ARG": (),
    "CMD": (),
    "COPY": ("chmod", "chown", "exclude*", "from", "link?", "parents?"),
    "ENTRYPOINT": (),
    "ENV": (),
    "EXPOSE": (),
    "FROM": ("platform",),
    "HEALTHCHECK": ("interval", "retries", "start-interval", "start-period", "timeout"),
    "LABEL": (),
    "MAINTAINER": (),
    "ONBUILD": (),
    "RUN": ("mount*", "network", "security"),
    "SHELL": (),
    "STOPSIGNAL": (),
    "USER": (),
    "VOLUME": (),
    "WORKDIR": (),
}

# Word → how what follows it is written, for messages.
FORMS: dict[str, str] = {
    "ADD": "SOURCE… DESTINATION",
    "ARG": "NAME[=DEFAULT]",
    "CMD": '["PROGRAM", "ARGUMENT"]',
    "COPY": "SOURCE… DESTINATION",
    "ENTRYPOINT": '["PROGRAM", "ARGUMENT"]',
    "ENV": "NAME=VALUE",
    "EXPOSE": "PORT[/tcp|/udp]",
    "FROM": "IMAGE [AS NAME]",
    "HEALTHCHECK": "CMD COMMAND, or HEALTHCHECK NONE",
    "LABEL": "KEY=VALUE",
    "MAINTAINER": "NAME",
    "ONBUILD": "INSTRUCTION",
    "RUN": "COMMAND",
    "SHELL": '["/bin/sh", "-c"]',
    "STOPSIGNAL": "SIGTERM",
    "USER": "NAME[:GROUP]",
    "VOLUME": "/PATH",
    "WORKDIR": "/PATH",
}
