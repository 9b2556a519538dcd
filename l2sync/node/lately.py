"""What has come to a tree and gone from it within the brake's window. Pure.

The window begins with the oldest loss that is not too long ago: what was made before it counts when it goes, however
young it is, and what was made after it does not, so that files which come and go do not add up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import islice

from l2sync.modtree import TreePath

WINDOW = 60_000_000_000
"""ns within which losses count as one."""
_REMEMBERED = 1 << 16
"""So many paths of each kind are remembered by name: others count as old, or twice."""


class Lately:
    """Paths that were made, and that were lost, since the window began; times in ns."""

    def __init__(self) -> None:
        self._born: dict[TreePath, int] = {}
        self._lost: dict[TreePath, int] = {}
        self._unnamed: deque[tuple[int, int]] = deque()

    def came(self, paths: Iterable[TreePath], now: int) -> None:
        """These were not there, and are now."""
        for path in paths if self.lost else ():
            if self._lost.pop(path, None) is None and self.lost and len(self._born) < _REMEMBERED:
                self._born[path] = now

    def went(self, paths: Iterable[TreePath], now: int) -> None:
        """These were there when the window began, and are not now."""
        unnamed = 0
        for path in paths:
            if len(self._lost) < _REMEMBERED:
                self._lost[path] = now
            else:
                unnamed += 1
        if unnamed:
            self._unnamed.append((now, unnamed))

    def ended(self, paths: Iterable[TreePath]) -> None:
        """Of these, what was made within the window is gone again."""
        for path in paths if self._born else ():
            self._born.pop(path, None)

    def expire(self, now: int) -> None:
        """Move the window's beginning on."""
        _drop(self._lost, now - WINDOW)
        while self._unnamed and self._unnamed[0][0] < now - WINDOW:
            self._unnamed.popleft()
        begun = [*islice(self._lost.values(), 1), *(at for at, _ in islice(self._unnamed, 1))]
        if begun:
            _drop(self._born, min(begun))
        else:
            self._born.clear()

    def counts(self, path: TreePath) -> bool:
        """Whether its loss would be one more: it was there when the window began, and is not lost already."""
        return path not in self._born and path not in self._lost

    @property
    def lost(self) -> int:
        """So many are lost."""
        return len(self._lost) + sum(count for _, count in self._unnamed)

    @property
    def born(self) -> int:
        """So many of those that are there were not when the window began."""
        return len(self._born)

    def forget(self) -> None:
        """Begin anew: what was decided upon does not count any more."""
        self._lost.clear()
        self._unnamed.clear()


def _drop(times: dict[TreePath, int], before: int) -> None:
    """Forget what is older, of times in order."""
    while times and times[first := next(iter(times))] < before:
        del times[first]
