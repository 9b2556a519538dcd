"""The desk for announcements: how our trees stand, told to all with the pings."""

from __future__ import annotations

from collections.abc import Callable

from l2sync.frames import TreeState

from .context import Context, TreeReadiness
from .tree import SharedTree

_DELAY = 25_000_000
"""ns, as long as acks are put off."""


class Announcing:
    """Has the trees' digests told when they may have changed. ``busy``: whether a batch of ours goes out in a tree."""

    def __init__(self, context: Context, busy: Callable[[SharedTree], bool]) -> None:
        self.ctx = context
        self._busy = busy
        self._changed = True
        self._at: int | None = None
        self._stands: list[tuple[str, int, int]] = []
        """How each tree stands, as it was last announced."""

    def changed(self) -> None:
        """Something was done that may have changed a digest, or how a tree stands."""
        self._changed = True

    def check(self, now: int) -> None:
        """Announce what may have changed: a digest takes a while to make and can wait, how a tree stands cannot."""
        if not self._changed and not any(shared.changed_at >= now for shared in self.ctx.trees.values()):
            return
        self._changed = False
        stands = [(shared.name, _readiness(shared), shared.replica) for shared in self.ctx.trees.values()]
        if stands != self._stands or not any(map(self._busy, self.ctx.trees.values())):
            self._stands = stands
            self._announce(now)
        elif self._at is None:
            self._at = now + _DELAY

    def handle_timer(self, now: int) -> None:
        """Announce what has waited."""
        if self._at is not None and self._at <= now:
            self._announce(now)

    def next_deadline(self) -> int | None:
        """When something has waited long enough."""
        return self._at

    def _announce(self, now: int) -> None:
        self._at = None
        states = [
            TreeState(shared.tag, shared.digest, shared.tree.alive, _readiness(shared), shared.replica)
            for shared in self.ctx.trees.values()
        ]
        self.ctx.cluster.announce(states, now)


def _readiness(shared: SharedTree) -> int:
    if shared.hold is not None:
        return TreeReadiness.HELD
    if shared.paused is not None:
        return TreeReadiness.PAUSED
    return TreeReadiness.READY if shared.scanned else TreeReadiness.SCANNING
