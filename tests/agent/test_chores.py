"""Chores wait for company, but not for ever."""

from __future__ import annotations

import trio

from l2sync.agent.chores import Chores


async def ended(chores: Chores, seconds: float, slack: float, told: list[float]) -> None:
    await chores.sleep(seconds, slack)
    told.append(trio.current_time())


async def test_a_chore_waits_for_the_first_waking_after_it_is_due(autojump_clock: object):
    chores, told, start = Chores(), list[float](), trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ended, chores, 5, 2, told)
        for _ in range(3):
            await trio.sleep(2)
            chores.awake()
    assert told == [start + 6]


async def test_a_chore_waits_no_longer_than_its_slack(autojump_clock: object):
    chores, told, start = Chores(), list[float](), trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ended, chores, 5, 2, told)
        await trio.sleep(4)
        chores.awake()
    assert told == [start + 7]


async def test_a_cancelled_chore_is_forgotten(autojump_clock: object):
    chores = Chores()
    with trio.move_on_after(1):
        await chores.sleep(5)
    chores.awake()
    assert not chores._due
