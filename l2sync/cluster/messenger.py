"""Reliable messages: out in ordered streams until everybody who owes an answer has given it; in once and in order."""

from __future__ import annotations

from collections import deque

from l2sync.frames import (
    MORE,
    NOID,
    PREFIX_SIZE,
    UNICAST,
    Ack,
    Base,
    Header,
    Kind,
    Registration,
    fragment,
    pack_prefix,
    parse_prefix,
)

from .acks import AckTracker, Parcel
from .hub import Delivered, Hub, Peer, PeerState
from .streams import epoch_start

_SUSPECT_AFTER = 2
"""Transmissions of a fragment that were not answered: perhaps it is too large."""
_SURELY_PASSES = 500
_URGENT = frozenset((Kind.REGISTER,))
"""What is answered at once. Nobody waits for the answer to anything else: what it says is told by what follows."""


class Messenger:
    """The streams of one node: one to everybody, one to each peer."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.tracker = AckTracker()
        self._queues: dict[int | None, deque[Parcel]] = {}
        self._flying: dict[int | None, int] = {}
        self._messages = 0
        self._ack_due: dict[int, Peer] = {}

    # --- out --------------------------------------------------------------------------------------

    def send(self, kind: int, body: bytes, now: int, to: Peer | None, more: bool = False) -> int:
        """Queue a message on the stream to one peer or to all; returns the message's number.

        Who owes an answer to a broadcast is settled when it is queued: everybody online then, and everybody who may
        have taken our register already, for these expect all that is said after it. ``more``: another
        frame to all follows at once, before which nothing is to be done about this one.
        """
        self._messages += 1
        pieces = fragment(body, self.hub.room - PREFIX_SIZE)
        owing = {to.session} if to is not None else {p.session for p in self.hub.online()} | self.hub.unanswered
        lane = None if to is None else to.session
        for index, piece in enumerate(pieces):
            flags = (0 if to is None else UNICAST) | (MORE if index + 1 < len(pieces) else 0)
            if to is None:
                seq = self.hub.broadcast_next
                self.hub.broadcast_next += 1
            else:
                seq = to.unicast_next
                to.unicast_next += 1
            parcel = Parcel(self._messages, kind, seq, pack_prefix(seq, flags) + piece, lane, set(owing))
            if owing:
                self._queues.setdefault(lane, deque()).append(parcel)
        if to is not None and to.session in self._ack_due:
            self._answer(to, now)
        # What has to wait for a place in the window is not followed at once.
        self._pump(lane, now, more)
        return self._messages

    def _pump(self, lane: int | None, now: int, more: bool = False) -> None:
        queue = self._queues.get(lane)
        while queue and self._flying.get(lane, 0) < self.hub.settings.window:
            parcel = queue.popleft()
            if parcel.owing:
                self._flying[lane] = self._flying.get(lane, 0) + 1
                self._transmit(parcel, now, more)

    def _transmit(self, parcel: Parcel, now: int, more: bool = False) -> None:
        debtors = [self.hub.sessions[s] for s in parcel.owing if s in self.hub.sessions]
        one = len(debtors) == len(parcel.owing) == 1 and (parcel.to is not None or parcel.tries > 0)
        alone = debtors[0] if one else None
        if alone is not None and self._tells(parcel.tries, parcel.first_sent, now):
            self.hub.doubt(alone, now)
        serial = self.hub.emit(parcel.kind, parcel.body, alone, more)
        if parcel.tries:
            self.hub.counters["retransmissions"] += 1
        if parcel.tries >= _SUSPECT_AFTER and len(parcel.body) > _SURELY_PASSES:
            self.hub.doubtful.update(parcel.owing)
        timeout = max((peer.roundtrip.timeout for peer in debtors), default=self.hub.settings.initial_rto)
        self.tracker.sent(parcel, serial, now, timeout)

    def _tells(self, repetitions: int, since: int, now: int) -> bool:
        """Whether that something is repeated so often, and for so long, tells of an address that does not work."""
        settings = self.hub.settings
        return repetitions >= settings.doubt_after and now - since >= settings.doubt_patience

    def backlog(self) -> int:
        """Fragments that wait for a place in a window."""
        return sum(map(len, self._queues.values()))

    def owes(self, peer: Peer, seq: int) -> bool:
        """Whether a peer has yet to answer something of the stream to all, up to this place.

        Until then it may have a later fragment without having delivered it.
        """
        waiting = self._queues.get(None, ())
        return any(p.seq <= seq and peer.session in p.owing for p in waiting) or self.tracker.owes(peer.session, seq)

    def acknowledged(self, peer: Peer, ack: Ack, now: int) -> list[Parcel]:
        """An ack of ours: the parcels whose answer by this peer is new."""
        settled, sent_at = self.tracker.acked(peer.session, ack.ranges)
        if sent_at is not None:
            peer.roundtrip.sample(now - sent_at - ack.delay_us * 1000)
        self._landed([p for p in settled if not p.owing], now)
        return settled

    def _landed(self, parcels: list[Parcel], now: int) -> None:
        lanes = set()
        for parcel in parcels:
            self._flying[parcel.to] = max(0, self._flying.get(parcel.to, 0) - 1)
            lanes.add(parcel.to)
        for lane in lanes:
            self._pump(lane, now)

    def forget(self, peer: Peer, now: int) -> None:
        """A peer is offline: its debts are settled, what waited for it alone is dropped."""
        self.settle(peer.session, now)
        peer.to_ack, peer.ack_at, peer.confirm = type(peer.to_ack)(), None, False
        self._ack_due.pop(peer.session, None)

    def settle(self, session: int, now: int) -> None:
        """A session owes no answer any more. All its debts end at once: what it is owed must have no gaps."""
        for parcel in self._queues.pop(session, ()):
            parcel.owing.clear()
        for queue in self._queues.values():
            for parcel in queue:
                parcel.owing.discard(session)
        self._landed(self.tracker.left(session), now)
        self._flying.pop(session, None)

    def meet(self, peer: Peer) -> None:
        """A pair meets (again): the stream to the peer begins anew, and what it is owed of the other one is fixed."""
        self.hub.epoch += 1
        peer.unicast_next = epoch_start(self.hub.epoch)
        queued = [p.seq for p in self._queues.get(None, ()) if peer.session in p.owing]
        flying = [p.seq for p, _ in self.tracker.by_serial.values() if p.to is None and peer.session in p.owing]
        peer.owed_base = min(queued + flying, default=self.hub.broadcast_next)

    def tell_base(self, peer: Peer, now: int) -> None:
        """A peer that has our register may wait for what it is not owed: it was told of an earlier place then, or we
        have dropped it since, and its debts."""
        if peer.owed_base:
            self.send(Kind.BASE, Base(peer.owed_base).pack(), now, peer)

    # --- in ---------------------------------------------------------------------------------------

    def jump(self, peer: Peer, base: int) -> bool:
        """A peer's broadcast stream is owed to us from ``base`` on; whether anything was passed over."""
        if peer.broadcast_in is None or not peer.broadcast_in.jump(base):
            return False
        self.advance(peer)
        return True

    def advance(self, peer: Peer) -> None:
        """Deliver what is whole now of a peer's broadcast stream."""
        if peer.broadcast_in is not None:
            for kind, message in peer.broadcast_in.advance():
                self.hub.events.append(Delivered(peer.id, peer.session, kind, message))

    def accept(self, peer: Peer, header: Header, body: bytes, now: int) -> None:
        """A frame of a stream: answer it, and deliver what is now in order."""
        prefix, piece = parse_prefix(body)
        stream = peer.unicast_in if prefix.flags & UNICAST else peer.broadcast_in
        if stream is None:
            return
        peer.repeats = peer.repeats + 1 if stream.knows(prefix.seq) else 0
        if peer.repeats <= 1:
            peer.repeated_at = now
        if self._tells(peer.repeats, peer.repeated_at, now):
            # Our answers do not reach it.
            self.hub.doubt(peer, now)
        answer, whole = stream.accept(header.kind, prefix.seq, prefix.flags, piece)
        if answer:
            self.owe_ack(peer, header.serial, header.kind, now)
        for kind, message in whole:
            self.hub.events.append(Delivered(peer.id, peer.session, kind, message))

    def owe_ack(self, peer: Peer, serial: int, kind: int, now: int) -> None:
        """Note that a serial must be answered: at once for what others wait on, else within the ack delay."""
        peer.to_ack.add(serial)
        due = now if kind in _URGENT else now + self.hub.settings.ack_delay
        if peer.ack_at is None:
            peer.ack_oldest = now
        peer.ack_at = due if peer.ack_at is None else min(peer.ack_at, due)
        self._ack_due[peer.session] = peer

    def confirm(self, peer: Peer, now: int) -> None:
        """Answer a peer's register now, with what else is to be answered."""
        self._ack_due.pop(peer.session, None)
        self._send_ack(peer, now)

    def hurry(self, peer: Peer, now: int) -> None:
        """What is owed to this peer is to be answered at once."""
        if peer.ack_at is not None:
            peer.ack_at = min(peer.ack_at, now)

    def _answer(self, peer: Peer, now: int) -> None:
        """An ack now: a frame goes to this peer anyway, and wakes it once for both."""
        if peer.ack_at is not None and self.hub.id != NOID:
            del self._ack_due[peer.session]
            self._send_ack(peer, now)

    def _send_ack(self, peer: Peer, now: int) -> None:
        delay = min((now - peer.ack_oldest) // 1000, 0xFFFFFFFF)
        registration = Registration(peer.owed_base, peer.nonce) if peer.confirm else None
        ack = Ack(peer.session, tuple(peer.to_ack.ranges), delay, self.hub.broadcast_next, registration)
        self.hub.emit(Kind.ACK, ack.pack(), peer)
        peer.to_ack, peer.ack_at, peer.confirm = type(peer.to_ack)(), None, False

    # --- time -------------------------------------------------------------------------------------

    def handle_timer(self, now: int) -> list[Peer]:
        """Send acks and retransmissions that are due; returns peers that have owed an answer for too long."""
        if self.hub.id != NOID:
            for session, peer in list(self._ack_due.items()):
                if peer.ack_at is not None and peer.ack_at <= now:
                    self._send_ack(peer, now)
                    del self._ack_due[session]
        lost: dict[int, Peer] = {}
        for parcel in self.tracker.due(now):
            if now - parcel.first_sent >= self.hub.settings.answer_timeout:
                for session in list(parcel.owing):
                    debtor = self.hub.sessions.get(session)
                    if debtor is not None and debtor.state is PeerState.ONLINE:
                        lost[session] = debtor
                    else:
                        self._landed(self.tracker.left(session), now)
            if parcel.owing:
                self._transmit(parcel, now)
        return list(lost.values())

    def next_deadline(self) -> int | None:
        """When something is due."""
        due = self.tracker.next_deadline()
        if self.hub.id != NOID:
            for peer in self._ack_due.values():
                if peer.ack_at is not None and (due is None or peer.ack_at < due):
                    due = peer.ack_at
        return due
