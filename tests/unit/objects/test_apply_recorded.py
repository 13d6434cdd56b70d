"""What upstream's field manager once said of applies and updates (tests/conformance/field_manager), said again."""

from pathlib import Path

import msgspec
import pytest

from tests.conformance import field_steps
from tests.conformance.field_steps import Json, Step

RECORDED = [
    msgspec.json.decode(line) for line in Path(__file__).with_name("field_manager.jsonl").read_bytes().splitlines()
]


@pytest.mark.parametrize(("asked", "wanted"), RECORDED, ids=[str(number) for number in range(len(RECORDED))])
def test_the_answer_is_upstreams(asked: Json, wanted: Json) -> None:
    step = Step(**asked)
    kind = field_steps.kind_of(step)
    assert field_steps.comparable(kind, step, field_steps.answer(kind, step)) == wanted
