"""For all tests: what Hypothesis finds depends neither on how busy the machine is nor on chance.

The same examples in every run, as tests/fuzz has the same inputs; KNARR_EXPLORE=1 lets it look for new ones.
"""

import os

from hypothesis import HealthCheck, settings

# Its own deadline of 200 ms an example, and its check that inputs are made quickly, fail on a loaded machine.
settings.register_profile(
    "busy", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="KNARR_EXPLORE" not in os.environ
)
settings.load_profile("busy")
