"""Property tests give the same examples on every run, and are not timed."""

import pytest
from hypothesis import settings

settings.register_profile("l2sync", derandomize=True, deadline=None)
settings.load_profile("l2sync")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--walks", type=int, default=0, help="random runs of each model that the code walks")
