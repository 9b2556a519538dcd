"""The simulated index: transactions that are durable at once, and lazy ones that a power loss may take back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random

from l2sync.modtree import Entry, TreePath

Journal = list[tuple[str, Entry]]


@dataclass
class Index:
    """What SQLite holds: entries, the replica and its counter, the journal of incoming batches, what was left over."""

    replica: int
    counter: int = 0
    together: int | None = None
    lost: bool = False
    entries: dict[TreePath, Entry] = field(default_factory=dict)
    journal: Journal = field(default_factory=list)
    leftover: Journal = field(default_factory=list)
    _lazy: list[tuple[Journal, Journal]] = field(default_factory=list)
    """The states that a power loss may fall back to, the durable one first."""

    def get(self, path: TreePath) -> Entry | None:
        return self.entries.get(path)

    def alive(self, path: TreePath) -> Entry | None:
        """The entry, if something should stand there."""
        entry = self.entries.get(path)
        return None if entry is None or entry.deleted else entry

    def put(self, entries: Iterable[Entry], counter: int | None = None, batch: str | None = None) -> None:
        """Durable on return, and all before it with it."""
        self.entries.update((entry.path, entry) for entry in entries)
        if counter is not None and counter > self.counter:
            self.counter = counter
        if batch is not None:
            self.journal = [row for row in self.journal if row[0] != batch]
        self._lazy.clear()

    def remember(self, wall: int | None) -> None:
        """When the tree was last the same as the others' (s since 1970); its state is no longer lost."""
        self.together, self.lost = wall or self.together, False

    def forget(self, paths: Iterable[TreePath]) -> None:
        """Know nothing of these paths any more."""
        for path in paths:
            self.entries.pop(path, None)

    def renew(self, replica: int, counter: int) -> None:
        self.replica, self.counter = replica, counter
        self._lazy.clear()

    def lazily(self, journal: Journal | None = None, leftover: Journal | None = None) -> None:
        """Change the journal or the leftovers; may be lost with the power."""
        self._lazy.append((self.journal, self.leftover))
        self.journal = self.journal if journal is None else journal
        self.leftover = self.leftover if leftover is None else leftover

    def close_journal(self, batch: str | None) -> None:
        """Forget a batch (None: all)."""
        self.lazily(journal=[] if batch is None else [row for row in self.journal if row[0] != batch])

    def keep_journals(self, batch: str | None = None) -> None:
        """Its files stay: note what they were to become."""
        kept = [row for row in self.journal if batch is None or row[0] == batch]
        self.lazily(leftover=self.leftover + kept)

    def lose_power(self, rng: Random) -> None:
        """Fall back to any state since the last durable one."""
        states = [*self._lazy, (self.journal, self.leftover)]
        self.journal, self.leftover = states[rng.randrange(len(states))]
        self._lazy.clear()

    def copy(self) -> Index:
        """A backup."""
        return Index(
            self.replica,
            self.counter,
            self.together,
            self.lost,
            dict(self.entries),
            list(self.journal),
            list(self.leftover),
        )
