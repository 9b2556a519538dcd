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
    Lock,
    Ping,
    Probe,
    Probed,
    Purpose,
    Register,
    Rej,
    RejReason,
    RemoteError,
    Tally,
    TreeState,
    Unlockall,
    Welcome,
)

from .bans import BanList, BanRecord
from .chain import Chains
from .hub import BansChanged, Claimed, Delivered, Event, Granted, Hub, OutFrame, Peer, PeerState, Refused, Released
from .locks import Claim, LockTable
from .membership import Membership, SelfState
from .messenger import Messenger
from .reach import Reach
from .settings import ClusterSettings
from .sizes import Sizes
from .ways import UNCOUNTED, Way

_OURS = (Kind.LOCK, Kind.UNLOCKALL, Kind.BAN, Kind.BASE, Kind.CHAIN)
HELD = 0
"""The logical time of a claim that is told again while it is held: before all others."""


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
        self.membership.mtu = mtu
        self.membership.on_meet = self._meet
        self.membership.on_offline = self._part
        self.reach = Reach(self.hub)
        self.sizes = Sizes(self.hub, mtu)
        self.chains = Chains(self.hub, self.messenger)
        self.membership.on_look = self.reach.listen
        self.locks = LockTable()
        self.counters = self.hub.counters
        self._claims = 0
        self._grants_dirty = False
        self._expire_at = 0
        self._tell_at: int | None = None
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
        self.membership.announce(tuple(trees), now)

    def send(self, kind: int, body: bytes, now: int, to: int | None = None) -> int:
        """Send a message that must arrive; returns its number. A message to a peer that is not online is dropped."""
        if to is None:
            return self.messenger.send(kind, body, now, None)
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
        self._check_grants()

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
        self.membership.registered(peer, header, ack, now, source)
        peer = self.hub.sessions.get(header.session)
        if peer is None:
            return
        peer.told = max(peer.told, ack.stream)
        if any(parcel.to is None for parcel in self.messenger.acknowledged(peer, ack, now)):
            self._count_answers(peer)

    def _handle_ping(self, peer: Peer, header: Header, body: bytes, now: int) -> None:
        self.membership.ping(peer, Ping.parse(body), now)
        self.sizes.pinged(peer, now)

    def _handle_bye(self, peer: Peer, header: Header, body: bytes, now: int) -> None:
        self.membership.bye(peer, Bye.parse(body), now)

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
        self._grants_dirty = True

    def _sort(self, peer: Peer, mark: int, now: int) -> None:
        """Of what a peer's streams brought, keep what is the cluster's own business."""
        told, self.hub.events[mark:] = self.hub.events[mark:], []
        for event in told:
            if isinstance(event, Delivered) and event.kind in _OURS:
                try:
                    if event.kind == Kind.BAN:
                        self._hear_bans(peer, Ban.parse(event.body), now)
                    elif event.kind == Kind.BASE:
                        self._rebase(peer, Base.parse(event.body).base, now)
                    elif event.kind == Kind.CHAIN:
                        self.chains.told(peer, Chain.parse(event.body))
                    else:
                        self._deliver_lock(peer, event, now)
                except RemoteError as error:
                    self.counters[f"bad_{error.reason}"] += 1
                    self.hub.accuse(peer, f"{error.reason} {Kind(event.kind).name.lower()}")
            else:
                self.hub.events.append(event)

    def _rebase(self, peer: Peer, base: int, now: int) -> None:
        mark = len(self.hub.events)
        if self.messenger.jump(peer, base):
            self.locks.release(peer.session, 0)
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
        self.hub.lamport = max(self.hub.lamport, self.hub.bans.latest()) + 1
        record = BanRecord(name, banned, self.hub.lamport, self.hub.name)
        told = Ban(((record.name, record.banned, record.stamp, record.by),))
        self.messenger.send(Kind.BAN, told.pack(), now, None)
        self._take_ban(record, now)

    def _hear_bans(self, peer: Peer, message: Ban, now: int) -> None:
        for name, banned, stamp, by in message.records:
            if self.hub.hear_time(peer, stamp, now):
                self._take_ban(BanRecord(name, banned, stamp, by), now)

    def _take_ban(self, record: BanRecord, now: int) -> None:
        before = self.hub.bans.banned(record.name)
        if not self.hub.bans.take(record):
            return
        said = f"{record.name} is {'banned' if record.banned else 'no longer banned'}, said on {record.by}"
        self.hub.events.append(BansChanged(said if before != record.banned else ""))
        if not record.banned:
            return
        if record.name == self.name:
            self.membership.leave("banned")
            self.hub.events.append(Refused(f"{self.name!r} was banned from the cluster on {record.by}"))
        for known in [p for p in self.hub.sessions.values() if p.name == record.name]:
            self.membership.offline(known, f"banned on {record.by}", now)
            self.hub.retire(known.session)

    # --- locks ------------------------------------------------------------------------------------

    def lock(self, tree: int, paths: Iterable[bytes], purpose: int, now: int) -> int:
        """Claim paths; returns the claim's number. `Granted` follows when the claim is ours.

        Raises LocalError when users hold or want so many that peers, who bound them, might not know of one more.
        """
        paths = tuple(sorted(set(paths)))
        if purpose == Purpose.USER and not self.locks.spare(self.session, paths):
            raise LocalError("too many paths are locked or waited for here; end some of the locks")
        self._claims += 1
        self.hub.lamport += 1
        claim = Claim(self.session, self._claims, self.hub.id, self.hub.lamport, tree, purpose, paths)
        self.locks.add(claim)
        self._tell(claim, now)
        self._grants_dirty = True
        self._check_grants()
        return claim.number

    def unlock(self, number: int, commit: bool, now: int) -> None:
        """End a claim of ours, granted or not."""
        if self.locks.release(self.session, number):
            self.messenger.send(Kind.UNLOCKALL, Unlockall(number, commit).pack(), now, None)
        self._grants_dirty = True
        self._check_grants()

    def _tell(self, claim: Claim, now: int) -> None:
        """Tell a claim to everybody. Who does not know it yet must know before its stamp whether it is held."""
        lamport = HELD if claim.granted else claim.lamport
        lock = Lock(claim.number, lamport, claim.tree, Purpose(claim.purpose), claim.paths)
        self.messenger.send(Kind.LOCK, lock.pack(), now, None)
        if not claim.granted:
            claim.waiting = {peer.session for peer in self.hub.online()}
            claim.until.clear()
            claim.stuck.clear()
            claim.last = self.hub.broadcast_next - 1

    def _count_answers(self, peer: Peer) -> None:
        """A peer has answered more of our stream: claims that it thereby knows have its answer.

        The highest place that it told of its own stream is at least the one at which it came to know the claim.
        """
        if self._tell_at is not None or self.membership.doubts(peer):
            return
        for claim in self._own_claims():
            waited = not claim.granted and peer.session in claim.waiting and peer.session not in claim.until
            if waited and not self.messenger.owes(peer, claim.last):
                claim.until[peer.session] = peer.told
                self._grants_dirty = True

    def _own_claims(self) -> list[Claim]:
        return [claim for claim in self.locks if claim.session == self.session]

    def _deliver_lock(self, peer: Peer, event: Delivered, now: int) -> None:
        if event.kind == Kind.UNLOCKALL:
            done = Unlockall.parse(event.body)
            self.locks.release(peer.session, done.number)
            self.hub.events.append(Released(peer.id, peer.session, done.number, done.commit))
            return
        lock = Lock.parse(event.body)
        if not self.hub.hear_time(peer, lock.lamport, now):
            return
        self.hub.lamport += 1
        if lock.purpose == Purpose.USER:
            # A batch's lock is waited for no longer than what is told of its staging, and that brings the answer along.
            self.messenger.hurry(peer, now)
        claim = Claim(peer.session, lock.number, peer.id, lock.lamport, lock.tree, lock.purpose, lock.paths)
        known = self.locks.get(*claim.key)
        if known is not None:
            known.lamport = min(known.lamport, claim.lamport)
            return
        claim.touched_at = claim.heard_at = now
        if not self.locks.add(claim):
            self.hub.accuse(peer, "too many locks")
            return
        self.hub.events.append(Claimed(peer.id, peer.session, lock.number))
        before = self.locks.earlier(claim)
        if before is not None and before.session == self.session:
            self.messenger.hurry(peer, now)
            text = f"{self.name} holds or wants it with an earlier claim"
            self.hub.emit(Kind.REJ, Rej(RejReason.LOCKED, lock.number, NOID, text).pack(), peer)

    def _check_grants(self) -> None:
        if not self._grants_dirty:
            return
        self._grants_dirty = False
        for claim in self._own_claims():
            if claim.granted or self._tell_at is not None:
                continue
            for session in list(claim.waiting):
                peer = self.hub.sessions.get(session)
                if peer is None or peer.state is not PeerState.ONLINE:
                    claim.waiting.discard(session)
                elif session in claim.until and peer.broadcast_in is not None:
                    heard = peer.broadcast_in.expected >= claim.until[session]
                    claim.waiting -= {session} if heard else set()
            if not claim.waiting and self.locks.earlier(claim) is None:
                claim.granted = True
                self.hub.events.append(Granted(claim.number))

    def progress(self, session: int, number: int, now: int) -> None:
        """Something was heard of the batch that a claim is for."""
        claim = self.locks.get(session, number)
        if claim is not None:
            claim.touched_at = now

    def _expire_claims(self, now: int) -> None:
        """End what others claim and make nothing of; look once a second."""
        if now < self._expire_at:
            return
        settings = self.hub.settings
        self._expire_at = now + settings.ping_interval
        for claim in list(self.locks):
            if claim.session == self.session:
                self._find_liars(claim, now)
                continue
            if self.locks.earlier(claim) is not None:
                # It waits itself; its time counts from when it stands first.
                claim.touched_at = claim.heard_at = now
                continue
            idle = now - claim.touched_at > settings.claim_patience and claim.purpose != Purpose.USER
            if idle or now - claim.heard_at > settings.claim_most:
                self.accuse(claim.session, "lock held without end")
                self.locks.release(claim.session, claim.number)
                self.hub.events.append(Released(claim.node, claim.session, claim.number, False))
                self._grants_dirty = True

    def _find_liars(self, claim: Claim, now: int) -> None:
        """Who answered our claim, and does not send what it said it had sent before, holds the claim up for ever."""
        if claim.granted:
            return
        for session in claim.waiting & set(claim.until):
            peer = self.hub.sessions.get(session)
            if peer is None or peer.broadcast_in is None:
                continue
            place = peer.broadcast_in.expected
            if claim.stuck.get(session, (-1, 0))[0] != place:
                claim.stuck[session] = (place, now)
            elif now - claim.stuck[session][1] > self.hub.settings.claim_patience:
                self.hub.accuse(peer, "lying answer")
                claim.until[session] = 0
                self._grants_dirty = True

    def _meet(self, peer: Peer, now: int) -> None:
        """A peer is new, or has forgotten us: our claims are told again, to many at once, before anything is answered.

        Until then nothing is granted. What was answered before does not count any more: who answered may have been
        dropped meanwhile, and have dropped our claims.
        """
        self._tell_at = now
        self.reach.met(peer, now)
        self.sizes.met(peer, now)
        self.chains.forget(peer)
        self._linked = False
        mark = len(self.hub.events)
        self.messenger.advance(peer)
        self._sort(peer, mark, now)
        if len(self.hub.bans):
            records = tuple((r.name, r.banned, r.stamp, r.by) for r in self.hub.bans.records())
            self.messenger.send(Kind.BAN, Ban(records).pack(), now, peer)

    def _tell_again(self, now: int) -> None:
        self._tell_at = None
        for claim in self._own_claims():
            self._tell(claim, now)
        self._grants_dirty = True

    def _part(self, peer: Peer, now: int) -> None:
        self.reach.left(peer)
        self.sizes.left(peer)
        self.chains.forget(peer)
        self._linked = False
        self.locks.release(peer.session, 0)
        self._grants_dirty = True

    # --- time and results -------------------------------------------------------------------------

    def handle_timer(self, now: int) -> None:
        """Do what is due."""
        self.membership.handle_timer(now)
        self._expire_claims(now)
        if self._tell_at is not None:
            self._tell_again(now)
        for peer in self.messenger.handle_timer(now):
            self.membership.offline(peer, "left a message unanswered", now)
        self.reach.handle_timer(now)
        self.sizes.handle_timer(now)
        self._follow_way(now)
        self._check_grants()

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
            self._tell_at,
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
