"""Running scenarios one after another; what fails is a result too, and ends nothing else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence

from benchmarks.measure import Result
from benchmarks.peers import PEERS, Peer, Unable
from benchmarks.scenarios import SCENARIOS, Scenario
from benchmarks.stage import Bench, Stage

_FAILURES = (Unable, TimeoutError, subprocess.SubprocessError)


def run(bench: Bench, peers: Sequence[str], scenarios: Sequence[str]) -> list[Result]:
    """Every scenario with every peer that knows it. Raises LabError where no lab can be had at all."""
    results = []
    for name in peers:
        for result in _run_peer(bench, PEERS[name], [SCENARIOS[scenario] for scenario in scenarios]):
            results.append(result)
            _tell(result)
    return results


def _run_peer(bench: Bench, kind: type[Peer], wanted: Sequence[Scenario]) -> Iterator[Result]:
    known = [scenario for scenario in wanted if scenario.name in kind.scenarios]
    if missing := kind.missing():
        packages = " ".join(sorted(set(missing.values())))
        for scenario in known:
            yield Result(scenario.name, kind.name, f"not installed: {packages}; tools/bench --install installs it")
        return
    done: set[str] = set()
    for scenario in known:
        if scenario.play is not None:
            yield from _guarded(scenario, kind, lambda s=scenario: s.play(bench, kind))
        elif scenario.group not in done:
            done.add(scenario.group)
            yield from _run_group(bench, kind, [one for one in known if one.group == scenario.group])


def _run_group(bench: Bench, kind: type[Peer], scenarios: Sequence[Scenario]) -> Iterator[Result]:
    """On one stage; after a failure the rest is not tried, since it builds on what came before."""
    done = 0
    try:
        with bench.stage(kind, bench.conditions(), eager=scenarios[0].eager) as stage:
            for scenario in scenarios:
                results = list(_guarded(scenario, kind, lambda s=scenario: _act(s, stage)))
                done += 1
                yield from results
                if any(result.failure for result in results):
                    break
    except _FAILURES as error:
        yield Result(scenarios[min(done, len(scenarios) - 1)].name, kind.name, _describe(error))
        done += 1
    for scenario in scenarios[done:]:
        yield Result(scenario.name, kind.name, "not tried after the failure before it")


def _act(scenario: Scenario, stage: Stage) -> Iterable[Result]:
    assert scenario.act is not None
    return scenario.act(stage)


def _guarded(scenario: Scenario, kind: type[Peer], play: Callable[[], Iterable[Result]]) -> Iterator[Result]:
    try:
        yield from play()
    except _FAILURES as error:
        yield Result(scenario.name, kind.name, _describe(error))


def _describe(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _tell(result: Result) -> None:
    outcome = result.failure or f"{result.seconds:.3f} s"
    if result.differences:
        outcome += f", but the trees differ: {result.differences[:3]}"
    name = f"{result.scenario} ({result.label})" if result.label else result.scenario
    print(f"{name}: {result.peer}: {outcome}", file=sys.stderr, flush=True)
