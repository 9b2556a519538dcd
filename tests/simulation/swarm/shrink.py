"""Cuts a failing run down to the steps that it takes to fail (delta debugging, Zeller and Hildebrandt 2002)."""

from __future__ import annotations

from .run import Outcome, run


def shrink(failed: Outcome, most_runs: int = 400) -> tuple[list[int], Outcome]:
    """The numbers of the steps that are left, and the run with these alone, which fails in the same way."""
    scenario, wanted = failed.scenario, _way(failed)
    kept, best, left = list(range(len(scenario.steps))), failed, most_runs
    size = max(1, len(kept) // 2)
    while left > 0:
        cut = False
        at = 0
        while at < len(kept) and left > 0:
            fewer = kept[:at] + kept[at + size :]
            outcome, left = run(scenario.only(fewer)), left - 1
            if outcome.faults and _way(outcome) == wanted:
                kept, best, cut = fewer, outcome, True
            else:
                at += size
        if size == 1 and not cut:
            break
        size = max(1, size // 2)
    return kept, best


def _way(outcome: Outcome) -> str:
    return outcome.faults[0].partition(":")[0]
