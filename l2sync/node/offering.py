"""The desk for our own batches: lock, tell the entries, send the data, commit when everybody has staged."""

from __future__ import annotations

from collections.abc import Callable

from l2sync.frames import DATA_OVERHEAD, Done, Entries, Kind, Purpose, Repair, Stage, Want, pack_updtree
from l2sync.modtree import TreePath, pack_entry
from l2sync.transfer import Broadcaster, Pacer, PacerSettings, chunk_table

from .api import ChunksRead, ReadChunks, Rescan
from .context import Context
from .incoming import FEW_ENTRIES
from .outgoing import Outgoing, Progress, choose, lock_paths, pieces, pushable
from .tree import SharedTree

_BURST = 64 << 10
_LOOK_AGAIN = 100_000_000
_LEAST_OF_MANY = 200
"""Entries of a batch that is one of many."""


class Offering:
    """All outgoing batches of one node. ``send_data`` seals and sends bodies of data frames, in order."""

    def __init__(self, context: Context, send_data: Callable[[list[bytes]], None]) -> None:
        self.ctx = context
        most = context.settings.most_rate
        self.pacer = Pacer(PacerSettings() if most is None else PacerSettings(most_rate=most))
        self.batches: dict[int, Outgoing] = {}
        self._send_data = send_data

    @property
    def room(self) -> int:
        """Most bytes of a symbol now."""
        return self.ctx.cluster.hub.room - DATA_OVERHEAD

    def busy(self, shared: SharedTree) -> bool:
        """Whether a batch of this tree has not been committed yet."""
        return any(b.shared is shared and not b.released for b in self.batches.values())

    def pending(self, shared: SharedTree) -> int:
        """Entries still to be told, or told and not committed everywhere."""
        waiting = sum(len(b.entries) for b in self.batches.values() if b.shared is shared and not b.released)
        return len(shared.found) + len(shared.dirty) + bool(shared.sweep) + waiting

    # --- starting ---------------------------------------------------------------------------------

    def under_way(self, shared: SharedTree) -> set[TreePath]:
        """Paths whose present version is in a batch that everybody still gets."""
        return {
            entry.path
            for batch in self.batches.values()
            if batch.shared is shared and not batch.released
            for entry in batch.entries
            if shared.tree.get(entry.path) == entry
        }

    def pump(self, now: int) -> None:
        """Start batches where there is something to offer and somebody to offer it to."""
        if not self.ctx.acquainted() and any(self.ctx.online()):
            return
        for shared in self.ctx.trees.values():
            if not shared.untold or shared.paused is not None or not shared.scanned:
                continue
            audience = {peer.id: Progress.TOLD for peer, _ in self.ctx.sharing(shared)}
            if not audience:
                # Whoever comes later learns of it by comparing digests.
                if not any(not peer.pinged for peer in self.ctx.online()):
                    shared.all_told()
                continue
            while self._some(shared) and self._room_for(shared) and self._ripe(shared, now):
                if not self._start(shared, dict(audience), now):
                    break

    def _some(self, shared: SharedTree) -> bool:
        """Whether paths to be offered are named, as many as a batch takes if there are as many."""
        if shared.sweep and len(shared.dirty) < self.ctx.settings.batch_entries:
            shared.sweep_on()
            if not shared.untold:
                shared.all_told()
        return bool(shared.dirty)

    def _room_for(self, shared: SharedTree) -> bool:
        flying = sum(b.shared is shared and not b.released for b in self.batches.values())
        return flying < self.ctx.settings.batches_in_flight

    def _ripe(self, shared: SharedTree, now: int) -> bool:
        if any(shared.dirty.values()):
            return True
        return now >= shared.offer_at or len(shared.dirty) >= self.ctx.settings.batch_entries

    def _most_entries(self, shared: SharedTree) -> int:
        """How many the next batch takes: of many, the last ones become smaller, as nothing fills the wire while all
        commit the last.
        """
        most, left = self.ctx.settings.batch_entries, len(shared.dirty)
        if left >= 2 * most or shared.found or shared.coming or shared.sweep or not self.busy(shared):
            return most
        return min(max(-(-left // 2), _LEAST_OF_MANY), most)

    def _start(self, shared: SharedTree, audience: dict[int, Progress], now: int) -> bool:
        settings = self.ctx.settings
        for path in self.under_way(shared):
            shared.dirty.pop(path, None)
        entries, fresh = choose(shared, self._most_entries(shared), settings.batch_bytes)
        if not entries:
            return False
        table = chunk_table(entries)
        pushed = [index for index, _ in pushable(shared, table, settings.push_bytes)] if fresh else []
        told = list(pieces(entries, shared.bases.pack if fresh else pack_entry))
        few = len(told) == 1 and len(entries) <= FEW_ENTRIES
        at_once = bool(pushed) and not any(b.broadcaster.unsent for b in self.batches.values())
        number = self.ctx.cluster.lock(shared.tag, lock_paths(entries), Purpose.BATCH, now, more=few)
        broadcaster = Broadcaster(number, table, self.room)
        key = (self.ctx.cluster.session, number)
        batch = Outgoing(key, shared, tuple(entries), table, broadcaster, audience, now)
        self.batches[number] = batch
        # Who compares trees may lack what was there before, and who has a change of ours has it.
        for first, last, packed in told:
            body = pack_updtree(shared.tag, number, Entries(last, first, packed))
            # What is small is read while the index is written, and goes out right behind.
            self.ctx.cluster.send(Kind.UPDTREE, body, now, more=few and at_once)
        if fresh:
            broadcaster.push(pushed)
            batch.pushed = bool(pushed)
        if not shared.untold:
            shared.all_told()
            shared.replaced.clear()
            shared.bases.clear()
        for peer in audience:
            self.pacer.begin(peer, now)
        self._read(batch)
        return True

    # --- what receivers say -----------------------------------------------------------------------

    def want(self, peer: int, message: Want, now: int) -> None:
        """A receiver lacks chunks."""
        batch = self.batches.get(message.batch)
        if batch is not None:
            self.pacer.begin(peer, now)
            batch.wants(peer, message.ranges, now)
            self._read(batch)

    def repair(self, peer: int, report: Repair, now: int) -> None:
        """A receiver reports on its reception."""
        batch = self.batches.get(report.batch)
        # A report that was overtaken by its sender's own done would have it served again.
        if batch is not None and batch.audience.get(peer) not in (Progress.STAGED, Progress.COMMITTED):
            batch.reports(peer, now)
            self.pacer.on_report(peer, report, now)
            batch.broadcaster.repair(peer, report, now)

    def done(self, peer: int, message: Done, now: int) -> None:
        """A receiver has staged or committed."""
        batch = self.batches.get(message.batch)
        if batch is None:
            return
        batch.done(peer, message.stage, now)
        if not any(peer in b.broadcaster.peers for b in self.batches.values()):
            self.pacer.forget(peer)
        for path, reason in message.failed:
            self.ctx.notify(
                "peer_failed",
                "warning",
                peer=self.ctx.name_of(peer),
                path=path.decode("utf-8", "backslashreplace"),
                reason=reason,
            )
        self._advance(batch, now)

    def granted(self, number: int, now: int) -> None:
        """The lock of a batch is ours."""
        batch = self.batches.get(number)
        if batch is not None:
            batch.granted = True
            self._advance(batch, now)

    def peer_offline(self, peer: int, now: int) -> None:
        """Nobody waits for a peer that is gone."""
        self.pacer.forget(peer)
        for batch in list(self.batches.values()):
            batch.drop(peer)
            self._advance(batch, now)

    def chunks_read(self, event: ChunksRead, now: int) -> None:
        """Bytes from our own disk; what cannot be read any more ends the batch, and its paths are looked at again."""
        batch = self.batches.get(event.key[1])
        if batch is None or event.key[0] != self.ctx.cluster.session:
            return
        for index, data in event.chunks:
            batch.broadcaster.supply(index, data)
        if batch.broadcaster.gone():
            self._abandon(batch, now)
        else:
            self._read(batch)

    def _abandon(self, batch: Outgoing, now: int) -> None:
        lost = {batch.entries[batch.table.where(index)[0]].path for index in batch.broadcaster.gone()}
        self.ctx.counters["batches_abandoned"] += 1
        self.batches.pop(batch.number, None)
        self.ctx.cluster.send(Kind.DONE, Done(batch.number, Stage.GONE).pack(), now)
        if not batch.released:
            self.ctx.cluster.unlock(batch.number, False, now)
            batch.shared.offer([e.path for e in batch.entries if e.path not in lost], now)
        self.ctx.emit(Rescan(batch.shared.name, tuple(sorted(lost))))

    def _read(self, batch: Outgoing) -> None:
        reads = batch.reads(self.ctx.settings.read_ahead)
        if reads:
            self.ctx.emit(ReadChunks(batch.shared.name, batch.key, reads))

    def _advance(self, batch: Outgoing, now: int) -> None:
        if batch.ready():
            batch.released, batch.released_at = True, now
            self.ctx.cluster.unlock(batch.number, True, now)
        if batch.over(now, self.ctx.settings.late_timeout):
            self.batches.pop(batch.number, None)

    # --- time -------------------------------------------------------------------------------------

    def handle_timer(self, now: int) -> None:
        """Send data that the pacer lets go; leave behind who is too slow; start what is ripe."""
        turn = True
        for batch in self._in_turn():
            # One batch's new data after the other's: mixed, both would be complete late, and losses hard to tell.
            self._send(batch, now, turn)
            turn = turn and not batch.broadcaster.unsent
            late = set(batch.silent(now, self.ctx.settings.stage_timeout)) | self._laggards(batch)
            for peer in late:
                batch.leave_behind(peer)
                self.ctx.counters["left_behind"] += 1
            self._advance(batch, now)
        self.pump(now)

    def _in_turn(self) -> list[Outgoing]:
        """In the order they began; but what only those lack who were left behind comes last."""
        return sorted(self.batches.values(), key=lambda batch: batch.released)

    def _laggards(self, batch: Outgoing) -> set[int]:
        slow = self.pacer.laggards()
        return {p for p, state in batch.audience.items() if p in slow and state is Progress.WANTING}

    def _send(self, batch: Outgoing, now: int, new_data: bool) -> None:
        budget = min(self.pacer.budget(now), _BURST)
        if budget <= 0:
            return
        first = self.ctx.cluster.hub.serial
        batch.broadcaster.room = self.room
        frames = batch.broadcaster.next_frames(now, budget, first, new_data)
        if frames:
            self._send_data(frames)
            self.pacer.on_sent(batch.number, first + len(frames) - 1, len(frames), sum(map(len, frames)))
            self._read(batch)

    def next_deadline(self) -> int | None:
        """When data may go, or somebody's time is up."""
        times: list[int] = []
        pace = self.pacer.next_deadline()
        turn = True
        for batch in self._in_turn():
            at = 0 if turn and batch.broadcaster.sendable() else batch.broadcaster.next_deadline()
            turn = turn and not batch.broadcaster.unsent
            if at is not None:
                times.append(max(at, pace))
            last = min((batch.heard.get(p, batch.started) for p in batch.audience), default=batch.started)
            times.append(max(last + self.ctx.settings.stage_timeout, self.ctx.timed_at + _LOOK_AGAIN))
        times += [
            max(shared.offer_at, self.ctx.timed_at + 1_000_000)
            for shared in self.ctx.trees.values()
            if shared.untold and shared.scanned and shared.paused is None and self._room_for(shared)
        ]
        return min(times, default=None)
