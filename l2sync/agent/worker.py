"""One thread that does one tree's disk work in the order asked for, while the agent's loop goes on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import outcome
import trio

T = TypeVar("T")
Job = tuple[Callable[[], Any], Callable[[outcome.Outcome[Any]], None]]


class Worker:
    """A thread with a queue; results are handed over in the thread of the loop that made the worker."""

    def __init__(self, name: str) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self.waiting = 0
        """Jobs asked for whose results are not handed over yet."""
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=f"l2sync-{name}", daemon=True)
        self._thread.start()

    def post(self, job: Callable[[], T], done: Callable[[outcome.Outcome[T]], None]) -> None:
        """Do the job after all asked for before; ``done`` gets its result or its error, in the loop."""
        if self._closed:
            raise RuntimeError("this worker was told to end")
        self.waiting += 1
        self._jobs.put((job, done))

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
            self._jobs.put(None)
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._thread.join)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            work, done = job
            result = outcome.capture(work)
            try:
                self._token.run_sync_soon(self._hand_over, done, result)
            except trio.RunFinishedError:
                return
            # Results may hold megabytes: they must not live until the next job comes.
            del job, work, done, result

    def _hand_over(self, done: Callable[[outcome.Outcome[Any]], None], result: outcome.Outcome[Any]) -> None:
        self.waiting -= 1
        done(result)
