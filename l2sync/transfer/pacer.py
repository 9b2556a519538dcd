"""How fast data goes out: as fast as the slowest of those who keep up takes it, and no faster.

Two bounds. A window: bytes on their way to the slowest receiver that counts (it reports the last serial it has
processed), so that no socket buffer overflows when a receiver is short of processor time. And a rate that follows
what is delivered (after BBR): it grows while nothing is lost beyond what is lost anyway, and falls to what was
delivered when more is. A receiver far behind the others for a second no longer counts.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from dataclasses import dataclass, field
from statistics import median

from l2sync.frames import Repair

MS = 1_000_000
SECOND = 1_000_000_000
_LOOK_AGAIN = 5 * MS
_LEAST_SPENT = 4096
_BATCHES = 16
"""Of so many, the last ones that were sent or told of, it is known how far they are."""


@dataclass(frozen=True, slots=True)
class PacerSettings:
    """Rates in bytes per second, sizes in bytes, times in ns."""

    first_rate: int = 8_000_000
    least_rate: int = 100_000
    most_rate: int = 4_000_000_000
    window: int = 3 << 20
    burst: int = 96 << 10
    round: int = 50 * MS
    loss_margin: float = 0.12
    patience: int = SECOND


@dataclass(slots=True)
class _Sent:
    """Frames of one batch that went out, in runs of consecutive serials: the last of each, and how many until then."""

    serials: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    frames: int = 0

    def add(self, last_serial: int, frames: int) -> None:
        self.frames += frames
        self.serials.append(last_serial)
        self.counts.append(self.frames)
        if len(self.serials) > 8192:
            del self.serials[:4096], self.counts[:4096]

    def until(self, serial: int) -> int:
        """How many had a serial up to this one: a run may be half there."""
        at = bisect_left(self.serials, serial)
        if at == len(self.serials):
            return self.frames
        before = self.counts[at - 1] if at else 0
        return max(before, self.counts[at] - (self.serials[at] - serial))


@dataclass(slots=True)
class _Receiver:
    """What one receiver has told. A round adds up what was sent, and what came, between reports of the same batch.

    Neither what comes before the first report of a batch counts, nor what comes after the last: of the end of a batch
    nobody reports, since who has all of it has said so, and it would pass for lost.
    """

    seen: int = 0
    by_batch: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    """Frames sent until the last report of a batch, symbols that had come, and when it came."""
    sent: int = 0
    got: int = 0
    elapsed: int = 0
    behind_since: int | None = None
    heard: int = 0
    lost_at: int = 0
    """When it last had a round with more loss than usual."""
    blamed_since: int | None = None
    blamed_at: int = 0
    blamed_rate: float = 0.0
    """Since when the rate falls for its losses alone, when it last did, and from what."""
    weak: bool = False
    well_since: int | None = None
    """It lost more than all others until the rate was theirs no more; since when it has not."""

    def count(self, batch: int, frames: int, symbols: int, now: int) -> None:
        """Add up what a report tells of one batch."""
        before = self.by_batch.pop(batch, None)
        self.by_batch[batch] = frames, symbols, now
        if before is not None and symbols >= before[1]:
            self.sent += max(0, frames - before[0])
            self.got += symbols - before[1]
            self.elapsed += now - before[2]
        while len(self.by_batch) > _BATCHES:
            del self.by_batch[next(iter(self.by_batch))]


@dataclass(slots=True)
class Pacer:
    """One node's sending rate. ``budget`` says how many bytes may go now."""

    settings: PacerSettings = field(default_factory=PacerSettings)
    rate: float = 0.0
    starting: bool = True
    sent_bytes: int = 0
    sent_frames: int = 0
    _tokens: float = 0.0
    _filled: int | None = None
    _serials: list[int] = field(default_factory=list)
    _totals: list[int] = field(default_factory=list)
    _by_batch: dict[int, _Sent] = field(default_factory=dict)
    _receivers: dict[int, _Receiver] = field(default_factory=dict)
    _losses: deque[float] = field(default_factory=lambda: deque(maxlen=16))
    _lagging: set[int] = field(default_factory=set)
    _round_at: int = 0
    _round_loss: float = 0.0
    _round_delivered: float = 0.0
    _round_worst: int = -1
    _round_sent: int = 0
    _ready_at: int = 0
    cuts: int = 0

    def __post_init__(self) -> None:
        self.rate = float(min(self.settings.first_rate, self.settings.most_rate))

    def on_sent(self, batch: int, last_serial: int, frames: int, size: int) -> None:
        """Frames of a batch went out, the last one under this serial."""
        self.sent_bytes += size
        self.sent_frames += frames
        self._tokens -= size
        self._ready_at = self._refilled()
        self._serials.append(last_serial)
        self._totals.append(self.sent_bytes)
        if len(self._serials) > 8192:
            del self._serials[:4096], self._totals[:4096]
        sent = self._by_batch.pop(batch, None) or _Sent()
        self._by_batch[batch] = sent
        sent.add(last_serial, frames)
        while len(self._by_batch) > _BATCHES:
            del self._by_batch[next(iter(self._by_batch))]

    def begin(self, peer: int, now: int) -> None:
        """A receiver starts to be served: it is not behind yet."""
        receiver = self._receivers.setdefault(peer, _Receiver())
        if receiver.seen < self.sent_bytes and now - receiver.heard > self.settings.patience:
            receiver.seen, receiver.behind_since = self.sent_bytes, None
            receiver.heard = now

    def forget(self, peer: int) -> None:
        """A receiver has all, or is gone."""
        self._receivers.pop(peer, None)
        self._lagging.discard(peer)
        self._ready_at = 0
        if self._lagging and self._lagging >= self._receivers.keys():
            self._readmit(*self._lagging)

    def on_report(self, peer: int, report: Repair, now: int) -> None:
        """Where a receiver is, and how much of what went out reached it."""
        receiver = self._receivers.setdefault(peer, _Receiver())
        receiver.heard = now
        self._ready_at = min(self._ready_at, max(now, self._refilled()))
        at = bisect_right(self._serials, report.last_serial)
        if at:
            receiver.seen = max(receiver.seen, self._totals[at - 1])
        sent = self._by_batch.get(report.batch)
        if sent is None:
            return
        receiver.count(report.batch, sent.until(report.last_serial), report.symbols, now)
        if receiver.elapsed < self.settings.round:
            return
        frames, got, elapsed = receiver.sent, receiver.got, receiver.elapsed
        receiver.sent = receiver.got = receiver.elapsed = 0
        if frames >= 8:
            loss = max(0.0, 1 - got / frames)
            if peer not in self._lagging:
                self._measure(peer, loss, got * self._frame_size() * SECOND / elapsed, now)
            elif receiver.weak:
                self._see_recovery(peer, receiver, loss, now)

    def _frame_size(self) -> float:
        return self.sent_bytes / self.sent_frames if self.sent_frames else 1500.0

    def _see_recovery(self, peer: int, receiver: _Receiver, loss: float, now: int) -> None:
        if loss > max(self._losses, default=0.0) + self.settings.loss_margin:
            receiver.well_since = None
        elif receiver.well_since is None:
            receiver.well_since = now
        elif now - receiver.well_since > self.settings.patience:
            self._readmit(peer)

    def _readmit(self, *peers: int) -> None:
        """These count again."""
        self._lagging.difference_update(peers)
        for peer in peers:
            receiver = self._receivers[peer]
            receiver.weak, receiver.well_since, receiver.behind_since, receiver.blamed_since = False, None, None, None

    def _blame(self, peer: int, now: int) -> bool:
        """Whether a receiver, for whose losses the rate would fall, is no longer waited for.

        That is so when the rate has fallen to less than half for its losses alone, and most others had none meanwhile.
        """
        worst = self._receivers.get(peer)
        if worst is None:
            return False
        if worst.blamed_since is None or now - worst.blamed_at > 2 * self.settings.patience:
            worst.blamed_since, worst.blamed_rate = now, self.rate
        worst.blamed_at = now
        if now - worst.blamed_since <= self.settings.patience:
            return False
        begin = worst.blamed_since - 2 * self.settings.round
        others = [r.lost_at < begin for p, r in self._receivers.items() if p != peer and p not in self._lagging]
        if self.rate > worst.blamed_rate / 2 or 2 * sum(others) <= len(others):
            worst.blamed_since = None
            return False
        worst.weak, worst.well_since = True, None
        self._lagging.add(peer)
        self.rate = worst.blamed_rate
        self._losses.clear()
        return True

    def _measure(self, peer: int, loss: float, delivered: float, now: int) -> None:
        if loss >= self._round_loss:
            self._round_loss, self._round_delivered, self._round_worst = loss, delivered, peer
        if loss > min(self._losses, default=0.0) + self.settings.loss_margin:
            self._receivers[peer].lost_at = now
        if now - self._round_at < self.settings.round:
            return
        self._losses.append(self._round_loss)
        usual = min(self._losses)
        if self._round_loss > usual + self.settings.loss_margin and not self._blame(self._round_worst, now):
            slower = max(0.95 * self._round_delivered / max(1 - usual, 0.1), self.settings.least_rate)
            self.rate = min(slower, self.settings.most_rate)
            self.starting = False
            self.cuts += 1
        elif self.sent_bytes - self._round_sent > 0.7 * self.rate * (now - self._round_at) / SECOND:
            self.rate = min(self.rate * (2.0 if self.starting else 1.06), self.settings.most_rate)
        self._round_at, self._round_loss, self._round_sent = now, 0.0, self.sent_bytes

    def budget(self, now: int) -> int:
        """Bytes that may go out now."""
        if self._filled is None:
            self._filled = now
            self._tokens = float(self.settings.burst)
        self._tokens = min(
            self._tokens + self.rate * (now - self._filled) / SECOND,
            max(self.settings.burst, self.rate * 0.005),
        )
        self._filled = now
        left = self._window_left(now)
        if left <= 0:
            # A report opens the window; should none come, laggards are to be found all the same.
            self._ready_at = now + _LOOK_AGAIN
        else:
            self._ready_at = self._refilled()
        return max(0, min(int(self._tokens), left))

    def _refilled(self) -> int:
        short = 0.0 if self._tokens >= 1 else _LEAST_SPENT - self._tokens
        return (self._filled or 0) + int(short * SECOND / max(self.rate, 1.0))

    def _window_left(self, now: int) -> int:
        self._find_laggards(now)
        counted = [r.seen for peer, r in self._receivers.items() if peer not in self._lagging]
        if not counted:
            return self.settings.window
        return self.settings.window - (self.sent_bytes - min(counted))

    def _find_laggards(self, now: int) -> None:
        if len(self._receivers) < 2:
            return
        middle = median(r.seen for r in self._receivers.values())
        for peer, receiver in self._receivers.items():
            if middle - receiver.seen > self.settings.window // 2:
                if receiver.behind_since is None:
                    receiver.behind_since = now
                elif now - receiver.behind_since > self.settings.patience:
                    self._lagging.add(peer)
            else:
                receiver.behind_since = None
                if peer in self._lagging and not receiver.weak and middle - receiver.seen < self.settings.window // 8:
                    self._lagging.discard(peer)

    def laggards(self) -> frozenset[int]:
        """Receivers that no longer hold up the rest."""
        return frozenset(self._lagging)

    def next_deadline(self) -> int:
        """When to ask for a budget again: a time that stands until then, however often it is asked for."""
        return self._ready_at
