"""Whose turn it is to be committed: one batch at a time in each tree, none before the directories that it lies in."""

from __future__ import annotations

from collections.abc import Mapping

from l2sync.modtree import ROOT, Entry, Kind, parent

from .api import BatchKey
from .incoming import Incoming
from .tree import SharedTree


class Turns:
    """Batches that can be committed, in the order in which they became so. ``batches``: all that are coming in."""

    def __init__(self, batches: Mapping[BatchKey, Incoming]) -> None:
        self._batches = batches
        self._queues: dict[str, list[BatchKey]] = {}

    def __len__(self) -> int:
        """How many wait, or are being committed."""
        return sum(map(len, self._queues.values()))

    def add(self, batch: Incoming) -> bool:
        """Whether it is new among those that wait."""
        queue = self._queues.setdefault(batch.shared.name, [])
        if batch.key in queue:
            return False
        queue.append(batch.key)
        return True

    def remove(self, tree: str, key: BatchKey) -> None:
        """It is committed, or will not be."""
        queue = self._queues.get(tree, [])
        if key in queue:
            queue.remove(key)

    def first(self, shared: SharedTree) -> Incoming | None:
        """The batch that is being committed, or the next that can be."""
        waiting = [self._batches[key] for key in self._queues.get(shared.name, []) if key in self._batches]
        under_way = next((batch for batch in waiting if batch.committing), None)
        return under_way or next((batch for batch in waiting if not self._lacks_directories(batch)), None)

    def _lacks_directories(self, batch: Incoming) -> bool:
        """Whether directories that this one needs are in an earlier batch of the same node, which is not there yet."""
        earlier = [
            other
            for other in self._batches.values()
            if other.shared is batch.shared and other.key[0] == batch.key[0] and other.number < batch.number
        ]
        if not earlier:
            return False
        above = {parent(entry.path) for entry in batch.relevant if entry.path != ROOT and not entry.deleted}
        lacking = {path for path in above if not _is_directory(batch.shared.tree.get(path))}
        return any(entry.path in lacking and not entry.deleted for other in earlier for entry in other.relevant)


def _is_directory(entry: Entry | None) -> bool:
    return entry is not None and entry.kind is Kind.DIR and not entry.deleted
