"""Looking at the tree: what differs from the index, by stat first and by content where stat does not tell."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from l2sync.modtree import MAX_PATH, PRIVATE, ROOT, Kind, Observation, TreePath, ancestors, parent

from .beneath import DIRECTORY, NOT_THERE, Beneath, Directories
from .chunker import Unsettled
from .ignore import Ignore
from .index import Index
from .links import LinkedNames, Sighting
from .look import SPECIAL, kind_of, signature
from .reading import Reader
from .roll import Roll, RollCall

PASSING = (*NOT_THERE, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EINTR)
"""Troubles that are likely to be over in a moment."""
_AT_ONCE = 1000
"""So many of a directory's children are compared with the index at once."""


@dataclass(slots=True)
class Findings:
    """What a scan came to."""

    observations: list[Observation] = field(default_factory=list)
    signatures: dict[TreePath, tuple[bytes, Observation]] = field(default_factory=dict)
    """How stat sees each thing observed: goes into the index together with the entry made of it."""
    refreshed: list[tuple[TreePath, bytes]] = field(default_factory=list)
    """Files that look different to stat but hold what the index says."""
    unsettled: set[TreePath] = field(default_factory=set)
    """What changed while it was looked at: to be looked at again."""
    unreadable: dict[TreePath, str] = field(default_factory=dict)
    """What could not be looked at, and why."""


class Scanner:
    """One scan of one tree."""

    def __init__(self, beneath: Beneath, index: Index, ignore: Ignore, special: bool) -> None:
        self._beneath = beneath
        self._index = index
        self._ignore = ignore
        self._special = special
        """Whether FIFOs and devices are kept in sync."""
        self._found = Findings()
        self._known: dict[TreePath, bytes] = {}
        """Signatures of what is being looked at."""
        self._roll: RollCall | None = None
        """In a scan of the whole tree: that of a tree of any size is not to be held at once."""
        self._visited: set[TreePath] = set()
        self._listed: set[TreePath] = set()
        self._directories: set[TreePath] = set()
        """Directories among what was visited."""
        self._turned: set[TreePath] = set()
        """Known things that are of another kind now."""
        self._gone: set[TreePath] = set()
        self._concluded: set[TreePath] = set()
        self._reader = Reader(beneath, index)
        self._links = LinkedNames(index, beneath)
        self._bare = False
        """Whether nothing is known of what is in the directory that is being listed."""
        self._skipped: set[TreePath] = set()
        """Below these nothing can be said: ignored, on another file system, or unreadable."""

    def whole(self) -> Findings:
        """Look at everything."""
        roll = self._roll = Roll(self._index)
        self._known = roll.known([ROOT])
        self._look(ROOT, os.fstat(self._beneath.fd))
        self._walk(ROOT)
        for path in list(roll.missing()):
            if not self._cannot_tell(path) and not self._unseen(path):
                self._missing(path)
        return self._done()

    def some(self, paths: Iterable[TreePath]) -> Findings:
        """Look at these paths, at the attributes of the directories they are in, and at what is new or gone below."""
        with Directories(self._beneath) as directories:
            self._look_at_all(paths, directories)
            self._look_at_mates(directories)
        return self._done()

    def _look_at_all(self, paths: Iterable[TreePath], directories: Directories) -> None:
        wanted = {path for path in paths if not self._left_out(path)}
        tops = {path for path in wanted if path == ROOT or parent(path) not in wanted}
        known = self._index.signatures(tops | {parent(path) for path in tops})
        self._known = {path: sig for path, _, sig in known}
        for path in sorted(wanted):
            if self._covered(path):
                continue
            if path not in self._visited:
                if path not in tops:  # its directory has not shown it: it is gone, or the directory is
                    self._know(path)
                self._look_at(path, directories)
            elif path in self._directories and path not in self._listed:
                self._list_too(path, directories)

    def _covered(self, path: TreePath) -> bool:
        """Whether the path will be looked at with a directory above it."""
        return False

    def _look_at_mates(self, directories: Directories) -> None:
        """Other names of what was looked at: a change of one is a change of all."""
        while mates := {path: row for path, row in self._links.mates().items() if path not in self._visited}:
            for path, row in sorted(mates.items()):
                self._known[path] = row.signature
                self._visited.add(path)
                self._look_at(path, directories)

    # --- single paths -----------------------------------------------------------------------------

    def _left_out(self, path: TreePath) -> bool:
        return path == PRIVATE or path.startswith(PRIVATE + b"/") or self._ignore.any_above(path)

    def _look_at(self, path: TreePath, directories: Directories) -> None:
        try:
            status = directories.stat(path)
            if status is None:
                self._vanished(path, directories)
                return
            directory = self._beneath.fd if path == ROOT else directories.get(parent(path))
            if path != ROOT and parent(path) not in self._visited:
                self._look(parent(path), os.fstat(directory))
        except OSError as error:
            self._trouble(path, error)
            return
        if path != ROOT and self._ignore(path, kind_of(status) is Kind.DIR):
            return
        was_there = path in self._known
        self._look(path, status, directory)
        if kind_of(status) is Kind.DIR:
            self._look_into(path, was_there)
        elif was_there:
            self._gone_below(path)

    def _list_too(self, path: TreePath, directories: Directories) -> None:
        """A path that was looked at as a child of another: if it is a directory, its own children count as well."""
        try:
            status = directories.stat(path)
        except OSError as error:
            self._trouble(path, error)
            return
        if status is not None and kind_of(status) is Kind.DIR:
            self._look_into(path, path in self._known)

    def _vanished(self, path: TreePath, directories: Directories) -> None:
        """Nothing stands at ``path``; perhaps the directory it was in is gone too, and the one above."""
        top = path
        while top != ROOT:
            above = parent(top)
            status = directories.stat(above)
            if status is not None and kind_of(status) is Kind.DIR:
                if above not in self._visited:
                    self._know(above)
                    self._look(above, status)
                break
            top = above
        if self._ignore(top, False) or self._ignore(top, True):
            return
        self._know(top)
        if directories.stat(top) is not None:
            if top not in self._visited:
                self._look_at(top, directories)  # something else has taken the directory's place
            return
        if top in self._known:
            self._missing(top)
        self._gone_below(top)

    def _gone_below(self, path: TreePath) -> None:
        for below in self._index.alive(path):
            if below not in self._visited:
                self._missing(below)

    def _know(self, path: TreePath) -> None:
        row = self._index.row(path)
        if row is not None and row.alive:
            self._known[path] = row.signature

    def _look_into(self, path: TreePath, was_there: bool) -> None:
        """A directory that is new is walked; of one that is known, its children are compared."""
        if not was_there:
            self._walk(path)
            return
        children = self._index.children(path)
        self._known.update(children)
        self._walk(path, into=lambda child: self._enters(child, children))
        for child in children:
            if child in self._turned:
                self._gone_below(child)
            elif child not in self._visited and not self._cannot_tell(child) and not self._ignore(child, True):
                self._missing(child)
                self._gone_below(child)

    def _enters(self, child: TreePath, known: Container[TreePath]) -> bool:
        """Whether a directory met in one that is known is walked now."""
        return child not in known or child in self._turned

    # --- walking ----------------------------------------------------------------------------------

    def _walk(self, top: TreePath, into: Callable[[TreePath], bool] | None = None) -> None:
        for _ in self._walking(top, into):
            pass

    def _walking(self, top: TreePath, into: Callable[[TreePath], bool] | None = None) -> Iterator[TreePath]:
        """Look at all below a directory; tells each one when it has been looked into."""
        waiting = [top]
        while waiting:
            path = waiting.pop()
            if self._roll is None:
                self._listed.add(path)
            try:
                fd = self._beneath.open(path, DIRECTORY)
            except OSError as error:
                self._trouble(path, error)
                continue
            try:
                listing = iter(self._list(path, fd))
                self._bare = self._nothing_known_in(path)
                while some := list(islice(listing, _AT_ONCE)):
                    if self._roll is not None:
                        self._known = self._roll.known(child for child, _ in some)
                    for child, status in some:
                        self._look(child, status, fd)
                        if kind_of(status) is Kind.DIR and (into is None or into(child)):
                            waiting.append(child)
            except OSError as error:
                self._trouble(path, error)
            finally:
                self._bare = False
                os.close(fd)
            yield path

    def _nothing_known_in(self, directory: TreePath) -> bool:
        """Whether the index was asked, and holds nothing of what is in a directory, not that it is gone either."""
        return False

    def _list(self, path: TreePath, fd: int) -> Iterable[tuple[TreePath, os.stat_result]]:
        prefix = path + b"/" if path else b""
        plain = self._beneath.plain
        with os.scandir(fd) as listing:
            for item in listing:
                child = TreePath(prefix + os.fsencode(item.name))
                if len(child) > MAX_PATH:
                    self._skipped.add(child)
                    self._found.unreadable[child] = "its path is too long"
                    continue
                try:
                    directory = item.is_dir(follow_symlinks=False)
                    if self._ignore(child, directory):
                        self._skipped.add(child)
                        continue
                    top = None if plain else self._beneath.top_status(child)
                    status = top or item.stat(follow_symlinks=False)
                except OSError as error:
                    self._trouble(child, error)
                    continue
                yield child, status

    # --- comparing --------------------------------------------------------------------------------

    def _look(self, path: TreePath, status: os.stat_result, directory: int = -1) -> None:
        """Compare one thing with the index."""
        kind = kind_of(status, self._special)
        if self._roll is None:
            self._visited.add(path)
            if kind is Kind.DIR:
                self._directories.add(path)
        if kind is not Kind.DIR and not self._beneath.plain and self._beneath.holds_closed(path):
            return  # nobody knows yet what was below the directory that stood here
        if kind is None:
            if path in self._known and not self._left_alone(path):
                self._missing(path)
                self._turned.add(path)
            return
        sig = signature(status)
        if self._known.get(path) == sig:
            return
        row = None if self._bare else self._index.row(path)
        before = row.entry() if row is not None and row.alive else None
        if before is not None and before.kind is not kind:
            self._turned.add(path)
        try:
            seen, sig = self._reader.read(path, kind, status, directory, before)
        except Unsettled:
            self._found.unsettled.add(path)
            self._skipped.add(path)
            return
        except OSError as error:
            self._trouble(path, error)
            return
        sighting = Sighting(seen, sig, row if before is not None else None)
        if kind is not Kind.DIR and (status.st_nlink > 1 or (before is not None and before.link_group)):
            self._links.meet(path, sighting)
        else:
            self._conclude(sighting)

    def _left_alone(self, path: TreePath) -> bool:
        """Whether it was kept in sync under other options: nothing is said of it any more."""
        row = self._index.row(path)
        return row is not None and row.kind in SPECIAL and not self._special

    def _conclude(self, sighting: Sighting) -> None:
        seen, sig = sighting.seen, sighting.signature
        self._concluded.add(seen.path)
        if sighting.row is not None and sighting.row.entry().same_state(seen):
            self._found.refreshed.append((seen.path, sig))
            return
        self._found.observations.append(seen)
        self._found.signatures[seen.path] = (sig, seen)

    def _trouble(self, path: TreePath, error: OSError) -> None:
        """Nothing can be said of what stands there, nor below it."""
        self._skipped.add(path)
        if error.errno in PASSING:
            self._found.unsettled.add(path)
        elif error.errno != errno.EXDEV:  # another file system is mounted there: none of ours
            self._found.unreadable[path] = error.strerror or str(error)

    def _missing(self, path: TreePath) -> None:
        if path in self._gone:
            return
        self._visited.add(path)
        if self._beneath.out_of_sight(path):
            return
        self._gone.add(path)
        seen = Observation(path=path, kind=Kind.TOMBSTONE)
        self._found.observations.append(seen)
        self._found.signatures[path] = (b"", seen)

    def _cannot_tell(self, path: TreePath) -> bool:
        return path in self._skipped or any(above in self._skipped for above in ancestors(path))

    def _unseen(self, path: TreePath) -> bool:
        """Whether it is ignored, and so not said to be gone, unless the directory is gone that it was in."""
        places = [path, *ancestors(path)]
        return any(self._ignore(place, True) and parent(place) not in self._gone for place in places if place != ROOT)

    def _done(self) -> Findings:
        for sighting in list(self._links.settle(self._gone | self._concluded)):
            self._conclude(sighting)
        self._found.observations.sort(key=lambda seen: seen.path)
        return self._found
