"""What happens in one run: a list of steps drawn from a seed, so that it can be cut down and played again."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

MS = 1_000_000
SECOND = 1_000_000_000

_USER = ("write", "append", "truncate", "replace", "rename", "rename_dir", "delete", "delete_dir", "chmod", "retype")
_WEIGHTS = (30, 12, 5, 12, 10, 3, 10, 2, 8, 3)
_TROUBLE = (
    "crash", "power", "restart", "partition", "one_way", "heal", "loss", "calm", "stall", "refuse", "slow", "pause",
    "stale", "amnesia", "clock",
)  # fmt: skip
_TROUBLE_WEIGHTS = (6, 6, 12, 6, 4, 12, 6, 6, 5, 6, 4, 3, 1, 1, 3)


@dataclass(frozen=True)
class Step:
    """One thing that happens ``wait`` ns after the one before; ``draw`` seeds whatever it chooses by itself."""

    wait: int
    verb: str
    host: int
    draw: int

    def __str__(self) -> str:
        return f"+{self.wait / 1e6:.0f} ms web{self.host} {self.verb} ({self.draw:x})"


@dataclass(frozen=True)
class Scenario:
    """A run: how many hosts, and the steps; ``mild`` runs lose no state, so that stricter rules hold."""

    seed: int
    hosts: int
    steps: tuple[Step, ...]

    def only(self, kept: list[int]) -> Scenario:
        """The same with these steps alone (by number)."""
        return Scenario(self.seed, self.hosts, tuple(self.steps[number] for number in kept))


def draw_scenario(seed: int, hosts: int | None = None) -> Scenario:
    """Three hosts most of the time, up to thirty now and then; the more hosts, the fewer steps."""
    rng = Random(seed)
    count = hosts or rng.choices((3, 4, 5, 8, 30), (50, 25, 15, 9, 1))[0]
    length = rng.randrange(40, 200) if count < 6 else rng.randrange(20, 60)
    trouble = rng.choice((0.0, 0.08, 0.2, 0.4))
    pace = rng.choice((20, 100, 400)) * MS
    steps = []
    for _ in range(length):
        verbs, weights = (_TROUBLE, _TROUBLE_WEIGHTS) if rng.random() < trouble else (_USER, _WEIGHTS)
        wait = int(rng.expovariate(1 / pace))
        steps.append(Step(wait, rng.choices(verbs, weights)[0], rng.randrange(count), rng.getrandbits(32)))
    return Scenario(seed, count, tuple(steps))
