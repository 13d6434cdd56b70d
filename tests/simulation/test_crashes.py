"""The crash matrix: for every act, the controllers die once before and once after each of their writes.

The act goes on meanwhile, in good weather; then the same must be true as without the crash.
"""

from collections import Counter
from collections.abc import Callable

import pytest

from tests.simulation.acts import ACTS
from tests.simulation.chaos import CALM
from tests.simulation.conftest import PROPERTY
from tests.simulation.test_simulation import tried
from tests.simulation.world import Life, Trial

SEEDS = (4, 5)
pytestmark = pytest.mark.timeout(300)  # Ten seconds of work, on machines that do other work as well.


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("act", ACTS)
def test_a_crash_at_any_write_changes_nothing(
    act: str, seed: int, record_property: Callable[[str, object], None]
) -> None:
    undisturbed = tried(act, Trial(seed, CALM, lives=()))
    counts: Counter[str] = Counter()
    for number in range(1, undisturbed.counts["writes of controllers"] + 1):
        for dies_before in (True, False):
            life = Life(number, dies_before)
            try:
                counts += tried(act, Trial(seed, CALM, lives=(life,))).counts
            except Exception as error:
                raise AssertionError(f"{act}, seed {seed}: {life} of the first incarnation") from error
    record_property(PROPERTY, dict(counts))
    assert counts["crashes before a write"] > 0
    assert counts["crashes after a write"] > 0
