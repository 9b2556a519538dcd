"""The driver: effects in order, persistence before sending, time when all is done, trouble survived."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import cast

import pytest
import trio
import trio.lowlevel
from trio.testing import wait_all_tasks_blocked

from l2sync.agent.desk import Desk
from l2sync.agent.driver import Driver
from l2sync.disk import Paused, TreeStore
from l2sync.frames import Kind
from l2sync.node import api

from .fakes import FakeLink, FakeNode, until


class Bench:
    """A driver with a fake node on a fake link; ``order`` notes what was done."""

    def __init__(self) -> None:
        self.node, self.link = FakeNode(), FakeLink()
        self.remembered: list[Mapping[str, int]] = []
        self.clock: Callable[[], int] = time.monotonic_ns
        self.driver = Driver(self.node, self.link, self.remembered.append, lambda: self.clock())

    def poke(self, *effects: api.Effect) -> None:
        self.node.effects += effects
        self.driver.report(api.TreeResumed("t"))


class SlowDesk:
    """Persists when the test says so."""

    def __init__(self, errors: int = 0) -> None:
        self.allowed = trio.Event()
        self.done: list[object] = []
        self.errors = errors

    def persist(self, effect: api.Persist) -> Callable[[], Awaitable[None]]:
        async def durable() -> None:
            await self.allowed.wait()
            if self.errors:
                self.errors -= 1
                raise OSError(28, "no space left")
            self.done.append(effect)

        return durable

    def carry_out(self, effect: object) -> None:
        self.done.append(effect)


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.driver.run)
        await wait_all_tasks_blocked()
        yield made
        nursery.cancel_scope.cancel()
    made.link.close()


async def test_frames_reach_the_node_and_effects_the_link():
    async with bench() as b:
        b.link.other.send(b"frame")
        await until(lambda: b"frame" in b.node.seen)
        b.poke(api.Send(b"out", None))
        await wait_all_tasks_blocked()
        assert b.link.sent == [b"out"] and b.node.seen[0] == "start"


async def test_nothing_is_sent_before_what_it_tells_of_is_durable():
    async with bench() as b:
        desk = SlowDesk()
        b.driver.desks["t"] = cast(Desk, desk)
        b.poke(api.Persist("t", (), 1), api.Send(b"after", None))
        await wait_all_tasks_blocked()
        assert b.link.sent == []
        desk.allowed.set()
        await wait_all_tasks_blocked()
        assert b.link.sent == [b"after"] and len(desk.done) == 1


async def test_content_is_read_once_and_while_the_index_is_being_written(autojump_clock: object):
    async with bench() as b:
        desk = b.driver.desks["t"] = SlowDesk(errors=1)
        read, store = api.ReadChunks("t", (1, 1), ()), api.Discard("t", (1, 1))
        b.poke(api.Persist("t", (), 1), api.Send(b"after", None), read, store)
        await wait_all_tasks_blocked()
        assert desk.done == [read] and b.link.sent == []
        desk.allowed.set()
        await until(lambda: store in desk.done)
        assert desk.done.count(read) == 1 and b.link.sent == [b"after"]


async def test_an_index_that_cannot_be_written_holds_everything_until_it_can(autojump_clock: object):
    async with bench() as b:
        desk = SlowDesk(errors=2)
        desk.allowed.set()
        b.driver.desks["t"] = cast(Desk, desk)
        b.poke(api.Persist("t", (), 1), api.Send(b"after", None))
        await trio.sleep(0.5)
        assert b.link.sent == [] and "no space" in (b.driver.stuck or "")
        await trio.sleep(2)
        assert b.link.sent == [b"after"] and b.driver.stuck is None


async def test_disk_work_goes_to_the_desk_of_its_tree():
    async with bench() as b:
        desk, other = SlowDesk(), SlowDesk()
        b.driver.desks |= {"t": cast(Desk, desk), "u": cast(Desk, other)}
        work = [api.Discard("t", (1, 2)), api.Rescan("t", None)]
        b.poke(*work)
        await wait_all_tasks_blocked()
        assert desk.done == work and other.done == []


async def test_a_full_socket_holds_time_back_and_loses_nothing(autojump_clock: object):
    async with bench() as b:
        b.link.full, b.link.queue_full = 5, True
        b.node.deadline = 0
        b.poke(api.Send(b"one", None), api.Send(b"two", None))
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
        assert b.node.timers == 0
        await trio.sleep(1)
        assert b.link.sent == [b"one", b"two"] and b.node.timers == 1


@pytest.mark.parametrize("refused", range(1, 4))
async def test_what_a_full_socket_left_of_a_run_goes_out_next_and_in_order(refused: int, autojump_clock: object):
    async with bench() as b:
        b.link.room, b.link.queue_full = refused, True
        run = [bytes([number]) for number in range(4)]
        b.poke(api.SendRun(run, None), api.Send(b"after", None))
        await trio.sleep(1)
        assert b.link.sent == [*run, b"after"]


async def test_a_deadline_is_kept_though_the_node_names_later_ones_while_frames_come():
    async with bench() as b:
        now = 1_000_000_000
        b.clock = lambda: now
        b.node.deadline = now + 20_000_000
        for _ in range(2):
            b.poke()
            await wait_all_tasks_blocked()
            assert b.node.timers == 0
            now += 10_000_000
            b.node.deadline = now + 3_600_000_000_000
        b.poke()
        await until(lambda: b.node.timers)


async def test_a_deadline_that_was_taken_back_is_forgotten_in_a_lull():
    async with bench() as b:
        now = 1_000_000_000
        b.clock = lambda: now
        b.node.deadline = now + 20_000_000
        b.poke()
        await wait_all_tasks_blocked()
        b.node.deadline = now + 3_600_000_000_000
        now += 10_000_000
        b.poke()
        await wait_all_tasks_blocked()
        now += 500_000_000
        b.poke()
        await wait_all_tasks_blocked()
        assert b.node.timers == 0


PING = (b"L2\x01\x08ping", b"\x04" * 6)
AHEAD = (b"L2\x01\x84entries", b"\x04" * 6)
"""Frames that wake nobody."""
CHANGE = b"L2\x01" + bytes([Kind.DATA])
DECISION = b"L2\x01" + bytes([Kind.DECISION])


async def test_what_more_follows_upon_is_handed_over_before_it_and_a_ping_later():
    async with bench() as b:
        b.link.unhurried = [PING, AHEAD]
        await trio.sleep(0.01)
        assert b.node.seen == ["start"]
        b.link.other.send(CHANGE)
        await until(lambda: CHANGE in b.node.seen)
        assert b.node.seen == ["start", AHEAD[0], CHANGE]
        b.driver.catch_up()
        assert b.node.seen[-1] == PING[0]


async def test_no_ping_is_told_after_what_was_decided_since():
    async with bench() as b:
        b.link.unhurried = [PING]
        b.link.other.send(CHANGE)
        await until(lambda: CHANGE in b.node.seen)
        b.link.unhurried = [AHEAD, PING]
        b.link.other.send(DECISION)
        await until(lambda: DECISION in b.node.seen)
        assert b.node.seen == ["start", CHANGE, AHEAD[0], PING[0], PING[0], DECISION]


async def test_a_flood_of_pings_neither_keeps_the_agent_from_its_work_nor_fills_its_memory():
    async with bench() as b:
        b.link.flood = PING
        b.node.deadline = b.clock()
        b.poke(api.Send(b"work", None))
        await until(lambda: b.link.sent == [b"work"] and b.node.timers)
        handed_over = b.node.seen.count(PING[0])
        for number in range(10):
            b.link.other.send(CHANGE + bytes([number]))
            await until(lambda n=number: CHANGE + bytes([n]) in b.node.seen)
        read = b.link.unhurried_read
        assert handed_over > 0 and read - b.node.seen.count(PING[0]) < 2048


async def test_time_never_goes_back():
    async with bench() as b:
        for number in range(20):
            b.link.unhurried = [PING, AHEAD, PING]
            b.link.other.send(b"frame")
            b.node.deadline = b.clock() + 100_000
            await until(lambda n=number: b.node.seen.count(b"frame") > n and b.node.timers > n)
        assert b.node.times == sorted(b.node.times)


async def test_what_nobody_waits_for_is_handed_over_before_time_is():
    async with bench() as b:
        b.link.unhurried = [PING]
        b.node.handle_timer = lambda now: b.node.seen.append("timer")
        b.node.deadline = b.clock() + 1_000_000
        b.poke()
        await until(lambda: "timer" in b.node.seen)
        assert b.node.seen.index(PING[0]) < b.node.seen.index("timer")


async def test_what_is_waited_for_all_the_same_is_looked_for():
    async with bench() as b:
        b.node.attentive = True
        b.poke()
        await wait_all_tasks_blocked()
        b.link.unhurried = [PING]
        await until(lambda: PING[0] in b.node.seen)


async def test_a_link_that_goes_down_and_comes_up_is_survived(autojump_clock: object):
    async with bench() as b:
        b.link.down = True
        b.link.other.send(b"x")
        await trio.sleep(0.1)
        assert b.driver.reader.link_down is not None
        b.poke(api.Send(b"lost", None))
        await trio.sleep(1)
        b.link.down = False
        await trio.sleep(1)
        assert b.driver.reader.link_down is None and b.link.reopened == 1
        b.poke(api.Send(b"there", None))
        await trio.sleep(0.1)
        assert b.link.sent == [b"there"]


async def test_a_frame_that_the_node_fails_on_does_not_end_the_agent():
    async with bench() as b:
        b.node.fail_on = b"bad"
        b.link.other.send(b"bad")
        b.link.other.send(b"good")
        await until(lambda: b"good" in b.node.seen)
        assert b.driver.reader.faults == 1


async def test_a_node_that_fails_on_the_disks_report_ends_the_driver_in_the_open():
    made = Bench()
    made.node.disk_reported = lambda event, now: {}[event]  # type: ignore[method-assign,assignment]
    with pytest.RaisesGroup(KeyError, flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(made.driver.run)
            await wait_all_tasks_blocked()
            made.driver.report(api.TreeResumed("t"))
    made.link.close()


async def test_a_question_is_answered():
    async with bench() as b:
        b.node.answer = lambda request: [api.Answer(request.request, True, "yes")]  # type: ignore[method-assign]
        number, answer = await b.driver.ask(lambda number: api.FlushRequest(number))
        assert answer == api.Answer(number, True, "yes")


async def test_a_question_that_nobody_waits_for_any_more_is_cancelled():
    async with bench() as b:
        with trio.move_on_after(0.01):
            await b.driver.ask(lambda number: api.LockRequest(number, "t", ()))
        assert isinstance(b.node.seen[-1], api.CancelRequest)


async def test_ids_are_remembered_and_goodbye_is_said():
    async with bench() as b:
        b.poke(api.RememberIds({"a": 1}))
        await until(lambda: b.remembered)
        await b.driver.leave()
        assert b.remembered == [{"a": 1}] and b.link.sent == [b"bye"]


async def test_a_new_replica_is_written_to_the_index(tmp_path):
    from l2sync.agent.worker import Worker
    from l2sync.disk import TreeOptions

    async with bench() as b:
        worker = Worker("t")
        (tmp_path / "root").mkdir()
        store = await worker.run(
            lambda: TreeStore.open("t", tmp_path / "root", tmp_path / "state", TreeOptions(), "me")
        )
        b.driver.desks["t"] = Desk("t", store, worker, b.driver.report)
        b.poke(api.RenewReplica("t", 77, 5))
        b.poke(api.Send(b"after", None))
        await until(lambda: b.link.sent)
        assert await worker.run(lambda: store.replica) == 77

        refusals = [Paused("the index cannot be used"), None]
        renew = store.new_replica

        def reluctant(replica, counter):
            if refusals and (refusal := refusals.pop(0)) is not None:
                raise refusal
            return renew(replica, counter)

        store.new_replica = reluctant
        b.link.sent.clear()
        b.poke(api.RenewReplica("t", 78, 0))
        b.poke(api.Send(b"after that", None))
        await until(lambda: b.link.sent)
        assert not refusals and await worker.run(lambda: store.replica) == 78
        await worker.run(store.close)
        await worker.close()


async def test_what_a_frame_asks_for_is_done_at_once_and_the_rest_in_order():
    """Given a conductor at rest, when an event comes, then its frames are out before anybody gets a turn."""
    async with bench() as b:
        desk = b.driver.desks["t"] = SlowDesk()
        b.poke(api.Send(b"one", None), api.Discard("t", (1, 1)))
        assert b.link.sent == [b"one"] and len(desk.done) == 1
        b.poke(api.Send(b"two", None), api.Persist("t", (), 1), api.Send(b"three", None))
        b.poke(api.Send(b"four", None))
        desk.allowed.set()
        await wait_all_tasks_blocked()
        assert b.link.sent == [b"one", b"two", b"three", b"four"]
