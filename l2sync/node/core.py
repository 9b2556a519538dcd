"""The whole protocol of one node: frames, disk events, requests and time in; effects out. Pure.

The driver's duties: call `take_effects` after every verb and carry the effects out in order; call `handle_timer`
no later than `next_deadline` says. In one call's effects, entries are persisted before anything that tells of
them is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random

from l2sync.cluster import (
    BanRecord,
    BansChanged,
    Cluster,
    ClusterSettings,
    Delivered,
    Event,
    FrameSizeChanged,
    Granted,
    Joined,
    Misbehaved,
    PeerOffline,
    PeerOnline,
    PeerPinged,
    Refused,
    RegistryChanged,
    Released,
    Warned,
    Way,
    WayChanged,
)
from l2sync.frames import (
    NOID,
    OVERHEAD,
    Header,
    Keyring,
    Kind,
    KnownKey,
    LocalError,
    Part,
    RemoteError,
    Repair,
    group_address,
    parse_data,
    parse_header,
)
from l2sync.modtree import InvalidPath, MalformedEntry, TreePath
from l2sync.transfer import single

from .account import Accountant
from .announcing import Announcing
from .api import (
    CancelRequest,
    ChunksRead,
    Committed,
    DecideRequest,
    DiskEvent,
    Effect,
    Explained,
    NodeSettings,
    Observed,
    Persist,
    Prepared,
    RememberBans,
    RememberIds,
    Request,
    Rescan,
    Send,
    SendRun,
    Stored,
    TreePaused,
    TreeResumed,
    TreeSetup,
    WhyRequest,
)
from .context import Context
from .deliveries import Deliveries
from .findings import Findings
from .holding import Holding
from .inquiries import Inquiries
from .intake import Frames, Intake
from .offering import Offering
from .outlet import Outlet
from .parts import Parts
from .receiving import Receiving
from .reconcile import Reconciler
from .remembering import Remembering
from .requests import Requests
from .status import Status
from .telling import Telling
from .tree import SharedTree
from .twins import Twins


class Node:
    """One node. ``mtu``: bytes of a frame after the Ethernet header; ``session`` and ``nonce``: random per start."""

    def __init__(
        self,
        *,
        name: str,
        session: int,
        nonce: bytes,
        trees: Iterable[TreeSetup],
        keyring: Keyring,
        mtu: int,
        registry: Mapping[str, int],
        rng: Random,
        settings: NodeSettings | None = None,
        cluster_settings: ClusterSettings | None = None,
        bans: Iterable[BanRecord] = (),
        destination: Way = Way.BROADCAST,
    ) -> None:
        chosen = settings or NodeSettings()
        room = mtu - OVERHEAD
        self.keyring = keyring
        self.cluster = Cluster(
            name=name,
            session=session,
            nonce=nonce,
            room=room,
            registry=registry,
            rng=rng,
            mtu=mtu,
            settings=cluster_settings,
            bans=bans,
            destination=destination,
            group=group_address(keyring.tag),
        )
        self.keys_changed()
        shared = {setup.name: SharedTree(setup, chosen) for setup in trees}
        self.ctx = Context(name, self.cluster, shared, chosen, rng)
        self.counters = self.ctx.counters
        self.outlet = Outlet(self.ctx, keyring)
        self.offering = Offering(self.ctx, self.outlet.send_data)
        self.announcing = Announcing(self.ctx, self.offering.busy)
        self.remembering = Remembering(self.ctx)
        self.holding = Holding(self.ctx, self.remembering)
        self.receiving = Receiving(self.ctx)
        self.findings = Findings(self.ctx, self.holding, self.receiving)
        self.intake = Intake(keyring, self.cluster, self.receiving, self.counters, self._accuse)
        self.reconciler = Reconciler(self.ctx, self.remembering)
        self.requests = Requests(self.ctx, self.offering, self.receiving)
        self.telling = Telling(self.ctx, self.offering, self.receiving, self.reconciler, self.requests)
        self.inquiries = Inquiries(self.ctx, Accountant(self.ctx, self.offering, self.receiving), self.telling)
        self.deliveries = Deliveries(
            self.ctx, self.offering, self.receiving, self.reconciler, self.inquiries, self.holding
        )
        self.twins = Twins(self.ctx)
        self.parts = Parts()
        self.refused: str | None = None
        self._said = False
        """Whether something was said in this run of frames that may have something follow."""

    @property
    def trees(self) -> Mapping[str, SharedTree]:
        """The trees by name."""
        return self.ctx.trees

    # --- verbs ------------------------------------------------------------------------------------

    def start(self, now: int) -> None:
        """Begin to join; call once."""
        self.receiving.tell_time(now)
        self.cluster.start(now)
        self._after(now)

    def tell_wall(self, wall: int, now: int) -> None:
        """The time of day (seconds since 1970): before the start, and each minute or so."""
        self.remembering.tell_wall(wall)
        self.announcing.changed()
        if self.cluster.id != NOID:
            self._after(now)

    def keys_changed(self) -> None:
        """Tell the others, with the next ping, which keys this node knows now."""
        self.cluster.presence.keys = tuple(KnownKey(*key) for key in self.keyring.known())

    def leave(self, now: int, text: str = "shutting down") -> None:
        """Say goodbye to the cluster."""
        self.cluster.leave(text, now)
        self._after(now)

    def receive(self, frame: bytes, now: int, source: bytes | None = None) -> None:
        """Take a frame as it came after the Ethernet header, with the MAC address it came from.

        Whatever is wrong with it is counted in ``counters`` and ends there.
        """
        self.receive_run(((frame, source),), 0, now)

    def receive_run(self, frames: Frames, at: int, now: int) -> int:
        """Take the frame at this place, and with it those after it that go the same fast way; the place after them.

        What can be held of a frame is copied: it need not stay as it is after the call.
        """
        self.receiving.tell_time(now)
        end = self.intake.take(frames, at, now)
        if end == at:
            end, self._said = at + 1, True
            self._receive_one(*frames[at], now)
        if self._said and end == len(frames):
            self._after(now)
        elif self.cluster.hub.out:
            self.outlet.flush()
        return end

    def _receive_one(self, frame: bytes, source: bytes | None, now: int) -> None:
        try:
            header = parse_header(frame)
            body = self.keyring.open(header, frame)
        except RemoteError as error:
            self.counters[f"bad_{error.reason}"] += 1
            return
        self.counters[_FRAMES_IN[header.kind]] += 1
        self.counters[_BYTES_IN[header.kind]] += len(frame)
        if (onward := self.cluster.chains.hand_on(header)) is not None:
            self.counters["frames_handed_on"] += 1
            self.ctx.emit(Send(frame[: OVERHEAD + header.length], onward))
        try:
            if header.kind == Kind.PART:
                whole = self._put_together(header, body, now)
                if whole is None:
                    return
                header, body = whole
            if header.kind == Kind.DATA:
                self._receive_data(header, body, now, source)
            elif header.kind == Kind.REPAIR:
                self._receive_repair(header, body, now, source)
            else:
                self.cluster.receive(header, body, now, source)
                self._events(now)
        except (RemoteError, LocalError, MalformedEntry, InvalidPath) as error:
            self._accuse(header.session, header.kind, error)

    def _put_together(self, header: Header, body: bytes, now: int) -> tuple[Header, bytes] | None:
        peer = self.cluster.admit(header, now)
        if peer is None or header.dst not in (NOID, self.cluster.source_id):
            return None
        peer.last_seen = now
        return self.parts.take(header, Part.parse(body))

    def _accuse(self, session: int, kind: int, error: Exception) -> None:
        """Count what no member sends, and note who did."""
        reason = getattr(error, "reason", "message")
        self.counters[f"bad_{reason}"] += 1
        if not isinstance(error, LocalError):
            self.cluster.accuse(session, f"{reason} {Kind(kind).name.lower()}")

    def disk_reported(self, event: DiskEvent, now: int) -> None:
        """Take what the disk has to say."""
        self.receiving.tell_time(now)
        shared = self.ctx.trees[event.tree]
        match event:
            case Observed():
                self.findings.observed(shared, event, now)
            case Prepared():
                self.receiving.prepared(event, now)
            case Stored():
                self.receiving.stored(event)
            case Committed():
                self.receiving.committed(event, now)
            case Explained():
                self.inquiries.explained(event, now)
            case ChunksRead():
                self.offering.chunks_read(event, now)
            case TreePaused():
                self.holding.disk_paused(shared, event, now)
            case TreeResumed():
                if event.lost:
                    self.remembering.lost(shared)
                self.holding.disk_resumed(shared)
                self.receiving.resumed(shared, now)
        self.announcing.changed()
        self._after(now)

    def submit(self, request: Request, now: int) -> None:
        """Take a user's request; its `Answer` comes as an effect."""
        if isinstance(request, WhyRequest):
            self.inquiries.ask(request, now)
        elif isinstance(request, DecideRequest):
            self.holding.submit(request, now)
        else:
            if isinstance(request, CancelRequest):
                self.inquiries.cancel(request.request)
            self.requests.submit(request, now)
        self._after(now)

    def handle_timer(self, now: int) -> None:
        """Do all that is due."""
        self.receiving.tell_time(now)
        self.ctx.timed_at = now
        self.cluster.handle_timer(now)
        self._events(now)
        self.receiving.handle_timer(now)
        self.offering.handle_timer(now)
        self.inquiries.handle_timer(now)
        self.holding.handle_timer(now)
        for shared in self.ctx.trees.values():
            if shared.found:
                self.findings.go_on(shared, now)
                self.announcing.changed()
            busy = self.offering.busy(shared) or self.receiving.busy(shared) or shared.untold or bool(shared.found)
            self.reconciler.tick(now, busy, shared)
            if shared.paused is None and (unreadable := shared.troubles.to_look_at(now)):
                self.ctx.emit(Rescan(shared.name, tuple(unreadable)))
        self.announcing.handle_timer(now)
        self._after(now)

    def next_deadline(self, now: int) -> int | None:
        """The time (ns) by which `handle_timer` must be called."""
        times = [self.cluster.next_deadline(), self.offering.next_deadline(), self.receiving.next_deadline()]
        times += [self.inquiries.next_deadline(), self.holding.next_deadline(), self.announcing.next_deadline()]
        for shared in self.ctx.trees.values():
            if shared.found:
                return now
            times.append(self.reconciler.next_deadline(shared))
            if shared.paused is None:
                times.append(shared.troubles.next_deadline())
        return min((t for t in times if t is not None), default=None)

    @property
    def attentive(self) -> bool:
        """Whether something waits for what pings tell; else they may come as late as the next deadline."""
        return self.requests.waiting or any(not peer.pinged for peer in self.cluster.hub.online())

    @property
    def to_come(self) -> int | None:
        """Bytes of content that are waited for before there is something to say, about; None where nobody knows."""
        return self.receiving.to_come

    def take_effects(self) -> list[Effect]:
        """What the driver has to do now, in this order: persist, send, disk work, notify."""
        effects, self.ctx.effects = self.ctx.effects, []
        if len(effects) > 1:
            effects.sort(key=_duty)
        return effects

    # --- frames -----------------------------------------------------------------------------------

    def _receive_data(self, header: Header, body: bytes, now: int, source: bytes | None) -> None:
        peer = self.cluster.admit(header, now)
        if peer is None:
            self.cluster.stranger(header, now, source)
            self.outlet.flush()
            return
        # The session's first frame, which has only now proven itself: the others go the fast way.
        peer.last_seen = now
        batch, generation, k, symbol, payload = parse_data(body)
        self.cluster.progress(header.session, batch, now)
        self.receiving.data((header.session, batch), [single(header.serial, generation, k, symbol, payload)], now)
        if self.ctx.cluster.hub.out:
            self.outlet.flush()

    def _receive_repair(self, header: Header, body: bytes, now: int, source: bytes | None) -> None:
        peer = self.cluster.admit(header, now)
        if peer is None or header.dst not in (NOID, self.cluster.source_id):
            return
        peer.last_seen = now
        report = Repair.parse(body)
        if header.dst != NOID or report.origin == self.cluster.source_id:
            self.offering.repair(peer.id, report, now)
        else:
            self.receiving.reception.overhear(report, now)

    # --- events -----------------------------------------------------------------------------------

    def _after(self, now: int) -> None:
        self._said = False
        self._events(now)
        if self.cluster.id != NOID:
            self.offering.pump(now)
            self._events(now)
        self.announcing.check(now)
        if self.requests.waiting:
            self.requests.check()
        self.outlet.flush()

    def _events(self, now: int) -> None:
        while events := self.cluster.take_events():
            for event in events:
                try:
                    self._handle(event, now)
                except (RemoteError, LocalError, MalformedEntry, InvalidPath) as error:
                    assert isinstance(event, Delivered)
                    self._accuse(event.session, event.kind, error)

    def _handle(self, event: Event, now: int) -> None:
        match event:
            case Delivered():
                self.deliveries.take(event, now)
            case Granted(number):
                if not self.requests.granted(number):
                    self.offering.granted(number, now)
            case Released(peer, session, number, commit):
                self.receiving.released(peer, (session, number), commit, now)
            case PeerOnline(peer):
                self.ctx.notify("peer_online", peer=self.ctx.name_of(peer), id=peer)
                self.holding.online(peer, now)
            case PeerPinged(peer):
                known = self.cluster.peers.get(peer)
                if known is not None:
                    for shared in (*self.twins.pinged(known), *self.holding.pinged(known)):
                        self.receiving.resumed(shared, now)
            case PeerOffline(peer, session, reason):
                self.ctx.notify("peer_offline", "warning", peer=self.ctx.name_of(peer), id=peer, reason=reason)
                self.offering.peer_offline(peer, now)
                self.receiving.peer_offline(session)
                self.parts.forget(session)
                self.inquiries.peer_offline(session, now)
                for shared in self.ctx.trees.values():
                    if self.twins.gone(shared, session) | self.holding.gone(shared, session):
                        self.receiving.resumed(shared, now)
            case Joined(node):
                self.ctx.notify("joined", id=node)
                self.announcing.changed()
            case Refused(text):
                self.refused = text
                self.ctx.notify("refused", "error", reason=text)
            case RegistryChanged():
                self.ctx.emit(RememberIds(self.cluster.remember()))
            case BansChanged(text):
                self.ctx.emit(RememberBans(self.cluster.hub.bans.records()))
                if text:
                    self.ctx.notify("ban", "warning", reason=text)
            case Misbehaved(peer, name, reason, count):
                self.ctx.notify("peer_misbehaves", "warning", peer=name, id=peer, reason=reason, count=count)
            case WayChanged() | FrameSizeChanged():
                self.telling.segment_changed(event)
            case Warned(text):
                self.ctx.notify("cluster_warning", "warning", reason=text)
            case _:
                pass

    # --- what it says of itself -------------------------------------------------------------------

    def conflicts(self, tree: str) -> list[TreePath]:
        """The conflict copies in a tree."""
        return self.ctx.trees[tree].conflicts()

    def lacking(self, tree: str | None = None) -> list[str]:
        """Who lacks what, in words."""
        return self.requests.lacking(tree)

    def status(self, now: int) -> Status:
        """Everything, for ``l2sync status``."""
        return self.telling.status(now, self.refused)


def _duty(effect: Effect) -> int:
    if isinstance(effect, Persist):
        return 0
    if isinstance(effect, Send | SendRun):
        return 1
    return _AFTERWARDS.get(type(effect).__name__, 2)


_AFTERWARDS = {"RenewReplica": 0, "Notify": 3, "Answer": 3, "RememberIds": 3, "RememberBans": 0}
_FRAMES_IN = {int(kind): f"frames_in_{kind.name.lower()}" for kind in Kind}
_BYTES_IN = {int(kind): f"bytes_in_{kind.name.lower()}" for kind in Kind}
