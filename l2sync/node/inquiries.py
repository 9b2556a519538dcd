"""Asking all nodes what they have at a path, and answering when they ask."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from l2sync.cluster import PeerState
from l2sync.frames import MOST_BELOW, MOST_NOTES, NOID, Kind, Query, Report, Standing
from l2sync.modtree import TreePath, tree_path

from .account import Accountant, standing
from .api import Answer, Explain, Explained, WhyRequest
from .context import Context
from .explanation import (
    Explanation,
    NodeAccount,
    RemarkInfo,
    TroubleInfo,
    compare,
    newest_of,
    version_info,
)
from .telling import Telling
from .tree import SharedTree, text

_MOST_LOOKS_PER_PEER = 16
_MOST_PATIENCE = 600_000_000_000


@dataclass(slots=True)
class _Inquiry:
    """A question of our own: who has not answered yet, by session, and what the others said."""

    request: int
    shared: SharedTree
    path: TreePath
    deadline: int
    waiting: set[int]
    mine: Report | None = None
    reports: dict[int, Report] = field(default_factory=dict)


@dataclass(slots=True)
class _Look:
    """A look at the disk under way: for a peer's question (by its session and number there), or for one of our own."""

    session: int
    peer: int
    number: int
    shared: SharedTree
    path: TreePath


class Inquiries:
    """The questions of one node, and those put to it."""

    def __init__(self, context: Context, accountant: Accountant, telling: Telling) -> None:
        self.ctx, self.accountant, self.telling = context, accountant, telling
        self._open: dict[int, _Inquiry] = {}
        self._looks: dict[int, _Look] = {}
        self._numbers = 0
        self._tokens = 0

    # --- our own questions ------------------------------------------------------------------------

    def ask(self, request: WhyRequest, now: int) -> None:
        """Ask everybody online, and our own disk."""
        shared = self.ctx.trees.get(request.tree)
        if shared is None:
            self.ctx.emit(Answer(request.request, False, f"no tree is named {request.tree!r}"))
            return
        self._numbers = self._numbers % 0xFFFFFFFF + 1
        number, session = self._numbers, self.ctx.cluster.session
        waiting = {peer.session for peer in self.ctx.online()}
        patience = min(max(request.patience, 0), _MOST_PATIENCE)
        self._open[number] = _Inquiry(request.request, shared, request.path, now + patience, waiting)
        if waiting:
            self.ctx.cluster.send(Kind.QUERY, Query(number, shared.tag, request.path).pack(), now)
        self._look(_Look(session, -1, number, shared, request.path))

    def cancel(self, request: int) -> None:
        """Nobody waits for this any more."""
        self._open = {number: one for number, one in self._open.items() if one.request != request}

    def report(self, peer: int, session: int, report: Report, now: int) -> None:
        """A peer's account."""
        inquiry = self._open.get(report.number)
        if inquiry is not None and session in inquiry.waiting:
            inquiry.waiting.discard(session)
            inquiry.reports[session] = report
            self._conclude(report.number, now)

    def peer_offline(self, session: int, now: int) -> None:
        """A peer is gone: neither wait for it nor answer it."""
        self._looks = {token: look for token, look in self._looks.items() if look.session != session}
        for number, inquiry in list(self._open.items()):
            if session in inquiry.waiting:
                inquiry.waiting.discard(session)
                self._conclude(number, now)

    # --- the others' ------------------------------------------------------------------------------

    def query(self, peer: int, session: int, query: Query, now: int) -> None:
        """A peer asks. Raises InvalidPath."""
        path = tree_path(query.path)
        shared = self.ctx.by_tag.get(query.tree)
        if shared is None:
            self.ctx.cluster.send(Kind.REPORT, Report(query.number, False).pack(), now, peer)
        elif sum(look.session == session for look in self._looks.values()) >= _MOST_LOOKS_PER_PEER:
            self.ctx.counters["queries_refused"] += 1
        else:
            self._look(_Look(session, peer, query.number, shared, path))

    # --- the disk ---------------------------------------------------------------------------------

    def _look(self, look: _Look) -> None:
        self._tokens += 1
        self._looks[self._tokens] = look
        self.ctx.emit(Explain(look.shared.name, self._tokens, look.path))

    def explained(self, event: Explained, now: int) -> None:
        """The disk has looked: now all of our own account can be given."""
        look = self._looks.pop(event.token, None)
        if look is None:
            return
        entry = look.shared.tree.get(look.path)
        below, in_trouble = self.accountant.below(look.shared, look.path)
        report = Report(
            look.number,
            True,
            standing(entry) if entry is not None else None,
            self.accountant.remarks(look.shared, look.path, event, now),
            below,
            in_trouble,
        )
        if look.session == self.ctx.cluster.session:
            inquiry = self._open.get(look.number)
            if inquiry is not None:
                inquiry.mine = report
                self._conclude(look.number, now)
            return
        asker = self.ctx.cluster.peers.get(look.peer)
        if asker is not None and asker.session == look.session:
            self.ctx.cluster.send(Kind.REPORT, report.pack(), now, look.peer)

    # --- time, and the end ------------------------------------------------------------------------

    def handle_timer(self, now: int) -> None:
        """End the questions whose time is up."""
        for number, inquiry in list(self._open.items()):
            if inquiry.deadline <= now:
                self._conclude(number, now, late=True)

    def next_deadline(self) -> int | None:
        """When the first question's time is up."""
        return min((inquiry.deadline for inquiry in self._open.values()), default=None)

    def _conclude(self, number: int, now: int, late: bool = False) -> None:
        inquiry = self._open[number]
        if not late and (inquiry.waiting or inquiry.mine is None):
            return
        del self._open[number]
        self.ctx.emit(Answer(inquiry.request, True, data=self._explanation(inquiry, now)))

    def _explanation(self, inquiry: _Inquiry, now: int) -> Explanation:
        reports = [inquiry.mine, *inquiry.reports.values()]
        newest = newest_of(one.standing for one in reports if one is not None and one.standing is not None)
        nodes = [self._own_account(inquiry, newest)]
        nodes += self._accounts(inquiry, newest, now)
        same = all(node.state in ("same", "no tree", "unreachable") for node in nodes) or newest is None
        return Explanation(
            inquiry.shared.name,
            text(inquiry.path),
            tuple(nodes),
            version_info(newest) if newest is not None else None,
            tuple(self.telling.locks(inquiry.shared, inquiry.path)),
            same and not any(node.state == "silent" for node in nodes),
        )

    def _own_account(self, inquiry: _Inquiry, newest: Standing | None) -> NodeAccount:
        cluster = self.ctx.cluster
        return _account(self.ctx.name, cluster.id if cluster.id != NOID else None, inquiry.mine, newest, here=True)

    def _accounts(self, inquiry: _Inquiry, newest: Standing | None, now: int) -> Iterator[NodeAccount]:
        for peer in sorted(self.ctx.cluster.peers.values(), key=lambda one: (one.name, one.session)):
            report = inquiry.reports.get(peer.session)
            if report is None and peer.state is not PeerState.ONLINE:
                yield NodeAccount(peer.name, peer.id, False, "unreachable", last_seen_s=(now - peer.last_seen) / 1e9)
            else:
                yield _account(peer.name, peer.id, report, newest)


def _account(
    name: str, number: int | None, report: Report | None, newest: Standing | None, here: bool = False
) -> NodeAccount:
    if report is None:
        return NodeAccount(name, number, here, "silent")
    if not report.known:
        return NodeAccount(name, number, here, "no tree")
    state = "none"
    if report.standing is not None and newest is not None:
        state = compare(report.standing, newest)
    return NodeAccount(
        name,
        number,
        here,
        state,
        version_info(report.standing) if report.standing is not None else None,
        tuple(
            RemarkInfo(remark.about.name.lower(), remark.text, remark.again_s if remark.again_s >= 0 else None)
            for remark in report.remarks[:MOST_NOTES]
        ),
        tuple(TroubleInfo(text(one.path), one.about.name.lower(), one.text) for one in report.below[:MOST_BELOW]),
        report.in_trouble,
    )
