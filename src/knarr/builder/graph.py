"""Which stages a build needs, and on which others each waits. Pure.

A stage's base, `COPY --from` and `RUN --mount=from` name an earlier stage by name or number, else an image. Stages that
the target does not need are not built.
"""

from dataclasses import dataclass

from knarr.builder.dockerfile import expand
from knarr.builder.dockerfile import instructions as kinds
from knarr.builder.dockerfile.faults import Place, fault, nearest
from knarr.builder.dockerfile.parser import Dockerfile, Stage
from knarr.builder.evaluate import Arguments

SCRATCH = "scratch"


@dataclass(frozen=True, slots=True)
class Node:
    """One stage to build. `base` is the number of a stage, or an image's text ("scratch" is none).

    `origins` maps what `--from` says to the number of a stage; what is not in it is an image.
    """

    stage: Stage
    base: int | str
    platform: str
    origins: dict[str, int]

    @property
    def needs(self) -> frozenset[int]:
        bases = {self.base} if isinstance(self.base, int) else set()
        return frozenset(bases | set(self.origins.values()))


def needed(dockerfile: Dockerfile, arguments: Arguments, target: str = "") -> tuple[Node, ...]:
    """The stages that `target` (a name or number, "" is the last) needs, itself last, each after what it needs."""
    nodes = [_node(dockerfile, stage, arguments) for stage in dockerfile.stages]
    wanted, pending = set(), [_target(dockerfile, target)]
    while pending:
        number = pending.pop()
        if number not in wanted:
            wanted.add(number)
            pending += nodes[number].needs
    return tuple(nodes[number] for number in sorted(wanted))


def _target(dockerfile: Dockerfile, target: str) -> int:
    if not target:
        return len(dockerfile.stages) - 1
    found = find_stage(dockerfile.stages, target)
    if found is None:
        names = [stage.name for stage in dockerfile.stages if stage.name]
        place = dockerfile.stages[-1].base.place
        raise fault(place, f"there is no stage {target!r} for --target{nearest(target, names)}")
    return found


def find_stage(stages: tuple[Stage, ...], text: str) -> int | None:
    """The last stage of that name, or of that number."""
    for stage in reversed(stages):
        if stage.name and stage.name == text.lower():
            return stage.number
    if text.isascii() and text.isdigit() and int(text) < len(stages):
        return int(text)
    return None


def _node(dockerfile: Dockerfile, stage: Stage, arguments: Arguments) -> Node:
    earlier = dockerfile.stages[: stage.number]
    variables = {**arguments.platform, **arguments.globals}
    try:
        image = expand.word(stage.base.image, variables, dockerfile.escape)
        platform = expand.word(stage.base.platform, variables, dockerfile.escape)
    except ValueError as error:
        raise fault(stage.base.place, str(error), stage.base.image) from error
    if not image:
        raise fault(stage.base.place, f"the base name {stage.base.image} is empty: no ARG gives it a value")
    named = next((other.number for other in reversed(earlier) if other.name and other.name == image.lower()), None)
    origins = {}
    for text in _origins(stage):
        number = find_stage(earlier, text)
        if number is not None:
            origins[text] = number
        elif find_stage(dockerfile.stages, text) is not None and not text.isdigit():
            what = f"--from={text}: that stage comes later; only earlier ones can be copied from"
            raise fault(_place_of(stage, text), what, f"from={text}")
    return Node(stage, image if named is None else named, platform, origins)


def _origins(stage: Stage) -> list[str]:
    found = []
    for instruction in stage.instructions:
        if isinstance(instruction, kinds.Copy) and instruction.from_:
            found.append(instruction.from_)
        elif isinstance(instruction, kinds.Run):
            found += [mount.options["from"] for mount in instruction.mounts if mount.options.get("from")]
    return found


def _place_of(stage: Stage, text: str) -> Place:
    return next((i.place for i in stage.instructions if f"from={text}" in i.text), stage.base.place)
