"""What a receiver tells of a batch's data: which symbols it lacks, as often as it pays, and which chunks it wants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from l2sync.cluster import Way
from l2sync.frames import Kind, Repair, Want
from l2sync.transfer import Cadence

from .api import BatchKey
from .context import Context
from .incoming import Incoming

_WANT_AGAIN = 1_000_000_000
_COMING = 8_000_000
"""ns in which the origin of a small batch, which sends its data unasked, has read and sent it."""


class Reception:
    """Reports and wants of one node, and what it hears of those of others."""

    def __init__(self, context: Context, batches: Mapping[BatchKey, Incoming]) -> None:
        self.ctx = context
        self._batches = batches

    def cadence(self, batch: Incoming) -> Cadence:
        """How this node reports on a batch: by how many others do, and by the greatest round trip."""
        sharing = [peer for peer, _ in self.ctx.sharing(batch.shared)]
        greatest = max((peer.rtt_ns or 0 for peer in sharing), default=0)
        return Cadence(len(sharing), greatest, self.ctx.rng)

    def begin(self, batch: Incoming, now: int) -> None:
        """The disk has said what is missing: ask for it, once, unless it comes by itself."""
        # Little that is new does: to ask for it would have all receivers wake the origin for nothing.
        small = not batch.asked and batch.lacking <= self.ctx.settings.push_bytes
        batch.ask_at = now + (_COMING if small else 0) + batch.patience
        if batch.ask_at <= now:
            self.want(batch, now)

    def want(self, batch: Incoming, now: int) -> None:
        """Tell the origin which chunks are lacking."""
        assert batch.assembler is not None
        batch.asked = True
        batch.wanted_at = now
        batch.want_again = min(max(2 * batch.want_again, _WANT_AGAIN), self.ctx.settings.stage_timeout)
        ranges = tuple(batch.assembler.missing_ranges())[:8000]
        self.ctx.cluster.send(Kind.WANT, Want(batch.number, ranges).pack(), now, batch.peer)

    def want_due(self, batch: Incoming) -> int:
        """When to do so (again): data that comes puts it off."""
        assert batch.assembler is not None
        if not batch.asked:
            return max(batch.ask_at, batch.assembler.last_data + _COMING + batch.patience)
        return max(batch.wanted_at, batch.assembler.last_data) + max(batch.want_again, _WANT_AGAIN)

    def report(self, batch: Incoming, now: int) -> None:
        """Tell which symbols are lacking, where it is due: all, where others may lack the same, else the origin."""
        assert batch.assembler is not None
        report = batch.assembler.report(now)
        if report is None:
            return
        if report.lacks and batch.assembler.for_all(now) and self.ctx.cluster.hub.way is not Way.CHAIN:
            self.ctx.cluster.send_now(Kind.REPAIR, replace(report, origin=batch.peer).pack())
        else:
            self.ctx.cluster.send_now(Kind.REPAIR, report.pack(), batch.peer)

    def overhear(self, report: Repair, now: int) -> None:
        """Another receiver has told all what it lacks."""
        origin = self.ctx.cluster.peers.get(report.origin)
        batch = self._batches.get((origin.session, report.batch)) if origin is not None else None
        if batch is not None and batch.assembler is not None and not batch.staged:
            before = batch.assembler.suppressed
            batch.assembler.overhear(report, now)
            self.ctx.counters["reports_suppressed"] += batch.assembler.suppressed - before
