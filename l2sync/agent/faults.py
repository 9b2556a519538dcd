"""What is wrong with a configuration, told so that an administrator knows what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: where, why, and what helps. ``key`` may be empty where the whole file is meant."""

    file: str
    key: str
    reason: str
    remedy: str

    def __str__(self) -> str:
        where = f"{self.file}: {self.key}" if self.key else self.file
        return f"{where}: {self.reason}; {self.remedy}"


class Unusable(Exception):
    """Something outside must be mended before the agent can run; all that was found at once."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(map(str, self.faults)))
