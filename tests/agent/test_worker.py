"""The thread of a tree's disk work: in order, and no more wakings of the loop than somebody waits for."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import outcome
import trio

from l2sync.agent.worker import Worker

from .fakes import until


class Bench:
    """A worker, what it did and what was handed over."""

    def __init__(self) -> None:
        self.worker = Worker("t")
        self.did: list[str] = []
        self.told: list[str] = []
        self.held_up = threading.Event()

    def post(self, name: str, waited_for: bool = True, begin: bool = True, held_up: bool = False) -> None:
        def job() -> str:
            if held_up:
                self.held_up.wait(10)
            self.did.append(name)
            return name

        def done(result: outcome.Outcome[str]) -> None:
            self.told.append(result.unwrap())

        self.worker.post(job, done, waited_for, begin)


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    try:
        with trio.fail_after(10):
            yield made
    finally:
        made.held_up.set()
        await made.worker.close()


async def test_a_result_that_nobody_waits_for_comes_with_the_next_one():
    async with bench() as b:
        b.post("prepare", waited_for=False, held_up=True)
        b.post("store", waited_for=False)
        b.post("scan")
        b.held_up.set()
        await until(lambda: b.did == ["prepare", "store", "scan"])
        await until(lambda: b.told == ["prepare", "store", "scan"])
        assert b.worker.waiting == 0


async def test_a_result_that_nobody_waits_for_comes_by_itself_after_a_while():
    async with bench() as b:
        b.post("commit", waited_for=False)
        await until(lambda: b.told == ["commit"])


async def test_what_is_not_begun_waits_for_the_next_and_keeps_its_order():
    async with bench() as b:
        b.post("prepare", waited_for=False, begin=False)
        b.post("store", waited_for=False, begin=False)
        await trio.sleep(0.02)
        assert b.did == []
        b.post("commit", waited_for=False)
        await until(lambda: b.told == ["prepare", "store", "commit"])


async def test_the_end_leaves_nothing_undone():
    async with bench() as b:
        b.post("prepare", waited_for=False, begin=False)
        b.post("store", waited_for=False, begin=False)
    assert b.did == ["prepare", "store"]
