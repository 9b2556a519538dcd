"""A run written down: how many hosts, what kind of segment, and every single thing that happens, so that it can be cut.

A scenario is plain data: it is made from a seed, kept as JSON, and replayed from there whatever the maker has become.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

MS = 1_000_000
SECOND = 1_000_000_000
EPOCH = 1_800_000_000 * SECOND
"""The time of day, in ns since 1970, when a run begins."""


class Operation(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that happens at a time (ms after the start) on a host. ``seed`` is for whatever it chooses itself."""

    at: int
    do: str
    host: int = 0
    path: str = ""
    to: str = ""
    size: int = 0
    seed: int = 0
    hosts: tuple[int, ...] = ()

    def __str__(self) -> str:
        given = [f"web{self.host}", self.path, f"to {self.to}" if self.to else ""]
        given += [str(self.size) if self.size else "", str(list(self.hosts)) if self.hosts else ""]
        return f"{self.at:7} ms  {self.do:12} " + " ".join(part for part in given if part)


class Scenario(msgspec.Struct, frozen=True, omit_defaults=True):
    """All of a run. Loss, duplication: probabilities; jitter, delay: µs; disk: µs of a step; rate: bit/s (0: any).

    ``brake``: percent of a tree that may vanish at once (100: all of it).
    """

    seed: int
    hosts: int
    operations: tuple[Operation, ...]
    loss: float = 0.0
    duplication: float = 0.0
    jitter: int = 0
    delay: int = 50
    rate: int = 0
    disk: int = 100
    brake: int = 100
    note: str = ""

    def replace(self, **changes: Any) -> Scenario:
        """The same with something else."""
        return msgspec.structs.replace(self, **changes)

    def save(self, path: Path) -> None:
        """Write it as JSON, an operation a line."""
        head = msgspec.to_builtins(self)
        rows = ",\n  ".join(msgspec.json.encode(one).decode() for one in head.pop("operations"))
        text = msgspec.json.encode(head).decode()[:-1]
        path.write_text(f'{text},\n "operations": [\n  {rows}\n]}}\n')

    @classmethod
    def load(cls, path: Path) -> Scenario:
        """Read it. Raises OSError, msgspec.DecodeError."""
        return msgspec.json.decode(path.read_bytes(), type=cls)
