"""The swarm keeps all promises: in every case that ever broke one, and on some hundred seeds."""

from __future__ import annotations

from pathlib import Path

import pytest

from .swarm.plan import Scenario
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
