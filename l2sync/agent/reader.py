"""What comes in: frames are read when the agent is awake, and handed to the node in the order that matters."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog
import trio

from l2sync.frames import Kind
from l2sync.link import LinkDown, Received

from .chores import Chores
from .roles import Conductor, SocketLink

_RETRY_S = 0.25
_BATCH = 1024
"""Frames that are read at a time."""
_ROUNDS = 4
"""Times that they are read in a row where nobody waits for them: anybody can send such frames without end."""
_BUSY = 3
"""Frames of data at a waking that are not all of a small change."""
_GATHER = 2_000_000
_GATHER_MOST = 64_000_000
"""ns for which frames may gather while data streams, and as many as come fast: see `_Flow`."""
_GATHER_END = 10_000_000
"""The same at the end of what is waited for: who has all says so, and hears that it is to be put in place."""
_STREAM = 16
"""Frames at a waking that are a large file's, or of many; fewer may be a small change's, for which somebody waits."""
_GATHER_FRAMES = 800
_GATHER_BYTES = 640 << 10
"""What is worth a waking: so many frames, but less than the sender's window, at whose end it would wait for us."""
_SLOWER = 0.8
_STALE = 50_000_000
"""ns for which a ping may wait when something is judged by pings."""
_DATA, _PING = bytes([Kind.DATA]), bytes([Kind.PING])
_CHANGE = (Kind.LOCK, Kind.UPDTREE, Kind.DATA, Kind.REPAIR, Kind.WANT, Kind.DONE, Kind.UNLOCKALL, Kind.ACK)
_OF_A_CHANGE = frozenset(bytes([kind]) for kind in _CHANGE)


class _Flow:
    """How fast frames come. A lull in a fast stream tells nothing yet: the sender may wait for our report."""

    def __init__(self) -> None:
        self._rate = 0.0

    def pause(self, batch: Sequence[Received], since: int, to_come: int | None = None) -> int | None:
        """ns after which enough wait, when this batch came within ``since`` ns; None: there is no reason to wait.

        When so many bytes that are still ``to_come`` are here, there is something to say.
        """
        frames = sum(payload[3:4] == _DATA for payload, _ in batch)
        self._rate = max(frames / max(since, 1), self._rate * _SLOWER)
        if frames >= _STREAM:
            size = len(batch[-1][0])
            enough = min(_GATHER_FRAMES, _GATHER_BYTES // size)
            pause = min(max(int(enough / self._rate), _GATHER), _GATHER_MOST)
            return pause if to_come is None else min(pause, max(int(to_come / size / self._rate), _GATHER_END))
        return _GATHER if frames >= _BUSY or len(batch) >= _STREAM else None


class Reader:
    """Reads one link for one node.

    Pings wake nobody. They are read with what does, and handed over before anything is judged by them; until then they
    may wait for a change that is on its way.
    """

    def __init__(self, node: Conductor, link: SocketLink, clock: Callable[[], int], chores: Chores) -> None:
        self.link_down: str | None = None
        """Why nothing comes in or goes out."""
        self.faults = 0
        """Frames that the node failed on."""
        self._node = node
        self._link = link
        self._clock = clock
        self._chores = chores
        self._pings: list[Received] = []
        """Read, and not handed over yet."""
        self._caught_up = 0
        """When pings were last handed over."""
        self._log = structlog.get_logger()

    async def run(self, handed_over: Callable[[], None]) -> None:
        """Read until cancelled; ``handed_over`` is called after each batch."""
        before, flow = self._clock(), _Flow()
        while True:
            try:
                batch = self._link.receive(_BATCH)
                if not batch:
                    await trio.lowlevel.wait_readable(self._link.fileno())
                    continue
            except (LinkDown, trio.ClosedResourceError) as error:
                await self._recover(error)
                continue
            batch = self._with_what_was_said_before(batch)
            now = self._clock()
            self._hand_over(batch, now)
            handed_over()
            self._chores.awake()
            pause = flow.pause(batch, now - before, self._node.to_come) if len(batch) < _BATCH else None
            if pause is None:
                await trio.lowlevel.checkpoint()
            else:
                # Data is streaming: each waking costs more than a frame, so let some gather, unless more wait already.
                await trio.sleep(pause / 1e9)
            before = now

    def catch_up(self) -> None:
        """Have the node know what was said until now, also by frames that nobody waits for."""
        pings, self._pings = self._pings, []
        now = self._caught_up = self._clock()
        self._hand_over(pings, now)
        for _ in range(_ROUNDS):
            if not (batch := self._link.receive_unhurried(_BATCH)):
                break
            self._hand_over(batch, self._clock())

    def catch_up_if_stale(self, now: int) -> None:
        """The same, unless it was done a moment ago: before it is judged who has not been heard of for long."""
        if now - self._caught_up >= _STALE:
            self.catch_up()

    def _with_what_was_said_before(self, batch: list[Received]) -> list[Received]:
        """What wakes nobody comes first, but for pings, which can wait for a change, and only for that."""
        ahead = self._link.receive_unhurried(_BATCH)
        self._pings += [ping for ping in ahead if ping[0][3:4] == _PING]
        if len(self._pings) >= _BATCH or not all(payload[3:4] in _OF_A_CHANGE for payload, _ in batch):
            batch, self._pings = self._pings + batch, []
        return [frame for frame in ahead if frame[0][3:4] != _PING] + batch

    def _hand_over(self, batch: Sequence[Received], now: int) -> None:
        at = 0
        while at < len(batch):
            try:
                at = self._node.receive_run(batch, at, now)
            except Exception as error:
                # Our own fault, but nobody's frame may end the agent. The rest of a run of data is lost with it.
                self.faults += 1
                at += 1
                self._log.error("frame_not_understood", exc_info=error)

    async def _recover(self, error: Exception) -> None:
        if self.link_down is None:
            self._log.warning("link_down", reason=str(error))
        self.link_down = str(error)
        while True:
            await trio.sleep(_RETRY_S)
            try:
                trio.lowlevel.notify_closing(self._link.fileno())
                self._link.reopen()
            except LinkDown as again:
                self.link_down = str(again)
                continue
            self.link_down = None
            self._log.info("link_up")
            return
