"""Property tests give the same examples on every run, and are not timed."""

from hypothesis import settings

settings.register_profile("l2sync", derandomize=True, deadline=None)
settings.load_profile("l2sync")
