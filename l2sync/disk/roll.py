"""The roll that a walk through a whole tree calls: what the index knows, a few at a time, and who did not answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from l2sync.modtree import TreePath

from .index import Index


class RollCall(Protocol):
    """What a walk through the whole tree asks."""

    def known(self, paths: Iterable[TreePath]) -> dict[TreePath, bytes]:
        """The signatures of those of the paths that the index says should stand in the tree."""

    def missing(self) -> Iterator[TreePath]:
        """What should stand in the tree and was never asked for."""


class Roll:
    """One bit for each row of the index, so that a tree of any size is walked in little memory."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._met = bytearray(index.most_rows // 8 + 1)

    def known(self, paths: Iterable[TreePath]) -> dict[TreePath, bytes]:
        """The signatures of those of the paths that the index says should stand in the tree; they have answered."""
        found = {}
        for path, number, sig in self._index.signatures(paths):
            self._met[number >> 3] |= 1 << (number & 7)
            found[path] = sig
        return found

    def missing(self) -> Iterator[TreePath]:
        """What should stand in the tree and was never asked for, parents first."""
        yield from sorted(p for p, number in self._index.numbers() if not self._met[number >> 3] & 1 << (number & 7))
