"""What a scenario is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Conditions, Result, Sizes
from benchmarks.peers import Peer
from benchmarks.stage import Bench, Stage


@dataclass(frozen=True, slots=True)
class Scenario:
    """Something that is done to every peer that can do it.

    group: scenarios of one group follow each other on one stage, each leaving the trees equal; `act` does one.
    play: for those that build stages of their own; gives their results one by one.
    space: bytes that the trees take at the most, for so many receivers.
    """

    name: str
    about: str
    space: Callable[[Sizes, int], int]
    group: str = ""
    act: Callable[[Stage], Iterable[Result]] | None = None
    play: Callable[[Bench, type[Peer]], Iterable[Result]] | None = None
    eager: bool = False

    def conditions(self, bench: Bench) -> Conditions:
        """Where `act` takes place."""
        return bench.conditions()


def move_into(prepared: Path, tree: Path) -> None:
    """The data turns up at once, as a whole, with its own times."""
    times = os.stat(prepared)
    for path in sorted(prepared.iterdir()):
        path.rename(tree / path.name)
    os.utime(tree, ns=(times.st_atime_ns, times.st_mtime_ns))
    prepared.rmdir()
