"""The tree of small files on a bridge that throttles what goes to all, as the storm control of a switch does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.measure import Result
from benchmarks.peers import L2sync, Peer
from benchmarks.scenarios.base import Scenario
from benchmarks.scenarios.copies import copy_tree, space_of_tree
from benchmarks.stage import Bench, Stage

_LIMIT = 64
"""kbit/s, what some switches come with."""


class Multicasting(L2sync):
    """Agents that begin with the group's address."""

    destination = "multicast"


@dataclass(frozen=True, slots=True)
class _Weather:
    label: str
    kind: type[L2sync]
    broadcast: int | None = None
    multicast: int | None = None


_WEATHERS = (
    _Weather("multicast", Multicasting),
    _Weather("broadcast throttled", L2sync, broadcast=_LIMIT),
    _Weather("both throttled", L2sync, broadcast=_LIMIT, multicast=_LIMIT),
)


def _storm(bench: Bench, kind: type[Peer]) -> Iterator[Result]:
    """Plain multicast first, which the others are compared with."""
    calm: Result | None = None
    for weather in _WEATHERS:
        with bench.stage(weather.kind, bench.conditions()) as stage:
            stage.lab.throttle(weather.broadcast, weather.multicast)
            result = stage.result("storm", weather.label)
            copy_tree(stage, result)
            _ask(stage, result)
        calm = calm or result
        result.figures["of_multicast"] = calm.seconds / result.seconds
        yield result


def _ask(stage: Stage, result: Result) -> None:
    """By which way the sender goes in the end, for the log of what was measured."""
    assert isinstance(stage.peer, L2sync)
    segment = stage.peer.status(0).get("segment", {})
    result.label += f" ({segment.get('way')})"


STORM = Scenario("storm", "10,000 small files where broadcast is throttled to 64 kbit/s", space_of_tree, play=_storm)
