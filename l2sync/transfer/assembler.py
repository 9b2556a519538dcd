"""A receiver's side of a batch's data: symbols in, chunks out that are what their hashes say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from blake3 import blake3

from l2sync.frames import Repair

from .backoff import MUST_REPORT, Cadence
from .chunks import ChunkTable, ranges_of
from .coding import BadGeneration, restore, unpack_records

MS = 1_000_000
_REPORT_AGAIN = 250 * MS
_REPORT_BYTES = 768 << 10
_MOST_OPEN = 128
_MOST_LACKS = 300
_ALL = 255
_NEVER = 1 << 63


class Run(NamedTuple):
    """Symbols of one generation that came one after the other, by number; frames, and the last one's serial."""

    generation: int
    k: int
    symbols: dict[int, bytes]
    frames: int
    last_serial: int


def single(serial: int, generation: int, k: int, symbol: int, payload: bytes) -> Run:
    """One symbol, and the serial of the frame that it came in."""
    return Run(generation, k, {symbol: payload}, 1, serial)


ALONE = Cadence()


def _join(parts: dict[int, bytes], length: int) -> bytes | None:
    """A chunk of its parts; None if a gap is left: a chunk that is sent once more may be cut at other places."""
    pieces, end = [], 0
    for offset in sorted(parts):
        part = parts[offset]
        if offset > end:
            return None
        pieces.append(part[end - offset :])
        end = max(end, offset + len(part))
    return b"".join(pieces) if end >= length else None


class Assembler:
    """Collects symbols of one batch; `feed` is the hot path."""

    def __init__(self, batch: int, table: ChunkTable, missing: Iterable[int], cadence: Cadence = ALONE) -> None:
        self.batch = batch
        self.cadence = cadence
        self._reported_at = 0
        self._silent_until = _NEVER
        self._unreported = 0
        self.suppressed = 0
        """Reports that another's made needless."""
        self._table = table
        self._missing = set(missing)
        self._lacking = self._bytes_missing()
        self._latest = cadence.every + cadence.longest
        self._open: dict[int, tuple[int, dict[int, bytes]]] = {}
        self._done: set[int] = set()
        self._floor = 0
        self._highest = -1
        self._parts: dict[int, tuple[int, dict[int, bytes]]] = {}
        self._last_serial = 0
        self._symbols = 0
        self._report_at: int | None = None
        self.last_data = 0
        self.refused = 0
        self.held = 0
        """Bytes of symbols and of parts of chunks that wait for the rest."""

    @property
    def complete(self) -> bool:
        """Whether every chunk is here."""
        return not self._missing

    def narrow(self, missing: Iterable[int]) -> None:
        """Only these chunks are needed, and those of them not that are here."""
        self._missing.intersection_update(missing)
        self._lacking = self._bytes_missing()

    @property
    def to_come(self) -> int:
        """Bytes that are still to come, about."""
        return max(0, self._lacking - self.held)

    def _bytes_missing(self) -> int:
        return sum(self._table.chunks[index].length for index in self._missing)

    def missing_ranges(self) -> list[tuple[int, int]]:
        """Chunks not here yet."""
        return ranges_of(sorted(self._missing))

    def feed(self, runs: Sequence[Run], now: int) -> list[tuple[int, bytes]]:
        """Take symbols; the chunks (index, bytes) that they complete, checked and still missing."""
        found: list[tuple[int, bytes]] = []
        if not runs:
            return found
        self.last_data = now
        for generation, k, came, frames, last_serial in runs:
            self._symbols += frames
            self._unreported += sum(map(len, came.values()))
            self._last_serial = max(self._last_serial, last_serial)
            symbols = self._opened(generation, k)
            if symbols is None:
                continue
            self.held += sum(len(payload) for number, payload in came.items() if number not in symbols)
            symbols.update(came)
            if len(symbols) >= k:
                found += self._finish(generation, k, symbols)
        self._plan_report(now)
        return found

    def _plan_report(self, now: int) -> None:
        shared = self.cadence.shared
        enough = now >= self._silent_until or (self._unreported >= _REPORT_BYTES and not shared)
        if enough and not (shared and self._lost):
            # The sender's window is a few times these bytes: a fast one would stand still until the time is up. And who
            # has not reported for long enough need not be woken again for it.
            self._report_at = now
        elif self._report_at is None or self._report_at > now + self._latest:
            self._report_at = now + self.cadence.report_wait()
            self._reported_at = self._reported_at or now

    @property
    def _lost(self) -> bool:
        """Whether something lacks of a generation that others have followed."""
        return self._floor < self._highest

    def for_all(self, now: int) -> bool:
        """Whether a report made now is one that others may cover: it tells of losses, not only of how far one is."""
        return self.cadence.shared and (self._lost or now > self.last_data)

    def _opened(self, generation: int, k: int) -> dict[int, bytes] | None:
        """The symbols so far of a generation; None if no more of it are wanted."""
        if generation > self._highest:
            if generation > self._floor + (1 << 16):
                return None
            self._highest = generation
            self._slide()
        if generation < self._floor or generation in self._done:
            return None
        opened = self._open.get(generation)
        if opened is None:
            opened = self._open[generation] = (k, {})
        elif opened[0] != k:
            self.refused += 1
            return None
        return opened[1]

    def _slide(self) -> None:
        """Let go of generations that the origin does not keep any more: their chunks are to be asked for."""
        floor = self._highest + 1 - _MOST_OPEN
        if floor > self._floor:
            for generation in [number for number in self._open if number < floor]:
                self.held -= sum(map(len, self._open.pop(generation)[1].values()))
            self._done = {number for number in self._done if number >= floor}
            self._floor = floor

    def _finish(self, generation: int, k: int, symbols: dict[int, bytes]) -> list[tuple[int, bytes]]:
        del self._open[generation]
        self.held -= sum(map(len, symbols.values()))
        try:
            chunks = [
                found
                for index, offset, data in unpack_records(restore(k, symbols))
                if (found := self._part(index, offset, data)) is not None
            ]
        except BadGeneration:
            self.refused += 1
            return []
        self._done.add(generation)
        while self._floor in self._done:
            self._done.discard(self._floor)
            self._floor += 1
        return chunks

    def _part(self, index: int, offset: int, data: bytes) -> tuple[int, bytes] | None:
        if index not in self._missing:
            return None
        wanted = self._table.chunks[index]
        if not data:
            return None
        if len(data) != wanted.length:
            have, parts = self._parts.get(index, (0, {}))
            more = len(data) - len(parts.get(offset, b""))
            parts[offset] = data
            have += more
            self.held += more
            if have < wanted.length:
                self._parts[index] = have, parts
                return None
            joined = _join(parts, wanted.length)
            if joined is None:
                self._parts[index] = have, parts
                return None
            self._parts.pop(index, None)
            self.held -= have
            data = joined
        if blake3(data).digest() != wanted.hash:
            self.refused += 1
            return None
        self._missing.discard(index)
        self._lacking -= wanted.length
        return index, data

    def report(self, now: int) -> Repair | None:
        """What to tell the origin, if a report is due."""
        if self._report_at is None or self._report_at > now:
            return None
        lacks = self._lacks()
        self._report_at = now + _REPORT_AGAIN + self.cadence.want_wait() if lacks else None
        self._reported_at = now
        self._silent_until = now + self.cadence.progress_wait()
        self._unreported = 0
        return Repair(self.batch, self._last_serial, self._symbols & 0xFFFFFFFF, tuple(lacks))

    def overhear(self, report: Repair, now: int) -> None:
        """Another receiver has told all what it lacks: keep silent if that covers what is lacking here (RFC 5401)."""
        if self._report_at is None or now - self._reported_at > MUST_REPORT:
            return
        told = dict(report.lacks)
        lacks = self._lacks()
        if lacks and all(told.get(generation, 0) >= count for generation, count in lacks):
            self._report_at = max(self._report_at, now + self.cadence.holdoff)
            self.suppressed += 1

    def _lacks(self) -> list[tuple[int, int]]:
        lacks = []
        for generation in range(self._floor, self._highest + 1):
            if generation in self._done:
                continue
            opened = self._open.get(generation)
            lacks.append((generation, opened[0] - len(opened[1]) if opened is not None else _ALL))
            if len(lacks) >= _MOST_LACKS:
                break
        return lacks

    def next_deadline(self) -> int | None:
        """When a report is due."""
        return self._report_at
