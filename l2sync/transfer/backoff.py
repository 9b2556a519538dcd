"""When a receiver reports: spaced and suppressed as RFC 5401 does for NACKs, so that many do not answer at once.

A receiver waits for a random time before it reports (section 3.2.1); what it hears meanwhile, a report of another that
covers its own or the repair itself, makes its own needless. Its sender gathers what comes (`broadcaster`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp, log
from random import Random

MS = 1_000_000
SMALL = 8
"""Up to so many receivers report each for itself: so few overwhelm nobody, and waiting would only cost time."""
_EVERY = 25 * MS
_CROWDED = 16
_K = 4
"""Greatest round trips over which reports are spread: the RFC's default."""
_LEAST_ROUND_TRIP = 5 * MS
"""A host that has to be woken takes its time, however near it is."""
_MOST_ROUND_TRIP = 500 * MS
MUST_REPORT = 500 * MS
"""After so long a silence a receiver reports where it is in any case: the sender's pace rests on it."""


def random_backoff(longest: int, group: int, rng: Random) -> int:
    """A time from 0 to ``longest`` (ns), late for most of a large group and early for few (RFC 5401, section 3.2.1)."""
    if longest <= 0 or group <= 1:
        return 0
    rise = log(group) + 1
    drawn = rng.uniform(0, rise / longest) + rise / (longest * (exp(rise) - 1))
    return min(max(0, int(longest / rise * log(drawn * (exp(rise) - 1) * longest / rise))), longest)


@dataclass(frozen=True, slots=True)
class Cadence:
    """How often, and how late, one of a group of receivers reports; ``round_trip``: the greatest known, in ns."""

    group: int = 1
    round_trip: int = 0
    rng: Random = field(default_factory=Random)

    @property
    def shared(self) -> bool:
        """Whether reports go to all, so that others can keep silent."""
        return self.group > SMALL

    @property
    def _trip(self) -> int:
        return min(max(self.round_trip, _LEAST_ROUND_TRIP), _MOST_ROUND_TRIP)

    @property
    def longest(self) -> int:
        """The longest that a report waits for others'."""
        return _K * self._trip if self.shared else 0

    @property
    def holdoff(self) -> int:
        """How long a receiver that kept silent waits for the repair."""
        return (_K + 2) * self._trip

    @property
    def every(self) -> int:
        """How long after data comes a report of progress is due at the latest, but for the back-off."""
        return _EVERY * max(self.group, _CROWDED) // _CROWDED

    def progress_wait(self) -> int:
        """From one report of progress to the next: nobody's covers another's, so that they are spaced, not put off."""
        if not self.shared:
            return _EVERY
        return self.every // 2 + self.rng.randrange(self.every // 2)

    def report_wait(self) -> int:
        """From data that comes to the report of what lacks."""
        return self.progress_wait() + self.want_wait()

    def want_wait(self) -> int:
        """How much longer to wait for what others asked for, before asking oneself."""
        return random_backoff(self.longest, self.group, self.rng)
