"""Becoming a member: hello, welcome, register, rej, die; ids that stay with names; fresh sessions only."""

from __future__ import annotations

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
    Register,
    Registration,
    Rej,
    RejReason,
    Welcome,
)

from .candidates import Candidates
from .crowd import RollCall, filled
from .hub import Hub, Joined, Peer, PeerState, Refused
from .messenger import Messenger
from .places import Places
from .presence import Presence
from .refusals import Refusals

_REGISTER_HEAD, _ECHO = 24, 16


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


class Membership:
    """The joining half of the cluster machine."""

    def __init__(self, hub: Hub, messenger: Messenger) -> None:
        self.hub = hub
        self.messenger = messenger
        self.roll = RollCall(hub)
        self.candidates = Candidates(hub, self.roll)
        self.presence = Presence(hub, messenger, self.candidates)
        self.places = Places(hub, self.candidates, self.presence)
        self._refusals = Refusals(hub)
        self.state = SelfState.IDLE
        self._offered = NOID
        self._taken: set[int] = set()
        self._echoes: dict[int, bytes] = {}
        self._names: dict[int, str] = {}
        self._tries = 0
        self._hello_at: int | None = None
        self._register_at: int | None = None
        self._told_at: dict[int, int] = {}
        """When our register last named a session that owes us an answer (ns)."""
        self._registering_since = 0

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
        candidate = self.candidates.hear(header.session, message.name, message.nonce, address, now)
        if self.active:
            self.candidates.queue(candidate, now)

    def _refuse_name(self, header: Header, now: int, address: bytes | None) -> None:
        """Of two that join under one name at once, the one of the lower session goes on."""
        if self.state in (SelfState.HELLO, SelfState.REGISTERING) and self.hub.session > header.session:
            return
        if self.active or self.state is SelfState.HELLO:
            self._refusals.taken(header, now, address)

    def challenge(self, session: int, now: int, address: bytes | None) -> None:
        """A frame of a session that cannot be placed: have its node register here."""
        if not self.active or session in self.hub.retired or session == self.hub.session:
            return
        candidate = self.candidates.hear(session, "", b"", address, now)
        if now - candidate.welcomed >= self.hub.settings.challenge_interval:
            self.candidates.queue(candidate, now)

    def welcome(self, header: Header, message: Welcome, now: int, address: bytes | None) -> None:
        """An answer to our hello, or a challenge."""
        if header.session in self.hub.retired or header.src == NOID or self.hub.bans.banned(message.name):
            return
        for newcomer in message.newcomers:
            if newcomer.session != self.hub.session:
                continue
            if newcomer.echo == self.hub.nonce:
                peer = self.places.enter(header, message.name, message.nonce, now, address)
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
                latest = now + self.roll.longest(now, self.candidates.newcomers)
                if self._register_at is None or self._register_at > latest:
                    self._register_at = now + self.candidates.gather(now)

    # --- register ---------------------------------------------------------------------------------

    def _choose_id(self) -> int:
        free_of_others = {node for name, node in self.hub.registry.items() if name != self.hub.name}
        taken = self._taken | free_of_others | set(self.hub.peers)
        if self._offered != NOID and self._offered not in self.hub.peers and self._offered not in free_of_others:
            return self._offered
        free = [node for node in range(NOID) if node not in taken]
        # Should hearsay leave nothing, only what this node knows itself counts.
        free = free or [node for node in range(NOID) if node not in self.hub.peers]
        return free[min(self.candidates.rank(), len(free) - 1)]

    def _begin_register(self, now: int) -> None:
        self.hub.id = self._choose_id()
        self._go(SelfState.REGISTERING)
        self.hub.unanswered = set(self._echoes)
        self._registering_since = now
        self.presence.begin(now)
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
            self.presence.joined(now)

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
                self.candidates.hear(header.session, message.name, message.nonce, address, now)
                self.challenge(header.session, now, address)
            return
        if not self._may_take(header, message, now):
            return
        peer = self.places.enter(header, message.name, message.nonce, now, address)
        if peer is None:
            return
        peer.nonce = message.nonce
        if peer.id != header.src:
            self.places.rename(peer, header.src, now)
        if peer.state is not PeerState.ONLINE:
            self.presence.online(peer, message.base, now)
        peer.confirm = True
        if len(self.candidates) + len(self.hub.sessions) > self.hub.settings.crowd:
            self.roll.add(peer, now, self.candidates.newcomers)
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
        self.places.lose_id(holder, now)
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
            peer = self.places.enter(header, self._names[header.session], nonce, now, address)
        if peer is None or not self.places.follow(peer, header.src, now):
            return
        doubted = self.doubts(peer)
        self.hub.unanswered.discard(header.session)
        if peer.state is not PeerState.ONLINE:
            self.presence.online(peer, told.base, now)
            self.messenger.tell_base(peer, now)
        elif peer.broadcast_in is not None and peer.broadcast_in.jump(told.base):
            self.presence.offline(peer, "its stream has a gap", now)
            self.presence.online(peer, told.base, now)
            self.messenger.tell_base(peer, now)
        elif doubted:
            self.presence.on_meet(peer, now)
        self._settle(now)

    def doubts(self, peer: Peer) -> bool:
        """Whether a peer may have forgotten us: it has challenged us, and has not answered our register yet."""
        return self.active and peer.session in self.hub.unanswered

    # --- time -------------------------------------------------------------------------------------

    def handle_timer(self, now: int) -> None:
        """Do what is due."""
        if self.state is SelfState.HELLO and self._hello_at is not None and self._hello_at <= now:
            self._say_hello(now)
        if self.candidates.due is not None and self.candidates.due <= now and self.active:
            self.candidates.send_welcomes(now)
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
            self.presence.handle_timer(now)

    def _give_up_on_unanswered(self, now: int) -> None:
        for session in self.hub.unanswered:
            peer = self.hub.sessions.get(session)
            if peer is not None and peer.state is PeerState.ONLINE:
                self.presence.offline(peer, "does not answer our register", now)
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
            times += [self.candidates.due, self.roll.due, self._register_at, self.presence.next_deadline()]
        return min((t for t in times if t is not None), default=None)
