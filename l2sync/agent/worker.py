"""One thread that does one tree's disk work in the order asked for, while the agent's loop goes on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

import outcome
import trio

T = TypeVar("T")
Done = Callable[[outcome.Outcome[Any]], None]
Job = tuple[Callable[[], Any], Done, bool]
Result = tuple[Done, outcome.Outcome[Any]]

_COMPANY_S = 0.02
"""How long a result that nobody waits for stays with the thread: until others are on their way, too."""


class Worker:
    """A thread with a queue; results are handed over in the thread of the loop that made the worker."""

    def __init__(self, name: str) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._jobs: queue.SimpleQueue[list[Job]] = queue.SimpleQueue()
        self._ahead: list[Job] = []
        """Asked for, and begun with what is asked for next."""
        self.waiting = 0
        """Jobs asked for whose results are not handed over yet."""
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=f"l2sync-{name}", daemon=True)
        self._thread.start()

    @property
    def closed(self) -> bool:
        """Whether it takes no more jobs."""
        return self._closed

    def post(
        self,
        job: Callable[[], T],
        done: Callable[[outcome.Outcome[T]], None],
        waited_for: bool = True,
        begin: bool = True,
    ) -> None:
        """Do the job after all asked for before; ``done`` gets its result or its error, in the loop.

        A result that is not ``waited_for`` comes with the next one that is, or some 20 ms after the last. Without
        ``begin`` another job follows at once, and the thread is not woken before.
        """
        if self._closed:
            raise RuntimeError("this worker was told to end")
        self.waiting += 1
        self._ahead.append((job, done, waited_for))
        if begin:
            self._begin()

    def _begin(self) -> None:
        jobs, self._ahead = self._ahead, []
        self._jobs.put(jobs)

    async def run(self, job: Callable[[], T]) -> T:
        """Do the job in its turn, and wait for it. The job is done even if nobody waits any more."""
        return await self.begin(job)()

    def begin(self, job: Callable[[], T]) -> Callable[[], Awaitable[T]]:
        """Do the job in its turn; call and await what is returned for its result."""
        finished = trio.Event()
        results: list[outcome.Outcome[T]] = []

        def done(result: outcome.Outcome[T]) -> None:
            results.append(result)
            finished.set()

        async def result() -> T:
            await finished.wait()
            return results[0].unwrap()

        self.post(job, done)
        return result

    async def close(self) -> None:
        """End after what was asked for; waits for the thread, whatever is cancelled meanwhile."""
        if not self._closed:
            self._closed = True
            if self._ahead:
                self._begin()
            self._jobs.put([])
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._thread.join)

    def _work(self) -> None:
        held: list[Result] = []
        try:
            while jobs := self._next(held):
                while jobs:
                    work, done, waited_for = jobs.pop(0)
                    held.append((done, outcome.capture(work)))
                    if waited_for:
                        self._tell(held)
                    # Results may hold megabytes: they must not live until the next job comes.
                    del work, done
            self._tell(held)
        except trio.RunFinishedError:
            return

    def _next(self, held: list[Result]) -> list[Job]:
        """Wait for jobs; what is held is told before some that others wait for, or when nothing comes for a while."""
        if held:
            with suppress(queue.Empty):
                jobs = self._jobs.get(timeout=_COMPANY_S)
                if any(job[2] for job in jobs):
                    self._tell(held)
                return jobs
            self._tell(held)
        return self._jobs.get()

    def _tell(self, held: list[Result]) -> None:
        if held:
            self._token.run_sync_soon(self._hand_over, held[:])
            held.clear()

    def _hand_over(self, results: list[Result]) -> None:
        for done, result in results:
            self.waiting -= 1
            done(result)
