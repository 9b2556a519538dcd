"""A segment in one process and in simulated time: what happens on it follows from a seed and its rules.

The driver owns the clock. It hands frames in with `transmit`, asks for `next_time`, and takes out with
`deliver` what arrives until then. The segment is a full-duplex switch: a frame occupies its sender's
port, crosses, and occupies each receiver's port, where it may find the queue full.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from random import Random

from l2sync.link.base import MINIMUM_PAYLOAD, FrameTooLong, LinkDown, LinkStatistics, Received
from l2sync.link.filters import accepts, kind_of

WIRE_OVERHEAD = 38
"""What a payload costs besides itself: preamble 8, header 14, checksum 4, gap 12 bytes."""

Delivery = tuple[int, int, bytes, bytes]
"""When (ns), at which port, which payload, from which address."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How a segment treats frames. Probabilities are per receiver; times in ns; 0 for a rate means unlimited."""

    loss: float = 0.0
    duplication: float = 0.0
    delay: int = 20_000
    jitter: int = 0
    """Added to the delay, uniformly from 0 to this: frames overtake each other."""
    rate: int = 0
    """Bits per second of each port, in each direction."""
    send_queue: int = 512 << 10
    """Bytes that may wait at the sender; beyond, `transmit` refuses."""
    port_queue: int = 256 << 10
    """Bytes that may wait in the switch for one receiver; beyond, they are dropped."""
    mtu: int = 1500
    broadcast_limit: int | None = None
    """Frames per second to everybody that the switch lets through, from all ports together; 0: none; None: all."""
    multicast_limit: int | None = None
    """The same of frames to a group's address."""
    pad: bool = True
    """Short payloads arrive padded, as from a real interface."""


@dataclass(slots=True)
class _Port:
    mac: bytes
    rate: int | None = None  # None: the segment's rule
    loss: float | None = None
    down: bool = False
    outages: int = 0
    sending_until: int = 0
    receiving_until: int = 0
    bytes_out: int = 0
    bytes_in: int = 0
    largest: int | None = None
    deaf_to_groups: bool = False


@dataclass(slots=True)
class _Bucket:
    """A limit on frames: tokens that come back with time, at most a twentieth of a second's, or five."""

    tokens: float = 5.0
    filled: int = 0

    def takes(self, limit: int | None, now: int) -> bool:
        if limit is None:
            return True
        gained = (now - self.filled) * limit / 1e9
        self.tokens, self.filled = min(self.tokens + gained, max(5.0, limit / 20)) if limit else 0.0, now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@dataclass(slots=True)
class _Crossing:
    """One payload on its way to one port.

    outages: how often the receiver had been cut off when it was sent; queued: it has passed the receiver's queue.
    """

    port: int
    source: int
    payload: bytes
    outages: int
    queued: bool


class SimulatedSegment:
    """Ports on one segment. Equal seeds, rules and calls give equal deliveries."""

    def __init__(self, rng: Random, rules: Rules | None = None) -> None:
        self.rules = rules or Rules()
        self.counters: Counter[str] = Counter()
        """sent, refused, delivered, lost, duplicated, cut, down, overflowed, filtered, throttled, too_large (frames);
        bytes (on the wire)."""
        self.drop_when: Callable[[int, int, bytes], bool] | None = None
        """Asked for each frame and receiver (source port, receiving port, payload): True loses it there."""
        self._rng = rng
        self._ports: list[_Port] = []
        self._by_mac: dict[bytes, int] = {}
        self._cuts: set[tuple[int, int]] = set()
        self._events: list[tuple[int, int, _Crossing]] = []
        self._order = 0
        self._broadcasts, self._multicasts = _Bucket(), _Bucket()

    # Ports and rules

    def add_port(self) -> int:
        """A new port, up; its number."""
        number = len(self._ports)
        mac = b"\x02\x00" + number.to_bytes(4)
        self._ports.append(_Port(mac))
        self._by_mac[mac] = number
        return number

    def mac(self, port: int) -> bytes:
        """The port's address."""
        return self._ports[port].mac

    def bytes_out(self, port: int) -> int:
        """Bytes that this port put on the wire, headers and gaps included."""
        return self._ports[port].bytes_out

    def bytes_in(self, port: int) -> int:
        """Bytes that reached this port, headers and gaps included."""
        return self._ports[port].bytes_in

    def set_rules(self, **changes: object) -> None:
        """Change some rules for frames sent from now on."""
        self.rules = replace(self.rules, **changes)  # type: ignore[arg-type]

    def set_port(
        self,
        port: int,
        *,
        rate: int | None = None,
        loss: float | None = None,
        largest: int | None = None,
        deaf_to_groups: bool = False,
    ) -> None:
        """Give one port its own rate, its own loss of what it receives, and the largest payload that reaches it (the
        others are lost silently), and whether its card drops what goes to groups; None returns to the segment's rules.
        """
        self._ports[port].deaf_to_groups = deaf_to_groups
        self._ports[port].largest = largest
        self._ports[port].rate = rate
        self._ports[port].loss = loss

    def set_down(self, port: int, down: bool = True) -> None:
        """Pull the port's cable, or put it in again; what is on its way to a port that is down is lost."""
        if down and not self._ports[port].down:
            self._ports[port].outages += 1
        self._ports[port].down = down

    def is_down(self, port: int) -> bool:
        """Whether the cable is out."""
        return self._ports[port].down

    def cut(self, sources: Iterable[int], receivers: Iterable[int]) -> None:
        """From now on `receivers` hear nothing from `sources`; the other direction is left as it is."""
        heard = tuple(receivers)
        self._cuts.update((source, receiver) for source in sources for receiver in heard if source != receiver)

    def partition(self, *groups: Iterable[int]) -> None:
        """Cut the groups off from each other, both ways; ports in none of them are one more group."""
        sides = [frozenset(group) for group in groups]
        rest = frozenset(range(len(self._ports))).difference(*sides)
        sides.append(rest)
        for side in sides:
            for other in sides:
                if other is not side:
                    self.cut(side, other)

    def heal(self) -> None:
        """End all cuts."""
        self._cuts.clear()

    # Traffic

    def transmit(self, port: int, payload: bytes, address: bytes | None, now: int) -> bool:
        """Put a payload on the wire at `now` (ns), to one address or to all (None).

        False: the port's queue is full. Raises LinkDown when the port is down, FrameTooLong beyond the MTU.
        """
        rules, sender = self.rules, self._ports[port]
        if sender.down:
            raise LinkDown(f"port {port}", "the interface is down")
        if len(payload) > rules.mtu:
            raise FrameTooLong(f"port {port}: {len(payload)} bytes, the MTU is {rules.mtu}")
        size = _wire_size(payload)
        rate = rules.rate if sender.rate is None else sender.rate
        begin = max(now, sender.sending_until)
        if rate and (begin - now) * rate > rules.send_queue * 8_000_000_000:
            self.counters["refused"] += 1
            return False
        sender.sending_until = begin + _duration(size, rate)
        sender.bytes_out += size
        self.counters["sent"] += 1
        self.counters["bytes"] += size
        if rules.pad and len(payload) < MINIMUM_PAYLOAD:
            payload = payload.ljust(MINIMUM_PAYLOAD, b"\0")
        if not self._lets_through(address, now):
            self.counters["throttled"] += 1
            return True
        grouped = address is not None and bool(address[0] & 1)
        for receiver in self._receivers(port, address):
            if grouped and self._ports[receiver].deaf_to_groups:
                continue
            self._cross(port, receiver, payload, sender.sending_until)
        return True

    def next_time(self) -> int | None:
        """When something happens next (ns), None if nothing will; it need not be a delivery."""
        return self._events[0][0] if self._events else None

    def deliver(self, until: int) -> list[Delivery]:
        """What arrives up to and including `until`, in order of time."""
        delivered: list[Delivery] = []
        while self._events and self._events[0][0] <= until:
            when, _, crossing = heapq.heappop(self._events)
            receiver = self._ports[crossing.port]
            if receiver.outages != crossing.outages:
                self.counters["down"] += 1
            elif crossing.queued:
                receiver.bytes_in += _wire_size(crossing.payload)
                self.counters["delivered"] += 1
                delivered.append((when, crossing.port, crossing.payload, self._ports[crossing.source].mac))
            else:
                self._enqueue(crossing, receiver, when)
        return delivered

    def _lets_through(self, address: bytes | None, now: int) -> bool:
        if address is None:
            return self._broadcasts.takes(self.rules.broadcast_limit, now)
        return not address[0] & 1 or self._multicasts.takes(self.rules.multicast_limit, now)

    def _receivers(self, source: int, address: bytes | None) -> Iterable[int]:
        if address is None or address[0] & 1:
            # A group's address: a switch that knows nobody of the group floods it.
            return (port for port in range(len(self._ports)) if port != source)
        port = self._by_mac.get(address)
        return () if port is None or port == source else (port,)

    def _cross(self, source: int, port: int, payload: bytes, sent: int) -> None:
        rules, rng, receiver = self.rules, self._rng, self._ports[port]
        if receiver.down:
            self.counters["down"] += 1
            return
        if receiver.largest is not None and len(payload) > receiver.largest:
            self.counters["too_large"] += 1
            return
        if (source, port) in self._cuts:
            self.counters["cut"] += 1
            return
        if self.drop_when is not None and self.drop_when(source, port, payload):
            self.counters["filtered"] += 1
            return
        loss = rules.loss if receiver.loss is None else receiver.loss
        if loss and rng.random() < loss:
            self.counters["lost"] += 1
            return
        copies = 1
        if rules.duplication and rng.random() < rules.duplication:
            self.counters["duplicated"] += 1
            copies = 2
        unlimited = not (rules.rate if receiver.rate is None else receiver.rate)
        for _ in range(copies):
            late = rng.randrange(rules.jitter + 1) if rules.jitter else 0
            crossing = _Crossing(port, source, payload, receiver.outages, unlimited)
            self._schedule(sent + rules.delay + late, crossing)

    def _enqueue(self, crossing: _Crossing, receiver: _Port, when: int) -> None:
        """The frame has crossed the switch and takes its place in the receiver's queue."""
        rate = self.rules.rate if receiver.rate is None else receiver.rate
        begin = max(when, receiver.receiving_until)
        if rate and (begin - when) * rate > self.rules.port_queue * 8_000_000_000:
            self.counters["overflowed"] += 1
            return
        receiver.receiving_until = begin + _duration(_wire_size(crossing.payload), rate)
        crossing.queued = True
        self._schedule(receiver.receiving_until, crossing)

    def _schedule(self, when: int, crossing: _Crossing) -> None:
        self._order += 1  # keeps frames of one instant in the order in which they were sent
        heapq.heappush(self._events, (when, self._order, crossing))


class SimulatedLink:
    """A port of a segment in the shape of a link, for code that reads and sends by itself.

    `now` is moved by whoever drives it; `arrive` takes what `SimulatedSegment.deliver` gave for this port.
    """

    def __init__(self, segment: SimulatedSegment, cluster_tag: bytes, unhurried: bytes = b"") -> None:
        self.port = segment.add_port()
        self.now = 0
        self._segment = segment
        self._tag = cluster_tag
        self._mtu = segment.rules.mtu
        self._inbox: deque[Received] = deque()
        self._unhurried = unhurried
        self._aside: deque[Received] = deque()
        self._closed = False
        self._statistics = LinkStatistics()

    @property
    def mtu(self) -> int:
        """The longest payload in bytes, as it was when last read."""
        return self._mtu

    @property
    def mac(self) -> bytes:
        """This port's own address."""
        return self._segment.mac(self.port)

    def arrive(self, payload: bytes, source: bytes) -> None:
        """Keep a payload for the next `receive`, if it is of this link's cluster."""
        if accepts(payload, self._tag):
            (self._aside if kind_of(payload) in self._unhurried else self._inbox).append((payload, source))

    def send(self, payload: bytes, address: bytes | None = None) -> bool:
        """Send to one address, or to all (None); False: the queue is full. Raises LinkDown and FrameTooLong."""
        self._check()
        before = self._statistics
        if not self._segment.transmit(self.port, payload, address, self.now):
            self._statistics = replace(before, refused=before.refused + 1)
            return False
        self._statistics = replace(before, frames_out=before.frames_out + 1, bytes_out=before.bytes_out + len(payload))
        return True

    def send_run(self, payloads: Sequence[bytes], address: bytes | None = None) -> int:
        """Send them one after the other; how many were taken. Raises LinkDown and FrameTooLong, after those before."""
        for taken, payload in enumerate(payloads):
            if not self.send(payload, address):
                return taken
        return len(payloads)

    def receive(self, limit: int = 64) -> list[Received]:
        """Take at most `limit` waiting payloads. Raises LinkDown."""
        if not self._inbox:
            self._check()
        return self._take(self._inbox, limit)

    def receive_unhurried(self, limit: int = 64) -> list[Received]:
        """Take at most `limit` waiting payloads of kinds that nobody waits for; none from a link that is down."""
        return self._take(self._aside, limit)

    def _take(self, waiting: deque[Received], limit: int) -> list[Received]:
        received = [waiting.popleft() for _ in range(min(limit, len(waiting)))]
        before = self._statistics
        self._statistics = replace(
            before,
            frames_in=before.frames_in + len(received),
            bytes_in=before.bytes_in + sum(len(payload) for payload, _ in received),
        )
        return received

    def refresh(self) -> bool:
        """Read the MTU again; True when it changed. Raises LinkDown."""
        self._check()
        before, self._mtu = self._mtu, self._segment.rules.mtu
        return before != self._mtu

    def reopen(self) -> None:
        """Attach anew. Raises LinkDown while the cable is out."""
        if self._segment.is_down(self.port):
            raise LinkDown(f"port {self.port}", "the interface is down")
        self._closed = False
        self._inbox.clear()
        self._aside.clear()
        self._mtu = self._segment.rules.mtu
        self._statistics = replace(self._statistics, reopened=self._statistics.reopened + 1)

    def statistics(self) -> LinkStatistics:
        """What went through this port."""
        return self._statistics

    def close(self) -> None:
        """Leave the port; what follows raises LinkDown."""
        self._closed = True

    def _check(self) -> None:
        if self._closed:
            raise LinkDown(f"port {self.port}", "the link is closed")
        if self._segment.is_down(self.port):
            raise LinkDown(f"port {self.port}", "the interface is down")


def _wire_size(payload: bytes) -> int:
    return max(len(payload), MINIMUM_PAYLOAD) + WIRE_OVERHEAD


def _duration(size: int, rate: int) -> int:
    return size * 8_000_000_000 // rate if rate else 0
