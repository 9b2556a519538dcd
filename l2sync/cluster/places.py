"""Who is placed: sessions under the ids that they hold."""

from __future__ import annotations

from l2sync.frames import NOID, Header

from .acks import ReplayWindow, RoundTrip
from .candidates import Candidates
from .hub import Hub, Peer, PeerState
from .presence import Presence


class Places:
    """Enters peers; whoever held a place before makes room, but nobody who lives."""

    def __init__(self, hub: Hub, candidates: Candidates, presence: Presence) -> None:
        self.hub = hub
        self._candidates = candidates
        self._presence = presence

    def enter(self, header: Header, name: str, nonce: bytes, now: int, address: bytes | None) -> Peer | None:
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
                self._presence.offline(peer, "came back in a new session", now)
                self.hub.retire(peer.session)
                self._free_id(peer)
        if holder is not None and holder.name != name:
            self.lose_id(holder, now)
        if not self._has_room(name, address):
            return None
        peer = Peer(header.src, name, header.session, nonce, RoundTrip(self.hub.settings), address=address, since=now)
        peer.last_seen = now
        peer.replay = ReplayWindow(header.serial)
        self.hub.sessions[header.session] = peer
        self.hub.peers[peer.id] = peer
        self.hub.remember(name, peer.id)
        self._candidates.placed(header.session)
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

    def follow(self, peer: Peer, node: int, now: int) -> bool:
        """Whether the peer holds this id now, where it said so; a living holder comes first."""
        if peer.id == node:
            return True
        holder = self.hub.peers.get(node)
        if holder is not None and holder.state is PeerState.ONLINE:
            return False
        if holder is not None:
            self.lose_id(holder, now)
        self.rename(peer, node, now)
        return True

    def lose_id(self, peer: Peer, now: int) -> None:
        """Another holds its id. The session may live on under an id not heard of yet: it is not over."""
        self._presence.offline(peer, "lost its id", now)
        self._free_id(peer)
        peer.id = NOID

    def _free_id(self, peer: Peer) -> None:
        if self.hub.peers.get(peer.id) is peer:
            del self.hub.peers[peer.id]

    def rename(self, peer: Peer, node: int, now: int) -> None:
        """A peer holds another id from now on."""
        self._presence.offline(peer, "took another id", now)
        self._free_id(peer)
        peer.id, peer.since = node, now
        self.hub.peers[node] = peer
        self.hub.remember(peer.name, node)
