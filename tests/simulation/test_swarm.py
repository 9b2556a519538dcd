"""The swarm keeps all promises: in every case that ever broke one, and on some hundred seeds."""

from __future__ import annotations

from pathlib import Path

import pytest

from .swarm.maker import make
from .swarm.plan import Scenario
from .swarm.plants import planted
from .swarm.run import run

CASES = sorted((Path(__file__).parent / "swarm" / "cases").glob("*.json"))


def told(scenario: Scenario) -> str | None:
    """What is broken, with the history that led there; None: nothing."""
    outcome = run(scenario)
    return None if outcome.fault is None else "\n".join([*outcome.history, outcome.fault])


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_what_once_broke_a_promise_breaks_none_any_more(case: Path) -> None:
    assert told(Scenario.load(case)) is None


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 200, 10))
def test_ten_seeds_break_no_promise(first: int) -> None:
    for seed in range(first, first + 10):
        assert told(make(seed)) is None, f"tools/swarm --from {seed} --seeds 1 tells it in short"


@pytest.mark.slow
@pytest.mark.parametrize("bug", ["grant-unheard", "no-copies", "tell-first", "bytes-not-synced"])
def test_a_planted_bug_is_found_by_the_first_seed(bug: str) -> None:
    with planted(bug):
        assert told(make(0)) is not None
