"""The cluster machine: frames and time in, frames and events out. It does no I/O and reads no clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from random import Random

from l2sync.frames import (
    NOID,
    OVERHEAD,
    STREAMED,
    Ack,
    Asking,
    Ban,
    Base,
    Bye,
    Chain,
    Die,
    Header,
    Hello,
    Kind,
    LocalError,
    Ping,
    Probe,
    Probed,
    Register,
    Registration,
    Rej,
    RemoteError,
    Roll,
    Tally,
    TreeState,
    Welcome,
)

from .banning import Banning
from .bans import BanList, BanRecord
from .chain import Chains
from .claims import Claims
from .hub import Delivered, Event, Hub, OutFrame, Peer, PeerState, Released
from .locks import LockTable
from .membership import Membership, SelfState
from .messenger import Messenger
from .reach import Reach
from .settings import ClusterSettings
from .sizes import Sizes
from .ways import UNCOUNTED, Way

_OURS = (Kind.LOCK, Kind.UNLOCKALL, Kind.BAN, Kind.BASE, Kind.CHAIN)


class Cluster:
    """Membership, streams, answers and locks of one node.

    ``room``: most bytes of a frame's body. ``registry``: names and ids remembered from before. ``rng`` spreads
    answers in time. ``destination``: where frames for all go first; ``group``: the multicast address.
    Nothing that a peer sends raises: it is counted in ``counters`` and dropped.
    """

    def __init__(
        self,
        *,
        name: str,
        session: int,
        nonce: bytes,
        room: int,
        registry: Mapping[str, int],
        rng: Random,
        mtu: int = 0,
        settings: ClusterSettings | None = None,
        bans: Iterable[BanRecord] = (),
        destination: Way = Way.BROADCAST,
        group: bytes | None = None,
    ) -> None:
        self.hub = Hub(name, session, nonce, room, rng, settings or ClusterSettings(), dict(registry))
        self.hub.way, self.hub.group = destination, group
        self.hub.bans = BanList(bans)
        # A later word must have a later stamp, also after all nodes have started anew.
        self.hub.lamport = self.hub.bans.latest()
        self.messenger = Messenger(self.hub)
        self.membership = Membership(self.hub, self.messenger)
        self.presence = self.membership.presence
        self.presence.mtu = mtu
        self.presence.on_meet = self._meet
        self.presence.on_offline = self._part
        self.banning = Banning(self.hub, self.messenger, self.membership)
        self.reach = Reach(self.hub)
        self.sizes = Sizes(self.hub, mtu)
        self.chains = Chains(self.hub, self.messenger)
        self.presence.on_look = self.reach.listen
        self.claims = Claims(self.hub, self.messenger, self.membership.doubts)
        self.counters = self.hub.counters
        self._linked = True
        """Whether the chain goes through all who are here."""
        self._way = destination
        self._handlers: dict[int, Callable[[Peer, Header, bytes, int], None]] = {
            Kind.PING: self._handle_ping,
            Kind.BYE: self._handle_bye,
            Kind.PROBE: self._handle_probe,
            Kind.TALLY: self._handle_tally,
            Kind.PROBED: self._handle_probed,
            Kind.REJ: lambda peer, header, body, now: None,
        }

    # --- what it knows ----------------------------------------------------------------------------

    @property
    def id(self) -> int:
        """This node's id; NOID until it has joined."""
        return self.hub.id if self.membership.state is SelfState.MEMBER else NOID

    @property
    def name(self) -> str:
        return self.hub.name

    @property
    def session(self) -> int:
        return self.hub.session

    @property
    def peers(self) -> dict[int, Peer]:
        return self.hub.peers

    @property
    def lamport(self) -> int:
        return self.hub.lamport

    @property
    def source_id(self) -> int:
        """The id that outgoing frames carry."""
        return self.hub.id

    def remember(self) -> dict[str, int]:
        """Names and ids, to be handed in again at the next start."""
        return dict(self.hub.registry)

    # --- verbs ------------------------------------------------------------------------------------

    def start(self, now: int) -> None:
        """Begin to join."""
        self.membership.start(now)

    def leave(self, text: str, now: int) -> None:
        """Say goodbye."""
        self.membership.leave(text)

    def next_serial(self) -> int:
        """A serial for a frame that is built elsewhere (data)."""
        return self.hub.next_serial()

    def announce(self, trees: Iterable[TreeState], now: int) -> None:
        """The trees' digests, for the next ping; a change is told soon."""
        self.presence.announce(tuple(trees), now)

    def send(self, kind: int, body: bytes, now: int, to: int | None = None, more: bool = False) -> int:
        """Send a message that must arrive; returns its number. A message to a peer that is not online is dropped.

        ``more``: another frame to all follows at once.
        """
        if to is None:
            return self.messenger.send(kind, body, now, None, more)
        peer = self.hub.peers.get(to)
        if peer is None or peer.state is not PeerState.ONLINE:
            return 0
        return self.messenger.send(kind, body, now, peer)

    def send_now(self, kind: int, body: bytes, to: int | None = None) -> None:
        """Send a frame that nobody answers."""
        self.hub.emit(kind, body, self.hub.peers.get(to) if to is not None else None)

    def admit(self, header: Header, now: int) -> Peer | None:
        """The sender of a frame, if its session is placed and its serial was never seen; marks the serial seen."""
        peer = self.hub.sessions.get(header.session)
        if peer is None or peer.state is not PeerState.ONLINE:
            return None
        if not peer.replay.admit(header.serial):
            self.counters["replayed"] += 1
            return None
        self.reach.count(peer, header, now)
        return peer

    def speaker(self, session: int) -> Peer | None:
        """Who sends data under this session, if it is placed: each serial has yet to be let through its window."""
        peer = self.hub.sessions.get(session)
        return peer if peer is not None and peer.state is PeerState.ONLINE else None

    def stranger(self, header: Header, now: int, address: bytes | None) -> None:
        """A frame came of a session that is not placed: challenge it."""
        peer = self.hub.sessions.get(header.session)
        if peer is None or peer.state is PeerState.OFFLINE:
            self.counters["unplaced"] += 1
            self.membership.challenge(header.session, now, address)

    def receive(self, header: Header, body: bytes, now: int, source: bytes | None = None) -> None:
        """Take one authenticated frame (data frames go to `admit` instead)."""
        # A welcome to one newcomer carries its old id before it has registered (transcript).
        ours = header.dst in (NOID, self.hub.id) or header.kind in (Kind.WELCOME, Kind.ACK)
        if header.session == self.hub.session or not ours:
            return
        try:
            self._receive(header, body, now, source)
        except (RemoteError, LocalError) as error:
            reason = getattr(error, "reason", "message")
            self.counters[f"bad_{reason}"] += 1
            self.accuse(header.session, f"{reason} {Kind(header.kind).name.lower()}")
        self.claims.check()

    def _receive(self, header: Header, body: bytes, now: int, source: bytes | None) -> None:
        kind = header.kind
        peer = self.hub.sessions.get(header.session)
        if peer is not None:
            if not peer.replay.admit(header.serial):
                self.counters["replayed"] += 1
                if peer.replay.leaps(header.serial):
                    self.hub.accuse(peer, "serial")
                return
            self.reach.count(peer, header, now)
            if peer.state is not PeerState.OFFLINE or kind == Kind.REGISTER:
                peer.last_seen = now
            if source and (peer.address is None or header.dst != NOID or kind in UNCOUNTED):
                # What goes to all may have been handed on by another.
                peer.address = source
        if kind == Kind.HELLO:
            self.membership.hello(header, Hello.parse(body), now, source)
        elif kind == Kind.WELCOME:
            self.membership.welcome(header, Welcome.parse(body), now, source)
        elif kind == Kind.REGISTER:
            self.membership.register(header, Register.parse(body), now, source)
        elif kind == Kind.REJ:
            self.membership.rej(Rej.parse(body), now)
        elif kind == Kind.DIE:
            self.membership.die(header, Die.parse(body), now)
        elif kind == Kind.ROLL:
            self._handle_roll(peer, header, Roll.parse(body), now, source)
        elif kind == Kind.ACK:
            self._handle_ack(peer, header, Ack.parse(body), now, source)
        elif peer is None or peer.state is not PeerState.ONLINE:
            self.stranger(header, now, source)
        elif kind in STREAMED:
            self._handle_streamed(peer, header, body, now)
        elif kind in self._handlers:
            self._handlers[kind](peer, header, body, now)

    # --- frames of members ------------------------------------------------------------------------

    def _handle_ack(self, peer: Peer | None, header: Header, ack: Ack, now: int, source: bytes | None) -> None:
        if ack.session != self.hub.session:
            return
        self.membership.registered(peer, header, ack.registration, now, source)
        peer = self.hub.sessions.get(header.session)
        if peer is None:
            return
        peer.told = max(peer.told, ack.stream)
        if any(parcel.to is None for parcel in self.messenger.acknowledged(peer, ack, now)):
            self.claims.answered(peer)

    def _handle_roll(self, peer: Peer | None, header: Header, roll: Roll, now: int, source: bytes | None) -> None:
        base = next((base for base, echo in roll.enrolled if echo == self.hub.nonce), None)
        if base is not None:
            self.membership.registered(peer, header, Registration(base, self.hub.nonce), now, source)
        peer = self.hub.sessions.get(header.session)
        if peer is not None:
            peer.told = max(peer.told, roll.stream)

    def _handle_ping(self, peer: Peer, header: Header, body: bytes, now: int) -> None:
        self.presence.ping(peer, Ping.parse(body), now)
        self.sizes.pinged(peer, now)

    def _handle_bye(self, peer: Peer, header: Header, body: bytes, now: int) -> None:
        self.presence.bye(peer, Bye.parse(body), now)

    def _handle_probe(self, peer: Peer, header: Header, body: bytes, now: int) -> None:
        probe, size = Probe.parse(body), OVERHEAD + header.length
        self.reach.probed(peer, probe, size, now)
        if probe.asking is Asking.SIZE:
            self.sizes.ask_to_tell(peer, probe, size, now)

    def _handle_probed(self, peer: Peer, header: Header, body: bytes, now: int) -> None:
        self.sizes.probed(peer, Probed.parse(body), now)

    def _handle_tally(self, peer: Peer, header: Header, body: bytes, now: int) -> None:
        tally = Tally.parse(body)
        self.reach.tally(peer, tally, now)
        self.sizes.tallied(peer, tally, now)

    def _handle_streamed(self, peer: Peer, header: Header, body: bytes, now: int) -> None:
        if self.membership.doubts(peer):
            # It may have forgotten our claims: no answer of ours to its own must count before it knows them again.
            self.counters["doubted"] += 1
            return
        mark = len(self.hub.events)
        self.messenger.accept(peer, header, body, now)
        self._sort(peer, mark, now)
        self.claims.dirty = True

    def _sort(self, peer: Peer, mark: int, now: int) -> None:
        """Of what a peer's streams brought, keep what is the cluster's own business."""
        told, self.hub.events[mark:] = self.hub.events[mark:], []
        for event in told:
            if isinstance(event, Delivered) and event.kind in _OURS:
                try:
                    if event.kind == Kind.BAN:
                        self.banning.hear(peer, Ban.parse(event.body), now)
                    elif event.kind == Kind.BASE:
                        self._rebase(peer, Base.parse(event.body).base, now)
                    elif event.kind == Kind.CHAIN:
                        self.chains.told(peer, Chain.parse(event.body))
                    else:
                        self.claims.deliver(peer, event, now)
                except RemoteError as error:
                    self.counters[f"bad_{error.reason}"] += 1
                    self.hub.accuse(peer, f"{error.reason} {Kind(event.kind).name.lower()}")
            else:
                self.hub.events.append(event)

    def _rebase(self, peer: Peer, base: int, now: int) -> None:
        mark = len(self.hub.events)
        if self.messenger.jump(peer, base):
            self.claims.part(peer)
            self.hub.events.insert(mark, Released(peer.id, peer.session, 0, False))
            self._sort(peer, mark, now)

    # --- bans -------------------------------------------------------------------------------------

    def accuse(self, session: int, reason: str) -> None:
        """A member's session did what no member does."""
        peer = self.hub.sessions.get(session)
        if peer is not None:
            self.hub.accuse(peer, reason)

    def ban(self, name: str, banned: bool, now: int) -> None:
        """Ban a node by its name, or lift its ban; all who are here hear of it now, the others when they come."""
        self.banning.ban(name, banned, now)

    # --- locks ------------------------------------------------------------------------------------

    @property
    def locks(self) -> LockTable:
        """Every claim that is known here."""
        return self.claims.table

    def lock(self, tree: int, paths: Iterable[bytes], purpose: int, now: int, more: bool = False) -> int:
        """Claim paths; returns the claim's number. `Granted` follows when the claim is ours. Raises LocalError.

        ``more``: what the claim is for is told at once.
        """
        return self.claims.lock(tree, paths, purpose, now, more)

    def unlock(self, number: int, commit: bool, now: int) -> None:
        """End a claim of ours, granted or not."""
        self.claims.unlock(number, commit, now)

    def progress(self, session: int, number: int, now: int) -> None:
        """Something was heard of the batch that a claim is for."""
        self.claims.progress(session, number, now)

    # --- meeting and parting ----------------------------------------------------------------------

    def _meet(self, peer: Peer, now: int) -> None:
        """A peer is new, or has forgotten us."""
        self.claims.meet(now)
        self.reach.met(peer, now)
        self.sizes.met(peer, now)
        self.chains.forget(peer)
        self._linked = False
        mark = len(self.hub.events)
        self.messenger.advance(peer)
        self._sort(peer, mark, now)
        self.banning.meet(peer, now)

    def _part(self, peer: Peer, now: int) -> None:
        self.reach.left(peer)
        self.sizes.left(peer)
        self.chains.forget(peer)
        self._linked = False
        self.claims.part(peer)

    # --- time and results -------------------------------------------------------------------------

    def handle_timer(self, now: int) -> None:
        """Do what is due."""
        self.membership.handle_timer(now)
        self.claims.handle_timer(now)
        for peer in self.messenger.handle_timer(now):
            self.presence.offline(peer, "left a message unanswered", now)
        self.reach.handle_timer(now)
        self.sizes.handle_timer(now)
        self._follow_way(now)
        self.claims.check()

    def _follow_way(self, now: int) -> None:
        """After a change of the way or of who is here: tell the chain, and send again what was lost before."""
        changed, self._way = self._way is not self.hub.way, self.hub.way
        if changed:
            self.messenger.tracker.hurry(now)
        if changed or not self._linked:
            self._linked = True
            self.chains.update(now)

    def next_deadline(self) -> int | None:
        """When `handle_timer` has something to do."""
        times = (
            self.claims.tell_at,
            self.membership.next_deadline(),
            self.messenger.next_deadline(),
            self.reach.next_deadline(),
            self.sizes.next_deadline(),
            0 if self._way is not self.hub.way or not self._linked else None,
        )
        return min((time for time in times if time is not None), default=None)

    def take_frames(self) -> list[OutFrame]:
        """Frames to be sealed and sent, in order."""
        out, self.hub.out = self.hub.out, []
        return out

    def take_events(self) -> list[Event]:
        """What happened since the last call."""
        events, self.hub.events = self.hub.events, []
        return events
