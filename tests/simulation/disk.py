"""A disk in memory that answers a node's disk requests as the real one does."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from blake3 import blake3

from l2sync.modtree import (
    ROOT,
    Chunk,
    Entry,
    Kind,
    ModTree,
    Observation,
    Target,
    TreePath,
    ancestors,
    covers,
    pack_chunks,
    parent,
    tree_path,
)
from l2sync.node.api import (
    ChunkRead,
    ChunksRead,
    Commit,
    Committed,
    Discard,
    DiskLook,
    Explain,
    Explained,
    Forget,
    Observed,
    Persist,
    Prepare,
    Prepared,
    ReadChunks,
    RenewReplica,
    Rescan,
    SetAside,
    Store,
    Stored,
    Together,
    TreeSetup,
)

CHUNK = 1 << 16


@dataclass(frozen=True)
class Node:
    """What stands at a path: a file has bytes, a directory none."""

    kind: Kind
    data: bytes = b""
    mode: int = 0o644
    mtime_ns: int = 0
    target: bytes = b""
    xattrs: tuple[tuple[bytes, bytes], ...] = ()


@dataclass
class SimDisk:
    """One tree of one node: files, the index, the staging area."""

    name: str
    replica: int
    files: dict[TreePath, Node] = field(default_factory=lambda: {ROOT: Node(Kind.DIR, mode=0o755)})
    index: dict[TreePath, Entry] = field(default_factory=dict)
    counter: int = 0
    staged: dict[tuple[int, int], tuple[list[Chunk], dict[bytes, bytes]]] = field(default_factory=dict)
    paused: str | None = None
    cannot_apply: dict[TreePath, str] = field(default_factory=dict)
    """Paths at which nothing can be put in place, with the reason that the disk gives."""
    cannot_read: dict[TreePath, str] = field(default_factory=dict)
    """Files whose bytes cannot be read."""
    ignored: dict[TreePath, str] = field(default_factory=dict)
    """What a look says of patterns; nothing is left out for it."""
    together: int | None = None
    lost: bool = False
    tombstone_days: int = 90
    aside: dict[TreePath, Node] = field(default_factory=dict)
    mute: bool = False
    """Looks for people are never answered."""

    # --- the user's side --------------------------------------------------------------------------

    def write(self, path: bytes, data: bytes, mtime: int) -> TreePath:
        """Write a file; directories above it are made."""
        place = tree_path(path)
        for above in list(ancestors(place)):
            if self.files.get(above) is None or self.files[above].kind is not Kind.DIR:
                self.files[above] = Node(Kind.DIR, mode=0o755, mtime_ns=mtime)
        if place in self.files and self.files[place].kind is Kind.DIR:
            self.delete(path)
        self.files[place] = Node(Kind.FILE, data, mtime_ns=mtime)
        return place

    def mkdir(self, path: bytes, mtime: int) -> TreePath:
        """Make a directory."""
        place = tree_path(path)
        self.files.setdefault(place, Node(Kind.DIR, mode=0o755, mtime_ns=mtime))
        return place

    def chmod(self, path: bytes, mode: int) -> TreePath:
        """Change a mode."""
        place = tree_path(path)
        self.files[place] = replace(self.files[place], mode=mode)
        return place

    def delete(self, path: bytes) -> TreePath:
        """Remove a path and all below it."""
        place = tree_path(path)
        for known in [p for p in self.files if covers(place, p)]:
            del self.files[known]
        return place

    def rename(self, source: bytes, target: bytes) -> list[TreePath]:
        """Move a path and all below it; directories above the target are made."""
        old, new = tree_path(source), tree_path(target)
        for above in ancestors(new):
            self.files.setdefault(above, Node(Kind.DIR, mode=0o755))
        moved = {p: n for p, n in self.files.items() if covers(old, p)}
        for path in moved:
            del self.files[path]
        for path, node in moved.items():
            self.files[TreePath(new + path[len(old) :])] = node
        return [old, new]

    def tree(self) -> dict[bytes, tuple[object, ...]]:
        """All there is, to compare with other disks."""
        return {bytes(p): (n.kind, n.data, n.mode, n.mtime_ns, n.target, n.xattrs) for p, n in self.files.items()}

    # --- the node's side --------------------------------------------------------------------------

    def setup(self) -> TreeSetup:
        """What the node starts from."""
        return TreeSetup(
            self.name,
            "/" + self.name,
            self.replica,
            self.counter,
            ModTree(self.index.values()),
            tombstone_days=self.tombstone_days,
            together=self.together,
            lost=self.lost,
        )

    def lose_state(self, replica: int) -> None:
        """The index is gone; the tree's mark tells that there was one."""
        self.index, self.counter, self.replica, self.together, self.lost = {}, 0, replica, None, True

    def scan(self, paths: tuple[TreePath, ...] | None) -> Observed:
        """Whatever differs from the index, at and below the paths."""
        looked = sorted(set(self.files) | set(self.index))
        if paths is not None:
            looked = [p for p in looked if any(covers(path, p) for path in paths)]
        found = []
        for path in looked:
            if path in self.cannot_read:
                continue
            seen = self._observe(path)
            old = self.index.get(path)
            if old is None or old.deleted:
                if not seen.deleted:
                    found.append(seen)
            elif seen.look() != look_of(old):
                found.append(seen)
        return Observed(self.name, tuple(found), paths is None, dict(self.cannot_read))

    def _observe(self, path: TreePath) -> Observation:
        node = self.files.get(path)
        if node is None:
            return Observation(path=path, kind=Kind.TOMBSTONE)
        chunks = pack_chunks(chunks_of(node.data)) if node.kind is Kind.FILE else b""
        return Observation(
            path=path,
            kind=node.kind,
            mode=node.mode,
            mtime_ns=node.mtime_ns,
            size=len(node.data),
            target=node.target,
            xattrs=node.xattrs,
            chunks=chunks,
        )

    def handle(self, request: object) -> object | None:
        """Carry out one request; returns the event that answers it."""
        match request:
            case Persist(_, entries, counter):
                self.index.update((e.path, e) for e in entries)
                self.counter = max(self.counter, counter)
            case RenewReplica(_, replica, counter):
                self.replica, self.counter = replica, counter
            case Rescan(_, paths):
                return self.scan(paths)
            case Together(_, wall):
                self.together, self.lost = wall or self.together, False
            case Forget(_, paths):
                for path in paths:
                    self.index.pop(path, None)
            case SetAside(_, paths):
                for path in [p for p in self.files if any(covers(gone, p) for gone in paths)]:
                    self.aside[path] = self.files.pop(path)
                for path in paths:
                    self.index.pop(path, None)
                return self.scan(None)
            case Explain() if self.mute:
                return None
            case Explain(_, token, path):
                return Explained(self.name, token, self.ignored.get(path), self._look(path))
            case Prepare(_, key, entries, chunks):
                return self._prepare(key, entries, list(chunks))
            case Store(_, key, chunks):
                if key in self.staged:
                    table, have = self.staged[key]
                    for index, data in chunks:
                        assert blake3(data).digest() == table[index].hash
                        have[table[index].hash] = data
                return Stored(self.name, key, sum(len(d) for _, d in chunks))
            case Commit(_, key, targets, last):
                return self._commit(key, targets, last)
            case Discard(_, key):
                self.staged.pop(key, None)
            case ReadChunks(_, key, reads):
                return ChunksRead(self.name, key, tuple((r.index, self._read(r)) for r in reads))
        return None

    def _look(self, path: TreePath) -> DiskLook | None:
        node = self.files.get(path)
        if node is None:
            return None
        return DiskLook(node.kind, node.mode, 0, 0, len(node.data), node.mtime_ns)

    def _read(self, read: ChunkRead) -> bytes | None:
        if read.path in self.cannot_read:
            return None
        node = self.files.get(read.path)
        data = node.data[read.offset : read.offset + read.length] if node is not None else b""
        return data if blake3(data).digest() == read.digest else None

    def _prepare(self, key: tuple[int, int], entries: tuple[Entry, ...], chunks: list[Chunk]) -> Prepared:
        local = {
            chunk.hash: piece
            for node in self.files.values()
            if node.kind is Kind.FILE
            for chunk, piece in zip(chunks_of(node.data), pieces_of(node.data), strict=True)
        }
        needed = {chunk.hash for entry in entries for chunk in entry.chunk_list()}
        have = {h: local[h] for h in needed if h in local}
        self.staged[key] = (chunks, have)
        missing = tuple(i for i, c in enumerate(chunks) if c.hash in needed and c.hash not in have)
        return Prepared(self.name, key, missing, {})

    def _commit(self, key: tuple[int, int], targets: tuple[Target, ...], last: bool) -> Committed:
        _, have = self.staged.get(key, ([], {}))
        if last:
            self.staged.pop(key, None)
        for node in list(self.files.values()):
            if node.kind is Kind.FILE:
                have.update((c.hash, p) for c, p in zip(chunks_of(node.data), pieces_of(node.data), strict=True))
        applied, changed, failed = [], [], {}
        order = sorted(targets, key=lambda t: (t.entry.deleted, -len(t.entry.path) if t.entry.deleted else 0))
        for target in order:
            entry = target.entry
            if entry.path in self.cannot_apply:
                failed[entry.path] = self.cannot_apply[entry.path]
                continue
            known = self.index.get(entry.path)
            if known is not None and not known.deleted and known.same_state(entry):
                self.index[entry.path] = entry  # only the version is news: the user's change still tells
                applied.append(entry)
                continue
            there = self._observe(entry.path).look()
            if there not in (look_of(self.index.get(entry.path)), look_of(entry)):
                changed.append(entry.path)
                continue
            if entry.path != ROOT and not entry.deleted:
                above = self.files.get(parent(entry.path))
                if above is None or above.kind is not Kind.DIR:
                    failed[entry.path] = "no directory"
                    continue
            below = [p for p in self.files if p != entry.path and covers(entry.path, p)]
            if entry.kind is not Kind.DIR and below:
                changed.append(entry.path)
                continue
            if entry.deleted:
                self.files.pop(entry.path, None)
            else:
                data = b"".join(have[c.hash] for c in entry.chunk_list())
                self.files[entry.path] = Node(entry.kind, data, entry.mode, entry.mtime_ns, entry.target, entry.xattrs)
            self.index[entry.path] = entry
            applied.append(entry)
        return Committed(self.name, key, tuple(applied), tuple(changed), failed)


def look_of(entry: Entry | None) -> tuple[object, ...]:
    if entry is None or entry.deleted:
        return Observation(path=ROOT, kind=Kind.TOMBSTONE).look()
    return entry.look()


def pieces_of(data: bytes) -> list[bytes]:
    return [data[at : at + CHUNK] for at in range(0, len(data), CHUNK)]


def chunks_of(data: bytes) -> list[Chunk]:
    return [Chunk(blake3(piece).digest(), len(piece)) for piece in pieces_of(data)]
