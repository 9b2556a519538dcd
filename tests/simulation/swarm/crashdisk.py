"""A simulated disk that can be interrupted: a commit takes time, and a crash leaves part of it (ALICE, CrashMonkey).

As on the real disk, a commit is journaled, placed path by path, made durable, and only then written to the index.
A kill leaves what was placed; a loss of power also undoes any of what was placed and not yet made durable.
What users write counts as durable at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from l2sync.modtree import ROOT, Entry, Kind, Order, Target, TreePath, covers, parent
from l2sync.node.api import Commit, Committed, Persist, Prepare
from tests.simulation.disk import Node, SimDisk, chunks_of, look_of, pieces_of


@dataclass
class Placement:
    """One path that a commit has changed, with what stood there before."""

    path: TreePath
    before: Node | None
    after: Node | None


@dataclass
class Committing:
    """A commit on its way."""

    request: Commit
    have: dict[bytes, bytes]
    waiting: list[Target]
    ended: list[Entry] = field(default_factory=list)
    changed: list[TreePath] = field(default_factory=list)
    failed: dict[TreePath, str] = field(default_factory=dict)


@dataclass
class CrashDisk(SimDisk):
    """``journal``: entries of batches that have begun; ``volatile``: placements that a loss of power may undo."""

    journal: dict[tuple[int, int], dict[TreePath, Entry]] = field(default_factory=dict)
    volatile: list[Placement] = field(default_factory=list)
    committing: list[Committing] = field(default_factory=list)
    refusals: float = 0.0
    rng: Random = field(default_factory=lambda: Random(0))

    def handle(self, request: object) -> object | None:
        """As before, but for commits, which `begin` and `advance` carry out, and for a disk that refuses."""
        if isinstance(request, Prepare):
            self.journal[request.key] = {entry.path: entry for entry in request.entries}
            refused = {e.path: "no space left" for e in request.entries if self.rng.random() < self.refusals}
            answer = super().handle(request)
            answer.failed.update(refused)  # type: ignore[union-attr]
            return answer
        if isinstance(request, Persist):
            self.persist(request)
            return None
        return super().handle(request)

    def persist(self, request: Persist) -> None:
        """Durable at once: the index is written in one transaction."""
        super().handle(request)

    def begin(self, request: Commit) -> None:
        """Take a commit; `advance` does a step of it."""
        journal = self.journal.setdefault(request.key, {})
        journal.update((target.entry.path, target.entry) for target in request.targets)
        _, staged = self.staged.get(request.key, ([], {}))
        if request.last:
            self.staged.pop(request.key, None)
        have = dict(staged)
        for node in self.files.values():
            if node.kind is Kind.FILE:
                have.update((c.hash, p) for c, p in zip(chunks_of(node.data), pieces_of(node.data), strict=True))
        order = sorted(
            request.targets, key=lambda t: (t.entry.deleted, -len(t.entry.path) if t.entry.deleted else t.entry.path)
        )
        order.sort(key=lambda t: t.entry.deleted)
        self.committing.append(Committing(request, have, order))

    def advance(self) -> Committed | None:
        """One step: place the next path, or end the commit and return its event."""
        current = self.committing[0]
        if current.waiting:
            self._place(current, current.waiting.pop(0))
            return None
        self.make_durable()
        return self.record()

    def make_durable(self) -> None:
        """What was placed survives a loss of power from here on."""
        self.volatile.clear()

    def record(self) -> Committed:
        """Write the index; the batch ends."""
        done = self.committing.pop(0)
        self.index.update((entry.path, entry) for entry in done.ended)
        if done.request.last:
            self.journal.pop(done.request.key, None)
        return Committed(self.name, done.request.key, tuple(done.ended), tuple(done.changed), done.failed)

    def _place(self, current: Committing, target: Target) -> None:
        entry = target.entry
        known = self.index.get(entry.path)
        ahead = known is not None and known.version.compare(entry.version) in (Order.AFTER, Order.CONCURRENT)
        if known is not None and ahead and not known.same_state(entry):
            current.changed.append(entry.path)
            return
        if not self.may_replace(entry):
            current.changed.append(entry.path)
            return
        if self.rng.random() < self.refusals:
            current.failed[entry.path] = "input/output error"
            return
        if entry.path != ROOT and not entry.deleted:
            above = self.files.get(parent(entry.path))
            if above is None or above.kind is not Kind.DIR:
                current.failed[entry.path] = "no directory"
                return
        if entry.kind is not Kind.DIR and any(p != entry.path and covers(entry.path, p) for p in self.files):
            current.changed.append(entry.path)
            return
        if not entry.deleted and any(chunk.hash not in current.have for chunk in entry.chunk_list()):
            current.failed[entry.path] = "its content is not at hand"
            return
        before = self.files.get(entry.path)
        after = None if entry.deleted else self._made(entry, current.have)
        self.put(entry.path, after)
        self.volatile.append(Placement(entry.path, before, after))
        current.ended.append(entry)

    def may_replace(self, entry: Entry) -> bool:
        """Whether what stands there is what the index knows, or is there already."""
        there = self._observe(entry.path).look()
        return there in (look_of(self.index.get(entry.path)), look_of(entry))

    def _made(self, entry: Entry, have: dict[bytes, bytes]) -> Node:
        data = b"".join(have[chunk.hash] for chunk in entry.chunk_list())
        return Node(entry.kind, data, entry.mode, entry.mtime_ns, entry.target)

    def put(self, path: TreePath, node: Node | None) -> None:
        """Set what stands at a path."""
        if node is None:
            self.files.pop(path, None)
        else:
            self.files[path] = node

    def crash(self, power: bool) -> None:
        """The agent is gone, or the whole host; afterwards the journal is looked through, as at a start."""
        if power:
            self._lose_volatile()
        self.staged.clear()
        self.committing.clear()
        self.volatile.clear()

    def _lose_volatile(self) -> None:
        for placement in reversed(self.volatile):
            untouched = self.files.get(placement.path) is placement.after or (
                placement.after is None and placement.path not in self.files
            )
            if untouched and self._undoable(placement) and self.rng.random() < 0.5:
                self.put(placement.path, placement.before)

    def _undoable(self, placement: Placement) -> bool:
        """Directories hold what is in them, and a file comes back only where its directory is."""
        holds = any(p != placement.path and covers(placement.path, p) for p in self.files)
        if holds and (placement.before is None or placement.before.kind is not Kind.DIR):
            return False
        return placement.path == ROOT or self._stands(placement.path)

    def _stands(self, path: TreePath) -> bool:
        above = self.files.get(parent(path))
        return above is not None and above.kind is Kind.DIR

    def adopt(self) -> None:
        """What a journaled batch had brought to the disk is that batch's doing (l2sync.disk.recovery)."""
        for journal in self.journal.values():
            for entry in journal.values():
                before = self.index.get(entry.path)
                if before is not None and before.version.compare(entry.version) not in (
                    Order.BEFORE,
                    Order.CONCURRENT,
                ):
                    continue
                there = self._observe(entry.path)
                stands = before is not None and there.look() == look_of(before)
                gone = entry.deleted and before is not None and not before.deleted and there.deleted
                if gone or (not entry.deleted and not stands and there.look() == look_of(entry)):
                    self.index[entry.path] = entry
        self.journal.clear()
