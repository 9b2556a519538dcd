"""A file system in memory that says what a power loss leaves of it (ALICE, OSDI 2014; CrashMonkey, OSDI 2018).

What is seen and what is durable are two things. Changes of names wait in a log until a barrier; at a power loss any of
them may be missing that no surviving one builds upon, in any order. The bytes and attributes of a file that were not
synced may be the old ones, the new ones, or torn.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import NamedTuple

from l2sync.modtree import ROOT, Kind, TreePath, covers, parent


class State(NamedTuple):
    """What changes in an inode."""

    data: bytes
    mode: int
    mtime_ns: int


class Inode:
    """What a name stands for; ``synced`` is its state as it is surely on disk."""

    __slots__ = ("kind", "state", "synced", "target")

    def __init__(
        self, kind: Kind, data: bytes = b"", mode: int = 0o644, mtime_ns: int = 0, target: bytes = b""
    ) -> None:
        self.kind = kind
        self.state = State(data, mode, mtime_ns)
        # Only a file's bytes are written late: the rest of a new inode comes with its name.
        self.synced = self.state._replace(data=b"") if kind is Kind.FILE else self.state
        self.target = target

    @property
    def data(self) -> bytes:
        return self.state.data

    def change(self, **what: object) -> None:
        """Write in place."""
        self.state = self.state._replace(**what)  # type: ignore[arg-type]

    def sync(self) -> None:
        """Make it durable."""
        self.synced = self.state

    def tear(self, rng: Random) -> None:
        """What a power loss leaves of it."""
        old, new = self.synced, self.state
        if old == new:
            return
        data = new.data if old.data == new.data else rng.choice((old.data, new.data, _torn(old.data, new.data, rng)))
        self.state = State(data, rng.choice((old, new)).mode, rng.choice((old, new)).mtime_ns)
        self.synced = self.state


def _torn(old: bytes, new: bytes, rng: Random) -> bytes:
    cut = rng.randrange(len(new) + 1)
    filler = old[cut:] if rng.random() < 0.5 else bytes(len(new) - cut)
    return new[:cut] + filler[: len(new) - cut]


Change = tuple[TreePath, Inode | None]


class Volume:
    """Names and inodes. Parents come before children in what callers do; nothing here checks it."""

    def __init__(self) -> None:
        root = Inode(Kind.DIR, mode=0o755)
        self.live: dict[TreePath, Inode] = {ROOT: root}
        self.durable: dict[TreePath, Inode] = {ROOT: root}
        self._pending: list[tuple[Change, ...]] = []

    def set(self, *changes: Change) -> None:
        """One change of names, atomic as a rename is: each path stands for this inode now, or for nothing."""
        for path, inode in changes:
            if inode is None:
                self.live.pop(path, None)
            else:
                self.live[path] = inode
        self._pending.append(changes)

    def is_dir(self, path: TreePath) -> bool:
        """Whether a directory stands there."""
        inode = self.live.get(path)
        return inode is not None and inode.kind is Kind.DIR

    def below(self, path: TreePath) -> list[TreePath]:
        """All names strictly below a path, parents first."""
        return sorted(known for known in self.live if known != path and covers(path, known))

    # --- barriers ---------------------------------------------------------------------------------

    def sync_all(self) -> None:
        """As syncfs does."""
        self.durable = dict(self.live)
        self._pending.clear()
        for inode in self.live.values():
            inode.sync()

    def sync_directory(self, path: TreePath) -> None:
        """As fsync of a directory does: its names and its own attributes, and whatever these build upon."""
        wanted = [any(p != ROOT and parent(p) == path for p, _ in op) for op in self._pending]
        for later in range(len(self._pending) - 1, -1, -1):
            if wanted[later]:
                for earlier in range(later):
                    wanted[earlier] |= _builds_upon(self._pending[later], self._pending[earlier])
        for op, chosen in zip(self._pending, wanted, strict=True):
            if chosen:
                _apply(self.durable, op)
        self._pending = [op for op, chosen in zip(self._pending, wanted, strict=True) if not chosen]
        if (inode := self.live.get(path)) is not None:
            inode.sync()

    # --- power loss -------------------------------------------------------------------------------

    def lose_power(self, rng: Random) -> None:
        """What is left is what was durable, and any part of the rest."""
        ordered = rng.random() < 0.5  # as a journal keeps metadata, or in no order at all
        chance = rng.choice((0.1, 0.5, 0.9))
        lost: list[tuple[Change, ...]] = []
        for op in self._pending:
            gone = bool(ordered and lost) or rng.random() > chance or any(_builds_upon(op, before) for before in lost)
            if gone:
                lost.append(op)
            else:
                _apply(self.durable, op)
        self._pending.clear()
        self.live = dict(self.durable)
        for path in sorted(self.live):
            self.live[path].tear(rng)


def _apply(names: dict[TreePath, Inode], op: Iterable[Change]) -> None:
    for path, inode in op:
        if inode is None:
            names.pop(path, None)
        else:
            names[path] = inode


def _builds_upon(later: Iterable[Change], earlier: Iterable[Change]) -> bool:
    return any(covers(a, b) or covers(b, a) for a, _ in later for b, _ in earlier)
