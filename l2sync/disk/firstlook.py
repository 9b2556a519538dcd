"""Looks at what nothing is known of yet: what they find, a tree of any size, is not to be held, or waited for, at once.

What was moved is to be told of together with the place that it left, lest it be taken for new. So what is new is told
of a portion at a time only where nothing is gone.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Container, Generator, Iterable, Iterator

from l2sync.modtree import ROOT, TreePath, ancestors

from .beneath import Beneath, Directories
from .ignore import Ignore
from .index import Index
from .scanner import Findings, Scanner

_PORTION = 2000
"""Things found after which a portion ends, with the directory that is being looked at."""
_Portions = Generator[Findings, None, Findings]


class Look(ABC):
    """Goes on from portion to portion; what is told of one is in the index before the next."""

    def __init__(self, beneath: Beneath, index: Index, ignore: Ignore, special: bool) -> None:
        self._index, self._ignore, self._special = index, ignore, special
        self._beneath = beneath
        self._portions: _Portions | None = None

    def portion(self, beneath: Beneath) -> tuple[Findings, bool]:
        """What comes next, and whether there is more. Where the root was opened anew it begins anew, too."""
        if self._portions is None or beneath is not self._beneath:
            self._beneath = beneath
            self._portions = self._begin(beneath)
        try:
            return next(self._portions), True
        except StopIteration as end:
            return end.value, False

    @abstractmethod
    def _begin(self, beneath: Beneath) -> _Portions: ...


class FirstLook(Look):
    """At a tree of which nothing is known."""

    def _begin(self, beneath: Beneath) -> _Portions:
        return _First(beneath, self._index, self._ignore, self._special).run()


class LookAt(Look):
    """At some paths, of which some may be directories that nothing is known of."""

    def __init__(
        self,
        beneath: Beneath,
        index: Index,
        ignore: Ignore,
        special: bool,
        paths: Iterable[TreePath],
        known_inside: Container[TreePath] = (),
    ) -> None:
        """``known_inside``: directories of which only the attributes are to be looked at."""
        super().__init__(beneath, index, ignore, special)
        self._paths = frozenset(paths)
        self._known_inside = known_inside

    def _begin(self, beneath: Beneath) -> _Portions:
        some = _Some(beneath, self._index, self._ignore, self._special)
        some.known_inside, self._known_inside = self._known_inside, ()
        return some.run(self._paths)


class _Portioned(Scanner):
    def _nothing_known_in(self, directory: TreePath) -> bool:
        return not self._index.any_below(directory)

    def _taken(self) -> Findings:
        found, self._found = self._found, Findings()
        found.observations.sort(key=lambda seen: seen.path)
        self._concluded.clear()  # no link that the index knows leads to what is new
        return found


class _First(_Portioned):
    def run(self) -> _Portions:
        self._roll = _Known(self._index)
        self._known = self._roll.known([ROOT])
        self._look(ROOT, os.fstat(self._beneath.fd))
        for _ in self._walking(ROOT):
            if len(self._found.observations) >= _PORTION:
                yield self._taken()
        self._done()
        return self._taken()


class _Some(_Portioned):
    def __init__(self, beneath: Beneath, index: Index, ignore: Ignore, special: bool) -> None:
        super().__init__(beneath, index, ignore, special)
        self._later: dict[TreePath, None] = {}
        """Directories that are new, to be walked when all else was looked at."""
        self.known_inside: Container[TreePath] = ()
        """Directories in which all is known to be as the index says."""

    def run(self, paths: Iterable[TreePath]) -> _Portions:
        with Directories(self._beneath) as directories:
            self._look_at_all(paths, directories)
        moved = bool(self._gone or self._turned)
        for top in self._later:
            for _ in self._walking(top):
                if not moved and len(self._found.observations) >= _PORTION:
                    yield self._taken()
        with Directories(self._beneath) as directories:
            self._look_at_mates(directories)
        self._done()
        return self._taken()

    def _covered(self, path: TreePath) -> bool:
        return any(above in self._later for above in ancestors(path)) if self._later else False

    def _look_into(self, path: TreePath, was_there: bool) -> None:
        if was_there:
            if path not in self.known_inside:
                super()._look_into(path, was_there)
        else:
            self._later[path] = None

    def _enters(self, child: TreePath, known: Container[TreePath]) -> bool:
        if child not in known:
            self._later[child] = None
        return child in known and child in self._turned


class _Known:
    """In place of a roll: nothing can be missing."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def known(self, paths: Iterable[TreePath]) -> dict[TreePath, bytes]:
        return {path: sig for path, _, sig in self._index.signatures(paths)}

    def missing(self) -> Iterator[TreePath]:
        return iter(())
