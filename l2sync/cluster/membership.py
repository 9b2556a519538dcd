"""Who is a member: hello, welcome, register, rej, die, ping, bye; ids that stay with names; fresh sessions only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from l2sync.frames import (
    NOID,
    Bye,
    Die,
    DieReason,
    Echo,
    Header,
    Hello,
    Kind,
    KnownKey,
    Newcomer,
    Ping,
    Register,
    Registration,
    Rej,
    RejReason,
    TreeState,
    Welcome,
)

from .acks import ReplayWindow, RoundTrip
from .crowd import RollCall, filled
from .hub import Hub, Joined, Peer, PeerOffline, PeerOnline, PeerPinged, PeerState, Refused
from .messenger import Messenger
from .refusals import Refusals
from .streams import InStream

_UNKNOWN = bytes(8)
_WELCOME_HEAD, _NEWCOMER, _SPAN = 16, 20, 4
_REGISTER_HEAD, _ECHO = 24, 16
_PING_SOON = 20_000_000
_MOST_KEYS = 16


class SelfState(Enum):
    """Where this node stands itself."""

    IDLE = auto()
    HELLO = auto()
    REGISTERING = auto()
    MEMBER = auto()
    LEFT = auto()
    REFUSED = auto()


TRANSITIONS: dict[SelfState, frozenset[SelfState]] = {
    SelfState.IDLE: frozenset({SelfState.HELLO}),
    SelfState.HELLO: frozenset({SelfState.REGISTERING, SelfState.REFUSED, SelfState.LEFT}),
    SelfState.REGISTERING: frozenset({SelfState.MEMBER, SelfState.HELLO, SelfState.REFUSED, SelfState.LEFT}),
    SelfState.MEMBER: frozenset({SelfState.REGISTERING, SelfState.LEFT}),
    SelfState.LEFT: frozenset(),
    SelfState.REFUSED: frozenset(),
}


@dataclass(slots=True)
class Candidate:
    """A session heard of and not placed: what its hello said, and whether it waits for a welcome."""

    name: str
    nonce: bytes
    address: bytes | None
    heard: int
    waiting: bool = False
    welcomed: int = -(1 << 60)
    """When it was last answered (ns)."""


class Membership:
    """The joining half of the cluster machine; `on_meet` and `on_offline` let the other half set up and clean up."""

    def __init__(self, hub: Hub, messenger: Messenger) -> None:
        self.hub = hub
        self.messenger = messenger
        self.roll = RollCall(hub)
        self._refusals = Refusals(hub)
        self.state = SelfState.IDLE
        self.trees: tuple[TreeState, ...] = ()
        self.mtu = 0
        self.keys: tuple[KnownKey, ...] = ()
        """The keys that this node tells the others it knows."""
        self.on_meet: Callable[[Peer, int], None] = lambda peer, now: None
        self.on_offline: Callable[[Peer, int], None] = lambda peer, now: None
        self.on_look: Callable[[int], None] = lambda now: None
        """Called each ping interval, and twice in one while somebody is silent."""
        self._candidates: dict[int, Candidate] = {}
        self._offered = NOID
        self._taken: set[int] = set()
        self._echoes: dict[int, bytes] = {}
        self._names: dict[int, str] = {}
        self._tries = 0
        self._hello_at: int | None = None
        self._welcome_at: int | None = None
        self._register_at: int | None = None
        self._told_at: dict[int, int] = {}
        """When our register last named a session that owes us an answer (ns)."""
        self._registering_since = 0
        self._ping_at: int | None = None
        self._pinged_last = -(1 << 60)
        self._check_at: int | None = None

    def _go(self, state: SelfState) -> None:
        if state is not self.state:
            assert state in TRANSITIONS[self.state], (self.state, state)
            self.state = state

    @property
    def active(self) -> bool:
        """Whether this node has an id and speaks for itself."""
        return self.state in (SelfState.REGISTERING, SelfState.MEMBER)

    def start(self, now: int) -> None:
        """Say hello."""
        self._go(SelfState.HELLO)
        self._offered = self.hub.registry.get(self.hub.name, NOID)
        self._tries = 0
        self._hello_at = now

    def leave(self, text: str) -> None:
        """Say goodbye, three times against loss."""
        if self.active:
            for _ in range(3):
                self.hub.emit(Kind.BYE, Bye(text).pack())
        if self.state not in (SelfState.REFUSED, SelfState.IDLE):
            self._go(SelfState.LEFT)

    # --- hello and welcome ------------------------------------------------------------------------

    def hello(self, header: Header, message: Hello, now: int, address: bytes | None) -> None:
        """A newcomer, or one who returns."""
        if header.session in self.hub.retired or header.session == self.hub.session:
            return
        if self._refusals.banned(header, message.name, now, self.active):
            return
        if message.name == self.hub.name:
            self._refuse_name(header, now, address)
            return
        candidate = self._candidate(header.session, message.name, message.nonce, address, now)
        if self.active:
            self._queue_welcome(candidate, now)

    def _refuse_name(self, header: Header, now: int, address: bytes | None) -> None:
        """Of two that join under one name at once, the one of the lower session goes on."""
        if self.state in (SelfState.HELLO, SelfState.REGISTERING) and self.hub.session > header.session:
            return
        if self.active or self.state is SelfState.HELLO:
            self._refusals.taken(header, now, address)

    def _candidate(self, session: int, name: str, nonce: bytes, address: bytes | None, now: int) -> Candidate:
        known = self._candidates.get(session)
        if known is None:
            if len(self._candidates) >= self.hub.settings.most_sessions:
                # The one longest silent: each is put last when it is heard.
                del self._candidates[next(iter(self._candidates))]
            known = self._candidates[session] = Candidate(name, nonce, address, now)
        else:
            self._candidates[session] = self._candidates.pop(session)
        known.heard = now
        known.name, known.nonce, known.address = name or known.name, nonce or known.nonce, address
        return known

    def _queue_welcome(self, candidate: Candidate, now: int) -> None:
        if now - candidate.welcomed < self.hub.settings.welcome_interval:
            return
        candidate.waiting = True
        if self._welcome_at is None:
            self._welcome_at = now + self._gather(now)

    def _gather(self, now: int) -> int:
        return self.roll.gather(now, self._newcomers())

    def _newcomers(self) -> int:
        """How many we have yet to place, or to be placed by."""
        return len(self._candidates) + len(self.hub.unanswered)

    def challenge(self, session: int, now: int, address: bytes | None) -> None:
        """A frame of a session that cannot be placed: have its node register here."""
        if not self.active or session in self.hub.retired or session == self.hub.session:
            return
        candidate = self._candidate(session, "", b"", address, now)
        if now - candidate.welcomed >= self.hub.settings.challenge_interval:
            self._queue_welcome(candidate, now)

    def _send_welcomes(self, now: int) -> None:
        self._welcome_at = None
        waiting = [(s, c) for s, c in self._candidates.items() if c.waiting]
        if len(waiting) > self.hub.settings.most_newcomers:
            del waiting[self.hub.settings.most_newcomers :]
            self._welcome_at = now + self._gather(now)
        taken = _ranges({self.hub.id, *self.hub.peers, *self.hub.registry.values()})
        room = self.hub.room - _WELCOME_HEAD - len(self.hub.name.encode()) - _SPAN * len(taken)
        for run in filled(waiting, lambda one: _NEWCOMER + len(one[1].name.encode()), room):
            newcomers = []
            for session, candidate in run:
                candidate.waiting, candidate.welcomed = False, now
                old = self.hub.registry.get(candidate.name, NOID) if candidate.name else NOID
                newcomers.append(Newcomer(session, candidate.name or "?", old, candidate.nonce or _UNKNOWN))
            welcome = Welcome(self.hub.name, self.hub.nonce, taken, tuple(newcomers))
            self.hub.emit(Kind.WELCOME, welcome.pack())

    def welcome(self, header: Header, message: Welcome, now: int, address: bytes | None) -> None:
        """An answer to our hello, or a challenge."""
        if header.session in self.hub.retired or header.src == NOID or self.hub.bans.banned(message.name):
            return
        for newcomer in message.newcomers:
            if newcomer.session != self.hub.session:
                continue
            if newcomer.echo == self.hub.nonce:
                peer = self._place(header, message.name, message.nonce, now, address)
                if peer is None:
                    return
            if self.state is SelfState.HELLO:
                if newcomer.id != NOID:
                    self._offered = newcomer.id
                for low, high in message.taken:
                    self._taken.update(range(low, min(high, low + 4096) + 1))
            if header.session not in self._echoes and len(self._echoes) >= self.hub.settings.most_peers:
                return
            self._echoes[header.session], self._names[header.session] = message.nonce, message.name
            if self.active:
                self.hub.unanswered.add(header.session)
                self._registering_since = now
                self._told_at.pop(header.session, None)
                if self._register_at is None or self._register_at > now + self.roll.longest(now, self._newcomers()):
                    self._register_at = now + self._gather(now)

    def _place(self, header: Header, name: str, nonce: bytes, now: int, address: bytes | None) -> Peer | None:
        """Enter a session that has echoed our nonce; None where its id is another living peer's."""
        known = self.hub.sessions.get(header.session)
        if known is not None:
            known.address = address or known.address
            return known
        holder = self.hub.peers.get(header.src)
        if holder is not None and holder.name != name and holder.state is PeerState.ONLINE:
            return None
        for peer in list(self.hub.sessions.values()):
            if peer.name == name:
                self.offline(peer, "came back in a new session", now)
                self.hub.retire(peer.session)
                self._free_id(peer)
        if holder is not None and holder.name != name:
            self._lose_id(holder, now)
        if not self._has_room(name, address):
            return None
        peer = Peer(header.src, name, header.session, nonce, RoundTrip(self.hub.settings), address=address, since=now)
        peer.last_seen = now
        peer.replay = ReplayWindow(header.serial)
        self.hub.sessions[header.session] = peer
        self.hub.peers[peer.id] = peer
        self.hub.remember(name, peer.id)
        self._candidates.pop(header.session, None)
        return peer

    def _has_room(self, name: str, address: bytes | None) -> bool:
        """Whether one more session can be placed: who was offline longest makes room, but nobody who lives."""
        settings, sessions = self.hub.settings, self.hub.sessions
        if address is not None:
            near = [p for p in sessions.values() if p.address == address and p.state is PeerState.ONLINE]
            if len(near) >= settings.most_names_per_address:
                self.hub.accuse(near[0], "too many names")
                return False
        if len(sessions) < settings.most_peers:
            return True
        gone = [peer for peer in sessions.values() if peer.state is PeerState.OFFLINE]
        if not gone:
            self.hub.counters["peers_refused"] += 1
            return False
        oldest = min(gone, key=lambda peer: peer.last_seen)
        self.hub.retire(oldest.session)
        self._free_id(oldest)
        return True

    # --- register ---------------------------------------------------------------------------------

    def _choose_id(self) -> int:
        free_of_others = {node for name, node in self.hub.registry.items() if name != self.hub.name}
        taken = self._taken | free_of_others | set(self.hub.peers)
        if self._offered != NOID and self._offered not in self.hub.peers and self._offered not in free_of_others:
            return self._offered
        rank = sum(
            session < self.hub.session and bool(candidate.nonce)
            for session, candidate in self._candidates.items()
            if candidate.name not in self.hub.registry
        )
        free = [node for node in range(NOID) if node not in taken]
        # Should hearsay leave nothing, only what this node knows itself counts.
        free = free or [node for node in range(NOID) if node not in self.hub.peers]
        return free[min(rank, len(free) - 1)]

    def _begin_register(self, now: int) -> None:
        self.hub.id = self._choose_id()
        self._go(SelfState.REGISTERING)
        self.hub.unanswered = set(self._echoes)
        self._registering_since = now
        self._check_at = now + self.hub.settings.ping_interval
        self._send_register(now)
        self._settle(now)

    def _send_register(self, now: int) -> None:
        """Tell whoever owes an answer, and was not told just before; nobody, if none does, for all to hear of us."""
        unanswered, base = self.hub.unanswered, self.hub.broadcast_next
        interval = self.hub.settings.register_interval * self.roll.slowness(now, len(unanswered))
        self._told_at = {s: at for s, at in self._told_at.items() if s in unanswered and at + interval > now}
        echoes = [Echo(s, n) for s, n in self._echoes.items() if s in unanswered and s not in self._told_at]
        room = self.hub.room - _REGISTER_HEAD - len(self.hub.name.encode())
        for run in filled(echoes, lambda _: _ECHO, room) if echoes or unanswered else [[]]:
            self.hub.emit(Kind.REGISTER, Register(self.hub.name, self.hub.nonce, base, tuple(run)).pack())
        self._told_at |= dict.fromkeys((echo.session for echo in echoes), now)
        self._register_at = min(self._told_at.values(), default=now) + interval if unanswered else None

    def _settle(self, now: int) -> None:
        if self.state is SelfState.REGISTERING and not self.hub.unanswered:
            self._go(SelfState.MEMBER)
            self.hub.remember(self.hub.name, self.hub.id)
            self.hub.events.append(Joined(self.hub.id))
            self._ping_at = now if self._newcomers() < self.hub.settings.crowd else self._ping_soon(now)

    def register(self, header: Header, message: Register, now: int, address: bytes | None) -> None:
        """A node takes an id, and proves to those it names that it is alive."""
        if not self.active or header.session in self.hub.retired or header.src == NOID:
            return
        if self._refusals.banned(header, message.name, now, self.active):
            return
        if message.name == self.hub.name:
            self._refuse_name(header, now, address)
            if self.state is SelfState.MEMBER:
                self.hub.emit(Kind.DIE, Die(DieReason.NAME_TAKEN, f"the name {message.name!r} is taken").pack())
            return
        if not any(e.session == self.hub.session and e.nonce == self.hub.nonce for e in message.echoes):
            if header.session not in self.hub.sessions:
                self._candidate(header.session, message.name, message.nonce, address, now)
                self.challenge(header.session, now, address)
            return
        if not self._may_take(header, message, now):
            return
        peer = self._place(header, message.name, message.nonce, now, address)
        if peer is None:
            return
        peer.nonce = message.nonce
        if peer.id != header.src:
            self._rename(peer, header.src, now)
        if peer.state is not PeerState.ONLINE:
            self._online(peer, message.base, now)
        peer.confirm = True
        if len(self._candidates) + len(self.hub.sessions) > self.hub.settings.crowd:
            self.roll.add(peer, now, self._newcomers())
        else:
            self.messenger.owe_ack(peer, header.serial, Kind.REGISTER, now)

    def _may_take(self, header: Header, message: Register, now: int) -> bool:
        """Whether the id is free for this session; the fixed rule decides between two that want one."""
        if header.src == self.hub.id:
            if self._keeps(self.hub.session, self._registering_since, header.session, now):
                self._reject_id(header)
            else:
                self._yield_id(now)
            return False
        holder = self.hub.peers.get(header.src)
        namesake = next((p for p in self.hub.peers.values() if p.name == message.name), None)
        if namesake is not None and namesake.session != header.session and namesake.state is PeerState.ONLINE:
            # Let the old session speak up, if it lives: the newcomer asks again.
            return now - namesake.last_seen > self.hub.settings.ping_interval * 3 // 2
        if holder is None or holder.session == header.session or holder.name == message.name:
            return True
        if holder.state is PeerState.ONLINE and self._keeps(holder.session, holder.since, header.session, now):
            self._reject_id(header)
            return False
        if holder.state is PeerState.ONLINE:
            rej = Rej(RejReason.ID_TAKEN, holder.session & 0xFFFFFFFF, header.src, "the id is taken")
            self.hub.emit(Kind.REJ, rej.pack())
        self._lose_id(holder, now)
        return True

    def _keeps(self, holder: int, since: int, session: int, now: int) -> bool:
        return now - since > self.hub.settings.settled or holder < session

    def _reject_id(self, header: Header) -> None:
        text = f"id {header.src} is taken"
        self.hub.emit(Kind.REJ, Rej(RejReason.ID_TAKEN, header.session & 0xFFFFFFFF, header.src, text).pack())

    def _yield_id(self, now: int) -> None:
        """Another keeps the id that we took: take the next free one and tell everybody."""
        self._taken.add(self.hub.id)
        self._offered = NOID
        if self.hub.registry.get(self.hub.name) == self.hub.id:
            del self.hub.registry[self.hub.name]
        self.hub.id = self._choose_id()
        if self.state is SelfState.MEMBER:
            self._go(SelfState.REGISTERING)
        for session, peer in self.hub.sessions.items():
            self._echoes[session] = peer.nonce
        self.hub.unanswered = set(self._echoes)
        self._registering_since = now
        self._send_register(now)
        self._settle(now)

    def rej(self, message: Rej, now: int) -> None:
        """A refusal meant for this session: an id that is taken, or a name."""
        if message.number != self.hub.session & 0xFFFFFFFF:
            return
        refusals = (RejReason.NAME_TAKEN, RejReason.BANNED)
        if message.reason in refusals and self.state in (SelfState.HELLO, SelfState.REGISTERING):
            self._go(SelfState.REFUSED)
            self.hub.events.append(Refused(message.text))
        elif (
            message.reason is RejReason.ID_TAKEN
            and message.id == self.hub.id
            and self.active
            and now - self._registering_since < (self.hub.settings.register_timeout)
        ):
            self._yield_id(now)

    def die(self, header: Header, message: Die, now: int) -> None:
        """Somebody has our name: while joining, start over, so that its owner can say so to this very session.

        A die is not bound to our session and might be a recording, so by itself it ends nothing.
        """
        if self.state is SelfState.REGISTERING and header.session not in self.hub.retired:
            self.hub.counters["die_heard"] += 1
            self._go(SelfState.HELLO)
            self.hub.id = NOID
            self._tries, self._hello_at = 0, now

    def registered(
        self, peer: Peer | None, header: Header, told: Registration | None, now: int, address: bytes | None
    ) -> None:
        """An answer to our register: from ``base`` on, that node's broadcast stream is owed to us."""
        if told is None or told.echo != self.hub.nonce or header.session in self.hub.retired:
            return
        if peer is None and header.session in self._names:
            nonce = self._echoes[header.session]
            peer = self._place(header, self._names[header.session], nonce, now, address)
        if peer is None or not self._follow(peer, header.src, now):
            return
        doubted = self.doubts(peer)
        self.hub.unanswered.discard(header.session)
        if peer.state is not PeerState.ONLINE:
            self._online(peer, told.base, now)
            self.messenger.tell_base(peer, now)
        elif peer.broadcast_in is not None and peer.broadcast_in.jump(told.base):
            self.offline(peer, "its stream has a gap", now)
            self._online(peer, told.base, now)
            self.messenger.tell_base(peer, now)
        elif doubted:
            self.on_meet(peer, now)
        self._settle(now)

    def doubts(self, peer: Peer) -> bool:
        """Whether a peer may have forgotten us: it has challenged us, and has not answered our register yet."""
        return self.active and peer.session in self.hub.unanswered

    def _follow(self, peer: Peer, node: int, now: int) -> bool:
        """Whether the peer holds this id now, where it said so; a living holder comes first."""
        if peer.id == node:
            return True
        holder = self.hub.peers.get(node)
        if holder is not None and holder.state is PeerState.ONLINE:
            return False
        if holder is not None:
            self._lose_id(holder, now)
        self._rename(peer, node, now)
        return True

    def _lose_id(self, peer: Peer, now: int) -> None:
        """Another holds its id. The session may live on under an id not heard of yet: it is not over."""
        self.offline(peer, "lost its id", now)
        self._free_id(peer)
        peer.id = NOID

    def _free_id(self, peer: Peer) -> None:
        if self.hub.peers.get(peer.id) is peer:
            del self.hub.peers[peer.id]

    def _rename(self, peer: Peer, node: int, now: int) -> None:
        self.offline(peer, "took another id", now)
        self._free_id(peer)
        peer.id, peer.since = node, now
        self.hub.peers[node] = peer
        self.hub.remember(peer.name, node)

    # --- being here -------------------------------------------------------------------------------

    def _online(self, peer: Peer, base: int, now: int) -> None:
        if peer.broadcast_in is None:
            peer.broadcast_in = InStream(base)
        else:  # what was answered of it will not be sent again
            peer.broadcast_in.jump(base)
        peer.state, peer.last_seen, peer.pinged = PeerState.ONLINE, now, False
        self.messenger.meet(peer)
        self.hub.events.append(PeerOnline(peer.id))
        self.on_meet(peer, now)
        self._ping_at = now if self._ping_at is None else min(self._ping_at, self._ping_soon(now))

    def _ping_soon(self, now: int) -> int:
        """When to tell of ourselves those whom we just met, and those who come right after."""
        many = len(self.hub.sessions) + self._newcomers()
        return max(now, self._pinged_last) + _PING_SOON * (1 + many // self.hub.settings.crowd)

    def offline(self, peer: Peer, reason: str, now: int) -> None:
        """Settle a peer's debts, release its locks, tell."""
        if peer.state is not PeerState.ONLINE:
            peer.state = PeerState.OFFLINE
            return
        peer.state = PeerState.OFFLINE
        peer.pinged, peer.trees = False, ()
        self.messenger.forget(peer, now)
        self.on_offline(peer, now)
        self.hub.events.append(PeerOffline(peer.id, peer.session, reason))

    def ping(self, peer: Peer, message: Ping, now: int) -> None:
        """A peer is here, and its trees have these digests."""
        self.hub.hear_time(peer, message.lamport, now)
        peer.keys = message.keys[:_MOST_KEYS]
        peer.pinged, peer.trees, peer.mtu = True, message.trees, message.mtu
        self.hub.events.append(PeerPinged(peer.id))

    def bye(self, peer: Peer, message: Bye, now: int) -> None:
        """A peer leaves in order; its session is over."""
        self.offline(peer, message.text or "said goodbye", now)
        self.hub.retire(peer.session)

    def announce(self, trees: tuple[TreeState, ...], now: int) -> None:
        """Have digests told soon, not more often than the announce interval."""
        if trees != self.trees:
            self.trees = trees
            soon = max(now, self._pinged_last + self.hub.settings.announce_interval)
            if self._ping_at is not None:
                self._ping_at = min(self._ping_at, soon)

    def _send_ping(self, now: int) -> None:
        interval = self.hub.settings.ping_interval
        self._pinged_last = now
        self._ping_at = now + interval * 9 // 10 + self.hub.rng.randrange(max(interval // 5, 1))
        if self.hub.id != NOID:
            ping = Ping(self.hub.lamport, self.hub.broadcast_next, self.mtu, self.trees, self.keys)
            self.hub.emit(Kind.PING, ping.pack())

    def _check_peers(self, now: int) -> None:
        interval = self.hub.settings.ping_interval
        # Who pings is looked at when we ping ourselves, which needs no waking of its own.
        silent = any(now - peer.heard_at > interval * 3 // 2 for peer in self.hub.online())
        self._check_at = now + interval // 2 if silent or self._ping_at is None else None
        limit = interval * self.hub.settings.pings_missed
        for peer in list(self.hub.peers.values()):
            if peer.state is not PeerState.OFFLINE and now - peer.last_seen > limit:
                self.offline(peer, f"not heard of for {limit // 1_000_000} ms", now)
            if peer.doubted_at is not None and now - peer.doubted_at > self.hub.settings.doubt_interval:
                peer.doubted_at = None
        self.on_look(now)
        for session in [s for s, c in self._candidates.items() if now - c.heard > 30 * interval]:
            del self._candidates[session]

    # --- time -------------------------------------------------------------------------------------

    def handle_timer(self, now: int) -> None:
        """Do what is due."""
        if self.state is SelfState.HELLO and self._hello_at is not None and self._hello_at <= now:
            self._say_hello(now)
        if self._welcome_at is not None and self._welcome_at <= now and self.active:
            self._send_welcomes(now)
        for peer in self.roll.answer(now) if self.active else ():
            self.messenger.confirm(peer, now)
        if self._register_at is not None and self._register_at <= now and self.active:
            if not self.hub.unanswered:
                self._register_at = None
            elif now - self._registering_since > self.hub.settings.register_timeout:
                self._give_up_on_unanswered(now)
            else:
                self._send_register(now)
        if self.active:
            pings = self._ping_at is not None and self._ping_at <= now
            if pings or (self._check_at is not None and self._check_at <= now):
                self._check_peers(now)
            if pings:
                self._send_ping(now)

    def _give_up_on_unanswered(self, now: int) -> None:
        for session in self.hub.unanswered:
            peer = self.hub.sessions.get(session)
            if peer is not None and peer.state is PeerState.ONLINE:
                self.offline(peer, "does not answer our register", now)
            else:
                self.messenger.settle(session, now)
        self.hub.unanswered.clear()
        self._register_at = None
        self._settle(now)

    def _say_hello(self, now: int) -> None:
        settings = self.hub.settings
        if self._tries >= settings.hello_tries:
            self._hello_at = None
            self._begin_register(now)
            return
        self._tries += 1
        self._hello_at = now + settings.hello_interval + self.hub.rng.randrange(settings.hello_interval // 4)
        if self._echoes and self._tries > 1:
            # Somebody has answered: one more silent wait for the others is enough.
            self._tries = settings.hello_tries
            return
        self.hub.emit(Kind.HELLO, Hello(self.hub.name, self.hub.nonce).pack())

    def next_deadline(self) -> int | None:
        """When something is due."""
        times = []
        if self.state is SelfState.HELLO:
            times.append(self._hello_at)
        if self.active:
            times += [self._welcome_at, self.roll.due, self._register_at, self._check_at, self._ping_at]
        return min((t for t in times if t is not None), default=None)


def _ranges(ids: set[int]) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    for node in sorted(ids - {NOID}):
        if found and found[-1][1] == node - 1:
            found[-1] = (found[-1][0], node)
        else:
            found.append((node, node))
    return tuple(found)
