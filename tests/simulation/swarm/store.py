"""What stands between a node and its volume, step by step as l2sync.disk does it: each verb is a generator that yields
wherever time passes, so that a crash, or a user, can come between any two steps."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random
from typing import TypeAlias

from blake3 import blake3

from l2sync.modtree import ROOT, Chunk, Entry, Kind, Observation, Order, TreePath, covers, pack_chunks, parent
from l2sync.node import api

from .index import Index
from .volume import Inode, Volume

CHUNK = 1 << 14
MOST_LEFTOVERS = 8
FEW = 8
Steps: TypeAlias = Generator[None, None, object]


class Paused(Exception):
    """The tree cannot be used now."""


@lru_cache(4096)
def chunks_of(data: bytes) -> tuple[Chunk, ...]:
    return tuple(Chunk(blake3(piece).digest(), len(piece)) for piece in pieces_of(data))


@lru_cache(4096)
def packed_chunks(data: bytes) -> bytes:
    return pack_chunks(list(chunks_of(data)))


def pieces_of(data: bytes) -> list[bytes]:
    return [data[at : at + CHUNK] for at in range(0, len(data), CHUNK)]


NOTHING = Observation(path=ROOT, kind=Kind.TOMBSTONE).look()


def look_of(entry: Observation | None) -> tuple[object, ...]:
    """All that a user sees; nothing at all of what is deleted."""
    return NOTHING if entry is None or entry.deleted else entry.look()


@dataclass
class Staged:
    """A batch's files aside of the tree."""

    chunks: list[Chunk]
    entries: dict[TreePath, Entry]
    files: dict[TreePath, Inode] = field(default_factory=dict)
    wanted: dict[int, list[tuple[TreePath, int]]] = field(default_factory=dict)
    received: bool = False

    def write(self, number: int, data: bytes) -> None:
        for path, offset in self.wanted.pop(number, ()):
            inode = self.files[path]
            inode.change(data=inode.data[:offset] + data + inode.data[offset + len(data) :])

    def complete(self, path: TreePath) -> bool:
        return path in self.files and not any(path == p for places in self.wanted.values() for p, _ in places)

    def sync(self) -> None:
        for path, inode in self.files.items():
            if self.complete(path):
                inode.sync()


class Store:
    """One tree on one volume, with its index. ``full``, ``unreadable`` and ``refused`` are what the disk says no to."""

    def __init__(self, name: str, replica: int) -> None:
        self.name = name
        self.volume = Volume()
        self.index = Index(replica)
        self.wrote = (replica, 0)
        """What is noted beside the tree: the replica, and up to where it has counted."""
        self.staged: dict[api.BatchKey, Staged] = {}
        self.leftovers: dict[str, Staged] = {}
        self.full = False
        self.unreadable: dict[TreePath, str] = {}
        self.refused: dict[TreePath, str] = {}
        self.noted: list[Entry] = []
        """Entries that came to the index, for whoever keeps the history."""
        self.shown: list[tuple[TreePath, Inode]] = []
        """What was put under a user's name, likewise."""

    # --- looking ----------------------------------------------------------------------------------

    def observe(self, path: TreePath) -> Observation:
        inode = self.volume.live.get(path)
        if inode is None:
            return Observation(path=path, kind=Kind.TOMBSTONE)
        state = inode.state
        file = inode.kind is Kind.FILE
        return Observation(
            path=path,
            kind=inode.kind,
            mode=state.mode,
            mtime_ns=state.mtime_ns,
            size=len(state.data) if file else 0,
            target=inode.target,
            chunks=packed_chunks(state.data) if file else b"",
        )

    def differences(self, paths: Iterable[TreePath] | None) -> list[Observation]:
        """What is not as the index says, at, above and below these paths."""
        looked = set(self.volume.live) | set(self.index.entries)
        if paths is not None:
            near = set(paths) | {parent(path) for path in paths if path != ROOT}
            tops = [path for path in paths if path != ROOT]
            looked = {p for p in looked if p in near or any(covers(top, p) for top in tops)}
        found = []
        for path in sorted(looked):
            if any(covers(bad, path) for bad in self.unreadable):
                continue
            seen = self.observe(path)
            if seen.look() != look_of(self.index.get(path)) and not (seen.deleted and not self.index.alive(path)):
                found.append(seen)
        return found

    # --- verbs ------------------------------------------------------------------------------------

    def scan(self, paths: tuple[TreePath, ...] | None) -> Steps:
        if self.full and not self.volume.live:
            raise Paused("the root is gone")
        found = self.differences(paths)
        bad = dict(self.unreadable)
        yield
        self.make_durable(found)
        yield
        return api.Observed(self.name, tuple(found), paths is None, bad)

    def persist(self, entries: tuple[Entry, ...], counter: int) -> Steps:
        yield
        if self.full:
            raise Paused("no space for the index")
        self.put(entries, counter)
        return None

    def make_durable(self, found: list[Observation]) -> None:
        """What is told of must not come back otherwise after a power loss."""
        if len(found) > FEW:
            self.volume.sync_all()
            return
        for seen in found:
            above = seen.path
            if not seen.deleted and (inode := self.volume.live.get(seen.path)) is not None:
                inode.sync()
            while above != ROOT and not self.volume.is_dir(above := parent(above)):
                pass
            self.volume.sync_directory(above)

    def put(self, entries: Iterable[Entry], counter: int | None = None, batch: str | None = None) -> None:
        entries = list(entries)
        self.index.put(entries, counter, batch)
        if counter is not None:
            self.wrote = (self.index.replica, self.index.counter)
        self.noted += entries

    def prepare(self, key: api.BatchKey, entries: tuple[Entry, ...], chunks: list[Chunk]) -> Steps:
        self._end(key, keep=False)
        yield
        self._check_room()
        label = label_of(key)
        self.index.lazily(journal=self.index.journal + [(label, entry) for entry in entries])
        batch = self.staged[key] = Staged(chunks, {entry.path: entry for entry in entries})
        numbers = {chunk.hash: number for number, chunk in enumerate(chunks)}
        for entry in entries:
            if entry.kind is Kind.FILE and not self._stays(entry):
                batch.files[entry.path] = Inode(Kind.FILE, bytes(entry.size), entry.mode, entry.mtime_ns)
                offset = 0
                for chunk in entry.chunk_list():
                    batch.wanted.setdefault(numbers[chunk.hash], []).append((entry.path, offset))
                    offset += chunk.length
        yield
        self._fill_from_here(batch)
        yield
        if not batch.wanted:
            batch.sync()
        return api.Prepared(self.name, key, tuple(sorted(batch.wanted)), {})

    def _stays(self, entry: Entry) -> bool:
        before = self.index.alive(entry.path)
        return before is not None and before.same_content(entry)

    def _fill_from_here(self, batch: Staged) -> None:
        wanted = {batch.chunks[number].hash: number for number in batch.wanted}
        if not wanted:
            return
        for inode in self.volume.live.values():
            if inode.kind is Kind.FILE:
                for chunk, piece in zip(chunks_of(inode.data), pieces_of(inode.data), strict=True):
                    if chunk.hash in wanted:
                        batch.write(wanted[chunk.hash], piece)
        for left in self.leftovers.values():
            for path, entry in left.entries.items():
                if path in left.files:
                    self._use_leftover(batch, wanted, entry, left.files[path].data)

    def _use_leftover(self, batch: Staged, wanted: dict[bytes, int], entry: Entry, data: bytes) -> None:
        offset = 0
        for digest, length in entry.chunk_list():
            piece = data[offset : offset + length]
            offset += length
            if digest in wanted and self.is_chunk(piece, digest):
                batch.write(wanted[digest], piece)
                batch.received = True

    @staticmethod
    def is_chunk(piece: bytes, digest: bytes) -> bool:
        return blake3(piece).digest() == digest

    def store(self, key: api.BatchKey, chunks: tuple[tuple[int, bytes], ...]) -> Steps:
        yield
        self._check_room()
        batch = self.staged.get(key)
        if batch is not None:
            for number, data in chunks:
                batch.write(number, data)
                batch.received = True
            if not batch.wanted:
                yield
                batch.sync()
        return api.Stored(self.name, key, sum(len(data) for _, data in chunks))

    def discard(self, key: api.BatchKey) -> Steps:
        yield
        self._end(key, keep=key in self.staged and self.staged[key].received)
        return None

    def read_chunks(self, key: api.BatchKey, reads: tuple[api.ChunkRead, ...]) -> Steps:
        yield
        return api.ChunksRead(self.name, key, tuple((read.index, self._read(read)) for read in reads))

    def _read(self, read: api.ChunkRead) -> bytes | None:
        inode = self.volume.live.get(read.path)
        if inode is None or any(covers(bad, read.path) for bad in self.unreadable):
            return None
        data = inode.data[read.offset : read.offset + read.length]
        return data if blake3(data).digest() == read.digest else None

    def _check_room(self) -> None:
        if self.full:
            self.leftovers.clear()
            self.index.lazily(leftover=[])
            raise Paused("no space left on device")

    # --- the life of staged files -----------------------------------------------------------------

    def _end(self, key: api.BatchKey, keep: bool) -> None:
        batch = self.staged.pop(key, None)
        if batch is None:
            return
        if keep:
            self.index.keep_journals(label_of(key))
            self._keep(label_of(key), batch)
        self.index.close_journal(label_of(key))

    def _keep(self, label: str, batch: Staged) -> None:
        while label in self.leftovers:
            label += "~"
        batch.files = {p: inode for p, inode in batch.files.items() if not self._known(batch.entries[p])}
        if batch.files:
            self.leftovers[label] = batch
        while len(self.leftovers) > MOST_LEFTOVERS:
            del self.leftovers[next(iter(self.leftovers))]

    def _known(self, entry: Entry) -> bool:
        row = self.index.get(entry.path)
        return row is not None and row.version.covers(entry.version)

    def forget_leftovers(self, paths: Iterable[TreePath]) -> None:
        """These paths have come to a version."""
        gone = set(paths)
        for label, left in list(self.leftovers.items()):
            left.files = {path: inode for path, inode in left.files.items() if path not in gone}
            if not left.files:
                del self.leftovers[label]

    # --- crash and return -------------------------------------------------------------------------

    def lose_power(self, rng: Random) -> None:
        """What the disk holds afterwards."""
        self.volume.lose_power(rng)
        self.index.lose_power(rng)
        for batch in (*self.staged.values(), *self.leftovers.values()):
            for inode in batch.files.values():
                inode.tear(rng)

    def open(self, fresh: int) -> None:
        """The agent starts: notice an index that fell back, and see to what a crash cut short."""
        if self.fallen_back():
            self.renew(fresh, 0)
        self.index.keep_journals()
        self._adopt()
        known = {label for label, _ in self.index.leftover}
        for key, batch in self.staged.items():
            if label_of(key) in known:
                self._keep(label_of(key), batch)
        self.staged.clear()
        self.index.lazily(leftover=[row for row in self.index.leftover if row[0] in self.leftovers])

    def _adopt(self) -> None:
        adopted: dict[TreePath, Entry] = {}
        for _, entry in self.index.journal:
            before = self.index.get(entry.path)
            if before is not None and before.version.compare(entry.version) is not Order.BEFORE:
                continue
            seen = self.observe(entry.path)
            if seen.look() == look_of(entry) and seen.look() != look_of(before) and not (seen.deleted and not before):
                adopted[entry.path] = entry
        if adopted:
            self.volume.sync_all()
            self.put(adopted.values())
        self.index.close_journal(None)

    def fallen_back(self) -> bool:
        """Whether the index is from an earlier time than the tree."""
        replica, counter = self.wrote
        return replica != self.index.replica or counter > self.index.counter

    def renew(self, replica: int, counter: int) -> None:
        """Count under another number from now on."""
        self.index.renew(replica, counter)
        self.wrote = (replica, counter)

    def copy_index(self) -> Index:
        """A backup of the state directory."""
        return self.index.copy()


def label_of(key: api.BatchKey) -> str:
    return f"{key[0]:016x}-{key[1]}"
