"""Settings shared by all tests."""

from hypothesis import HealthCheck, settings

# Machines that run tests are often busy, so time says nothing about correctness here.
settings.register_profile(
    "veritydb", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("veritydb")
