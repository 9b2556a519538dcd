"""Delta debugging (Zeller and Hildebrandt 2002): the same fault from fewer operations, hosts and troubles."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from .plan import Operation, Scenario

Fails = Callable[[Scenario], bool]


def shrink(scenario: Scenario, fails: Fails) -> Scenario:
    """A scenario that still fails and of which no single part can be left out; ``fails`` runs one."""
    before = None
    while before != scenario:
        before = scenario
        scenario = _fewer_operations(scenario, fails)
        for simpler in _simpler(scenario):
            if fails(simpler):
                scenario = simpler
                break
    return scenario


def _fewer_operations(scenario: Scenario, fails: Fails) -> Scenario:
    operations, size = list(scenario.operations), max(1, len(scenario.operations) // 2)
    while size:
        at = 0
        while at < len(operations):
            rest = operations[:at] + operations[at + size :]
            if fails(scenario.replace(operations=tuple(rest))):
                operations = rest
            else:
                at += size
        size //= 2
    return scenario.replace(operations=tuple(operations))


def _simpler(scenario: Scenario) -> Iterator[Scenario]:
    for host in reversed(range(scenario.hosts)):
        if scenario.hosts > 1:
            yield _without_host(scenario, host)
    if scenario.loss or scenario.duplication or scenario.jitter or scenario.rate:
        yield scenario.replace(loss=0.0, duplication=0.0, jitter=0, rate=0)
    for name in ("loss", "duplication", "jitter", "rate"):
        if getattr(scenario, name):
            yield scenario.replace(**{name: 0})
    for at, op in enumerate(scenario.operations):
        if op.size > 40 and op.do in ("save", "write", "append", "turn"):
            ops = list(scenario.operations)
            ops[at] = msgspec.structs.replace(op, size=10)
            yield scenario.replace(operations=tuple(ops))


def _without_host(scenario: Scenario, gone: int) -> Scenario:
    kept: list[Operation] = []
    for op in scenario.operations:
        hosts = tuple(h - (h > gone) for h in op.hosts if h != gone)
        if op.host == gone and op.do not in ("split", "deafen", "heal"):
            continue
        if op.hosts and not hosts:
            continue
        kept.append(msgspec.structs.replace(op, host=op.host - (op.host > gone) if op.host != gone else 0, hosts=hosts))
    return scenario.replace(hosts=scenario.hosts - 1, operations=tuple(kept))
