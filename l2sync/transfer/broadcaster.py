"""The origin's side of a batch's data: each wanted chunk once for all, then what mends everybody's losses."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from l2sync.frames import Repair, pack_symbols

from .chunks import ChunkTable
from .coding import HEAD_SIZE, MOST_SOURCE, MOST_SYMBOLS, RECORD_SIZE, cut, pack_records, repair_symbols

MS = 1_000_000
_MOST_OPEN = 96
"""Generations from the oldest that somebody lacks to the newest; receivers keep what came of somewhat more."""
_MOST_CONTENT = 512 << 10
_GATHER = 4 * MS
_PROBE_FIRST = 40 * MS
_PROBE_MOST = 500 * MS


@dataclass(slots=True)
class Generation:
    """One run of symbols on its way; ``lacks``: what each receiver said it still needs of it."""

    number: int
    source: list[bytes]
    chunks: frozenset[int]
    next_symbol: int = 0
    last_serial: int = -1
    lacks: dict[int, int] = field(default_factory=dict)
    repair_at: int | None = None
    confirmed: set[int] = field(default_factory=set)

    @property
    def k(self) -> int:
        return len(self.source)

    @property
    def first_pass(self) -> bool:
        return self.next_symbol < self.k

    def symbols(self, count: int) -> list[tuple[int, bytes]]:
        """The next ``count`` symbols: the source first, then repair symbols, then round again."""
        numbers = [(self.next_symbol + i) % MOST_SYMBOLS for i in range(count)]
        self.next_symbol += count
        if numbers[-1] < self.k and numbers[0] <= numbers[-1]:
            return [(number, self.source[number]) for number in numbers]
        return list(zip(numbers, repair_symbols(self.source, numbers), strict=True))


class Broadcaster:
    """Sends a batch's chunks to whoever wants them. ``room``: most bytes of a symbol."""

    def __init__(self, batch: int, table: ChunkTable, room: int, compress: bool = True) -> None:
        self.batch, self.table, self.room = batch, table, room
        self._compress = compress
        self._wanted: OrderedDict[int, None] = OrderedDict()
        self._unasked: dict[int, None] = {}
        """Those of them that were not read yet, nor asked for."""
        self._asked: set[int] = set()
        self._asked_bytes = 0
        self._supplied: dict[int, bytes] = {}
        self._offset = 0
        self._open: OrderedDict[int, Generation] = OrderedDict()
        self._in_open: dict[int, int] = {}
        self._torn: set[int] = set()
        """Chunks of which a part is kept for repair, and another is not any more."""
        self._peers: set[int] = set()
        self._aside: dict[int, tuple[tuple[int, int], ...]] = {}
        """Receivers that are served when all others have everything, and what they asked for last."""
        self._gone: list[int] = []
        self._next_generation = 0
        self._last_sent = 0
        self._probe_after = _PROBE_FIRST
        self._current: Generation | None = None

    # --- what is wanted ---------------------------------------------------------------------------

    def want(self, peer: int, ranges: Iterable[tuple[int, int]], now: int) -> None:
        """A receiver lacks chunks; those on their way already are left to repair."""
        if peer in self._aside:
            self._aside[peer] = tuple(ranges)
            return
        self._peers.add(peer)
        before = len(self._wanted)
        for first, last in ranges:
            for index in range(first, min(last, len(self.table) - 1) + 1):
                if index not in self._in_open or index in self._torn:
                    self._add(index)
        # Who asks for what was sent has got nothing of it: one symbol more, and all can tell what they lack.
        self._probe_after = _PROBE_FIRST if self.unsent or len(self._wanted) > before else _GATHER

    def push(self, indexes: Iterable[int]) -> None:
        """Send chunks before anyone asks."""
        for index in indexes:
            self._add(index)

    def _add(self, index: int) -> None:
        if index not in self._wanted:
            self._wanted[index] = None
            self._unasked[index] = None

    def forget(self, peer: int) -> None:
        """A receiver needs nothing more, or is given up."""
        self._aside.pop(peer, None)
        self._no_more(peer)

    def set_aside(self, peer: int) -> None:
        """A receiver is too slow for the others: what it lacks is sent when they have all."""
        self._aside.setdefault(peer, ())
        self._no_more(peer)

    def _no_more(self, peer: int) -> None:
        self._peers.discard(peer)
        for generation in list(self._open.values()):
            generation.lacks.pop(peer, None)
            generation.confirmed.discard(peer)
            self._close_if_done(generation)
        if not self._peers:
            aside, self._aside = self._aside, {}
            for late, ranges in aside.items():
                self.want(late, ranges, 0)

    def needed(self, limit: int) -> list[int]:
        """Chunks to read next, each asked for once, so that about ``limit`` bytes are at hand or being read.

        None before an eighth of that has gone out: each reading wakes the disk's thread, and then ours. A quarter at
        the most: what comes first need not wait for the rest, nor other work for all of it.
        """
        found: list[int] = []
        size = 0
        if self._asked_bytes > limit - limit // 8:
            return found
        for index in self._unasked:
            if self._asked_bytes >= limit or size >= limit // 4:
                break
            self._asked.add(index)
            size += self.table.chunks[index].length
            self._asked_bytes += self.table.chunks[index].length
            found.append(index)
        for index in found:
            del self._unasked[index]
        return found

    def supply(self, index: int, data: bytes | None) -> None:
        """The bytes of a chunk asked for; None if its file no longer has them."""
        if index not in self._asked or index in self._supplied:
            return
        if data is None or len(data) != self.table.chunks[index].length:
            self._gone.append(index)
            self._drop(index)
        else:
            self._supplied[index] = data

    def gone(self) -> list[int]:
        """Chunks that could not be read."""
        return self._gone

    def _drop(self, index: int) -> None:
        self._wanted.pop(index, None)
        self._unasked.pop(index, None)
        self._supplied.pop(index, None)
        if index in self._asked:
            self._asked.discard(index)
            self._asked_bytes -= self.table.chunks[index].length

    # --- what is sent -----------------------------------------------------------------------------

    def next_frames(self, now: int, budget: int, first_serial: int, new_data: bool = True) -> list[bytes]:
        """Bodies of data frames for the next serials, up to about ``budget`` bytes: repairs first, then new chunks."""
        frames: list[bytes] = []
        for generation in list(self._open.values()):
            if budget <= 0:
                break
            if generation.repair_at is not None and generation.repair_at <= now:
                count = max(generation.lacks.values(), default=0)
                generation.lacks.clear()
                generation.repair_at = None
                if count:
                    budget -= self._emit(generation, count, frames, first_serial)
        while new_data and budget > 0:
            current = self._current or self._new_generation()
            if current is None:
                break
            self._current = current
            count = min(current.k - current.next_symbol, max(1, budget // len(current.source[0])))
            budget -= self._emit(current, count, frames, first_serial)
            if not current.first_pass:
                self._current = None
        if not frames and self._probe_due(now):
            generation = next(reversed(self._open.values()))
            self._probe_after = min(self._probe_after * 2, _PROBE_MOST)
            self._emit(generation, 1, frames, first_serial)
        if frames:
            self._last_sent = now
        return frames

    def _emit(self, generation: Generation, count: int, frames: list[bytes], first_serial: int) -> int:
        symbols = generation.symbols(count)
        frames += pack_symbols(self.batch, generation.number, generation.k, symbols)
        generation.last_serial = first_serial + len(frames) - 1
        generation.confirmed.clear()
        return sum(len(symbol) for _, symbol in symbols)

    def _new_generation(self) -> Generation | None:
        if self._full:
            return None
        room = min(MOST_SOURCE * self.room, _MOST_CONTENT) - HEAD_SIZE
        records: list[tuple[int, int, bytes]] = []
        finished: list[int] = []
        for index in self._wanted:
            data = self._supplied.get(index)
            if data is None or room <= RECORD_SIZE:
                break
            part = data[self._offset : self._offset + room - RECORD_SIZE]
            records.append((index, self._offset, part))
            room -= len(part) + RECORD_SIZE
            if self._offset + len(part) < len(data):
                self._offset += len(part)
                break
            self._offset = 0
            finished.append(index)
        if not records:
            return None
        for index in finished:
            self._drop(index)
        source = cut(pack_records(records, self._compress), self.room)
        generation = Generation(self._next_generation, source, frozenset(index for index, _, _ in records))
        self._next_generation += 1
        self._open[generation.number] = generation
        for index in generation.chunks:
            self._in_open[index] = self._in_open.get(index, 0) + 1
        return generation

    # --- what comes back --------------------------------------------------------------------------

    def repair(self, peer: int, report: Repair, now: int) -> None:
        """A receiver's report: what it lacks of generations whose every symbol it had the time to get."""
        if peer in self._aside:
            return
        self._peers.add(peer)
        lacks = dict(report.lacks)
        progress = False
        for generation in list(self._open.values()):
            if generation.first_pass or report.last_serial < generation.last_serial:
                continue
            lack = min(lacks.get(generation.number, 0), generation.k)
            if lack:
                generation.lacks[peer] = lack
                if generation.repair_at is None:
                    generation.repair_at = now + _GATHER
            else:
                generation.lacks.pop(peer, None)
                if peer not in generation.confirmed:
                    progress = True
                    generation.confirmed.add(peer)
                self._close_if_done(generation)
        if progress:
            self._probe_after = _PROBE_FIRST

    def _close_if_done(self, generation: Generation) -> None:
        # While nobody has asked yet (a push), the generation stays, lest the first to ask gets everything again.
        if generation.first_pass or not self._peers or not self._peers <= generation.confirmed:
            return
        if self._open.pop(generation.number, None) is None:
            return
        for index in generation.chunks:
            left = self._in_open.get(index, 1) - 1
            if left:
                self._in_open[index] = left
                self._torn.add(index)
            else:
                self._in_open.pop(index, None)
                self._torn.discard(index)

    @property
    def finished(self) -> bool:
        """Whether all that is wanted was sent, and everybody who is known has all of it."""
        return not self._wanted and not self._open

    @property
    def peers(self) -> frozenset[int]:
        """Receivers that are being served."""
        return frozenset(self._peers | self._aside.keys())

    @property
    def _full(self) -> bool:
        return bool(self._open) and self._next_generation - next(iter(self._open)) >= _MOST_OPEN

    def _probe_due(self, now: int) -> bool:
        return bool(self._open and self._peers and now - self._last_sent >= self._probe_after)

    @property
    def unsent(self) -> bool:
        """Whether chunks are wanted that have not gone out for the first time."""
        return bool(self._wanted or self._current is not None)

    def sendable(self) -> bool:
        """Whether new data waits only for the pacer."""
        if self._current is not None:
            return True
        if self._full or not self._wanted:
            return False
        return next(iter(self._wanted)) in self._supplied

    def next_deadline(self) -> int | None:
        """When a repair or a probe is due; new data is another matter (see `sendable`)."""
        due = min((g.repair_at for g in self._open.values() if g.repair_at is not None), default=None)
        if self._open and self._peers:
            probe = self._last_sent + self._probe_after
            due = probe if due is None else min(due, probe)
        return due
