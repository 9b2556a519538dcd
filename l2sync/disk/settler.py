"""When a touched path has come to rest. Pure: time comes in as an argument, in ns."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from l2sync.modtree import TreePath

MS = 1_000_000
_GRID = 10 * MS
"""Deadlines are rounded up to this, so that paths touched one after the other are looked at together.

Not where nothing is to be waited for."""


class Settler:
    """Holds touched paths back until nothing has touched them for a while, but not for ever."""

    def __init__(self, settle_ns: int = 50 * MS, most_ns: int = 2000 * MS) -> None:
        self._settle = settle_ns
        self._most = max(most_ns, settle_ns)
        self._times: dict[TreePath, tuple[int, int, int]] = {}
        """When each was touched first and last, and the rest that it needs from then on."""
        self._heap: list[tuple[int, TreePath]] = []

    def __len__(self) -> int:
        return len(self._times)

    def touched(self, paths: Iterable[TreePath], now: int, rest: int = 0) -> None:
        """These paths were touched now. ``rest``: ns that they need to be left alone, if longer than usual."""
        wanted = max(rest, self._settle)
        for path in paths:
            before = self._times.get(path)
            times = (now if before is None else before[0], now, wanted)
            self._times[path] = times
            if before is None or wanted < before[2]:
                heapq.heappush(self._heap, (self._deadline(*times), path))

    def due(self, now: int) -> list[TreePath]:
        """Paths that have settled, or have been written for long enough; they are forgotten here."""
        found = []
        while self._heap and self._heap[0][0] <= now:
            _, path = heapq.heappop(self._heap)
            times = self._times.get(path)
            if times is None:
                continue
            deadline = self._deadline(*times)
            if deadline > now:
                heapq.heappush(self._heap, (deadline, path))
            else:
                del self._times[path]
                found.append(path)
        return found

    def clear(self) -> None:
        """Forget all: a scan of the whole tree is on its way."""
        self._times.clear()
        self._heap.clear()

    def next_deadline(self) -> int | None:
        """When to call `due` next; it may then still find nothing."""
        return self._heap[0][0] if self._heap else None

    def _deadline(self, first: int, last: int, rest: int) -> int:
        at = min(last + rest, first + max(self._most, rest))
        return -(-at // _GRID) * _GRID if rest else at
