"""What is said of kinds that are stored and do nothing yet."""

import pytest

from knarr.kinds import not_yet, registry

SERVED = frozenset(kind.kind for kind in registry.builtin())


@pytest.mark.parametrize("kind", not_yet._ROWS)
def test_what_is_said_of_a_kind_is_said_of_one_that_is_served(kind: str) -> None:
    assert kind in SERVED
    assert not_yet.of(kind, {}) is not None
