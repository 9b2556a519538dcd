"""Frames for all handed on from node to node: each crosses every node's link once in and once out.

The sender tells each node whom to hand its frames on to; they are handed on as they are, sealed by their sender. A
node hands on each serial once, so a chain that is told wrongly ends somewhere, whatever it says.
"""

from __future__ import annotations

from itertools import pairwise

from l2sync.frames import NOID, Chain, Header, Kind

from .hub import Hub, Peer, PeerState
from .messenger import Messenger
from .ways import UNCOUNTED, Way


class Chains:
    """The chain that this node's frames take, and its place in those of others."""

    def __init__(self, hub: Hub, messenger: Messenger) -> None:
        self.hub = hub
        self.messenger = messenger
        self._told: dict[int, int] = {}

    def order(self) -> list[Peer]:
        """Whom our frames reach one after the other: by id from ours on, so that chains of many senders share work."""
        reachable = [peer for peer in self.hub.online() if peer.address is not None]
        return sorted(reachable, key=lambda peer: (peer.id - self.hub.id) % 0x10000)

    def update(self, now: int) -> None:
        """Tell everybody whose follower has changed."""
        in_use = self.hub.way is Way.CHAIN
        if not in_use and not self._told:
            return
        order = self.order() if in_use else []
        follows = {peer.session: after.id for peer, after in pairwise(order)}
        for peer in self.hub.online():
            after = follows.get(peer.session, NOID)
            if self._told.get(peer.session, NOID) != after:
                self._told[peer.session] = after
                self.messenger.send(Kind.CHAIN, Chain(after).pack(), now, peer)
        if not in_use:
            self._told.clear()
        self.hub.first_hop = order[0].address if order else None

    def forget(self, peer: Peer) -> None:
        """A peer is gone, or new: it knows nothing of any chain, and is in none of ours."""
        self._told.pop(peer.session, None)
        peer.hand_on = None

    def told(self, peer: Peer, message: Chain) -> None:
        """A peer says whom its frames are to be handed on to."""
        peer.hand_on = None
        if message.next == self.hub.id:
            self.hub.accuse(peer, "chain")
        elif message.next != NOID:
            peer.hand_on = message.next

    def hand_on(self, header: Header) -> bytes | None:
        """The address that a frame just authenticated is to be handed on to, if it is."""
        if header.dst != NOID or header.kind in UNCOUNTED:
            return None
        sender = self.hub.sessions.get(header.session)
        if sender is None or sender.hand_on is None or sender.state is not PeerState.ONLINE:
            return None
        after = self.hub.peers.get(sender.hand_on)
        if after is None or after is sender or after.state is not PeerState.ONLINE:
            return None
        return after.address if sender.replay.fresh(header.serial) else None
