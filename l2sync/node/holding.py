"""The desk for what is held back: changes that would take too much of a tree away wait until a user decides.

While one node holds, every node pauses the tree. Nothing of it is remembered across a start: the next scan finds the
same, and holds again.
"""

from __future__ import annotations

from collections.abc import Sequence

from l2sync.cluster import Peer
from l2sync.frames import Decision, Kind, TreeState, Verdict
from l2sync.modtree import Entry, Observation

from .api import Accept, Answer, DecideRequest, Observed, Persist, Rescan, TreePaused
from .brake import undone, unversioned
from .context import Context, TreeReadiness
from .remembering import Remembering
from .tree import Hold, SharedTree

_LOOK_AGAIN = 2_000_000_000
"""ns after the last change in a held tree, until all of it is looked at: perhaps nothing is missing any more."""
_QUIET = 1_000_000_000
"""ns without another deletion, after which one that looked large is judged."""
_LOOK_TAKES = 60_000_000_000
"""ns after which a look that gave no answer (the disk was paused meanwhile, say) is asked for again."""
_DONE = {Verdict.APPROVE: "approved", Verdict.RESTORE: "being restored"}


class Holding:
    """Holds back, tells the others, and does what is decided."""

    def __init__(self, context: Context, remembering: Remembering) -> None:
        self.ctx = context
        self.remembering = remembering

    # --- what scans find --------------------------------------------------------------------------

    def admit(self, shared: SharedTree, event: Observed, now: int) -> Sequence[Observation]:
        """What of a scan's findings may become versions now."""
        hold = shared.hold
        if hold is None:
            if shared.scanned and self._doubtful(shared, event, now):
                return ()
            shared.doubt = None
            loss = shared.brake.judge(shared.tree, event.observations, now)
            if loss is None:
                return event.observations
            self._hold(shared, Hold(str(loss), loss), now)
            return ()
        if not event.whole:
            hold.look_at = now + _LOOK_AGAIN
            return ()
        if hold.verdict is Verdict.APPROVE:
            self._release(shared, "approved")
            return event.observations
        if hold.verdict is Verdict.RESTORE:
            kept = self._undo(shared, event.observations, now)
            self._release(shared, "restoring")
            return kept
        loss = shared.brake.judge(shared.tree, event.observations, now)
        if loss is None:
            self._release(shared, "nothing is missing any more")
            return event.observations
        if str(loss) != hold.reason:
            self._hold(shared, Hold(str(loss), loss), now)
        return ()

    def _doubtful(self, shared: SharedTree, event: Observed, now: int) -> bool:
        """Whether these findings wait until nothing more is vanishing; then the whole tree is looked at."""
        if shared.doubt is not None:
            if not event.whole and any(one.deleted for one in event.observations):
                shared.doubt = now + _QUIET
            return not event.whole
        if not shared.brake.doubts(shared.tree, event.observations, now):
            return False
        shared.doubt = now + _QUIET
        return True

    def _undo(self, shared: SharedTree, seen: Sequence[Observation], now: int) -> list[Observation]:
        """Let what was lost count as nobody's: what the others have replaces it. Returns what is not lost but new."""
        kept, entries = [], list[Entry]()
        for one in seen:
            old = shared.tree.get(one.path)
            if old is not None and undone(one, old):
                entries.append(unversioned(one, old))
            else:
                kept.append(one)
        if entries:
            for entry in entries:
                shared.tree.put(entry)
            shared.changed_at = now
            self.ctx.emit(Persist(shared.name, tuple(entries), shared.counter))
        return kept

    def _hold(self, shared: SharedTree, hold: Hold, now: int) -> None:
        shared.hold = hold
        self.ctx.notify("tree_held", "error", tree=shared.name, reason=shared.paused)
        self._tell(shared, now, None)

    def _release(self, shared: SharedTree, how: str) -> None:
        shared.hold = None
        shared.brake.forget()
        self.ctx.notify("tree_released", tree=shared.name, reason=how)

    # --- what the disk says of itself -------------------------------------------------------------

    def disk_paused(self, shared: SharedTree, event: TreePaused, now: int) -> None:
        """The disk cannot be trusted, or asks for a decision itself."""
        if event.held and (shared.hold is None or shared.hold.reason != event.reason):
            self._hold(shared, Hold(event.reason), now)
        elif not event.held and self._waits_for_disk(shared):
            self._release(shared, "something else is the matter")
        if not event.held and shared.disk_pause != event.reason:
            self.ctx.notify("tree_paused", "error", tree=shared.name, reason=event.reason)
        shared.disk_pause = event.reason

    def disk_resumed(self, shared: SharedTree) -> None:
        """The disk is itself again; what was decided is done when it has been looked at."""
        if self._waits_for_disk(shared):
            self._release(shared, "it is itself again")
        elif shared.disk_pause is not None:
            self.ctx.notify("tree_resumed", tree=shared.name)
        shared.disk_pause = None

    def _waits_for_disk(self, shared: SharedTree) -> bool:
        return shared.hold is not None and shared.hold.loss is None and shared.hold.verdict is None

    # --- the others -------------------------------------------------------------------------------

    def pinged(self, peer: Peer) -> list[SharedTree]:
        """A peer has told its trees' states; the trees that are free again."""
        freed = []
        for state in peer.trees:
            shared = self.ctx.by_tag.get(state.tree)
            if shared is not None and self._told(shared, peer.session, peer.name, state):
                freed.append(shared)
        return freed

    def _told(self, shared: SharedTree, session: int, name: str, state: TreeState) -> bool:
        if state.state != TreeReadiness.HELD:
            return self.gone(shared, session)
        if session not in shared.elsewhere:
            shared.elsewhere[session] = name
            self.ctx.notify("tree_held", "warning", tree=shared.name, reason=shared.paused)
        return False

    def gone(self, shared: SharedTree, session: int) -> bool:
        """A session holds nothing back any more; whether the tree is free now that was not."""
        if shared.elsewhere.pop(session, None) is None:
            return False
        if shared.paused is None:
            self.ctx.notify("tree_released", tree=shared.name, reason="nobody holds it any more")
        return shared.paused is None

    def online(self, peer: int, now: int) -> None:
        """A newcomer is told what is held here."""
        for shared in self.ctx.trees.values():
            if shared.hold is not None:
                self._tell(shared, now, peer)

    def _tell(self, shared: SharedTree, now: int, peer: int | None) -> None:
        assert shared.hold is not None
        gone, of = (shared.hold.loss.gone, shared.hold.loss.of) if shared.hold.loss is not None else (0, 0)
        body = Decision(shared.tag, Verdict.ASKED, gone, of, shared.hold.reason).pack()
        self.ctx.cluster.send(Kind.DECISION, body, now, peer)

    def heard(self, peer: int, session: int, message: Decision, now: int) -> None:
        """A node says what it holds, or what a user has decided there."""
        shared = self.ctx.by_tag.get(message.tree)
        if shared is None:
            return
        if message.verdict is Verdict.ASKED:
            free = shared.paused is None
            shared.elsewhere[session] = f"{self.ctx.name_of(peer)}: {message.text}"
            if free:
                self.ctx.notify("tree_held", "warning", tree=shared.name, reason=shared.paused)
        elif self._decide(shared, message.verdict):
            how = _DONE[message.verdict]
            self.ctx.notify("decided", "warning", tree=shared.name, how=how, by=self.ctx.name_of(peer))

    # --- deciding ---------------------------------------------------------------------------------

    def submit(self, request: DecideRequest, now: int) -> None:
        """A user decides, for all nodes that hold back changes of this tree."""
        shared = self.ctx.trees.get(request.tree)
        if shared is None:
            self.ctx.emit(Answer(request.request, False, f"no tree is named {request.tree!r}"))
            return
        holders = [told.split(":")[0] for told in shared.elsewhere.values()]
        if shared.hold is not None:
            holders.insert(0, self.ctx.name)
        if self.remembering.decide(shared, request.verdict, now):
            holders.append(self.ctx.name)
        if not holders:
            self.ctx.emit(Answer(request.request, False, f"nothing of {shared.name} is held back: nothing to decide"))
            return
        if shared.elsewhere:
            body = Decision(shared.tag, request.verdict).pack()
            self.ctx.cluster.send(Kind.DECISION, body, now)
        if self._decide(shared, request.verdict):
            how = _DONE[request.verdict]
            self.ctx.notify("decided", "warning", tree=shared.name, how=how, by=self.ctx.name)
        text = f"{shared.name}: {_DONE[request.verdict]} on {', '.join(holders)}"
        self.ctx.emit(Answer(request.request, True, text))

    def _decide(self, shared: SharedTree, verdict: Verdict) -> bool:
        hold = shared.hold
        if hold is None:
            return False
        hold.verdict = verdict
        if shared.disk_pause is not None:
            self.ctx.emit(Accept(shared.name))
        else:
            self.ctx.emit(Rescan(shared.name, None))
        return True

    # --- time -------------------------------------------------------------------------------------

    def handle_timer(self, now: int) -> None:
        """Look again at what is held."""
        for shared in self.ctx.trees.values():
            hold = shared.hold
            if shared.doubt is not None and shared.doubt <= now:
                shared.doubt = now + _LOOK_TAKES
                self.ctx.emit(Rescan(shared.name, None))
            if hold is not None and hold.look_at is not None and hold.look_at <= now:
                hold.look_at = None
                self.ctx.emit(Rescan(shared.name, None))

    def next_deadline(self) -> int | None:
        """When."""
        times = [s.hold.look_at for s in self.ctx.trees.values() if s.hold is not None and s.hold.look_at is not None]
        times += [s.doubt for s in self.ctx.trees.values() if s.doubt is not None]
        return min(times, default=None)
