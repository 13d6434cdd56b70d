"""What earlier runs of these tests left when they were killed goes away before this one begins."""

import pytest

from tests.contracts import real_node


@pytest.fixture(scope="session", autouse=True)
def _nothing_of_the_dead() -> None:
    if not real_node.missing():
        real_node.sweep()
