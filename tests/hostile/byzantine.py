"""A member gone bad: holds the key, keeps its place in the cluster, and says besides whatever it is told to."""

from __future__ import annotations

from l2sync.frames import (
    HEADER_SIZE,
    NOID,
    PREFIX_SIZE,
    STREAMED,
    UNICAST,
    Entries,
    Keyring,
    Kind,
    Lock,
    Purpose,
    Unlockall,
    fragment,
    pack_prefix,
    pack_updtree,
)
from l2sync.frames.stream import MORE
from l2sync.modtree import Entry, pack_entry
from l2sync.node import Node
from l2sync.node.tree import tree_tag
from tests.simulation.world import KEY, Host, World

WWW = tree_tag("www")
ROOM = 1500 - HEADER_SIZE - 16 - PREFIX_SIZE


class Byzantine:
    """Speaks through a host of the world, whose own node keeps it a member in good standing."""

    def __init__(self, world: World, host: Host) -> None:
        self.world, self.host = world, host
        self.keyring = Keyring("sim", {1: KEY}, 1)

    @property
    def node(self) -> Node:
        assert self.host.node is not None
        return self.host.node

    def say(
        self,
        kind: int,
        body: bytes,
        to: Host | None = None,
        *,
        src: int | None = None,
        session: int | None = None,
        serial: int | None = None,
    ) -> None:
        """One frame with this plaintext; its header as it should be, or as told."""
        hub = self.node.cluster.hub
        frame = self.keyring.seal(
            kind,
            hub.id if src is None else src,
            NOID if to is None else number(to),
            hub.session if session is None else session,
            hub.next_serial() if serial is None else serial,
            body,
        )
        self.transmit(frame)

    def tell(self, kind: int, body: bytes, to: Host | None = None) -> None:
        """A whole message; on this node's stream if it is of a kind that has one."""
        if kind not in STREAMED:
            self.say(kind, body, to)
            return
        pieces = fragment(body, ROOM)
        for index, piece in enumerate(pieces):
            more = MORE if index + 1 < len(pieces) else 0
            self.say(kind, pack_prefix(self._place(to), more | (UNICAST if to else 0)) + piece, to)

    def offer(
        self, batch: int, *entries: Entry, raw: tuple[bytes, ...] = (), last: bool = True, first: int = 0
    ) -> None:
        """A batch's list of entries (or of bytes that should be entries)."""
        packed = tuple(pack_entry(entry) for entry in entries) + raw
        self.tell(Kind.UPDTREE, pack_updtree(WWW, batch, Entries(last, first, packed)))

    def lock(self, claim: int, *paths: bytes, lamport: int | None = None, purpose: Purpose = Purpose.BATCH) -> None:
        """A claim."""
        time = self.node.cluster.lamport + 1 if lamport is None else lamport
        self.tell(Kind.LOCK, Lock(claim, time, WWW, purpose, paths).pack())

    def unlock(self, claim: int, commit: bool = True) -> None:
        """The end of a claim: with commit, its batch is to become visible."""
        self.tell(Kind.UNLOCKALL, Unlockall(claim, commit).pack())

    def can_say(self, to: Host | None) -> bool:
        """Whether the node is still a member, and knows whom it would speak to."""
        hub = self.node.cluster.hub
        return self.node.cluster.id != NOID and (to is None or number(to) in hub.peers)

    def transmit(self, frame: bytes) -> None:
        """Any bytes at all."""
        self.world.segment.transmit(self.host.port, frame, None, self.world.now)

    def _place(self, to: Host | None) -> int:
        hub = self.node.cluster.hub
        if to is None:
            hub.broadcast_next += 1
            return hub.broadcast_next - 1
        peer = hub.peers[number(to)]
        peer.unicast_next += 1
        return peer.unicast_next - 1


def number(host: Host) -> int:
    """A host's node id."""
    assert host.node is not None
    return host.node.cluster.id
