"""The fast way in: data frames in runs of one sender's, for which all that they share is looked up once."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Sequence

from l2sync.cluster import Cluster
from l2sync.frames import DATA_OVERHEAD, OVERHEAD, Keyring, Kind, RemoteError, split_data

from .receiving import Receiving

_KIND_AT = 3
_SESSION = slice(13, 21)
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
        opened, end, forged = self.keyring.open_run(frames, at)
        if forged:
            self.counters["bad_forged"] += forged
        if not opened:
            return end
        peer.last_seen = now
        admit, split = peer.replay.admit, split_data
        batch, symbols = -1, list[tuple[int, int, int, int, bytes]]()
        size = replayed = 0
        for serial, body in opened:
            size += len(body)
            if not admit(serial):
                replayed += 1
                continue
            try:
                number, high, low, k, symbol = split(body)
            except struct.error:
                k = 0
            if not k:
                self._accuse(session, Kind.DATA, RemoteError("malformed", "Data: cut off, or without symbols"))
                continue
            if number != batch:
                self._hand_on(session, batch, symbols, now)
                batch, symbols = number, []
            symbols.append((serial, high << 8 | low, k, symbol, body[DATA_OVERHEAD:]))
        self._hand_on(session, batch, symbols, now)
        peer.heard += len(opened) - replayed
        peer.heard_at = now
        self.counters["replayed"] += replayed
        self.counters["frames_in_data"] += len(opened)
        self.counters["bytes_in_data"] += size + OVERHEAD * len(opened)
        return end

    def _hand_on(self, session: int, batch: int, symbols: list[tuple[int, int, int, int, bytes]], now: int) -> None:
        if symbols:
            self.cluster.progress(session, batch, now)
            self.receiving.data((session, batch), symbols, now)
