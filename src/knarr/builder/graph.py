"""Which stages a build needs, and on which others each waits. Pure.

A stage's base, `COPY --from` and `RUN --mount=from` name a context given on the command line, else an earlier stage by
name or number, else an image. Stages that the target does not need are not built.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from knarr.builder.dockerfile import expand
from knarr.builder.dockerfile import instructions as kinds
from knarr.builder.dockerfile.faults import Place, fault, nearest
from knarr.builder.dockerfile.instructions import Instruction
from knarr.builder.dockerfile.parser import Dockerfile, Stage
from knarr.builder.evaluate import Arguments

SCRATCH = "scratch"
_DIGITS_MAX = 6


@dataclass(frozen=True, slots=True)
class Node:
    """One stage to build. `base` is the number of a stage, or an image's text ("scratch" is none).

    `origins` maps what `--from` says to the number of a stage, or to the name of a context that is a directory; what is
    not in it is an image, under the reference in `images` where a context of that name is one.
    """

    stage: Stage
    base: int | str
    platform: str
    origins: dict[str, int | str]
    images: dict[str, str]

    @property
    def needs(self) -> frozenset[int]:
        bases = {self.base} if isinstance(self.base, int) else set()
        return frozenset(bases | {origin for origin in self.origins.values() if isinstance(origin, int)})


Contexts = Mapping[str, str]
"""Named contexts: the reference of an image, or "" for a directory."""


def needed(
    dockerfile: Dockerfile, arguments: Arguments, target: str = "", contexts: Contexts | None = None
) -> tuple[Node, ...]:
    """The stages that `target` (a name or number, "" is the last) needs, itself last, each after what it needs."""
    nodes = [_node(dockerfile, stage, arguments, contexts or {}) for stage in dockerfile.stages]
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
    if text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX and int(text) < len(stages):
        return int(text)
    return None


def _node(dockerfile: Dockerfile, stage: Stage, arguments: Arguments, contexts: Contexts) -> Node:
    variables = {**arguments.platform, **arguments.globals}
    try:
        image = expand.word(stage.base.image, variables, dockerfile.escape)
        platform = expand.word(stage.base.platform, variables, dockerfile.escape)
    except ValueError as error:
        raise fault(stage.base.place, str(error), stage.base.image) from error
    if not image:
        raise fault(stage.base.place, f"the base name {stage.base.image} is empty: no ARG gives it a value")
    origins = _origins(stage.instructions, dockerfile, stage, contexts)
    images = {name: image for name, image in contexts.items() if image}
    return Node(stage, _base(stage, image, dockerfile.stages[: stage.number], contexts), platform, origins, images)


def _origins(
    instructions: Iterable[Instruction], dockerfile: Dockerfile, stage: Stage, contexts: Contexts
) -> dict[str, int | str]:
    """What `--from` of these instructions means in this stage, but for images."""
    origins: dict[str, int | str] = {}
    for text, place in _names(instructions):
        number = find_stage(dockerfile.stages[: stage.number], text)
        if text.lower() in contexts:
            if not contexts[text.lower()]:
                origins[text] = text.lower()
        elif number is not None:
            origins[text] = number
        elif find_stage(dockerfile.stages, text) is not None and not text.isdigit():
            what = f"--from={text}: that stage comes later; only earlier ones can be copied from"
            raise fault(place, what, f"from={text}")
    return origins


def with_triggers(
    node: Node, triggers: Iterable[Instruction], dockerfile: Dockerfile, contexts: Contexts | None = None
) -> Node:
    """The stage with what the ONBUILD instructions of its base name, which is known only with the base."""
    found = _origins(triggers, dockerfile, node.stage, contexts or {})
    return dataclasses.replace(node, origins={**node.origins, **found})


def _base(stage: Stage, image: str, earlier: tuple[Stage, ...], contexts: Contexts) -> int | str:
    """The number of a stage, or an image."""
    if image == SCRATCH:
        return image
    if image.lower() in contexts:
        if not contexts[image.lower()]:
            what = f"the context {image} is a directory; FROM needs an image (docker-image://…), COPY --from takes both"
            raise fault(stage.base.place, what, image)
        return contexts[image.lower()]
    named = next((other.number for other in reversed(earlier) if other.name and other.name == image.lower()), None)
    return image if named is None else named


def _names(instructions: Iterable[Instruction]) -> Iterator[tuple[str, Place]]:
    for instruction in instructions:
        if isinstance(instruction, kinds.Copy) and instruction.from_:
            yield instruction.from_, instruction.place
        elif isinstance(instruction, kinds.Run):
            for mount in instruction.mounts:
                if mount.options.get("from"):
                    yield mount.options["from"], instruction.place
