"""Property tests draw the same examples at each run, and are not judged by the time they take."""

from hypothesis import settings

settings.register_profile("deterministic", derandomize=True, deadline=None)
settings.load_profile("deterministic")
