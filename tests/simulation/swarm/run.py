"""Live through a scenario, heal all, wait until it is quiet, and judge."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field

from .judge import judge
from .ledger import Violation
from .plan import MS, SECOND, Scenario
from .users import Users
from .world import World

PATIENCE = 400 * SECOND
"""How long after the end of all trouble everybody may need to agree; retries wait up to 300 s."""
CLEANING = 36 * SECOND
"""By then every batch's time-out is over."""


@dataclass
class Outcome:
    """What came of a run; ``fault`` is None where all held, else what did not, its first word naming the promise."""

    scenario: Scenario
    fault: str | None = None
    history: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    lasted: int = 0

    @property
    def promise(self) -> str:
        """Which promise is broken, by name."""
        return (self.fault or "").partition(":")[0]


def run(scenario: Scenario) -> Outcome:
    """Never raises for a fault of the product."""
    world = World(scenario)
    users = Users(world)
    outcome = Outcome(scenario)
    try:
        _live(world, users)
    except Violation as violation:
        outcome.fault = str(violation)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        outcome.fault = f"crashed: {type(error).__name__}: {error} at {where.filename}:{where.lineno} {where.name}"
        outcome.history = traceback.format_exc().splitlines()
    outcome.history = world.ledger.lines + outcome.history
    outcome.counts, outcome.lasted = dict(world.ledger.counts), world.now
    return outcome


def _live(world: World, users: Users) -> None:
    start = world.now
    for op in world.scenario.operations:
        world.at(start + op.at * MS, lambda op=op: users.do(op))  # type: ignore[misc]
    last = max((op.at for op in world.scenario.operations), default=0)
    world.run((last + 300) * MS)
    users.make_peace()
    world.ledger.say("peace")
    for host in world.hosts:
        host.post(lambda host=host: host.store.scan(None), None)  # type: ignore[misc]
    world.run(SECOND)
    if not world.run(PATIENCE, world.in_sync):
        raise Violation("never: " + "; ".join(_reasons(world)))
    world.run(CLEANING)
    if not world.in_sync():
        raise Violation("not for long: " + "; ".join(_reasons(world)))
    judge(world)


def _reasons(world: World) -> list[str]:
    return [f"{h.name} says {', '.join(h.node.status(h.now).reasons) or 'nothing'}" for h in world.hosts if h.node]
