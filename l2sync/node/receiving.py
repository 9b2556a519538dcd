"""The desk for batches of other nodes: entries come in, chunks are staged, unlockall commits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from blake3 import blake3

from l2sync.frames import Done, Entries, Kind, Stage, Want
from l2sync.modtree import Entry, Order, TreePath, pack_entry
from l2sync.transfer import Run

from .api import BatchKey, Commit, Committed, Discard, Persist, Prepare, Prepared, RenewReplica, Rescan, Store, Stored
from .context import Context
from .incoming import Incoming
from .plan import is_news, make_plan
from .reception import Reception
from .rounds import Rounds
from .tree import SharedTree
from .turns import Turns

_MOST_BATCHES_PER_PEER = 64
_FAILED_TOLD = 50
_MOST_BACKLOG = 4
"""Times the backlog above which no progress is told: what still comes then is not taken."""
_STORED_AT_ONCE = 2 << 20
_NO_BASE = "it was told as a change of what is not known here, and will be told in full"
_COMPLETE = 3_000_000
"""ns within which a small batch whose data comes unasked is complete; if it is not, the disk is asked what it has."""
_ALIVE = 10_000_000_000
"""ns after which the origin hears of a batch that the disk is still at: longer than it waits for anyone before it
commits, shorter than it keeps what latecomers need."""


class Receiving:
    """All incoming batches of one node. One commit at a time per tree, planned against the tree as it then is."""

    def __init__(self, context: Context) -> None:
        self.ctx = context
        self.batches: dict[BatchKey, Incoming] = {}
        self.backlog = 0
        self._now = 0
        self.turns = Turns(self.batches)
        self.reception = Reception(context, self.batches)
        self._own: dict[BatchKey, set[TreePath]] = {}
        self._touched: dict[BatchKey, int] = {}

    def busy(self, shared: SharedTree) -> bool:
        """Whether a batch for this tree is on its way in."""
        return any(batch.shared is shared for batch in self.batches.values())

    def pending(self, shared: SharedTree) -> int:
        """Entries on their way in."""
        return sum(len(b.relevant or b.entries) for b in self.batches.values() if b.shared is shared)

    @property
    def to_come(self) -> int | None:
        """Bytes of content still to come of the batch that comes first, about; None where nobody knows."""
        for batch in self.batches.values():
            if not batch.staged:
                return None if batch.assembler is None else batch.assembler.to_come
        return 0

    # --- from the segment -------------------------------------------------------------------------

    def entries(self, peer: int, key: BatchKey, shared: SharedTree, message: Entries, now: int) -> None:
        """A run of a batch's entries. Raises MalformedEntry."""
        batch = self.batches.get(key)
        if batch is None:
            if message.first or sum(b.peer == peer for b in self.batches.values()) >= _MOST_BATCHES_PER_PEER:
                self.ctx.counters["batches_refused"] += 1
                return
            batch = self.batches[key] = Incoming(key, peer, shared)
        self._touched[key] = now
        whole = batch.add(message.first, message.entries, message.last)
        if sum(b.told for b in self.batches.values() if b.key[0] == key[0]) > self.ctx.settings.most_told:
            self.ctx.cluster.accuse(key[0], "too many entries")
            self._drop(batch)
        elif whole:
            self._begin(batch, now)

    def _begin(self, batch: Incoming, now: int) -> None:
        shared = batch.shared
        if batch.baseless:
            # The comparison of trees brings it, told in full.
            self.ctx.counters["batches_without_base"] += 1
            batch.tabulate(self.reception.cadence(batch))
            batch.prepared((), dict.fromkeys(batch.baseless, _NO_BASE))
            return self._staged(batch, now)
        known = shared.twin is not None or self._check_rollback(shared, batch.entries, now)
        if known and shared.paused is None and shared.scanned:
            batch.relevant = tuple(
                entry
                for entry in batch.entries
                if self._news(shared, entry) and not self._held_back(shared, entry, now)
            )
        batch.tabulate(self.reception.cadence(batch), self.ctx.settings.push_bytes)
        if batch.relevant:
            batch.hand_at = now + _COMPLETE
            if not batch.little:
                self._hand(batch)
            # The disk may be at the batch before for long: what comes meanwhile is kept for it.
            self._store(batch, batch.feed_early(now), now)
        else:
            batch.prepared((), {})
            self._staged(batch, now)
        return None

    def _news(self, shared: SharedTree, entry: Entry) -> bool:
        mine = shared.tree.get(entry.path)
        if not is_news(mine, entry):
            return False
        return shared.probation is None or not shared.probation.beats(mine, entry)

    def _held_back(self, shared: SharedTree, entry: Entry, now: int) -> bool:
        troubles = shared.troubles
        return entry.path in troubles.failing and troubles.held_back(entry.path, version_digest(entry), now)

    def data(self, key: BatchKey, runs: Sequence[Run], now: int) -> None:
        """Symbols of a batch; those of unknown batches are ignored."""
        batch = self.batches.get(key)
        if batch is None or batch.committing or self.backlog > _MOST_BACKLOG * self.ctx.settings.store_backlog:
            return
        chunks = batch.feed(runs, now)
        if chunks:
            self._touched[key] = now
            self._store(batch, chunks, now)

    def _store(self, batch: Incoming, chunks: list[tuple[int, bytes]], now: int) -> None:
        """Give chunks to the disk, some at a time: each handing over wakes its thread, and then ours."""
        self.backlog += sum(len(data) for _, data in chunks)
        batch.unstored += chunks
        if batch.complete:
            self._staged(batch, now)
        elif sum(len(data) for _, data in batch.unstored) >= _STORED_AT_ONCE:
            self._give(batch)

    def _hand(self, batch: Incoming, waited_for: bool = True) -> None:
        """Have the disk stage what it holds of a batch, and what has come of it."""
        batch.handed, batch.alive_at = True, self._now + _ALIVE
        self.ctx.emit(Prepare(batch.shared.name, batch.key, batch.relevant, batch.chunks, waited_for))
        self._give(batch, waited_for)

    def _give(self, batch: Incoming, waited_for: bool = True) -> None:
        if batch.unstored and batch.handed:
            self.ctx.emit(Store(batch.shared.name, batch.key, tuple(batch.unstored), waited_for))
            batch.unstored.clear()

    def released(self, peer: int, key: BatchKey, commit: bool, now: int) -> None:
        """The batch's lock ends: commit what is staged, or forget it. Number 0 means every batch of that session."""
        session, number = key
        keys = [key] if number else [k for k in self.batches if k[0] == session]
        for one in keys:
            batch = self.batches.get(one)
            if batch is None or batch.released:
                continue
            if not commit or not batch.complete_list:
                self._drop(batch)
                continue
            batch.released = True
            self._queue_commit(batch, now)

    def gone(self, key: BatchKey) -> None:
        """The origin cannot give the content any more: a later batch will bring the newer version."""
        batch = self.batches.get(key)
        if batch is not None and not batch.staged:
            self._drop(batch)

    def peer_offline(self, session: int) -> None:
        """An origin is gone: what was not released will not be."""
        for batch in [b for b in self.batches.values() if b.key[0] == session]:
            if not (batch.released and batch.staged):
                self._drop(batch)

    # --- from the disk ----------------------------------------------------------------------------

    def prepared(self, event: Prepared, now: int) -> None:
        """The disk says what is missing: ask for it once."""
        batch = self.batches.get(event.key)
        if batch is None or batch.ready:
            return
        batch.prepared(event.missing, event.failed)
        if batch.complete:
            self._staged(batch, now)
            self._queue_commit(batch, now)
        else:
            self.reception.begin(batch, now)

    def stored(self, event: Stored) -> None:
        """Bytes have left memory."""
        self.backlog = max(0, self.backlog - event.size)

    def committed(self, event: Committed, now: int) -> None:
        """The disk has made a batch visible; tell the origin, and look again at what the user changed meanwhile."""
        shared = self.ctx.trees[event.tree]
        self._adopt(shared, event.applied, now)
        own = self._own.get(event.key, set())
        shared.offer([e.path for e in event.applied if e.path in own], now)
        if event.changed:
            self.ctx.emit(Rescan(event.tree, event.changed))
        batch = self.batches.get(event.key)
        if batch is not None and batch.rounds is not None:
            batch.rounds.done(event)
            if batch.rounds.waiting:
                self._commit_round(batch)
                return
        self.batches.pop(event.key, None)
        self._touched.pop(event.key, None)
        self._own.pop(event.key, None)
        self.turns.remove(event.tree, event.key)
        if batch is not None and batch.rounds is not None:
            if batch.rounds.failed:
                self.ctx.emit(Discard(event.tree, event.key))  # a disk that refused it all holds it still
            self._report(batch, batch.rounds, now)
        self._next_commit(shared, now)

    def _adopt(self, shared: SharedTree, applied: Iterable[Entry], now: int) -> None:
        """Know what the disk has made true, but for paths of which a scan has told since the plan was made.

        Such a version rests on what the scan saw, not on what was committed. It goes to the index once more, lest
        index and tree name different versions.
        """
        taken, since = list[tuple[Entry, Entry | None]](), list[Entry]()
        for entry in applied:
            mine = shared.tree.get(entry.path)
            if mine is None or mine.version.compare(entry.version) in (Order.BEFORE, Order.EQUAL):
                taken.append((entry, mine))
            else:
                since.append(mine)
        shared.adopt(taken, now)
        if since:
            self.ctx.emit(Persist(shared.name, tuple(since), shared.counter))
            self.ctx.emit(Rescan(shared.name, tuple(entry.path for entry in since)))

    def _commit_round(self, batch: Incoming) -> None:
        assert batch.rounds is not None
        targets = batch.rounds.next()
        last = not batch.rounds.waiting
        # That a little change is in place is told when whoever else has it in place, too, is done with that.
        self.ctx.emit(Commit(batch.shared.name, batch.key, targets, last, waited_for=not (last and batch.little)))

    def _report(self, batch: Incoming, rounds: Rounds, now: int) -> None:
        failed = {**rounds.failed, **batch.failed}
        self._note_failures(batch, failed, now)
        self.ctx.notify(
            "batch_committed",
            "debug",
            tree=batch.shared.name,
            origin=self.ctx.name_of(batch.peer),
            batch=batch.number,
            entries=rounds.applied,
        )
        self._done(batch, Stage.COMMITTED, failed)

    def _note_failures(self, batch: Incoming, failed: dict[TreePath, str], now: int) -> None:
        by_path = {entry.path: entry for entry in batch.relevant}
        for path, reason in failed.items():
            # What another batch has brought meanwhile, or a newer version of it, is lacking no more.
            if path in by_path and is_news(batch.shared.tree.get(path), by_path[path]):
                batch.shared.troubles.cannot_apply(path, reason, version_digest(by_path[path]), now)
        if failed:
            path, reason = next(iter(failed.items()))
            self.ctx.notify(
                "entries_failed",
                "warning",
                tree=batch.shared.name,
                count=len(failed),
                path=_text(path),
                reason=reason,
            )

    # --- the batch's way --------------------------------------------------------------------------

    def _staged(self, batch: Incoming, now: int) -> None:
        if batch.staged:
            return
        batch.staged = True
        self._give(batch)
        self._done(batch, Stage.STAGED, batch.failed)
        self._queue_commit(batch, now)

    def _done(self, batch: Incoming, stage: Stage, failed: dict[TreePath, str]) -> None:
        told = tuple((bytes(path), reason[:200]) for path, reason in list(failed.items())[:_FAILED_TOLD])
        peer = self.ctx.cluster.peers.get(batch.peer)
        if peer is not None and peer.session == batch.key[0]:
            self.ctx.cluster.send(Kind.DONE, Done(batch.number, stage, told).pack(), self._now, batch.peer)

    def _queue_commit(self, batch: Incoming, now: int) -> None:
        """Commit the batch in its turn, once its lock has ended and the disk has all of it."""
        if batch.released and batch.staged and (batch.ready or not batch.handed) and self.turns.add(batch):
            self._next_commit(batch.shared, now)

    def _next_commit(self, shared: SharedTree, now: int) -> None:
        while shared.paused is None and (batch := self.turns.first(shared)) is not None:
            if batch.committing:
                return
            entries = [entry for entry in batch.relevant if entry.path not in batch.failed]
            plan = make_plan(shared.tree, entries, shared.replica, shared.next_dot, self.ctx.name)
            if shared.probation is not None:
                shared.probation.made.update(*plan.spares.values())
            batch.committing, batch.rounds = True, Rounds.of(plan)
            if any(batch.rounds.waiting):
                self._own[batch.key] = plan.own
                if plan.own:
                    self.ctx.emit(Persist(shared.name, (), shared.counter))
                if not batch.handed:
                    # Nobody has waited for the disk until now: it does all of it in one go.
                    self._hand(batch, waited_for=False)
                self._commit_round(batch)
                return
            self.turns.remove(shared.name, batch.key)
            self._let_go(batch)
            self.ctx.emit(Discard(shared.name, batch.key))
            self.batches.pop(batch.key, None)
            self._touched.pop(batch.key, None)
            self._note_failures(batch, batch.failed, now)
            self._done(batch, Stage.COMMITTED, batch.failed)

    def resumed(self, shared: SharedTree, now: int) -> None:
        """A pause is over: commits that waited go on."""
        self._next_commit(shared, now)

    def _let_go(self, batch: Incoming) -> None:
        """Hold no content any more that the disk was not given."""
        self.backlog -= sum(len(data) for _, data in batch.unstored)
        batch.unstored.clear()

    def _drop(self, batch: Incoming) -> None:
        if batch.committing:
            return
        self._let_go(batch)
        self.batches.pop(batch.key, None)
        self._touched.pop(batch.key, None)
        self.turns.remove(batch.shared.name, batch.key)
        self.ctx.emit(Discard(batch.shared.name, batch.key))
        self._next_commit(batch.shared, self._now)

    def _check_rollback(self, shared: SharedTree, entries: Iterable[Entry], now: int) -> bool:
        """See that nobody knows higher numbers of our writes than we; False: it cannot be told yet what they mean."""
        known = max((entry.version.counter(shared.replica) for entry in entries), default=0)
        if known <= shared.counter:
            return True
        if not self.ctx.acquainted():
            return False
        remade = shared.renew_replica(self.ctx.rng.getrandbits(64), self.ctx.name, now)
        self.ctx.emit(RenewReplica(shared.name, shared.replica, shared.counter))
        if remade:
            self.ctx.emit(Persist(shared.name, tuple(remade), shared.counter))
        self.ctx.notify(
            "index_rolled_back",
            "warning",
            tree=shared.name,
            reason="others know writes of this node that its index does not: was the state restored from a backup?",
        )
        return True

    # --- time -------------------------------------------------------------------------------------

    def handle_timer(self, now: int) -> None:
        """Send reception reports that are due; give up on batches that nobody feeds any more."""
        self._now = now
        self._bound_memory()
        for batch in list(self.batches.values()):
            if batch.assembler is not None and not batch.staged:
                if batch.relevant and not batch.handed and now >= batch.hand_at:
                    self._hand(batch)
                if self.backlog <= self.ctx.settings.store_backlog:
                    self.reception.report(batch, now)
                # The origin may have closed a generation that did not reach us: ask by chunk, not by symbol.
                if batch.ready and now >= self.reception.want_due(batch):
                    self.reception.want(batch, now)
            if batch.preparing:
                self._touched[batch.key] = now
                if now >= batch.alive_at:
                    batch.alive_at = now + _ALIVE
                    self.ctx.cluster.send(Kind.WANT, Want(batch.number, ()).pack(), now, batch.peer)
            idle = now - self._touched.get(batch.key, now)
            if batch.released and not batch.staged and idle > self.ctx.settings.late_timeout:
                self._drop(batch)

    def _bound_memory(self) -> None:
        """Drop the batches of who has us hold more of what he never completes than a member would."""
        held: dict[int, int] = {}
        for batch in self.batches.values():
            held[batch.key[0]] = held.get(batch.key[0], 0) + batch.held
        for session, size in held.items():
            if size <= self.ctx.settings.most_held:
                continue
            theirs = [batch for batch in self.batches.values() if batch.key[0] == session]
            if size > self.ctx.settings.most_held + 2 * max(batch.largest for batch in theirs):
                self.ctx.cluster.accuse(session, "data without end")
                for batch in theirs:
                    self._drop(batch)

    def next_deadline(self) -> int | None:
        """When the next report is due."""
        due: int | None = None
        if self.backlog > self.ctx.settings.store_backlog:
            return None
        for batch in self.batches.values():
            if batch.assembler is not None and not batch.staged:
                report = batch.assembler.next_deadline()
                want = self.reception.want_due(batch) if batch.ready else None
                hand = batch.hand_at if batch.relevant and not batch.handed else None
                alive = batch.alive_at if batch.preparing else None
                due = min((at for at in (due, report, want, hand, alive) if at is not None), default=None)
        return due

    def tell_time(self, now: int) -> None:
        """Every verb of the node tells the desk the time first."""
        self._now = now


def version_digest(entry: Entry) -> bytes:
    """Names one version of one path."""
    return blake3(pack_entry(entry)).digest(length=16)


def _text(path: TreePath) -> str:
    return path.decode("utf-8", "backslashreplace")
