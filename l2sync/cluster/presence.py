"""Being here: pings that say so, and who has fallen silent."""

from __future__ import annotations

from collections.abc import Callable

from l2sync.frames import NOID, Bye, Kind, KnownKey, Ping, TreeState

from .candidates import Candidates
from .hub import Hub, Peer, PeerOffline, PeerOnline, PeerPinged, PeerState
from .messenger import Messenger
from .streams import InStream

_PING_SOON = 20_000_000
_MOST_KEYS = 16


class Presence:
    """Who of those placed is here; `on_meet` and `on_offline` let the rest of the machine set up and clean up."""

    def __init__(self, hub: Hub, messenger: Messenger, candidates: Candidates) -> None:
        self.hub = hub
        self.messenger = messenger
        self._candidates = candidates
        self.trees: tuple[TreeState, ...] = ()
        self.mtu = 0
        self.keys: tuple[KnownKey, ...] = ()
        """The keys that this node tells the others it knows."""
        self.on_meet: Callable[[Peer, int], None] = lambda peer, now: None
        self.on_offline: Callable[[Peer, int], None] = lambda peer, now: None
        self.on_look: Callable[[int], None] = lambda now: None
        """Called each ping interval, and twice in one while somebody is silent."""
        self._ping_at: int | None = None
        self._pinged_last = -(1 << 60)
        self._check_at: int | None = None

    def begin(self, now: int) -> None:
        """This node has an id: look from now on who is here."""
        self._check_at = now + self.hub.settings.ping_interval

    def joined(self, now: int) -> None:
        """This node is a member: say so, where many are new not at once."""
        crowd = self.hub.settings.crowd
        self._ping_at = now if self._candidates.newcomers < crowd else self._ping_soon(now)

    def online(self, peer: Peer, base: int, now: int) -> None:
        """A peer can be talked to; ``base``: where its broadcast stream begins for us."""
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
        many = len(self.hub.sessions) + self._candidates.newcomers
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
        self._candidates.forget(now)

    def handle_timer(self, now: int) -> None:
        """Look who is silent, and ping, when it is time to."""
        pings = self._ping_at is not None and self._ping_at <= now
        if pings or (self._check_at is not None and self._check_at <= now):
            self._check_peers(now)
        if pings:
            self._send_ping(now)

    def next_deadline(self) -> int | None:
        """When something is due."""
        return min((t for t in (self._check_at, self._ping_at) if t is not None), default=None)
