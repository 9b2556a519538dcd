"""One big file under conditions that change: more receivers, a slow one, losses."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.measure import Result, Sizes
from benchmarks.peers import Peer
from benchmarks.scenarios.base import Scenario
from benchmarks.scenarios.copies import copy_big, space_of_big
from benchmarks.stage import Bench

_SLOWER = 10
_NARROW = 50.0
"""Mbit/s at which the numbers of receivers are compared, so that two processors can feed sixteen."""


def _receivers(bench: Bench, kind: type[Peer]) -> Iterator[Result]:
    first: Result | None = None
    for count in bench.counts:
        with bench.stage(kind, bench.conditions(receivers=count, rate=_NARROW)) as stage:
            result = stage.result("receivers", f"{count} receivers")
            copy_big(stage, result)
        first = first or result
        result.figures["growth"] = result.seconds / first.seconds
        yield result


def _loss(bench: Bench, kind: type[Peer]) -> Iterator[Result]:
    first: Result | None = None
    for loss in bench.losses:
        with bench.stage(kind, bench.conditions(loss=loss)) as stage:
            result = stage.result("loss", f"{loss * 100:g} % lost")
            copy_big(stage, result)
        first = first or result
        result.figures["time_ratio"] = result.seconds / first.seconds
        result.figures["bytes_ratio"] = result.sender_bytes / first.sender_bytes
        yield result


def _slow(bench: Bench, kind: type[Peer]) -> Iterator[Result]:
    """The last receiver's port is slower; the others' time is compared with their time when all are even."""
    before = 0.0
    conditions = bench.conditions()
    for label in ("all even", "one slow"):
        with bench.stage(kind, conditions) as stage:
            result, arrivals = stage.result("slow", label), dict[int, float]()
            slow = stage.peer.hosts[-1]
            if label == "one slow":
                stage.slow_down(slow, (conditions.rate or 1000.0) / _SLOWER)
            copy_big(stage, result, arrivals)
        others = max((seconds for number, seconds in arrivals.items() if number != slow.number), default=0.0)
        before = before or others
        result.figures |= {"others_s": others, "slow_s": arrivals.get(slow.number, 0.0)}
        result.figures["others_ratio"] = others / before if before else 0.0
        yield result


def _space_of_most(sizes: Sizes, receivers: int) -> int:
    return space_of_big(sizes, max(receivers, 16))


RECEIVERS = Scenario("receivers", "the big file to 1, 2, 4, 8 and 16 receivers", _space_of_most, play=_receivers)
LOSS = Scenario("loss", "the big file without loss, and with", space_of_big, play=_loss)
SLOW = Scenario("slow", "the big file with one receiver's port at a tenth of the rate", space_of_big, play=_slow)
