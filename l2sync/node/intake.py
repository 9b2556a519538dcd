"""The fast way in: data frames in runs of one sender's, for which all that they share is looked up once."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import compress, groupby
from operator import itemgetter

from l2sync.cluster import Cluster
from l2sync.frames import DATA_OVERHEAD, OVERHEAD, Keyring, Kind, RemoteError, split_data
from l2sync.transfer import Run

from .receiving import Receiving

_KIND_AT = 3
_SESSION = slice(13, 21)
_ALIKE = DATA_OVERHEAD - 1
"""Bytes at the begin of a body that all symbols of one generation have in common; the symbol's number follows."""
Frames = Sequence[tuple[bytes, bytes | None]]
"""Frames as they came after the Ethernet header, each with the MAC address it came from."""


class Intake:
    """Opens data frames, lets each serial through once, and hands the symbols on. ``accuse`` hears of bad bodies."""

    def __init__(
        self,
        keyring: Keyring,
        cluster: Cluster,
        receiving: Receiving,
        counters: Counter[str],
        accuse: Callable[[int, int, Exception], None],
    ) -> None:
        self.keyring = keyring
        self.cluster = cluster
        self.receiving = receiving
        self.counters = counters
        self._accuse = accuse

    def take(self, frames: Frames, at: int, now: int) -> int:
        """Take the data frames of one sender that begin at this place, and return the place after them.

        The same place: the frame there is something else, or of who is not known, and has to go the long way.
        """
        first = frames[at][0]
        if len(first) < OVERHEAD or first[_KIND_AT] != Kind.DATA:
            return at
        session = int.from_bytes(first[_SESSION])
        peer = self.cluster.speaker(session)
        if peer is None or peer.hand_on is not None:
            return at
        serials, bodies, end, forged = self.keyring.open_run(frames, at)
        if forged:
            self.counters["bad_forged"] += forged
        if not bodies:
            return end
        peer.last_seen = now
        fresh = peer.replay.admit_all(serials)
        self.counters["frames_in_data"] += len(bodies)
        self.counters["bytes_in_data"] += sum(map(len, bodies)) + OVERHEAD * len(bodies)
        if fresh is not None:
            self.counters["replayed"] += len(bodies) - sum(fresh)
            serials, bodies = list(compress(serials, fresh)), list(compress(bodies, fresh))
        peer.heard += len(bodies)
        peer.heard_at = now
        for batch, runs in groupby(self._runs(session, serials, bodies), key=itemgetter(0)):
            self.cluster.progress(session, batch, now)
            self.receiving.data((session, batch), [run for _, run in runs], now)
        return end

    def _runs(self, session: int, serials: list[int], bodies: list[bytes]) -> Iterator[tuple[int, Run]]:
        """Symbols of one generation in runs, each with its batch: all that they share is looked at once."""
        end = 0
        for _, alike in groupby([body[:_ALIKE] for body in bodies]):
            begin, end = end, end + len(list(alike))
            some = bodies[begin:end]
            try:
                batch, high, low, k, _ = split_data(some[0])
                symbols = {body[_ALIKE]: body[DATA_OVERHEAD:] for body in some}
            except (struct.error, IndexError):
                k = 0
            if k:
                yield batch, Run(high << 8 | low, k, symbols, end - begin, max(serials[begin:end]))
            else:
                for _ in some:
                    self._accuse(session, Kind.DATA, RemoteError("malformed", "Data: cut off, or without symbols"))
