"""The protocol alone, in simulated time: processors and disks take none of it, what is left is the protocol's."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from random import Random

from benchmarks.measure import Result, Sizes
from benchmarks.peers import Peer, Unable
from benchmarks.scenarios.base import Scenario
from benchmarks.scenarios.replay import MS, SECOND, Side, disk, file_seen, node, receive_all, root_seen
from benchmarks.stage import Bench
from l2sync.node import api

_STEP = MS // 2
_WIRE = 14
_LATENCY = 3 * MS // 10
_DISK = MS // 2
_SEND_BUFFER = 330_000
_QUEUE = 400_000
"""Bytes that a port holds for a slow host before it drops."""
_GATHER = 10 * MS
_MANY = 16
_QUIET = 4 * SECOND
"""In which few nodes have met and said all that they have to say."""
_PATIENCE = 200 * SECOND


class Port:
    """Lets frames through at a rate (bytes per second); what it cannot hold is dropped."""

    def __init__(self, rate: float, room: int) -> None:
        self.rate, self.room, self.held, self.credit = rate, room, 0, 0.0
        self.frames: deque[bytes] = deque()

    def put(self, frame: bytes) -> bool:
        if self.held >= self.room:
            return False
        self.frames.append(frame)
        self.held += len(frame) + _WIRE
        return True

    def pass_on(self, step: int) -> Iterator[bytes]:
        """What goes out within so many ns."""
        self.credit += self.rate * step / SECOND
        while self.frames and self.credit >= len(self.frames[0]) + _WIRE:
            frame = self.frames.popleft()
            self.held -= len(frame) + _WIRE
            self.credit -= len(frame) + _WIRE
            yield frame
        if not self.frames:
            self.credit = min(self.credit, self.rate * step / SECOND)


class Ideal:
    """One origin behind its port, receivers that lose each frame by chance; the last may sit behind a slow port."""

    def __init__(self, size: int, receivers: int, mtu: int, rate: float, loss: float = 0.0, slow: float = 0.0) -> None:
        rng = Random(1)
        self.now, self.rng, self.loss, self.bytes = SECOND, Random(2), 0.0, 0
        self.sides = [Side(node(f"host{number}", mtu, rng)) for number in range(receivers + 1)]
        self.origin = self.sides[0]
        self.origin.content = rng.randbytes(size)
        self.port = Port(rate, _SEND_BUFFER)
        self.slow = Port(rate, _QUEUE)
        self._waiting: deque[bytes] = deque()
        self._flying: deque[tuple[int, Side, bytes, bytes]] = deque()
        """When it arrives, where, the frame, and the address it came from."""
        self._asleep: dict[int, int] = {}
        self.behind: Side | None = None
        self._start()
        self.loss, self.bytes = loss, 0
        self.behind = self.sides[-1] if slow else None
        self.slow.rate = slow or rate

    def _start(self) -> None:
        for side in self.sides:
            side.node.start(self.now)
            side.events.append((self.now, api.Observed("t", (root_seen(),), True, {})))
        while self.now < _QUIET:
            self._step()
        if not self._met():
            raise Unable("the simulated nodes did not meet")

    def _met(self) -> bool:
        return all(len(list(side.node.ctx.online())) == len(self.sides) - 1 for side in self.sides)

    def run(self) -> float:
        """Seconds until all but the slow one have the file. Raises Unable."""
        size, begin = len(self.origin.content), self.now
        for side in self.sides:
            side.stored = 0
        self.origin.events.append((self.now, api.Observed("t", (file_seen(self.origin.content),), False, {})))
        wanted = [side for side in self.sides[1:] if side is not self.behind]
        while min(side.stored for side in wanted) < size:
            self._step()
            if self.now - begin > _PATIENCE:
                raise Unable("the file did not arrive")
        return (self.now - begin) / SECOND

    def _step(self) -> None:
        self.now += _STEP
        while self._waiting and self.port.put(self._waiting[0]):
            self._waiting.popleft()
        for frame in self.port.pass_on(_STEP):
            self.bytes += len(frame) + _WIRE
            for side in self.sides[1:]:
                if side is self.behind:
                    self.slow.put(frame)
                elif self.rng.random() >= self.loss:
                    self._flying.append((self.now + _LATENCY, side, frame, _address(0)))
        if self.behind is not None:
            for frame in self.slow.pass_on(_STEP):
                self._flying.append((self.now + _LATENCY, self.behind, frame, _address(0)))
        while self._flying and self._flying[0][0] <= self.now:
            _, side, *received = self._flying.popleft()
            side.inbox.append(tuple(received))
        for number, side in enumerate(self.sides):
            self._turn(number, side)

    def _turn(self, number: int, side: Side) -> None:
        while side.events and side.events[0][0] <= self.now:
            side.node.disk_reported(side.events.pop(0)[1], self.now)
            self._carry_out(side)
        if side.inbox and self._asleep.get(number, 0) <= self.now:
            batch, side.inbox = side.inbox, []
            receive_all(side.node, batch, self.now)
            self._carry_out(side)
            self._asleep[number] = self.now + (_GATHER if len(batch) >= _MANY else 0)
        while not (side is self.origin and self._waiting):
            due = side.node.next_deadline(self.now)
            if due is None or due > self.now:
                break
            side.node.handle_timer(self.now)
            self._carry_out(side)

    def _carry_out(self, side: Side) -> None:
        for effect in side.node.take_effects():
            if isinstance(effect, api.Send):
                self._send(side, effect.frame)
            elif isinstance(effect, api.SendRun):
                for frame in effect.frames:
                    self._send(side, frame)
            elif (event := disk(side, effect)) is not None:
                side.events.append((self.now + _DISK, event))

    def _send(self, side: Side, frame: bytes) -> None:
        if side is self.origin:
            self._waiting.append(frame)
            return
        at, address = self.now + _LATENCY, _address(self.sides.index(side))
        self._flying.extend((at, other, frame, address) for other in self.sides if other is not side)


def _address(number: int) -> bytes:
    return number.to_bytes(6, "big")


def _ideal(bench: Bench, kind: type[Peer]) -> Iterator[Result]:
    conditions = bench.conditions(rate=100.0)
    result = Result("ideal", kind.name, conditions=conditions)
    rate = conditions.rate * 125_000
    size, receivers = bench.sizes.big // 4, conditions.receivers
    link = size / rate
    clean, lossy, slow = (
        Ideal(size, receivers, bench.mtu, rate, *rest) for rest in ((0.0, 0.0), (0.05, 0.0), (0.0, rate / 10))
    )
    seconds = clean.run()
    result.figures = {"bytes": size, "x_link": seconds / link, "sent_per_byte": clean.bytes / size}
    result.figures["loss_time"] = lossy.run() / seconds
    result.figures["loss_bytes"] = lossy.bytes / clean.bytes
    result.figures["slow_time"] = slow.run() / seconds
    yield result


def _space(sizes: Sizes, receivers: int) -> int:
    return 0


IDEAL = Scenario(
    "ideal", "the big file's quarter in simulated time: clean, 5 % loss, one slow port; the protocol alone", _space,
    play=_ideal,
)  # fmt: skip
