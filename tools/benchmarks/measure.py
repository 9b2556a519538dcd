"""What is measured: how much each scenario moves, under which conditions, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much each scenario moves."""

    big: int = 256 * MIB
    huge: int = 1024 * MIB
    files: int = 10_000
    folders: int = 800
    mean: int = 10_000
    edits: int = 100
    latencies: int = 50
    quick_latencies: int = 200
    idle_seconds: float = 20.0
    entries: int = 1_000_000
    nodes: int = 200

    def scaled(self, factor: float) -> Sizes:
        """The same, all counts and sizes times a factor."""
        return replace(
            self,
            big=max(1, round(self.big * factor)),
            huge=max(64 * 1024, round(self.huge * factor)),
            files=max(10, round(self.files * factor)),
            folders=max(5, round(self.folders * factor)),
            edits=max(1, round(self.edits * factor)),
            latencies=max(3, round(self.latencies * factor)),
            quick_latencies=max(3, round(self.quick_latencies * factor)),
            idle_seconds=max(2.0, self.idle_seconds * factor),
            entries=max(1000, round(self.entries * factor)),
            nodes=max(3, round(self.nodes * factor)),
        )


@dataclass(frozen=True, slots=True)
class Conditions:
    """The segment that a result was got on. rate: Mbit/s of each port, 0 for not shaped."""

    receivers: int = 8
    rate: float = 100.0
    mtu: int = 1500
    loss: float = 0.0


@dataclass(slots=True)
class Result:
    """One peer in one scenario, one run; `label` tells several measurements of one scenario apart."""

    scenario: str
    peer: str
    failure: str = ""
    began: float = 0.0
    """When the time began, by the monotonic clock."""
    seconds: float = 0.0
    payload: int = 0
    sender_bytes: int = 0
    segment_bytes: int = 0
    cpu: float = 0.0
    cpu_sender: float = 0.0
    cpu_worst_receiver: float = 0.0
    peak: int = 0
    differences: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    label: str = ""
    leniency: str = ""
    """What was not asked for when the trees were compared, since the peer does not claim to keep it."""
    conditions: Conditions = field(default_factory=Conditions)

    @property
    def title(self) -> str:
        """What was measured, in words."""
        return f"{self.scenario} ({self.label}), {self.peer}" if self.label else f"{self.scenario}, {self.peer}"

    @property
    def good(self) -> bool:
        """It did its work, and left equal trees."""
        return not self.failure and not self.differences

    @property
    def link_ratio(self) -> float | None:
        """How many times as long as the payload alone takes on the wire; None where that means nothing."""
        if not self.conditions.rate or not self.payload or self.failure or not self.seconds:
            return None
        return self.seconds / (self.payload * 8 / (self.conditions.rate * 1e6))
