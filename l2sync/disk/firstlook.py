"""A look at a tree of which nothing is known yet: what it finds, all of the tree, is not to be held at once."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator

from l2sync.modtree import ROOT, TreePath

from .beneath import Beneath
from .ignore import Ignore
from .index import Index
from .scanner import Findings, Scanner

_PORTION = 2000
"""Things found after which a portion ends, with the directory that is being looked at."""


class FirstLook:
    """Goes on from portion to portion; what is told of one is in the index before the next."""

    def __init__(self, beneath: Beneath, index: Index, ignore: Ignore, special: bool) -> None:
        self._index, self._ignore, self._special = index, ignore, special
        self._begin(beneath)

    def portion(self, beneath: Beneath) -> tuple[Findings, bool]:
        """What comes next, and whether there is more. Where the root was opened anew it begins anew, too."""
        if beneath is not self._beneath:
            self._begin(beneath)
        try:
            return next(self._portions), True
        except StopIteration as end:
            return end.value, False

    def _begin(self, beneath: Beneath) -> None:
        self._beneath = beneath
        self._portions = _Portions(beneath, self._index, self._ignore, self._special).run()


class _Portions(Scanner):
    def run(self) -> Generator[Findings, None, Findings]:
        self._roll = _Known(self._index)
        self._known = self._roll.known([ROOT])
        self._look(ROOT, os.fstat(self._beneath.fd))
        for _ in self._walking(ROOT):
            if len(self._found.observations) >= _PORTION:
                yield self._taken()
        self._done()
        return self._taken()

    def _taken(self) -> Findings:
        found, self._found = self._found, Findings()
        found.observations.sort(key=lambda seen: seen.path)
        self._concluded.clear()  # no link that the index knows leads to what is new
        return found


class _Known:
    """In place of a roll: nothing can be missing."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def known(self, paths: Iterable[TreePath]) -> dict[TreePath, bytes]:
        return {path: sig for path, _, sig in self._index.signatures(paths)}

    def missing(self) -> Iterator[TreePath]:
        return iter(())
