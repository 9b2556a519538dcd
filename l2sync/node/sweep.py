"""Own writes of which there are too many to name: they are found again in the tree, in its order."""

from __future__ import annotations

from dataclasses import dataclass

from l2sync.modtree import ROOT, ModTree, TreePath, paths_after, steps


@dataclass(slots=True)
class Sweep:
    """One way through a tree, from time to time. ``since``: this node's writes up to this one were told or named."""

    since: int = 0
    _at: TreePath | None = None
    """All up to here was found; None: it is not under way."""
    _again: bool = False

    def __bool__(self) -> bool:
        """Whether there is more to find."""
        return self._at is not None

    def miss(self, path: TreePath) -> None:
        """This was written, and is not named."""
        if self._at is None:
            self._at = ROOT
        elif steps(path) <= steps(self._at):
            self._again = True

    def more(self, tree: ModTree, replica: int, most: int) -> list[TreePath]:
        """What this replica has written since, of the next so many paths, directories before what is in them."""
        if self._at is None:
            return []
        paths = paths_after(tree, self._at, most)
        ended = len(paths) < most
        if self._at == ROOT:
            paths.insert(0, ROOT)
        self._at, self._again = ((ROOT if self._again else None), False) if ended else (paths[-1], self._again)
        return [
            path
            for path in paths
            if (entry := tree.get(path)) is not None and entry.version.counter(replica) > self.since
        ]

    def end(self, counter: int) -> None:
        """All writes up to this one were told, or nobody is there to be told."""
        self._at, self._again, self.since = None, False, counter
