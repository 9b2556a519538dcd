"""How long deletions are remembered, and who was away for longer. The time of day is in seconds since 1970."""

from __future__ import annotations

from collections.abc import Iterable

from l2sync.frames import Verdict
from l2sync.modtree import ModTree, TreePath, ancestors

from .api import Forget, SetAside, Together
from .context import Context
from .probation import Probation
from .tree import SharedTree

DAY = 86_400
_EVERY = 3600
"""Seconds between two notes of being together."""
_SLACK = 3600
"""Seconds by which clocks may differ: of two nodes, the one whose clock is ahead forgets first, the other follows."""


class Remembering:
    """The desk that forgets old deletions, and notes when a tree was last the same as the others'."""

    def __init__(self, context: Context) -> None:
        self.ctx = context
        self.wall: int | None = None
        for shared in context.trees.values():
            if shared.setup.lost:
                self.lost(shared)

    def lost(self, shared: SharedTree) -> None:
        """What was known of the tree is lost: what is in it is new to this node."""
        if shared.probation is None:
            shared.probation = Probation("this node has lost its state", lost=True)
            self.ctx.notify("probation", "warning", tree=shared.name, reason=shared.probation.why)

    def tell_wall(self, wall: int) -> None:
        """The time of day, each minute or so."""
        self.wall = self.ctx.wall = wall
        for shared in self.ctx.trees.values():
            days = shared.setup.tombstone_days
            together = shared.together
            if shared.probation is None and together is not None and wall - together > days * DAY:
                gone = (wall - together) // DAY
                away = f"this node was away for {gone} days, and deletions are remembered for {days}"
                shared.probation = Probation(away, lost=False)
                self.ctx.notify("probation", "warning", tree=shared.name, reason=away)
            if shared.scanned and shared.paused is None and shared.probation is None and wall >= shared.forget_at:
                shared.forget_at = wall + DAY
                old = [path for path, at in shared.tree.tombstones() if self._is_old(at, days, 0)]
                self._forget(shared, old)

    def in_step(self, shared: SharedTree) -> None:
        """This tree is the same as on every other node that is ready."""
        if shared.probation is not None:
            shared.probation = None
            shared.together = None
            self.ctx.notify("probation_over", tree=shared.name, reason="nothing is here that the others lack")
            if self.wall is None:
                self.ctx.emit(Together(shared.name, None))
        if self.wall is not None and (shared.together is None or self.wall - shared.together >= _EVERY):
            shared.together = self.wall
            self.ctx.emit(Together(shared.name, self.wall))

    def offerable(self, shared: SharedTree, paths: Iterable[TreePath], lacking: set[TreePath]) -> list[TreePath]:
        """Which of the paths to offer, where a peer knows nothing of the ``lacking`` ones."""
        days = shared.setup.tombstone_days
        over, free = list[TreePath](), list[TreePath]()
        for path in paths:
            entry = shared.tree.get(path)
            old = path in lacking and entry is not None and self._is_old(entry.deleted_at, days, _SLACK)
            (over if old else free).append(path)
        self._forget(shared, over)
        if shared.probation is not None:
            return shared.probation.sift(shared.tree, free, lacking, shared.replica)
        return free

    def _is_old(self, at: int | None, days: int, slack: int) -> bool:
        return self.wall is not None and at is not None and at > 0 and self.wall - at > days * DAY - slack

    def _forget(self, shared: SharedTree, paths: list[TreePath]) -> None:
        if paths:
            for path in paths:
                shared.tree.remove(path)
                shared.dirty.pop(path, None)
            self.ctx.emit(Forget(shared.name, tuple(paths)))

    def decide(self, shared: SharedTree, verdict: Verdict, now: int) -> bool:
        """A user has decided what becomes of what only this node has; whether there was anything."""
        if shared.probation is None or not shared.probation.extras:
            return False
        if verdict is Verdict.RESTORE:
            gone = _removable(shared.tree, shared.probation.extras)
            shared.probation.extras.clear()
            for path in gone:
                shared.tree.remove(path)
                shared.dirty.pop(path, None)
            self.ctx.emit(SetAside(shared.name, tuple(gone)))
        else:
            extras = shared.probation.extras
            shared.probation, shared.together = None, self.wall
            self.ctx.emit(Together(shared.name, self.wall))
            shared.offer(sorted(extras), now)
        shared.changed_at = now
        return True


def _removable(tree: ModTree, extras: set[TreePath]) -> list[TreePath]:
    """The extras that still stand, without directories in which something else lives."""
    alive = [entry.path for entry in tree.entries() if not entry.deleted]
    needed = {above for path in alive if path not in extras for above in ancestors(path)}
    return [path for path in alive if path in extras and path not in needed]
