"""The driver of a node: hands it disk events, requests and time, and carries out its effects in order.

The node acts in one task only. Time is handed to it when all that it asked for is done: a segment that takes no more
frames holds the node up, and nothing piles up.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog
import trio

from l2sync.cluster import BanRecord
from l2sync.link import FrameTooLong, LinkDown
from l2sync.node import api

from .chores import Chores
from .desk import Desk
from .reader import Reader
from .roles import Conductor, SocketLink

_TURN = 3_000_000
"""ns of work after which others in the loop get their turn."""
_RETRY_S = 1.0
_QUEUE_FULL_S = 0.0005
_LULL = 20_000_000
"""ns without a frame, report or request after which nothing can be said to keep coming in."""
_ATTENTION = 20_000_000
"""ns after which frames that nobody waits for as a rule are looked for again, while somebody does."""
_SLOW = (api.Persist, api.RememberIds, api.RememberBans, api.RenewReplica)
"""Effects that are waited for."""


class Driver:
    """Runs one node on one link.

    ``remember`` keeps the registry of ids, ``remember_bans`` the bans; both may wait for the disk.
    """

    def __init__(
        self,
        node: Conductor,
        link: SocketLink,
        remember: Callable[[Mapping[str, int]], None],
        clock: Callable[[], int] = time.monotonic_ns,
        remember_bans: Callable[[tuple[BanRecord, ...]], None] = lambda records: None,
    ) -> None:
        self.chores = Chores()
        """Done when the driver is awake."""
        self.node = node
        self.link = link
        self.desks: dict[str, Desk] = {}
        self.reader = Reader(node, link, clock, self.chores)
        """What comes in."""
        self.stuck: str | None = None
        """Why nothing moves, where the index cannot be written."""
        self._failure: Exception | None = None
        self._remember = remember
        self._remember_bans = remember_bans
        self._clock = clock
        self._wake = trio.Event()
        self._nap: trio.CancelScope | None = None
        """In which the conductor sleeps."""
        self._due: int | None = None
        """When time is to be handed to the node if it is awake."""
        self._next: int | None = None
        """When it has to be awake."""
        self._asked_at = 0
        """When it was last asked for that."""
        self._left: list[api.Effect] = []
        """Effects that were taken and are still to be carried out, before all others."""
        self._acting = False
        self._idle = trio.Event()
        self._waiters: dict[int, Callable[[api.Answer], None]] = {}
        self._requests = 0
        self._log = structlog.get_logger()

    async def run(self) -> None:
        """Drive until cancelled."""
        self.node.start(self._clock())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.reader.run, self._act)
            nursery.start_soon(self._conduct)

    def tell_wall(self) -> None:
        """Tell the node the time of day."""
        self.node.tell_wall(int(time.time()), self._clock())
        self._wake.set()

    def report(self, event: api.DiskEvent) -> None:
        """Hand a disk event to the node. Never raises: what goes wrong in it ends `run`."""
        try:
            self.node.disk_reported(event, self._clock())
        except Exception as error:
            self._failure = error
        self._act()

    def submit(self, make: Callable[[int], api.Request], answered: Callable[[api.Answer], None] | None = None) -> int:
        """Hand a request to the node under a new number; ``answered`` hears the end of it."""
        self._requests += 1
        if answered is not None:
            self._waiters[self._requests] = answered
        self.reader.catch_up()
        self.node.submit(make(self._requests), self._clock())
        self._act()
        return self._requests

    def catch_up(self) -> None:
        """Have the node know what was told until now, also by frames that nobody waits for."""
        self.reader.catch_up()
        self._act()

    def cancel(self, request: int) -> None:
        """Nobody waits for this request any more; a lock asked for is given up."""
        self._waiters.pop(request, None)
        self.node.submit(api.CancelRequest(request), self._clock())
        self._wake.set()

    async def ask(self, make: Callable[[int], api.Request]) -> tuple[int, api.Answer]:
        """Hand a request to the node and wait for its end: the number and the answer. Cancelling cancels it."""
        event, answers = trio.Event(), list[api.Answer]()

        def answered(answer: api.Answer) -> None:
            answers.append(answer)
            event.set()

        number = self.submit(make, answered)
        try:
            await event.wait()
        except BaseException:
            self.cancel(number)
            raise
        return number, answers[0]

    async def leave(self) -> None:
        """Say goodbye; returns when it is on the segment, and all that was asked for before is done."""
        self.node.leave(self._clock())
        self._idle = trio.Event()
        self._wake.set()
        await self._idle.wait()

    # Effects out

    def _act(self) -> None:
        """Do what is to be done now. Where nothing has to be waited for, that needs no turn of the conductor's."""
        if self._acting:
            return
        if self._nap is None or self._failure is not None or self._wake.is_set():
            self._wake.set()
            return
        self._acting = True
        try:
            if not self._act_at_once():
                self._wake.set()
        except Exception as error:
            self._failure = error
            self._wake.set()
        finally:
            self._acting = False

    def _act_at_once(self) -> bool:
        """Whether all is done, but for what time will bring; if not, the conductor goes on where this ends."""
        assert self._nap is not None
        end = self._clock() + _TURN
        while True:
            while effects := self.node.take_effects():
                if any(isinstance(effect, _SLOW) for effect in effects):
                    self._left = effects
                    return False
                for number, effect in enumerate(effects):
                    if (left := self._carry_out_now(effect)) is not None:
                        self._left = [left, *effects[number + 1 :]]
                        return False
            now = self._clock()
            if not self._time_is_up(now):
                self._nap.deadline = trio.current_time() + self._rest(now)
                return True
            if now >= end:
                return False

    def _time_is_up(self, now: int) -> bool:
        """Give the node time if it wants some now."""
        deadline = self._next = self.node.next_deadline(now)
        # A deadline once told is kept, though the node may name later ones while frames keep coming in. They wake us
        # then: by itself, it is no reason to wake. After a lull, the node has taken it back.
        if now - self._asked_at > _LULL:
            self._due = None
        self._asked_at = now
        if self._due is None or (deadline is not None and deadline < self._due):
            self._due = deadline
        if self._due is None or self._due > now:
            return False
        self._due = None
        self.reader.catch_up_if_stale(now)
        self.node.handle_timer(self._clock())
        return True

    async def _conduct(self) -> None:
        turn = self._clock()
        while True:
            if self._failure is not None:
                raise self._failure
            effects, self._left = self._left or self.node.take_effects(), []
            await self._carry_out_all(effects)
            if self._clock() - turn > _TURN:
                await trio.lowlevel.checkpoint()
                turn = self._clock()
            now = self._clock()
            if effects or self._time_is_up(now):
                continue
            self._idle.set()
            self._wake = trio.Event()
            with trio.move_on_after(self._rest(now)) as self._nap:
                await self._wake.wait()
            self._nap = None
            if self.node.attentive:
                self.reader.catch_up()
            self.chores.awake()
            turn = self._clock()

    def _rest(self, now: int) -> float:
        """For how many seconds nothing is to be done."""
        rest = (self._next - now) / 1e9 if self._next is not None else float("inf")
        return min(rest, _ATTENTION / 1e9) if self.node.attentive else rest

    async def _carry_out_all(self, effects: list[api.Effect]) -> None:
        """In order; but content is read while the index is being written: it changes nothing, and is needed next."""
        overlapped = any(isinstance(effect, api.Persist) for effect in effects)
        ahead = [effect for effect in effects if overlapped and isinstance(effect, api.ReadChunks)]
        for effect in effects:
            if isinstance(effect, api.Send | api.SendRun):
                await self._send(effect)
            elif isinstance(effect, api.Persist):
                await self._persist(effect, ahead)
                ahead = []
            elif not (overlapped and isinstance(effect, api.ReadChunks)):
                await self._carry_out(effect)

    async def _carry_out(self, effect: api.Effect) -> None:
        match effect:
            case api.Persist():
                await self._persist(effect)
            case api.RememberIds(registry):
                await trio.to_thread.run_sync(self._remember, dict(registry))
            case api.RememberBans(records):
                await trio.to_thread.run_sync(self._remember_bans, records)
            case api.RenewReplica(tree, replica, counter):
                desk = self.desks[tree]
                await self._until_durable(
                    tree, lambda: desk.worker.run(lambda: desk.store.new_replica(replica, counter))
                )
            case _:
                self._carry_out_now(effect)

    def _carry_out_now(self, effect: api.Effect) -> api.Effect | None:
        """Carry out what is none of the slow ones; frames that have to wait for room are returned."""
        match effect:
            case api.Send() | api.SendRun():
                return self._send_now(effect)
            case api.Notify(event, level, fields):
                getattr(self._log, level)(event, **fields)
            case api.Answer(request):
                if (answered := self._waiters.pop(request, None)) is not None:
                    answered(effect)
            case api.Persist() | api.RememberIds() | api.RememberBans() | api.RenewReplica():
                raise RuntimeError("this has to be waited for")
            case _:
                self.desks[effect.tree].carry_out(effect)
        return None

    def _send_now(self, effect: api.Send | api.SendRun) -> api.Send | api.SendRun | None:
        """Send; what there was no room for is returned."""
        try:
            if isinstance(effect, api.Send):
                return None if self.link.send(effect.frame, effect.address) else effect
            taken = self.link.send_run(effect.frames, effect.address)
            if taken < len(effect.frames):
                return api.SendRun(effect.frames[taken:], effect.address)
        except FrameTooLong as error:
            self._log.warning("frame_too_long", reason=str(error))
        except (LinkDown, trio.ClosedResourceError):
            pass  # lost, as on any segment: what must arrive is sent again
        return None

    async def _send(self, effect: api.Send | api.SendRun) -> None:
        while (left := self._send_now(effect)) is not None:
            effect = left
            if self.link.queue_full:
                await trio.sleep(_QUEUE_FULL_S)
                continue
            try:
                await trio.lowlevel.wait_writable(self.link.fileno())
            except (LinkDown, trio.ClosedResourceError):
                await trio.lowlevel.checkpoint()
                return

    async def _persist(self, effect: api.Persist, ahead: Sequence[api.ReadChunks] = ()) -> None:
        """``ahead`` is asked for with it, and not waited for."""

        async def persist() -> None:
            nonlocal ahead
            # Reading comes first, so that what was read goes out in one turn with what tells of it.
            for read in ahead:
                self.desks[read.tree].carry_out(read)
            ahead = ()
            await self.desks[effect.tree].persist(effect)()

        await self._until_durable(effect.tree, persist)

    async def _until_durable(self, tree: str, write: Callable[[], Awaitable[object]]) -> None:
        """Write to the index of a tree until it is done: what is not durable must not be announced."""
        while True:
            try:
                await write()
                break
            except Exception as error:
                if self.stuck is None:
                    self._log.error("index_not_writable", tree=tree, reason=str(error))
                self.stuck = f"the index of {tree} cannot be written: {error}"
                await trio.sleep(_RETRY_S)
        self.stuck = None
