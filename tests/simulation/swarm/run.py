"""One run: play the steps, heal everything, wait, and say what is not as it has to be."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.simulation.world import SECOND

from .actors import Actors
from .arena import Arena
from .judge import judge, watch
from .steps import Scenario

_QUIET = 120 * SECOND
_AT_LEAST = 8 * SECOND


@dataclass
class Outcome:
    """``faults``: what is wrong, in words; ``lines``: what happened, in order."""

    scenario: Scenario
    faults: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    simulated: int = 0


def run(scenario: Scenario) -> Outcome:
    """Play a scenario. An exception in the code under test is a fault like any other."""
    arena = Arena(scenario.hosts, scenario.seed)
    actors = Actors(arena)
    faults: list[str] = []
    try:
        arena.start()
        arena.run(5 * SECOND, arena.in_sync)
        for step in scenario.steps:
            arena.run(step.wait)
            actors.act(step)
            faults += watch(arena)
            if faults:
                break
        if not faults:
            faults = _settle(arena)
    except Exception as error:
        frames = []
        trace = error.__traceback__
        while trace is not None:
            frames.append(f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}")
            trace = trace.tb_next
        faults.append(f"{type(error).__name__}: {error} ({' '.join(frames[-6:])})")
    return Outcome(scenario, faults, arena.history.lines, arena.now)


def _settle(arena: Arena) -> list[str]:
    arena.calm()
    for host in arena.hosts:
        if arena.down(host):
            arena.revive(host)
    arena.run(_AT_LEAST)
    calm = 0
    while arena.now < _QUIET * 3 and calm < 3:
        arena.run(SECOND)
        calm = calm + 1 if arena.in_sync() else 0
    faults = watch(arena)
    if calm < 3:
        reasons = {h.name: h.node.status(arena.now).reasons for h in arena.hosts if h.node is not None}
        faults.append(f"not in sync after {_QUIET / 1e9:.0f} quiet seconds: {reasons}")
    return faults + judge(arena)
