"""A node's own account of how things stand: what ``l2sync status`` shows."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from l2sync import __version__
from l2sync.cluster import FrameSizeChanged, Peer, PeerState, WayChanged
from l2sync.frames import NOID, OVERHEAD
from l2sync.modtree import ROOT, TreePath, covers

from .context import Context
from .offering import Offering
from .receiving import Receiving
from .reconcile import Reconciler
from .requests import Requests
from .status import BanInfo, FailureInfo, LockInfo, NodeInfo, PeerInfo, SegmentInfo, Status, TreeInfo, key_infos
from .tree import SharedTree, text

_FAILING_TOLD = 100


class Telling:
    """Gathers from the desks of one node."""

    def __init__(
        self,
        context: Context,
        offering: Offering,
        receiving: Receiving,
        reconciler: Reconciler,
        requests: Requests,
    ) -> None:
        self.ctx = context
        self.offering, self.receiving = offering, receiving
        self.reconciler, self.requests = reconciler, requests

    def status(self, now: int, refused: str | None) -> Status:
        """Everything, for ``l2sync status``."""
        trees = tuple(self._tree_info(shared, now) for shared in self.ctx.trees.values())
        reasons = self._reasons(refused)
        counters = {
            **self.ctx.cluster.counters,
            **self.ctx.counters,
            "data_rate": int(self.offering.pacer.rate),
            "data_rate_cuts": self.offering.pacer.cuts,
        }
        return Status(
            node=NodeInfo(
                None if self.ctx.cluster.id == NOID else self.ctx.cluster.id,
                self.ctx.name,
                f"{self.ctx.cluster.session:016x}",
                __version__,
                key_infos(self.ctx.cluster.presence.keys),
            ),
            segment=self._segment(),
            bans=tuple(BanInfo(r.name, r.by) for r in self.ctx.cluster.hub.bans.records() if r.banned),
            peers=tuple(self._peer_info(p, now) for _, p in sorted(self.ctx.cluster.peers.items())),
            trees=trees,
            in_sync=not reasons,
            reasons=tuple(reasons),
            locks=tuple(self.locks()),
            counters=dict(sorted(counters.items())),
        )

    def _segment(self) -> SegmentInfo:
        hub = self.ctx.cluster.hub
        suspects = (*self.ctx.cluster.reach.suspicions.values(), *self.ctx.cluster.sizes.limits())
        return SegmentInfo(hub.way.value, hub.room + OVERHEAD, suspects)

    def segment_changed(self, event: WayChanged | FrameSizeChanged) -> None:
        """Log that frames for all go another way, or have another size."""
        if isinstance(event, WayChanged):
            why = event.text or "it works again"
            self.ctx.notify("way_changed", "warning", before=event.before.value, now=event.now.value, reason=why)
            return
        limits = self.ctx.cluster.sizes.limits()
        why = "; ".join(limits) or (f"{event.limited_by} is new" if event.limited_by else "all can take it")
        level = "warning" if limits else "info"
        self.ctx.notify("frame_size_changed", level, before=event.before, now=event.now, reason=why)

    def _reasons(self, refused: str | None) -> list[str]:
        if refused is not None:
            return [f"refused by the cluster: {refused}"]
        if self.ctx.cluster.id == NOID:
            return ["still joining"]
        reasons = [f"{peer.name} has not told its trees yet" for peer in self.ctx.online() if not peer.pinged]
        reasons += self.requests.lacking(None)
        for shared in self.ctx.trees.values():
            waiting = self.offering.pending(shared) + self.receiving.pending(shared)
            if waiting:
                reasons.append(f"{shared.name}: {waiting} entries under way")
            if shared.troubles:
                reasons.append(f"{shared.name}: {shared.troubles.summary()}")
        return reasons

    def _peer_info(self, peer: Peer, now: int) -> PeerInfo:
        rtt = peer.rtt_ns
        online = peer.state is PeerState.ONLINE
        digests = {state.tree: state.digest for state in peer.trees}
        shared = [s for s in self.ctx.trees.values() if s.tag in digests]
        return PeerInfo(
            peer.id,
            peer.name,
            peer.state.name.lower(),
            round(rtt / 1e6, 3) if rtt is not None and online else None,
            round((now - peer.last_seen) / 1e9, 3),
            peer.mtu or None,
            all(digests[s.tag] == s.digest for s in shared) if online else None,
            dict(self.ctx.cluster.hub.misdeeds.get(peer.name, {})),
            key_infos(peer.keys),
        )

    def _tree_info(self, shared: SharedTree, now: int) -> TreeInfo:
        pending = self.offering.pending(shared) + self.receiving.pending(shared)
        state = "scanning"
        if shared.hold is not None or (shared.elsewhere and shared.disk_pause is None):
            state = "held"
        elif shared.paused is not None:
            state = "paused"
        elif shared.question is not None:
            state = "held"
        elif shared.scanned:
            state = "in sync" if not pending and self.reconciler.in_step(shared) else "syncing"
        failing = tuple(
            FailureInfo(text(path), trouble.reason, doing, max(0, round((trouble.retry_at - now) / 1e9)))
            for path, doing, trouble in islice(shared.troubles.all(), _FAILING_TOLD)
        )
        return TreeInfo(
            shared.name,
            shared.setup.path,
            state,
            shared.tree.alive,
            shared.tree.size,
            shared.tree.root_digest.hex(),
            pending,
            shared.paused or shared.question,
            len(shared.tree.conflicts),
            failing,
            len(shared.troubles),
        )

    def locks(self, tree: SharedTree | None = None, path: TreePath = ROOT) -> Iterable[LockInfo]:
        """Every claim, or those of one tree that bear on a path."""
        names = {peer.session: peer.name for peer in self.ctx.cluster.peers.values()}
        names[self.ctx.cluster.session] = self.ctx.name
        locks = self.ctx.cluster.locks
        for claim in locks:
            shared = self.ctx.by_tag.get(claim.tree)
            if tree is not None and not (shared is tree and _bears_on(claim.paths, path)):
                continue
            yield LockInfo(
                names.get(claim.session, f"node {claim.node}"),
                claim.number,
                shared.name if shared is not None else f"{claim.tree:016x}",
                tuple(text(path) or "/" for path in claim.paths),
                "user" if claim.purpose == 2 else "batch",
                claim.granted or (claim.session != self.ctx.cluster.session and locks.earlier(claim) is None),
            )


def _bears_on(claimed: Iterable[bytes], path: TreePath) -> bool:
    return any(covers(TreePath(one), path) or covers(path, TreePath(one)) for one in claimed)
