"""How large a frame may be: probed end to end (after RFC 8899), not believed.

Each peer is sent a probe as large as both MTUs allow, and tells what arrived. One that does not answer is sent probes
of the usual sizes (RFC 1191, section 7.1) at once. Frames for all are as large as the least that somebody online takes.
"""

from __future__ import annotations

from dataclasses import dataclass

from l2sync.frames import NOID, OVERHEAD, Asking, Kind, Lane, Probe, Probed, Tally

from .hub import FrameSizeChanged, Hub, Peer
from .settings import MS, SECOND
from .ways import Way

LEAST = 576
"""No path is taken for narrower: an interface of less is refused at the start."""
BASE = 1500
"""Frames up to here are sent before a probe has confirmed them: what every Ethernet carries."""
_PLATEAUS = (
    *(16_384, 9216, 9000, 8000, 4470, 4096, 2304, 2000, 1600, 1500),
    *(1492, 1480, 1450, 1400, 1280, 1024, 768, LEAST),
)
_PROBE_HEAD = 6
_SETTLE = 300 * MS
_SPREAD = 500 * MS
_GATHER = 700 * MS
_ONE_BY_ONE = 8
_ANSWERED_WITHIN = 250 * MS
_TOLD_WITHIN = 2500 * MS
_TRIES = 2
_TARGETS, _TWICE = 5, 2
"""How often each size is sent in a search: what one frame of three is lost for is not its size."""
_RAISE = 60 * SECOND
_AGAIN = 5 * SECOND
_RECHECK = 2 * SECOND
_ANSWER_SIZE = 10
_MOST_TO_TELL = 1024
_SENT_KEPT = 256


@dataclass(slots=True)
class _Path:
    """What is known of the way to one peer; sizes in bytes behind Ethernet's header."""

    confirmed: int = 0
    narrow: bool = False
    """Larger frames than confirmed were lost while those arrived."""
    target: int = 0
    tries: int = 0
    searching: bool = False
    checked_at: int = -(1 << 60)
    takes: int = 0
    """The size of frames that suits it now."""


class Sizes:
    """The probing of one node, and its answers. Without an MTU (0) it does nothing, and the room stays as it was."""

    def __init__(self, hub: Hub, mtu: int) -> None:
        self.hub = hub
        self.mtu = mtu
        self._paths: dict[int, _Path] = {}
        self._at: dict[int, int] = {}
        """When to probe a session."""
        self._sent: dict[int, int] = {}
        self._to_tell: dict[int, tuple[int, int]] = {}
        self._tell_at: int | None = None
        self._all_at: int | None = None
        self._told_by: int | None = None
        """When those who have not told how large a frame reached them are probed one by one."""

    # --- what is known ----------------------------------------------------------------------------

    def size(self) -> int:
        """Bytes that a frame may have now, from its header to its tag."""
        return self.hub.room + OVERHEAD

    def confirmed(self, peer: Peer) -> int | None:
        """The largest frame that is known to reach a peer."""
        path = self._paths.get(peer.session)
        return path.confirmed or None if path is not None else None

    def _target(self, peer: Peer) -> int:
        return max(LEAST, min(self.mtu, peer.mtu or self.mtu))

    def _takes(self, peer: Peer, path: _Path) -> int:
        target = self._target(peer)
        if path.confirmed >= target:
            return target
        if path.narrow:
            return max(LEAST, path.confirmed)
        return min(target, max(path.confirmed, BASE))

    def _taken(self, peer: Peer) -> int:
        path = self._paths.get(peer.session)
        return path.takes if path is not None else 0

    def limits(self) -> list[str]:
        """Who takes less than this node could send, and why, in words."""
        told = []
        for peer in sorted(self.hub.online(), key=lambda peer: peer.name):
            path = self._paths.get(peer.session)
            if path is None:
                continue
            if path.narrow and path.confirmed < self._target(peer):
                said = f"frames of more than {path.confirmed} bytes do not reach {peer.name}"
                told.append(f"{said}, though its MTU is {peer.mtu}: does a switch drop them?")
            elif peer.mtu and peer.mtu < self.mtu:
                told.append(f"{peer.name} takes frames of {peer.mtu} bytes at the most: its MTU is smaller than ours")
        return told

    def _fit(self, peer: Peer) -> None:
        """Use frames that all who are online can take, after what is known of one peer has changed."""
        path, before = self._paths.get(peer.session), 0
        takes = self.mtu
        if path is not None:
            before, takes = path.takes, self._takes(peer, path)
            path.takes = takes
        if not self.mtu or (before == takes and path is not None):
            return
        size, name = self.size(), peer.name
        if takes < size:
            size = takes
        else:
            size = min((path.takes for path in self._paths.values()), default=self.mtu)
            name = next((p.name for p in self.hub.online() if self._taken(p) == size), "")
        if size != self.size():
            before, self.hub.room = self.size(), size - OVERHEAD
            self.hub.events.append(FrameSizeChanged(before, size, name if size < self.mtu else ""))

    # --- as the one who hears ---------------------------------------------------------------------

    def ask_to_tell(self, peer: Peer, probe: Probe, size: int, now: int) -> None:
        """A peer wants to know, with all others who ask, how large a frame reaches this node."""
        if len(self._to_tell) < _MOST_TO_TELL or peer.session in self._to_tell:
            self._to_tell[peer.session] = (probe.number, min(size, 0xFFFF))
        if self._tell_at is None:
            self._tell_at = now + _GATHER + self.hub.rng.randrange(_GATHER // 4)

    def _tell(self) -> None:
        found = tuple((session & 0xFFFFFFFF, *what) for session, what in self._to_tell.items())
        self._to_tell.clear()
        self._tell_at = None
        each = max(1, (min(self.hub.room, BASE - OVERHEAD) - 2) // _ANSWER_SIZE)
        for at in range(0, len(found), each):
            self.hub.emit(Kind.PROBED, Probed(found[at : at + each]).pack())

    # --- as the one who probes --------------------------------------------------------------------

    def met(self, peer: Peer, now: int) -> None:
        """A peer is new."""
        self._paths[peer.session] = _Path()
        if self._all_at is None:
            self._all_at = now + _SETTLE + self.hub.rng.randrange(_SPREAD)
        self._fit(peer)

    def left(self, peer: Peer) -> None:
        """A peer is gone."""
        self._paths.pop(peer.session, None)
        self._at.pop(peer.session, None)
        self._to_tell.pop(peer.session, None)
        self._fit(peer)

    def pinged(self, peer: Peer, now: int) -> None:
        """A peer has told its MTU."""
        path = self._paths.get(peer.session)
        if path is None or not self.mtu or self._target(peer) == path.target:
            return
        if path.target:
            path.tries, path.searching, path.narrow = 0, False, False
            self._at[peer.session] = now
        path.target = self._target(peer)
        self._fit(peer)

    def doubt(self, peer: Peer, now: int) -> None:
        """Frames do not reach a peer as they should: it may be their size."""
        path = self._paths.get(peer.session)
        waits = self._at.get(peer.session, now + _RAISE) - now < _RAISE // 2
        if path is not None and self.mtu and not waits and now - path.checked_at >= _RECHECK:
            path.checked_at, path.tries, path.searching = now, 0, False
            self._at[peer.session] = now

    def told(self, peer: Peer, number: int, largest: int, now: int) -> None:
        """A peer says how large the largest probe of a trial was that reached it."""
        path, sent = self._paths.get(peer.session), self._sent.get(number)
        if path is None or sent is None or not self.mtu:
            return
        size, target = min(largest, sent), self._target(peer)
        if size >= target:
            path.confirmed, path.narrow, path.searching = size, False, False
            self._at.pop(peer.session, None)
        elif path.searching and size >= LEAST:
            path.confirmed, path.narrow, path.searching, path.tries = size, True, False, 0
            self._at[peer.session] = now + _RAISE
        self._fit(peer)

    def tallied(self, peer: Peer, tally: Tally, now: int) -> None:
        """An answer to a probe for this peer alone."""
        self.told(peer, tally.number, tally.largest, now)

    def probed(self, peer: Peer, message: Probed, now: int) -> None:
        """An answer to probes of many."""
        ours = self.hub.session & 0xFFFFFFFF
        for session, number, largest in message.sizes:
            if session == ours:
                self.told(peer, number, largest, now)

    def _probe_all(self, now: int) -> None:
        self._all_at = None
        unknown = [p for p in self.hub.online() if not self._known(p)]
        if not unknown or not self.mtu:
            return
        if len(unknown) <= _ONE_BY_ONE or self.hub.way is Way.CHAIN:
            for peer in unknown:
                self._at[peer.session] = now
            return
        size = max(self._target(peer) for peer in unknown)
        self._send(None, size, Asking.SIZE, self._number(size))
        self._told_by = now + _TOLD_WITHIN

    def _known(self, peer: Peer) -> bool:
        path = self._paths.get(peer.session)
        return path is None or path.narrow or path.confirmed >= self._target(peer)

    def _number(self, size: int) -> int:
        number = self.hub.next_trial()
        self._sent[number] = size
        while len(self._sent) > _SENT_KEPT:
            del self._sent[next(iter(self._sent))]
        return number

    def _send(self, peer: Peer | None, size: int, asking: Asking, number: int) -> None:
        lane = Lane.BROADCAST if peer is None else Lane.UNICAST
        padding = bytes(size - OVERHEAD - _PROBE_HEAD)
        self.hub.emit(Kind.PROBE, Probe(number, lane, asking, padding).pack(), peer)

    def _probe(self, peer: Peer, path: _Path, now: int) -> None:
        target = self._target(peer)
        path.target = path.target or target
        path.tries += 1
        if path.tries <= _TRIES:
            self._at[peer.session] = now + max(_ANSWERED_WITHIN, 2 * peer.roundtrip.timeout)
            self._send(peer, target, Asking.TALLY, self._number(target))
        elif path.tries <= 2 * _TRIES:
            path.searching = True
            self._at[peer.session] = now + max(_ANSWERED_WITHIN, 2 * peer.roundtrip.timeout)
            number = self._number(target)
            usual = [size for size in _PLATEAUS if size < target]
            for size in (*(target,) * _TARGETS, *(size for size in usual[:-1] for _ in range(_TWICE))):
                self._send(peer, size, Asking.NOTHING, number)
            self._send(peer, usual[-1] if usual else target, Asking.TALLY, number)
        else:  # Nothing at all comes back: if it is still here, it will be asked again.
            path.tries, path.searching = 0, False
            self._at[peer.session] = now + _AGAIN

    # --- time -------------------------------------------------------------------------------------

    def handle_timer(self, now: int) -> None:
        """Probe, and tell what others' probes have shown."""
        if self.hub.id == NOID:
            return
        if self._tell_at is not None and self._tell_at <= now:
            self._tell()
        if self._all_at is not None and self._all_at <= now:
            self._probe_all(now)
        if self._told_by is not None and self._told_by <= now:
            self._told_by = None
            self._at.update((peer.session, now) for peer in self.hub.online() if not self._known(peer))
        for session in self.hub.doubtful:
            if (peer := self.hub.sessions.get(session)) is not None:
                self.doubt(peer, now)
        self.hub.doubtful.clear()
        for session in [session for session, at in self._at.items() if at <= now]:
            peer, path = self.hub.sessions.get(session), self._paths.get(session)
            if peer is None or path is None:
                del self._at[session]
            else:
                self._probe(peer, path, now)

    def next_deadline(self) -> int | None:
        """When something is due."""
        if self.hub.id == NOID:
            return None
        times = (self._tell_at, self._all_at, self._told_by, 0 if self.hub.doubtful else None)
        return min((time for time in (*times, *self._at.values()) if time is not None), default=None)
