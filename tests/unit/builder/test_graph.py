"""Which stages a build needs, and what they wait for."""

import pytest

from knarr.builder import graph
from knarr.builder.dockerfile import parser
from knarr.builder.dockerfile.faults import DockerfileFault
from knarr.builder.evaluate import Arguments

FILE = """FROM base AS tools
RUN make tools
FROM tools AS built
RUN make
FROM base AS docs
RUN make docs
FROM scratch
COPY --from=built /app /app
COPY --from=alpine:3 /etc/os-release /
RUN --mount=type=bind,from=0,target=/t x
"""


def needed(text: str, target: str = "", **values: str) -> list[tuple[int, int | str, frozenset[int]]]:
    nodes = graph.needed(parser.parse(text), Arguments(globals=values), target)
    return [(node.stage.number, node.base, node.needs) for node in nodes]


def test_stages_that_the_target_does_not_need_are_left_out() -> None:
    assert needed(FILE) == [
        (0, "base", frozenset()),
        (1, 0, frozenset({0})),
        (3, "scratch", frozenset({0, 1})),
    ]


@pytest.mark.parametrize(("target", "numbers"), [("docs", [2]), ("Built", [0, 1]), ("0", [0])])
def test_a_target_is_a_name_or_a_number(target: str, numbers: list[int]) -> None:
    assert [number for number, *_ in needed(FILE, target)] == numbers


def test_an_unknown_target_is_told_with_the_nearest_name() -> None:
    with pytest.raises(DockerfileFault, match="there is no stage 'buit' for --target; did you mean built"):
        needed(FILE, "buit")


def test_a_base_may_be_an_argument() -> None:
    assert needed("ARG I\nFROM ${I:-none}:1", I="web") == [(0, "web:1", frozenset())]


def test_an_empty_base_is_refused() -> None:
    with pytest.raises(DockerfileFault, match="is empty: no ARG gives it a value"):
        needed("ARG I\nFROM $I")


def test_a_later_stage_cannot_be_copied_from() -> None:
    with pytest.raises(DockerfileFault, match="only earlier ones can be"):
        needed("FROM b\nCOPY --from=late /x /x\nFROM b AS late")
