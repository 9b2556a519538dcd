"""Ordered, once-only delivery: numbered fragments in, whole messages out."""

from __future__ import annotations

from l2sync.frames import MORE, Reassembler, RemoteError

_AHEAD = 1024
_EPOCH_SHIFT = 32


class InStream:
    """One sender's stream as one receiver sees it."""

    __slots__ = ("_reassembler", "_waiting", "expected")

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self._waiting: dict[int, tuple[int, int, bytes]] = {}
        self._reassembler = Reassembler()

    def accept(self, kind: int, seq: int, flags: int, fragment: bytes) -> tuple[bool, list[tuple[int, bytes]]]:
        """Take a fragment: whether it may be answered, and the messages (kind, body) that are now whole, in order."""
        if seq < self.expected:
            return True, []
        if seq - self.expected >= _AHEAD:
            return False, []
        self._waiting.setdefault(seq, (kind, flags, fragment))
        return True, self.advance()

    def knows(self, seq: int) -> bool:
        """Whether a fragment was taken before."""
        return seq < self.expected or seq in self._waiting

    def jump(self, base: int) -> bool:
        """Begin at ``base`` where less was expected; whether anything was passed over. Then `advance`."""
        if base <= self.expected:
            return False
        self.expected = base
        self._waiting = {seq: item for seq, item in self._waiting.items() if seq >= base}
        self._reassembler = Reassembler()
        return True

    def advance(self) -> list[tuple[int, bytes]]:
        """The messages that are whole now, in order."""
        whole = []
        while (item := self._waiting.pop(self.expected, None)) is not None:
            kind, flags, fragment = item
            self.expected += 1
            try:
                body = self._reassembler.feed(fragment, bool(flags & MORE))
            except RemoteError:
                continue
            if body is not None:
                whole.append((kind, body))
        return whole


class EpochStream:
    """A stream to one node. Its numbers begin anew in a new epoch (high bits) each time the pair meets again."""

    __slots__ = ("_epoch", "_stream")

    def __init__(self) -> None:
        self._epoch = -1
        self._stream = InStream(0)

    def accept(self, kind: int, seq: int, flags: int, fragment: bytes) -> tuple[bool, list[tuple[int, bytes]]]:
        """As `InStream.accept`; fragments of an earlier epoch are answered and forgotten."""
        epoch = seq >> _EPOCH_SHIFT
        if epoch < self._epoch:
            return True, []
        if epoch > self._epoch:
            self._epoch, self._stream = epoch, InStream(0)
        return self._stream.accept(kind, seq & ((1 << _EPOCH_SHIFT) - 1), flags, fragment)

    def knows(self, seq: int) -> bool:
        """As `InStream.knows`; nothing of an earlier epoch counts."""
        return seq >> _EPOCH_SHIFT == self._epoch and self._stream.knows(seq & ((1 << _EPOCH_SHIFT) - 1))


def epoch_start(epoch: int) -> int:
    """The first sequence number of an epoch."""
    return (epoch & 0xFFFF) << _EPOCH_SHIFT
