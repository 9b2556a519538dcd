"""A batch that another node offers: its entries as they arrive, its data as it is staged, and its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from l2sync.modtree import (
    ROOT,
    Chunk,
    Entry,
    Kind,
    MalformedEntry,
    TreePath,
    apply_patch,
    base_of,
    digest_of,
    is_patch,
    unpack_entry,
)
from l2sync.transfer import Assembler, Cadence, ChunkTable, Run, chunk_table

from .api import BatchKey
from .rounds import Rounds
from .tree import SharedTree

_MOST_EARLY = 512
FEW_ENTRIES = 64
"""So many are soon in place once their content is here."""
_MOST_ENTRIES = 1 << 20

_UNKNOWN = Entry(path=ROOT, kind=Kind.DIR)
"""Stands for an entry that could not be read."""


@dataclass(slots=True)
class Incoming:
    """One batch on its way in. ``relevant`` are the entries that say something new here."""

    key: BatchKey
    peer: int
    shared: SharedTree
    entries: list[Entry] = field(default_factory=list)
    relevant: tuple[Entry, ...] = ()
    table: ChunkTable | None = None
    assembler: Assembler | None = None
    early: list[Run] = field(default_factory=list)
    unstored: list[tuple[int, bytes]] = field(default_factory=list)
    """Chunks that are whole, and wait for some more to be given to the disk with them."""
    failed: dict[TreePath, str] = field(default_factory=dict)
    told: int = 0
    """Bytes of all entries, as they came."""
    complete_list: bool = False
    ready: bool = False
    """The disk has staged what it had, and said what it lacks."""
    little: bool = False
    """It is soon in place once its content is here: nobody has to wait for the disk to say what it lacks."""
    baseless: list[TreePath] = field(default_factory=list)
    """Whose entries were told as changes of what is not known here: the list cannot be read."""
    chunks: tuple[Chunk, ...] = ()
    handed: bool = False
    """The disk has been asked to stage it."""
    hand_at: int = 0
    """When the disk is asked at the latest; before, what is little has come complete, as a rule."""
    alive_at: int = 0
    """When to tell the origin that the disk is still at it."""
    staged: bool = False
    released: bool = False
    committing: bool = False
    rounds: Rounds | None = None
    asked: bool = False
    ask_at: int = 0
    patience: int = 0
    """How much longer than nothing comes to wait before asking: others may ask first."""
    wanted_at: int = 0
    want_again: int = 0

    @property
    def number(self) -> int:
        return self.key[1]

    @property
    def preparing(self) -> bool:
        """Whether the disk is at it: copying what it has of a large file takes minutes."""
        return self.handed and not self.ready and not self.staged

    def add(self, first: int, packed: tuple[bytes, ...], last: bool) -> bool:
        """Take one message's entries; True when the list is complete.

        Raises MalformedEntry when an entry, or the place it claims in the list, is wrong.
        """
        if self.complete_list or first != len(self.entries) or first + len(packed) > _MOST_ENTRIES:
            raise MalformedEntry("entries out of place in their batch")
        for told in packed:
            blob = told
            self.told += len(told)
            if is_patch(told):
                path, digest = base_of(told)
                base = self.shared.tree.get(path)
                if base is None or digest_of(base.chunks) != digest:
                    self.baseless.append(path)
                    self.entries.append(_UNKNOWN)
                    continue
                blob = apply_patch(told, base.chunks)
            entry, end = unpack_entry(blob)
            if end != len(blob):
                raise MalformedEntry("bytes after an entry")
            self.entries.append(entry)
        self.complete_list = last
        return last

    def tabulate(self, cadence: Cadence, little: int = 0) -> None:
        """Number the batch's chunks as its origin does; from now on its data is taken. ``little``: bytes."""
        self.patience = cadence.want_wait()
        table = self.table = chunk_table(self.entries)
        needed = {table.index[chunk.hash] for entry in self.relevant for chunk in entry.chunk_list()}
        size = sum(table.chunks[index].length for index in needed)
        self.little = len(self.relevant) <= FEW_ENTRIES and size <= little
        self.assembler = Assembler(self.number, table, needed, cadence)
        self.chunks = tuple(table.chunks)

    def prepared(self, missing: tuple[int, ...], failed: Mapping[TreePath, str]) -> None:
        """The disk has staged what it had; the rest must come from the segment, if it has not yet."""
        assert self.assembler is not None
        self.failed.update(failed)
        self.assembler.narrow(missing)
        self.ready = True

    def feed(self, runs: Sequence[Run], now: int) -> list[tuple[int, bytes]]:
        """Take symbols; the chunks that they complete. Those that come before all entries have wait, a few."""
        if self.assembler is not None:
            return self.assembler.feed(runs, now)
        waiting = sum(run.frames for run in self.early)
        for run in runs:
            waiting += run.frames
            if waiting <= _MOST_EARLY:
                self.early.append(run)
        return []

    def feed_early(self, now: int) -> list[tuple[int, bytes]]:
        """Take the symbols that waited."""
        assert self.assembler is not None
        early, self.early = self.early, []
        return self.assembler.feed(early, now)

    @property
    def held(self) -> int:
        """Bytes of memory that the batch takes, its entries apart."""
        waiting = sum(len(payload) for run in self.early for payload in run.symbols.values())
        return waiting + (self.assembler.held if self.assembler is not None else 0)

    @property
    def largest(self) -> int:
        """Bytes of its largest chunk, of which two may be under way at a time."""
        return max((chunk.length for chunk in self.table.chunks), default=0) if self.table is not None else 0

    @property
    def lacking(self) -> int:
        """Bytes of content still to come."""
        assert self.table is not None and self.assembler is not None
        ranges = self.assembler.missing_ranges()
        return sum(self.table.chunks[index].length for first, last in ranges for index in range(first, last + 1))

    @property
    def complete(self) -> bool:
        """Whether nothing more is needed from the segment. Of more than a little, only the disk knows."""
        return (self.ready or self.little) and self.assembler is not None and self.assembler.complete
