"""The command behind tools/swarm."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from .maker import make
from .plan import Scenario
from .plants import PLANTS, planted
from .run import Outcome, run
from .shrink import shrink

_ABOUT = (
    "Whole nodes on simulated disks and a simulated segment, troubled by all that can go wrong, from one seed each."
)


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools/swarm", description=_ABOUT)
    parser.add_argument("--seeds", type=int, default=100, metavar="N", help="how many seeds to run (100)")
    parser.add_argument("--from", type=int, default=0, dest="first", metavar="S", help="the first seed (0)")
    parser.add_argument("--nodes", type=int, metavar="N", help="exactly so many nodes in every run (3 to 30)")
    parser.add_argument("--minutes", type=float, metavar="M", help="stop after so many minutes")
    parser.add_argument("--jobs", type=int, default=1, metavar="J", help="processes to run them in (1)")
    parser.add_argument("--plant", choices=sorted(PLANTS), metavar="BUG", help="plant a bug, to see that it is found")
    parser.add_argument("--plants", action="store_true", help="tell of the bugs that can be planted")
    parser.add_argument(
        "--replay", type=Path, metavar="FILE", help="live through one written scenario, with its history"
    )
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first seed that fails")
    parser.add_argument("--no-shrink", action="store_true", help="leave a failing scenario as long as it is")
    arguments = parser.parse_args(given)
    if arguments.nodes is not None and not 1 <= arguments.nodes <= 30:
        parser.error(f"--nodes {arguments.nodes}: from 1 to 30")
    return arguments


def _one(seed: int, nodes: int | None, plant: str | None) -> Outcome:
    with ExitStack() as stack:
        if plant is not None:
            stack.enter_context(planted(plant))
        outcome = run(make(seed, nodes))
    if outcome.fault is None:
        outcome.history.clear()
    return outcome


def _outcomes(arguments: argparse.Namespace) -> Iterator[Outcome]:
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    if arguments.jobs <= 1:
        for seed in seeds:
            yield _one(seed, arguments.nodes, arguments.plant)
        return
    with ProcessPoolExecutor(arguments.jobs) as pool:
        waiting = [pool.submit(_one, seed, arguments.nodes, arguments.plant) for seed in seeds]
        try:
            for one in waiting:
                yield one.result()
        finally:
            for one in waiting:
                one.cancel()


def _show(outcome: Outcome) -> None:
    scenario = outcome.scenario
    print(
        f"{scenario.hosts} nodes, {len(scenario.operations)} operations, loss {scenario.loss:g}, "
        f"duplication {scenario.duplication:g}, jitter {scenario.jitter} µs"
    )
    for line in outcome.history:
        print("  " + line)
    print(outcome.fault or "all promises kept")


def _shrunk(outcome: Outcome) -> Outcome:
    promise = outcome.promise
    small = shrink(outcome.scenario, lambda scenario: run(scenario).promise == promise)
    return run(small)


def _explain(outcome: Outcome, arguments: argparse.Namespace) -> None:
    seed = outcome.scenario.seed
    print(f"\nseed {seed}: {outcome.fault}", flush=True)
    if not arguments.no_shrink:
        with ExitStack() as stack:
            if arguments.plant is not None:
                stack.enter_context(planted(arguments.plant))
            outcome = _shrunk(outcome)
    where = Path(tempfile.gettempdir()) / f"swarm-{seed}.json"
    outcome.scenario.save(where)
    _show(outcome)
    plant = f" --plant {arguments.plant}" if arguments.plant else ""
    print(f"again: tools/swarm --replay {where}{plant}", flush=True)


def _replay(arguments: argparse.Namespace) -> int:
    with ExitStack() as stack:
        if arguments.plant is not None:
            stack.enter_context(planted(arguments.plant))
        outcome = run(Scenario.load(arguments.replay))
    _show(outcome)
    return 0 if outcome.fault is None else 1


def main(given: Sequence[str] | None = None) -> int:
    """Returns 0 where every run kept every promise."""
    arguments = _arguments(given)
    if arguments.plants:
        for name, plant in sorted(PLANTS.items()):
            print(f"{name:24} {plant.about}")
        return 0
    if arguments.replay is not None:
        return _replay(arguments)
    began, bad, ran, nodes = time.monotonic(), Counter[str](), 0, 0
    for outcome in _outcomes(arguments):
        ran, nodes = ran + 1, nodes + outcome.scenario.hosts
        if outcome.fault is not None:
            bad[outcome.promise] += 1
            _explain(outcome, arguments)
            if not arguments.keep_going:
                break
        if arguments.minutes is not None and time.monotonic() - began > 60 * arguments.minutes:
            break
    took = time.monotonic() - began
    print(f"{ran} seeds from {arguments.first}, {nodes} nodes, {took:.0f} s: {sum(bad.values())} failed", end="")
    print(f" ({', '.join(f'{what} {count}' for what, count in bad.most_common())})" if bad else "")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
