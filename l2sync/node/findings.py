"""The desk for findings: what looks at the disk show different becomes versions of our own."""

from __future__ import annotations

from .api import LookOn, Observed, Persist
from .context import Context
from .holding import Holding
from .receiving import Receiving
from .tree import SharedTree

_VERSIONS_AT_ONCE = 1000


class Findings:
    """Takes looks at the disk; of long ones makes versions in portions, so that nothing else waits for all of them."""

    def __init__(self, context: Context, holding: Holding, receiving: Receiving) -> None:
        self.ctx = context
        self._holding = holding
        self._receiving = receiving

    def observed(self, shared: SharedTree, event: Observed, now: int) -> None:
        """A look, or a portion of one, has ended."""
        held = shared.hold is not None
        shared.found.extend(self._holding.admit(shared, event, now))
        shared.looked |= event.whole
        shared.more |= event.more
        shared.coming = event.more
        self.go_on(shared, now)
        healed = shared.troubles.cannot_read(event.unreadable, now)
        shared.offer([path for path in healed if path in shared.tree], now)
        if event.whole:
            shared.troubles.hurry(now)
        if held:
            self._receiving.resumed(shared, now)

    def go_on(self, shared: SharedTree, now: int) -> None:
        """Make versions of some of what was found; the rest follows at once, after whatever else is due."""
        some = [shared.found.popleft() for _ in range(min(len(shared.found), _VERSIONS_AT_ONCE))]
        if made := shared.observe(some, self.ctx.name, now, self.ctx.wall):
            self.ctx.emit(Persist(shared.name, tuple(made), shared.counter))
        if shared.looked and not shared.found:
            shared.scanned = True
        if shared.more and not shared.found:
            shared.more = False
            self.ctx.emit(LookOn(shared.name))
