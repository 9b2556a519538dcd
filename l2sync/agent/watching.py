"""Keeping an eye on one tree: what the kernel reports, when it has settled, and looks at the whole of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import structlog
import trio

from l2sync.disk import Settler, Watcher
from l2sync.modtree import TreePath

from .chores import Chores
from .desk import Desk

SECOND = 1_000_000_000
HEALTH_S = 5.0
PAUSED_S = 1.0
"""How often a paused tree is asked whether the cause is gone."""
BLIND_S = 10.0
"""How often the whole tree is looked at while the kernel cannot watch all of it; longer where a look takes long."""

_CLOSING = 10_000_000
"""ns that a file which is being written is given to be closed, where nothing else is to be waited for."""
_REST_S = 0.01
"""For how long nothing is listened to while a small batch is put in place: several reports would come, one by one."""
_GATHER_S = 0.05
"""For how long reports gather while a large batch is put in place, of which there are thousands."""
_ECHO = 100_000_000
"""ns by which a look at what the agent itself has just put there is put off: it will find nothing new."""


class TreeWatch:
    """Scans what was touched, the whole tree where that is not known, and tells when the tree cannot be trusted."""

    def __init__(
        self,
        desk: Desk,
        open_watcher: Callable[[], Watcher],
        settler: Settler,
        rescan_s: float,
        clock: Callable[[], int] = time.monotonic_ns,
        chores: Chores | None = None,
    ) -> None:
        self.desk = desk
        self.settler = settler
        self.rescan_s = rescan_s
        self.watcher: Watcher | None = None
        self._open_watcher = open_watcher
        self._clock = clock
        self._chores = chores or Chores()
        self._wake = trio.Event()
        self._reading = trio.Lock()
        self._opened = trio.Event()
        self._warned = False
        self._ear = trio.CancelScope()
        desk.on_unsettled = self.touched
        desk.on_placing = self._rest
        self._log = structlog.get_logger().bind(tree=desk.name)

    @property
    def way(self) -> str:
        """How changes are heard of: ``fanotify``, ``inotify``, ``inotify and scans``, or by ``scans`` alone."""
        if self.watcher is None:
            return "scans"
        return self.watcher.way + (" and scans" if self.watcher.exhausted else "")

    @property
    def blind(self) -> bool:
        """Whether some changes go unheard."""
        return self.watcher is None or self.watcher.exhausted or self.watcher.outgrown

    async def run(self) -> None:
        """Watch until cancelled; the whole tree is looked at first."""
        try:
            async with trio.open_nursery() as nursery:
                await self._begin()
                nursery.start_soon(self._listen)
                nursery.start_soon(self._settle)
                nursery.start_soon(self._look_at_all)
                nursery.start_soon(self._check_health)
        finally:
            self._close_watcher()

    async def catch_up(self) -> int:
        """Look now at all that was touched until now; how much differed. Raises what a scan raises."""
        if self.desk.paused_reason is not None:
            raise RuntimeError(f"{self.desk.name} is paused: {self.desk.paused_reason}")
        if self.blind:
            return await self.scan(None)
        await self._drain()
        touched = list(self.settler.due(1 << 62))
        # Also when nothing was touched: what is being looked at now must have come to its end.
        return await self.scan(touched)

    async def scan(self, paths: Iterable[TreePath] | None) -> int:
        """Look at these paths (None: all) and wait; how much differed. Raises what a scan raises."""
        finished, results = trio.Event(), list[int | Exception]()

        def done(result: int | Exception) -> None:
            results.append(result)
            finished.set()

        self.desk.scan(paths, done)
        await finished.wait()
        if isinstance(results[0], Exception):
            raise results[0]
        return results[0]

    async def _begin(self) -> None:
        """Watch before looking: what changes in between is seen twice rather than never."""
        try:
            async with self._reading:
                self._close_watcher()
                self.watcher = await trio.to_thread.run_sync(self._open_watcher)
            self._log.info("watching", by=self.way)
        except OSError as error:
            self._log.warning("not_watched", reason=str(error), remedy=f"looking at all of it every {BLIND_S:g} s")
        self._warn_of_limit()
        self._opened.set()
        self.desk.scan(None)

    def _warn_of_limit(self) -> None:
        warning = None if self.watcher is None else self.watcher.warning
        if warning is not None and not self._warned:
            self._log.warning("watch_limit", reason=warning)
        self._warned = warning is not None

    def _close_watcher(self) -> None:
        watcher, self.watcher = self.watcher, None
        self._opened = trio.Event()
        if watcher is not None:
            trio.lowlevel.notify_closing(watcher.fileno())
            watcher.close()

    async def _listen(self) -> None:
        while True:
            watcher = self.watcher
            if watcher is None:
                await self._opened.wait()
                if self.watcher is None:
                    await trio.sleep(PAUSED_S)
                continue
            try:
                with trio.CancelScope() as self._ear:
                    await trio.lowlevel.wait_readable(watcher.fileno())
                if self._ear.cancelled_caught or self.desk.placing_many:
                    await trio.sleep(_GATHER_S if self.desk.placing_many else _REST_S)
                await self._drain()
                if self.watcher is watcher and watcher.outgrown:
                    await self._begin()
            except (trio.ClosedResourceError, OSError, ValueError):
                await trio.lowlevel.checkpoint()

    async def _drain(self) -> None:
        """Take what the kernel reports. In a thread where new directories are to be looked into."""
        async with self._reading:
            if self.watcher is None:
                return
            touched = self.watcher.read_some()
            if touched is None:
                touched = await trio.to_thread.run_sync(self.watcher.read)
            limit = self.watcher.queue_limit
        if touched.overflow:
            self._log.warning(
                "watch_overflow",
                reason="the kernel's queue of reports overflowed; the whole tree is looked at",
                remedy=f"raise {limit} with sysctl if this is frequent",
            )
            self.desk.scan(None)
        self._warn_of_limit()
        ours = self.desk.placed(touched.paths)
        self.settler.touched(touched.paths - touched.open - ours, self._clock())
        self.settler.touched(touched.open - ours, self._clock(), _CLOSING)
        self.settler.touched(ours, self._clock(), _ECHO)
        self._wake.set()

    def _rest(self) -> None:
        """The agent itself is about to put something in place: what is reported of that need not wake anybody."""
        self._ear.cancel()

    def touched(self, paths: Iterable[TreePath]) -> None:
        """Look at these paths when they are quiet."""
        self.settler.touched(paths, self._clock())
        self._wake.set()

    async def _settle(self) -> None:
        while True:
            # One scan at a time: what is touched meanwhile goes into the next.
            if self.desk.paused_reason is not None:
                await trio.sleep(PAUSED_S)
                continue
            if self.desk.scanning == 0:
                paths = list(self.settler.due(self._clock()))
                if paths:
                    await self._try_scan(paths)
                    continue
                deadline = self.settler.next_deadline()
            else:
                deadline = self._clock() + SECOND // 100
            self._wake = trio.Event()
            wait = float("inf") if deadline is None else max(0.0, (deadline - self._clock()) / SECOND)
            with trio.move_on_after(wait):
                await self._wake.wait()

    async def _look_at_all(self) -> None:
        last = self._clock()
        took = 0
        while True:
            blind = self.blind
            every = max(BLIND_S, 10 * took / SECOND) if blind else self.rescan_s
            if self.rescan_s > 0 and blind:
                every = min(every, self.rescan_s)
            await self._chores.sleep(min(HEALTH_S, every))
            if self._clock() - last < every * SECOND or self.desk.paused_reason is not None or self.desk.scanning:
                continue
            last = self._clock()
            await self._try_scan(None)
            took = self._clock() - last

    async def _try_scan(self, paths: Iterable[TreePath] | None) -> None:
        # The desk has logged a failure, and the node has heard of a pause.
        try:
            await self.scan(paths)
        except Exception as error:
            self._log.debug("scan_failed", reason=str(error))
            await trio.sleep(PAUSED_S)

    async def _check_health(self) -> None:
        while True:
            await self._chores.sleep(HEALTH_S if self.desk.paused_reason is None else PAUSED_S)
            held = remounted = False
            try:
                reason, remounted = await self.desk.worker.run(self._ask_store)
                held = self.desk.store.held
            except OSError as error:
                reason = str(error)
            if reason is not None:
                self.desk.set_paused(reason, held)
            elif self.desk.paused_reason is not None:
                self.desk.set_paused(None)
                await self._begin()
            elif remounted:
                await self._begin()

    def _ask_store(self) -> tuple[str | None, bool]:
        """What ails the tree, and whether something was mounted or unmounted in it; in the worker's thread."""
        reason = self.desk.store.health()
        return reason, reason is None and self.desk.store.remounted()
