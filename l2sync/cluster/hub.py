"""What the parts of the cluster machine share: peers, serials, frames to send, events to tell."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum, auto
from random import Random
from typing import TypeAlias

from l2sync.frames import NOID, TreeState

from .acks import RangeSet, ReplayWindow, RoundTrip
from .settings import ClusterSettings
from .streams import EpochStream, InStream


class PeerState(Enum):
    """Where a peer stands. REGISTERING: it is fresh to us, and has yet to answer our register."""

    REGISTERING = auto()
    ONLINE = auto()
    OFFLINE = auto()


@dataclass(slots=True, eq=False)
class Peer:
    """Another node in one of its sessions. Times in ns; ``trees`` is what its last ping said."""

    id: int
    name: str
    session: int
    nonce: bytes
    roundtrip: RoundTrip
    state: PeerState = PeerState.REGISTERING
    address: bytes | None = None
    since: int = 0
    last_seen: int = 0
    pinged: bool = False
    mtu: int = 0
    trees: tuple[TreeState, ...] = ()
    replay: ReplayWindow = field(default_factory=ReplayWindow)
    broadcast_in: InStream | None = None
    unicast_in: EpochStream = field(default_factory=EpochStream)
    owed_base: int = 0
    unicast_next: int = 0
    to_ack: RangeSet = field(default_factory=RangeSet)
    ack_at: int | None = None
    ack_oldest: int = 0
    confirm: bool = False

    @property
    def rtt_ns(self) -> int | None:
        return self.roundtrip.smoothed


@dataclass(frozen=True, slots=True)
class OutFrame:
    """A frame to be sealed and sent; ``address`` is the MAC address to send to, None for broadcast."""

    kind: int
    dst: int
    serial: int
    body: bytes
    address: bytes | None


@dataclass(frozen=True, slots=True)
class Joined:
    """This node is a member under this id (again, if it had to change its id)."""

    id: int


@dataclass(frozen=True, slots=True)
class PeerOnline:
    """A peer can be talked to."""

    id: int


@dataclass(frozen=True, slots=True)
class PeerOffline:
    """A peer is gone; its locks are released and its debts settled."""

    id: int
    session: int
    reason: str


@dataclass(frozen=True, slots=True)
class PeerPinged:
    """A peer has told its trees' digests."""

    id: int


@dataclass(frozen=True, slots=True)
class Delivered:
    """A message of an ordered stream, once and in order."""

    peer: int
    session: int
    kind: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Granted:
    """A lock of our own is ours."""

    number: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """A peer claims paths."""

    peer: int
    session: int
    number: int


@dataclass(frozen=True, slots=True)
class Released:
    """A peer's claim ended by its own word; number 0: all of them."""

    peer: int
    session: int
    number: int
    commit: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """The cluster will not have this node: fatal, the text says why."""

    text: str


@dataclass(frozen=True, slots=True)
class RegistryChanged:
    """A name or its id is new: the registry should be kept."""


@dataclass(frozen=True, slots=True)
class Warned:
    """Something an administrator should know."""

    text: str


Event: TypeAlias = (
    Joined
    | PeerOnline
    | PeerOffline
    | PeerPinged
    | Delivered
    | Granted
    | Claimed
    | Released
    | Refused
    | RegistryChanged
    | Warned
)


@dataclass(slots=True)
class Hub:
    """Shared state of one cluster machine. ``peers`` by id; ``sessions`` holds every placed session, offline too."""

    name: str
    session: int
    nonce: bytes
    room: int
    rng: Random
    settings: ClusterSettings
    registry: dict[str, int]
    id: int = NOID
    lamport: int = 0
    serial: int = 0
    broadcast_next: int = 0
    epoch: int = 0
    peers: dict[int, Peer] = field(default_factory=dict)
    sessions: dict[int, Peer] = field(default_factory=dict)
    retired: dict[int, None] = field(default_factory=dict)
    out: list[OutFrame] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    counters: Counter[str] = field(default_factory=Counter)

    def next_serial(self) -> int:
        """The serial of the next frame; none is used twice."""
        serial = self.serial
        self.serial += 1
        return serial

    def emit(self, kind: int, body: bytes, to: Peer | None = None) -> int:
        """Have a frame sent to one peer or to all; returns its serial."""
        serial = self.next_serial()
        self.out.append(
            OutFrame(kind, NOID if to is None else to.id, serial, body, None if to is None else to.address)
        )
        return serial

    def online(self) -> list[Peer]:
        """Peers that can be talked to."""
        return [peer for peer in self.peers.values() if peer.state is PeerState.ONLINE]

    def retire(self, session: int) -> None:
        """A session is over for good: nothing of it is believed again."""
        self.retired[session] = None
        while len(self.retired) > self.settings.most_sessions:
            del self.retired[next(iter(self.retired))]
        self.sessions.pop(session, None)

    def remember(self, name: str, node: int) -> None:
        """An id belongs to a name for as long as anyone remembers it."""
        if self.registry.get(name) == node:
            return
        for other, known in list(self.registry.items()):
            if known == node:
                del self.registry[other]
        self.registry[name] = node
        self.events.append(RegistryChanged())
