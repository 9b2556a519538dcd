"""What this node has to say of one path: its version, and all that is under way or in the way."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import msgspec
from blake3 import blake3

from l2sync.frames import MOST_BELOW, MOST_NOTES, Below, Note, Remark, Standing
from l2sync.modtree import Entry, Kind, TreePath, VersionVector, covers, pack_entry

from .api import DiskLook, Explained
from .context import Context
from .offering import Offering
from .receiving import Receiving
from .tree import SharedTree
from .troubles import Told

_FEW = 4
_MOST_DOTS = 1000


def standing(entry: Entry) -> Standing:
    """An entry without its content."""
    bare = msgspec.structs.replace(entry, version=VersionVector(), author="", dot=(0, 0))
    seconds, fraction = divmod(entry.mtime_ns, 1_000_000_000)
    return Standing(
        entry.kind,
        entry.mode,
        entry.uid,
        entry.gid,
        entry.size,
        seconds,
        fraction,
        blake3(pack_entry(bare)).digest(length=16),
        entry.author,
        *entry.dot,
        entry.version.dots[:_MOST_DOTS],
    )


class Accountant:
    """Looks through the desks of one node."""

    def __init__(self, context: Context, offering: Offering, receiving: Receiving) -> None:
        self.ctx, self.offering, self.receiving = context, offering, receiving

    def remarks(self, shared: SharedTree, path: TreePath, seen: Explained, now: int) -> tuple[Remark, ...]:
        """What is to be said of the path, gravest first."""
        return tuple(islice(self._remarks(shared, path, seen, now), MOST_NOTES))

    def below(self, shared: SharedTree, path: TreePath) -> tuple[tuple[Below, ...], int]:
        """Paths in trouble below: some of them, and how many there are."""
        found = [told for told in shared.troubles.all() if told.path != path and covers(path, told.path)]
        some = tuple(Below(told.path, _about(told), told.trouble.reason) for told in found[:MOST_BELOW])
        return some, len(found)

    def _remarks(self, shared: SharedTree, path: TreePath, seen: Explained, now: int) -> Iterator[Remark]:
        if shared.paused is not None:
            yield Remark(Note.PAUSED, shared.paused)
        elif not shared.scanned:
            yield Remark(Note.SCANNING, "")
        for told in shared.troubles.of(path):
            yield Remark(_about(told), told.trouble.reason, _seconds(told.trouble.retry_at - now))
        yield from self._on_disk(shared, path, seen)
        yield from self._incoming(shared, path)
        yield from self._outgoing(shared, path)

    def _on_disk(self, shared: SharedTree, path: TreePath, seen: Explained) -> Iterator[Remark]:
        if seen.ignored is not None:
            yield Remark(Note.IGNORED, seen.ignored)
        elif seen.look is not None and seen.look.kind is None:
            yield Remark(Note.UNSUPPORTED, seen.look.what)
        elif seen.error is not None:
            yield Remark(Note.UNREADABLE, seen.error)
        elif shared.paused is None and _differs(shared.tree.get(path), seen.look):
            yield Remark(Note.CHANGED, "")

    def _incoming(self, shared: SharedTree, path: TreePath) -> Iterator[Remark]:
        for batch in self.receiving.batches.values():
            if batch.shared is not shared:
                continue
            mine = [entry for entry in batch.relevant or batch.entries if covers(path, entry.path)]
            if not mine:
                continue
            what = f"from {self.ctx.name_of(batch.peer)}" + _how_many(mine, path)
            if batch.staged:
                what += ", complete, waiting to be put in place with the others"
            elif batch.assembler is not None:
                what += f", {sum(b - a + 1 for a, b in batch.assembler.missing_ranges())} chunks to come in its batch"
            yield Remark(Note.RECEIVING, what)

    def _outgoing(self, shared: SharedTree, path: TreePath) -> Iterator[Remark]:
        waiting = sum(covers(path, one) for one in shared.dirty)
        if waiting:
            yield Remark(Note.PENDING, "to be told to the others" + (f" ({waiting} entries)" if waiting > 1 else ""))
        for batch in self.offering.batches.values():
            if batch.shared is not shared:
                continue
            mine = [entry for entry in batch.entries if covers(path, entry.path)]
            lacking = sorted(self.ctx.name_of(peer) for peer in batch.lacking())
            if mine and lacking:
                what = f"on its way to {_listed(lacking)}" + _how_many(mine, path)
                yield Remark(Note.PENDING, what + self._blocked(batch.number))

    def _blocked(self, number: int) -> str:
        locks = self.ctx.cluster.locks
        claim = locks.get(self.ctx.cluster.session, number)
        before = locks.earlier(claim) if claim is not None and not claim.granted else None
        return "" if before is None else f", waiting for a lock of {self.ctx.name_of(before.node)}"


def _about(told: Told) -> Note:
    return Note.FAILING if told.doing == "apply" else Note.UNREADABLE


def _seconds(wait: int) -> int:
    return max(0, round(wait / 1e9))


def _how_many(entries: list[Entry], path: TreePath) -> str:
    return "" if len(entries) == 1 and entries[0].path == path else f" ({len(entries)} entries)"


def _listed(names: list[str]) -> str:
    more = len(names) - _FEW
    return ", ".join(names[:_FEW]) + (f" and {more} more" if more > 0 else "")


def _differs(entry: Entry | None, look: DiskLook | None) -> bool:
    """Whether the disk shows, without reading content, that something has changed since it was looked at."""
    if entry is None or entry.deleted:
        return look is not None
    if look is None:
        return True
    same = (look.kind, look.mode, look.uid, look.gid) == (entry.kind, entry.mode, entry.uid, entry.gid)
    return not same or look.mtime_ns != entry.mtime_ns or (entry.kind is Kind.FILE and look.size != entry.size)
