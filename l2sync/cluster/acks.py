"""Which serials arrived, how long a round trip takes, and who still owes an answer (RFC 6298, RFC 9002)."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .settings import MS, ClusterSettings

_MOST_RANGES = 64


class RangeSet:
    """Whole numbers as sorted, disjoint, inclusive ranges; the lowest ranges go first when they are too many."""

    __slots__ = ("ranges",)

    def __init__(self) -> None:
        self.ranges: list[tuple[int, int]] = []

    def add(self, number: int) -> None:
        """Add one number."""
        ranges = self.ranges
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], number)
            return
        at = len(ranges)
        while at and ranges[at - 1][0] > number:
            at -= 1
        if at and ranges[at - 1][1] >= number:
            return
        low = high = number
        if at < len(ranges) and ranges[at][0] == number + 1:
            high = ranges.pop(at)[1]
        if at and ranges[at - 1][1] == number - 1:
            at -= 1
            low = ranges.pop(at)[0]
        ranges.insert(at, (low, high))
        if len(ranges) > _MOST_RANGES:
            ranges.pop(0)

    def __contains__(self, number: int) -> bool:
        return any(low <= number <= high for low, high in self.ranges)

    def __iter__(self) -> Iterator[int]:
        for low, high in self.ranges:
            yield from range(low, high + 1)


class ReplayWindow:
    """Which serials of a session were seen: each is let through once, and none that is too old to tell."""

    __slots__ = ("_first", "_highest", "_words")
    # In words that are cleared as the window moves on, so that a frame costs no shift of it all (RFC 6479).
    _WORD = 8
    _BITS = (1 << _WORD) - 1
    WIDTH = 8192
    _WORDS = (WIDTH >> _WORD) + 1
    LEAP = 1 << 40
    """No sender comes this far between two frames that are heard of it."""

    def __init__(self, first: int = 0) -> None:
        """Let nothing through below ``first``: what was said before this session was placed may be a recording."""
        self._first = first
        self._highest = first - 1
        self._words = [0] * self._WORDS

    def leaps(self, serial: int) -> bool:
        """Whether the serial is further ahead than any sender comes."""
        return serial - self._highest >= self.LEAP

    def fresh(self, serial: int) -> bool:
        """Whether `admit` would let this serial through."""
        if serial > self._highest:
            return serial - self._highest < self.LEAP
        if serial < self._first or serial <= self._highest - self.WIDTH:
            return False
        return not self._words[(serial >> self._WORD) % self._WORDS] & 1 << (serial & self._BITS)

    def admit(self, serial: int) -> bool:
        """Whether this serial is new; it is not new any more afterwards."""
        word, top = serial >> self._WORD, self._highest >> self._WORD
        if serial > self._highest:
            if serial - self._highest >= self.LEAP:
                return False
            for passed in range(max(top + 1, word - self._WORDS + 1), word + 1):
                self._words[passed % self._WORDS] = 0
            self._highest = serial
        elif serial < self._first or serial <= self._highest - self.WIDTH:
            return False
        bit, at = 1 << (serial & self._BITS), word % self._WORDS
        if self._words[at] & bit:
            return False
        self._words[at] |= bit
        return True

    def admit_all(self, serials: list[int]) -> list[bool] | None:
        """As `admit` does for each; None if all are new. Those that count up, as of a stream, go in a few steps."""
        first, last = serials[0], serials[-1]
        begin, word = first >> self._WORD, last >> self._WORD
        streams = first > self._highest and last - self._highest < self.LEAP and word - begin < self._WORDS
        if not streams or serials != list(range(first, first + len(serials))):
            fresh = [self.admit(serial) for serial in serials]
            return None if all(fresh) else fresh
        self.admit(last)
        for at in range(begin, word + 1):
            low = max(first - (at << self._WORD), 0)
            high = min(last - (at << self._WORD), self._BITS)
            self._words[at % self._WORDS] |= (1 << high + 1) - (1 << low)
        return None


@dataclass(slots=True)
class RoundTrip:
    """Smoothed round trip to one peer and the time-out that follows from it, RFC 6298 section 2."""

    settings: ClusterSettings
    smoothed: int | None = None
    variation: int = 0

    def sample(self, measured: int) -> None:
        """Take a measured round trip (ns), the peer's own delay already taken off."""
        measured = max(measured, 1)
        if self.smoothed is None:
            self.smoothed, self.variation = measured, measured // 2
            return
        self.variation += (abs(self.smoothed - measured) - self.variation) // 4
        self.smoothed += (measured - self.smoothed) // 8

    @property
    def timeout(self) -> int:
        """After how many ns without an answer a message is sent again."""
        if self.smoothed is None:
            return self.settings.initial_rto
        rto = self.smoothed + max(4 * self.variation, MS) + self.settings.ack_delay
        return min(max(rto, self.settings.min_rto), self.settings.max_rto)


@dataclass(slots=True, eq=False)
class Parcel:
    """One fragment of a message on its way: what it says, and the sessions that have yet to answer it.

    ``owing`` is frozen when the parcel is first sent: who joins later owes nothing (see the transcript's ancestor).
    """

    message: int
    kind: int
    seq: int
    body: bytes
    to: int | None
    owing: set[int]
    first_sent: int = 0
    last_sent: int = 0
    tries: int = 0
    serials: list[int] = field(default_factory=list)


class AckTracker:
    """All parcels that somebody still owes an answer, by the serials they went out under."""

    def __init__(self) -> None:
        self.by_serial: dict[int, tuple[Parcel, int]] = {}
        self._timers: list[tuple[int, int, Parcel]] = []
        self._order = 0

    def sent(self, parcel: Parcel, serial: int, now: int, timeout: int) -> None:
        """A parcel went out under a serial; it is due again after the time-out, doubled for each try before."""
        if not parcel.tries:
            parcel.first_sent = now
        parcel.last_sent = now
        parcel.serials.append(serial)
        self.by_serial[serial] = (parcel, now)
        self._order += 1
        heapq.heappush(self._timers, (now + (timeout << min(parcel.tries, 6)), self._order, parcel))
        parcel.tries += 1

    def acked(self, session: int, ranges: Iterable[tuple[int, int]]) -> tuple[list[Parcel], int | None]:
        """A session answers for ranges of serials: the parcels it newly settled, and when the newest was sent."""
        settled: list[Parcel] = []
        newest: tuple[int, int] | None = None
        for low, high in ranges:
            if high - low < len(self.by_serial):
                hits = [s for s in range(low, high + 1) if s in self.by_serial]
            else:
                hits = [s for s in self.by_serial if low <= s <= high]
            for serial in hits:
                parcel, at = self.by_serial[serial]
                if session in parcel.owing:
                    parcel.owing.discard(session)
                    settled.append(parcel)
                    if newest is None or serial > newest[0]:
                        newest = (serial, at)
        for parcel in settled:
            self._forget_if_settled(parcel)
        return settled, newest[1] if newest else None

    def owes(self, session: int, seq: int) -> bool:
        """Whether a session has yet to answer a fragment of the stream to all, up to this place."""
        return any(p.to is None and p.seq <= seq and session in p.owing for p, _ in self.by_serial.values())

    def left(self, session: int) -> list[Parcel]:
        """A session is gone: what it owed is settled. Returns the parcels that now owe nothing."""
        touched = {id(p): p for p, _ in self.by_serial.values() if session in p.owing}
        for parcel in touched.values():
            parcel.owing.discard(session)
            self._forget_if_settled(parcel)
        return [parcel for parcel in touched.values() if not parcel.owing]

    def due(self, now: int) -> list[Parcel]:
        """Parcels whose time-out has passed; each must be sent again (or its debtor declared offline)."""
        found = []
        while self._timers and (self._timers[0][0] <= now or not self._timers[0][2].owing):
            parcel = heapq.heappop(self._timers)[2]
            if parcel.owing:
                found.append(parcel)
        return found

    def hurry(self, now: int) -> None:
        """What was sent by a way that did not work is due again at once, and owed from now on."""
        waiting = {id(parcel): parcel for parcel, _ in self.by_serial.values()}
        self._timers = []
        for parcel in waiting.values():
            parcel.first_sent, parcel.tries = now, 1
            self._order += 1
            self._timers.append((now, self._order, parcel))
        heapq.heapify(self._timers)

    def next_deadline(self) -> int | None:
        """When the next parcel is due."""
        while self._timers and not self._timers[0][2].owing:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def _forget_if_settled(self, parcel: Parcel) -> None:
        if not parcel.owing:
            for serial in parcel.serials:
                self.by_serial.pop(serial, None)
