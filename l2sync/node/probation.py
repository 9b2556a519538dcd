"""A tree that may hold what the others have deleted and forgotten: it takes part, but brings nothing back unasked.

So it is with a node that was away for longer than deletions are remembered, and with one that has lost its state. What
others have too is merged as ever. What only this node has, they may have deleted: it is kept here, told to nobody,
until a user says whether it is to be had again (approve) or set aside (restore).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from l2sync.modtree import ROOT, Entry, ModTree, Order, TreePath

_NAMED = 5


@dataclass(slots=True)
class Probation:
    """Why it is on probation, and what only this node has. ``lost``: its state, so that all its versions are new."""

    why: str
    lost: bool
    extras: set[TreePath] = field(default_factory=set)
    made: set[TreePath] = field(default_factory=set)
    """Conflict copies that were made since: nobody can have deleted them."""

    @property
    def reason(self) -> str | None:
        """What is asked, for people; None while there is nothing to ask."""
        if not self.extras:
            return None
        count = len(self.extras)
        told = ", ".join(path.decode("utf-8", "backslashreplace") for path in sorted(self.extras)[:_NAMED])
        more = f" and {count - _NAMED:,} more" if count > _NAMED else ""
        what = "1 entry here" if count == 1 else f"{count:,} entries here"
        return f"{self.why}; {what} may have been deleted elsewhere meanwhile: {told}{more}"

    def sift(self, tree: ModTree, paths: Iterable[TreePath], lacking: set[TreePath], replica: int) -> list[TreePath]:
        """Which of the paths may be offered; ``lacking``: those of which a peer knows nothing."""
        free = []
        for path in paths:
            entry = tree.get(path)
            if entry is None or entry.deleted or path == ROOT or path in self.made:
                free.append(path)
            elif path in lacking:
                self.extras.add(path)
            elif not (self.lost and _own_alone(entry, replica)):
                free.append(path)
        return free

    def beats(self, mine: Entry | None, theirs: Entry) -> bool:
        """Whether their deletion is not taken, since only a user can say if what is here is older or newer."""
        if not self.lost or mine is None or mine.deleted or not theirs.deleted:
            return False
        if mine.version.compare(theirs.version) is not Order.CONCURRENT:
            return False
        self.extras.add(mine.path)
        return True


def _own_alone(entry: Entry, replica: int) -> bool:
    """Whether it knows of no other's write: their version of the path has not been merged with it yet."""
    return len(entry.version.dots) == 1 and entry.version.dots[0][0] == replica
