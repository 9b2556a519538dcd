"""A batch that this node offers: its entries, its data, and how far every receiver has got."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from heapq import nsmallest

from l2sync.frames import Stage
from l2sync.modtree import ROOT, SHORTEST_CHUNK, Entry, Kind, TreePath, is_zeros, pack_entry, parent
from l2sync.transfer import Broadcaster, ChunkTable

from .api import BatchKey, ChunkRead
from .tree import SharedTree

_PIECE_BYTES = 64 << 10
_PIECE_ENTRIES = 500
_MOST_LOCK_PATHS = 100


class Progress(Enum):
    """How far one receiver has got with one batch."""

    TOLD = auto()
    WANTING = auto()
    STAGED = auto()
    COMMITTED = auto()
    LATE = auto()


@dataclass(slots=True)
class Outgoing:
    """One offered batch. It ends when every receiver has committed, gone offline, or been given up as late."""

    key: BatchKey
    shared: SharedTree
    entries: tuple[Entry, ...]
    table: ChunkTable
    broadcaster: Broadcaster
    audience: dict[int, Progress]
    started: int
    heard: dict[int, int] = field(default_factory=dict)
    granted: bool = False
    released: bool = False
    released_at: int = 0
    pushed: bool = False

    @property
    def number(self) -> int:
        return self.key[1]

    def wants(self, peer: int, ranges: Iterable[tuple[int, int]], now: int) -> None:
        """A receiver says what it lacks; out-of-range indexes are cut off by the table's size."""
        last = len(self.table.chunks) - 1
        cut = [(first, min(end, last)) for first, end in ranges if first <= last]
        if self.audience.get(peer) in (Progress.TOLD, Progress.WANTING, None):
            self.audience[peer] = Progress.WANTING
        self.heard[peer] = now
        self.broadcaster.want(peer, cut, now)

    def reports(self, peer: int, now: int) -> None:
        """A receiver says how it gets on: it takes what others asked for, and need not ask."""
        self.heard[peer] = now
        if self.audience.get(peer) is Progress.TOLD:
            self.audience[peer] = Progress.WANTING

    def done(self, peer: int, stage: Stage, now: int) -> None:
        """A receiver has staged or committed the batch."""
        self.heard[peer] = now
        self.audience[peer] = Progress.COMMITTED if stage is Stage.COMMITTED else Progress.STAGED
        self.broadcaster.forget(peer)

    def drop(self, peer: int) -> None:
        """A receiver went offline: nothing is owed to it."""
        self.audience.pop(peer, None)
        self.heard.pop(peer, None)
        self.broadcaster.forget(peer)

    def leave_behind(self, peer: int) -> None:
        """A receiver is too slow: it may finish later, the others do not wait."""
        if self.audience.get(peer) in (Progress.TOLD, Progress.WANTING):
            self.audience[peer] = Progress.LATE
            self.broadcaster.set_aside(peer)

    def silent(self, now: int, timeout: int) -> list[int]:
        """Receivers that owe progress and have shown none for the time-out."""
        return [
            peer
            for peer, progress in self.audience.items()
            if progress in (Progress.TOLD, Progress.WANTING) and now - self.heard.get(peer, self.started) >= timeout
        ]

    def ready(self) -> bool:
        """Whether the batch may be committed: the lock is ours and nobody who is waited for is still at it."""
        waiting = (Progress.TOLD, Progress.WANTING)
        return self.granted and not self.released and not any(p in waiting for p in self.audience.values())

    def over(self, now: int, late_timeout: int) -> bool:
        """Whether nobody needs this batch any more."""
        if not self.released:
            return False
        if all(progress is Progress.COMMITTED for progress in self.audience.values()):
            return True
        last = max([self.released_at, *self.heard.values()])
        return now - last >= late_timeout

    def lacking(self) -> list[int]:
        """Receivers that have not committed."""
        return [peer for peer, progress in self.audience.items() if progress is not Progress.COMMITTED]

    def reads(self, limit: int) -> tuple[ChunkRead, ...]:
        """The next chunks to read from our own files, about ``limit`` bytes of them."""
        found = []
        for index in self.broadcaster.needed(limit):
            entry, offset = self.table.where(index)
            chunk = self.table.chunks[index]
            found.append(ChunkRead(index, self.entries[entry].path, offset, chunk.length, chunk.hash))
        return tuple(found)


def pieces(
    entries: Sequence[Entry], pack: Callable[[Entry], bytes] = pack_entry
) -> list[tuple[int, bool, tuple[bytes, ...]]]:
    """Cut a batch's entries into messages: (index of the first, whether these are the last, packed entries)."""
    cut: list[tuple[int, bool, tuple[bytes, ...]]] = []
    run: list[bytes] = []
    first = size = 0
    for index, entry in enumerate(entries):
        packed = pack(entry)
        if run and (size + len(packed) > _PIECE_BYTES or len(run) >= _PIECE_ENTRIES):
            cut.append((first, False, tuple(run)))
            run, first, size = [], index, 0
        run.append(packed)
        size += len(packed)
    cut.append((first, True, tuple(run)))
    return cut


def lock_paths(entries: Iterable[Entry]) -> list[bytes]:
    """What to lock for these entries: the paths, or where they are many, directories that cover them.

    A living directory among them is not locked for itself: that would lock all below it for a change of its
    times, and two versions of a directory merge without a loser. A batch of nothing else claims no path at all.
    """
    paths = {e.path for e in entries if e.deleted or e.kind is not Kind.DIR}
    while len(paths) > _MOST_LOCK_PATHS and paths != {ROOT}:
        deepest = max(path.count(b"/") for path in paths)
        paths = {parent(path) if path != ROOT and path.count(b"/") == deepest else path for path in paths}
    return sorted(paths)


def choose(shared: SharedTree, most_entries: int, most_bytes: int) -> tuple[list[Entry], bool]:
    """Take the next entries to offer out of ``shared.dirty``, and whether all of them are new changes of our own.

    Parents come first, so that receivers can make directories before what is in them. Files whose content cannot be
    read here are left out: they are offered when they have healed.
    """
    taken: list[Entry] = []
    size, fresh = 0, True
    for path in nsmallest(most_entries + 1, shared.dirty):
        if path not in shared.dirty:
            continue
        entry = shared.tree.get(path)
        if entry is not None and not (entry.chunks and path in shared.troubles.unreadable):
            before = shared.bases.came_from(entry)
            needed = entry.size if entry.kind is Kind.FILE and before is None else 0
            if taken and (len(taken) >= most_entries or size + needed > most_bytes):
                break
            taken.append(entry)
            size += needed
            fresh = fresh and shared.dirty[path]
            if before is not None and (gone := _deleted(shared, before)) is not None:
                # In one batch with its old place, what was moved lends its inode; else every receiver copies it.
                taken.append(gone)
                fresh = fresh and shared.dirty.pop(before)
        del shared.dirty[path]
    return taken, fresh


def _deleted(shared: SharedTree, path: TreePath) -> Entry | None:
    entry = shared.tree.get(path) if path in shared.dirty else None
    return entry if entry is not None and entry.deleted else None


def pushable(shared: SharedTree, table: ChunkTable, most: int) -> list[tuple[int, int]]:
    """Ranges of chunks worth sending before anyone asks: few, and not known to the receivers from before."""
    fresh = [i for i, chunk in enumerate(table.chunks) if chunk.hash not in shared.replaced]
    if not fresh or sum(table.chunks[i].length for i in fresh) > most:
        return []
    return [(i, i) for i in fresh if table.chunks[i].length < SHORTEST_CHUNK or not is_zeros(table.chunks[i])]
