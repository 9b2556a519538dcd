"""What is done to every tool, and what is looked at."""

from __future__ import annotations

from benchmarks.scenarios.base import Scenario
from benchmarks.scenarios.copies import BIG, EDITS, TREE
from benchmarks.scenarios.crowd import CROWD
from benchmarks.scenarios.huge import DELTA, RENAME
from benchmarks.scenarios.ideal import IDEAL
from benchmarks.scenarios.idle import IDLE, MILLION
from benchmarks.scenarios.latency import LATENCY, SETTLE0
from benchmarks.scenarios.limits import BARE, FAIR
from benchmarks.scenarios.replay import REPLAY
from benchmarks.scenarios.storm import STORM
from benchmarks.scenarios.sweeps import LOSS, RECEIVERS, SLOW

_ALL = (
    BIG,
    TREE,
    EDITS,
    LATENCY,
    IDLE,
    SETTLE0,
    DELTA,
    RENAME,
    SLOW,
    LOSS,
    RECEIVERS,
    BARE,
    FAIR,
    MILLION,
    CROWD,
    REPLAY,
    IDEAL,
    STORM,
)
SCENARIOS: dict[str, Scenario] = {scenario.name: scenario for scenario in _ALL}
"""By name, in the order in which they are run and shown."""
USUAL = ("big", "tree", "edits", "latency", "idle")
"""What is run when nothing is named."""

__all__ = ["SCENARIOS", "USUAL", "Scenario"]
