"""What the parts of the cluster machine share: peers, serials, frames to send, events to tell."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum, auto
from random import Random
from typing import TypeAlias

from l2sync.frames import NOID, Kind, KnownKey, TreeState

from .acks import RangeSet, ReplayWindow, RoundTrip
from .bans import BanList
from .settings import ClusterSettings
from .streams import EpochStream, InStream
from .ways import JOINING, MEASURING, UNCOUNTED, Way


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
    told: int = 0
    """How far its stream to all goes, as its acks say."""
    mtu: int = 0
    trees: tuple[TreeState, ...] = ()
    keys: tuple[KnownKey, ...] = ()
    """The keys it knows, the one that it seals with first."""
    replay: ReplayWindow = field(default_factory=ReplayWindow)
    broadcast_in: InStream | None = None
    unicast_in: EpochStream = field(default_factory=EpochStream)
    owed_base: int = 0
    unicast_next: int = 0
    to_ack: RangeSet = field(default_factory=RangeSet)
    ack_at: int | None = None
    ack_oldest: int = 0
    confirm: bool = False
    repeats: int = 0
    """Fragments in a row that it said again although they were answered."""
    repeated_at: int = 0
    """Since when (ns)."""
    doubted_at: int | None = None
    """When last there was a sign that frames to its address do not reach it (ns)."""

    heard: int = 0
    """Frames to all that have arrived of it since we met."""
    heard_at: int = 0
    trials: dict[int, list[int]] = field(default_factory=dict)
    """Of its latest trials by number: probes by each lane that have arrived, and bytes of the largest."""
    hand_on: int | None = None
    """The node that its frames to all are to be handed on to."""

    @property
    def rtt_ns(self) -> int | None:
        return self.roundtrip.smoothed


@dataclass(frozen=True, slots=True)
class OutFrame:
    """A frame to be sealed and sent; ``address`` is the MAC address to send to, None for broadcast.

    Several in succession with one serial are one frame that goes by more than one way.
    """

    kind: int
    dst: int
    serial: int
    body: bytes
    address: bytes | None
    more: bool = False
    """Whether the next one follows at once, and whoever gets both need not wake for this."""


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


@dataclass(frozen=True, slots=True)
class BansChanged:
    """Who is banned has changed: the list should be kept. ``text`` says it for people."""

    text: str


@dataclass(frozen=True, slots=True)
class WayChanged:
    """Frames for all go another way from now on; ``text`` says why, where it can be said."""

    before: Way
    now: Way
    text: str


@dataclass(frozen=True, slots=True)
class FrameSizeChanged:
    """Frames have this many bytes at the most from now on; ``limited_by``: whose way takes no more, "" for nobody's."""

    before: int
    now: int
    limited_by: str


@dataclass(frozen=True, slots=True)
class Misbehaved:
    """A member did what no member does; ``count`` times so far, told at the first and then ever more seldom."""

    peer: int
    name: str
    reason: str
    count: int


_MOST_KNOWN = 64
"""Addresses that a newcomer's frame goes to one by one, where nothing reaches all."""
_MOST_ACCUSED = 256
_MOST_REASONS = 16

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
    | Misbehaved
    | BansChanged
    | WayChanged
    | FrameSizeChanged
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
    misdeeds: dict[str, Counter[str]] = field(default_factory=dict)
    """What members did that no member does, by name and reason; it outlives their sessions."""
    leapt_at: int | None = None
    unanswered: set[int] = field(default_factory=set)
    """Sessions that were or will be told our register, and have not answered it."""
    bans: BanList = field(default_factory=BanList)
    way: Way = Way.BROADCAST
    group: bytes | None = None
    """The cluster's multicast address."""
    first_hop: bytes | None = None
    """Where frames for all go from here, where they go from node to node."""
    doubtful: set[int] = field(default_factory=set)
    """Sessions that frames do not reach as they should: their size may be why."""
    trials: int = 0
    sent_pings: int = 0
    sent_frames: int = 0
    sent_bytes: int = 0
    """What went to all, but for what newcomers are to hear as well."""

    def accuse(self, peer: Peer, reason: str) -> None:
        """Note that a member did what no member does. Who holds the key may speak in another's name, too."""
        known = self.misdeeds.get(peer.name)
        if known is None:
            while len(self.misdeeds) >= _MOST_ACCUSED:
                del self.misdeeds[next(iter(self.misdeeds))]
            known = self.misdeeds[peer.name] = Counter()
        if reason not in known and len(known) >= _MOST_REASONS:
            reason = "other"
        known[reason] += 1
        self.counters["misbehaving"] += 1
        count = known[reason]
        if count & (count - 1) == 0 and (count < 16 or count.bit_length() % 4 == 1):
            self.events.append(Misbehaved(peer.id, peer.name, reason, count))

    def hear_time(self, peer: Peer, lamport: int, now: int) -> bool:
        """Bring our logical time up to a peer's, unless it is ahead of all reason; whether it was believable."""
        ahead = lamport - self.lamport
        settings = self.settings
        if ahead > settings.lamport_step:
            rested = self.leapt_at is None or now - self.leapt_at >= settings.leap_interval
            if ahead > settings.lamport_leap or not rested:
                self.accuse(peer, "logical time")
                return False
            self.leapt_at = now
        self.lamport = max(self.lamport, lamport)
        return True

    def next_serial(self) -> int:
        """The serial of the next frame; none is used twice."""
        return self.next_serials(1)

    def next_serials(self, count: int) -> int:
        """The first of so many serials that follow each other."""
        first = self.serial
        self.serial += count
        return first

    def emit(self, kind: int, body: bytes, to: Peer | None = None, more: bool = False) -> int:
        """Have a frame sent to one peer or to all; returns its serial."""
        serial = self.next_serial()
        if to is not None and to.address is not None and (to.doubted_at is None or kind in MEASURING):
            self.out.append(OutFrame(kind, to.id, serial, body, to.address))
            return serial
        if to is None and kind not in UNCOUNTED:
            self.sent(1, len(body))
            self.sent_pings += kind == Kind.PING
        target = NOID if to is None else to.id
        addresses = self.to_all(certain=to is None and kind not in JOINING)
        if to is not None and to.address is not None and addresses != (None,):
            # Doubted; but where broadcast may fail, its address may be all there is.
            addresses = (*addresses, to.address)
        self.out += [OutFrame(kind, target, serial, body, address, more) for address in dict.fromkeys(addresses)]
        return serial

    def next_trial(self) -> int:
        """A number for probes that belong together."""
        self.trials = (self.trials + 1) & 0xFFFFFFFF
        return self.trials

    def sent(self, frames: int, size: int) -> None:
        """Frames went to all."""
        self.sent_frames += frames
        self.sent_bytes += size

    def to_all(self, certain: bool = True) -> tuple[bytes | None, ...]:
        """Addresses (None: broadcast) by which a frame reaches all; not ``certain``: by whatever way they hear."""
        if self.group is None or self.way is Way.BROADCAST:
            return (None,)
        if certain and self.way is Way.CHAIN:
            return (self.first_hop,)
        if certain:
            return (self.group,)
        known = () if self.way is Way.MULTICAST else tuple(p.address for p in self.sessions.values() if p.address)
        return (None, self.group, *known[:_MOST_KNOWN])

    def doubt(self, peer: Peer, now: int) -> None:
        """Send to all for a while what is meant for this peer: whoever says frames with its source address can make
        a switch send him what goes to that address."""
        if peer.doubted_at is None:
            self.counters["unicast_doubted"] += 1
        peer.doubted_at = now

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
        while len(self.registry) >= self.settings.most_names:
            kept = {self.name, *(peer.name for peer in self.peers.values())}
            unused = next((other for other in self.registry if other not in kept), next(iter(self.registry)))
            del self.registry[unused]
        self.registry[name] = node
        self.events.append(RegistryChanged())
