"""For all tests: what Hypothesis finds must not depend on how busy the machine is."""

from hypothesis import HealthCheck, settings

# Its own deadline of 200 ms an example, and its check that inputs are made quickly, fail on a loaded machine.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")
