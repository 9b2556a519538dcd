"""The desk for deliveries: what came in a peer's stream goes to the desk that it is for."""

from __future__ import annotations

from l2sync.cluster import Delivered
from l2sync.frames import (
    Ask,
    Decision,
    Digests,
    Done,
    Entries,
    Kind,
    Query,
    Report,
    Stage,
    Updtree,
    Want,
    unpack_updtree,
)

from .context import Context
from .holding import Holding
from .inquiries import Inquiries
from .offering import Offering
from .receiving import Receiving
from .reconcile import Reconciler


class Deliveries:
    """Parses messages and hands them out."""

    def __init__(
        self,
        context: Context,
        offering: Offering,
        receiving: Receiving,
        reconciler: Reconciler,
        inquiries: Inquiries,
        holding: Holding,
    ) -> None:
        self.ctx = context
        self._offering = offering
        self._receiving = receiving
        self._reconciler = reconciler
        self._inquiries = inquiries
        self._holding = holding

    def take(self, event: Delivered, now: int) -> None:
        """Act on a message. Raises RemoteError, LocalError, MalformedEntry or InvalidPath where it is a bad one."""
        peer, body = event.peer, event.body
        if event.kind == Kind.WANT:
            self._offering.want(peer, Want.parse(body), now)
        elif event.kind == Kind.DONE:
            done = Done.parse(body)
            if done.stage is Stage.GONE:
                self._receiving.gone((event.session, done.batch))
            else:
                self._offering.done(peer, done, now)
        elif event.kind == Kind.QUERY:
            self._inquiries.query(peer, event.session, Query.parse(body), now)
        elif event.kind == Kind.REPORT:
            self._inquiries.report(peer, event.session, Report.parse(body), now)
        elif event.kind == Kind.DECISION:
            self._holding.heard(peer, event.session, Decision.parse(body), now)
        elif event.kind == Kind.UPDTREE:
            self._updtree(event, Updtree.parse(body), now)

    def _updtree(self, event: Delivered, message: Updtree, now: int) -> None:
        shared = self.ctx.by_tag.get(message.tree)
        if shared is None:
            return
        payload = unpack_updtree(message)
        if isinstance(payload, Entries):
            self.ctx.cluster.progress(event.session, message.batch, now)
            self._receiving.entries(event.peer, (event.session, message.batch), shared, payload, now)
        elif isinstance(payload, Digests):
            if not self._receiving.busy(shared):  # else it is about to become another
                self._reconciler.digests(event.peer, shared, payload, now)
        elif isinstance(payload, Ask):
            self._reconciler.ask(shared, payload, now)
