"""Version vectors (Parker et al. 1983), keyed by replica: who wrote how often."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto

MOST_DOTS = 255
"""Writers that a version remembers. Of more the lowest counters are forgotten: at worst, what they wrote is taken for
concurrent, and kept as a conflict copy."""
MOST_COUNT = (1 << 63) - 1
"""Writes of one replica: nobody gets there by writing."""


class Order(Enum):
    """How one version stands to another."""

    EQUAL = auto()
    BEFORE = auto()
    AFTER = auto()
    CONCURRENT = auto()


class VersionVector:
    """An immutable vector of dots ``(replica, counter)``, sorted by replica, counters above 0."""

    __slots__ = ("dots",)
    dots: tuple[tuple[int, int], ...]

    def __init__(self, dots: Iterable[tuple[int, int]] = ()) -> None:
        self.dots = tuple(sorted(dots))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VersionVector) and self.dots == other.dots

    def __hash__(self) -> int:
        return hash(self.dots)

    def __repr__(self) -> str:
        return "VersionVector(" + ", ".join(f"{r:x}:{c}" for r, c in self.dots) + ")"

    def counter(self, replica: int) -> int:
        """How many writes of a replica this version has seen."""
        for known, count in self.dots:
            if known == replica:
                return count
        return 0

    def covers(self, other: VersionVector) -> bool:
        """Whether this version has seen all that the other has."""
        if self.dots == other.dots:
            return True
        mine = dict(self.dots)
        return all(mine.get(replica, 0) >= count for replica, count in other.dots)

    def compare(self, other: VersionVector) -> Order:
        """Where this version stands: AFTER means that it has seen the other and more."""
        if self.dots == other.dots:
            return Order.EQUAL
        if self.covers(other):
            return Order.AFTER
        return Order.BEFORE if other.covers(self) else Order.CONCURRENT

    def join(self, other: VersionVector) -> VersionVector:
        """The least version that has seen both."""
        if self.dots == other.dots:
            return self
        joined = dict(self.dots)
        for replica, count in other.dots:
            if joined.get(replica, 0) < count:
                joined[replica] = count
        if len(joined) > MOST_DOTS:
            # The greatest of both: what is left out of a part is left out of the whole, so this stays a join.
            kept = sorted(joined.items(), key=lambda dot: (dot[1], dot[0]))[-MOST_DOTS:]
            return VersionVector(kept)
        return VersionVector(joined.items())

    def cut(self, replica: int, counter: int) -> VersionVector:
        """This version, having seen of one replica's writes those up to ``counter`` only."""
        cut = ((known, min(count, counter) if known == replica else count) for known, count in self.dots)
        return VersionVector((known, count) for known, count in cut if count)

    def advance(self, replica: int, counter: int) -> VersionVector:
        """This version and one more write."""
        return self.join(VersionVector(((replica, counter),)))
