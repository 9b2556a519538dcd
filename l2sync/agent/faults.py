"""What is wrong with a configuration or a host, said so that it can be put right."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: where, what, and what to do; a fault that is not fatal lets the agent run."""

    file: str
    key: str
    reason: str
    remedy: str
    fatal: bool = True

    def __str__(self) -> str:
        where = f"{self.file}: {self.key}" if self.key else self.file
        return f"{where}: {self.reason}; {self.remedy}"


class ConfigError(Exception):
    """The agent cannot run like this; ``faults`` names all that was found, not only the first."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(map(str, self.faults)))
