"""The desk for twins: two nodes that count their writes under one number, as a host and its copy do.

Two writes of one number would pass for one. So of the two, the node of the greater id keeps out of the tree, and
both name both, until one of them starts over with a state of its own.
"""

from __future__ import annotations

from l2sync.cluster import Peer
from l2sync.frames import TreeState

from .context import Context
from .tree import SharedTree


class Twins:
    """Notices twins by what pings tell."""

    def __init__(self, context: Context) -> None:
        self.ctx = context
        self._known: set[tuple[str, int]] = set()
        """Trees and sessions that were told of."""

    def pinged(self, peer: Peer) -> list[SharedTree]:
        """A peer has told under which numbers it writes; the trees that are free again."""
        freed = []
        for state in peer.trees:
            shared = self.ctx.by_tag.get(state.tree)
            if shared is None:
                continue
            if state.replica == shared.replica:
                self._notice(shared, peer, state)
            elif self.gone(shared, peer.session):
                freed.append(shared)
        return freed

    def _notice(self, shared: SharedTree, peer: Peer, state: TreeState) -> None:
        yields = self.ctx.cluster.id > peer.id
        copy, original = (self.ctx.name, peer.name) if yields else (peer.name, self.ctx.name)
        reason = (
            f"{self.ctx.name} and {peer.name} have one identity, as a host and its copy: {copy} keeps out of the tree; "
            f"delete the state directory on whichever is the copy of {original}, and restart its agent"
        )
        if yields:
            shared.twin = (peer.session, reason)
        if (shared.name, peer.session) not in self._known:
            self._known.add((shared.name, peer.session))
            self.ctx.counters["twins"] += 1
            self.ctx.notify("twin", "error", tree=shared.name, peer=peer.name, reason=reason)

    def gone(self, shared: SharedTree, session: int) -> bool:
        """A session is over, or writes under another number now; whether that frees the tree."""
        self._known.discard((shared.name, session))
        if shared.twin is None or shared.twin[0] != session:
            return False
        shared.twin = None
        return shared.paused is None
