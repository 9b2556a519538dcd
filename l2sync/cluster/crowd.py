"""Many at once: what is said to each is gathered into frames that are full, later where many are new."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from l2sync.frames import NOID, Kind, Roll

from .hub import Hub, Peer, PeerState

T = TypeVar("T")
_MOST_SLOWLY = 2
_ROLL_HEAD = 8
_ENROLLED = 14


def filled(items: Iterable[T], size: Callable[[T], int], room: int) -> Iterator[list[T]]:
    """Split into runs of at most ``room`` bytes; one that is larger stands alone. Nothing gives nothing."""
    run: list[T] = []
    left = room
    for item in items:
        needed = size(item)
        if run and needed > left:
            yield run
            run, left = [], room
        run.append(item)
        left -= needed
    if run:
        yield run


class RollCall:
    """Registers taken that are answered together."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.due: int | None = None
        """When to answer (ns)."""
        self._waiting: dict[int, Peer] = {}
        self._most, self._most_at = 0, 0

    def slowness(self, now: int, many: int) -> int:
        """By how much longer than usual it is waited for more when ``many`` nodes are new, or were a moment ago."""
        if many >= self._most or now - self._most_at > self.hub.settings.settled:
            self._most, self._most_at = many, now
        return min(1 + self._most // self.hub.settings.crowd, _MOST_SLOWLY)

    def longest(self, now: int, many: int) -> int:
        """For how long answers are gathered at the most (ns)."""
        return self.hub.settings.gather_max * self.slowness(now, many)

    def gather(self, now: int, many: int) -> int:
        """How long to wait for more to answer (ns), drawn anew each time so that not all speak at once."""
        longest = self.longest(now, many)
        return self.hub.rng.randrange(self.hub.settings.gather_min * self.slowness(now, many), longest)

    def add(self, peer: Peer, now: int, many: int) -> None:
        """Answer a peer's register soon."""
        self._waiting[peer.session] = peer
        if self.due is None:
            self.due = now + self.gather(now, many)

    def answer(self, now: int) -> list[Peer]:
        """Answer those who still wait, all in one if they are several; who is alone is returned, for an ack."""
        if self.due is None or self.due > now or self.hub.id == NOID:
            return []
        self.due = None
        waiting = [p for p in self._waiting.values() if p.confirm and p.state is PeerState.ONLINE]
        self._waiting.clear()
        if len(waiting) < 2:
            return waiting
        for run in filled(waiting, lambda _: _ENROLLED, self.hub.room - _ROLL_HEAD):
            enrolled = tuple((peer.owed_base, peer.nonce) for peer in run)
            self.hub.emit(Kind.ROLL, Roll(self.hub.broadcast_next, enrolled).pack())
        for peer in waiting:
            peer.confirm = False
        return []
