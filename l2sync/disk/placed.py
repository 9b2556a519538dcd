"""What recent commits have put in place, lest each file of theirs be compared with the index for being heard of.

The kernel reports the agent's own doing as it does a user's, and tells nobody's name. So what was touched is looked at
by stat in any case: here against what stat showed right after it was put there, which is what the index holds, too.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from l2sync.modtree import Entry, Kind, TreePath, parent, split_path

from .beneath import Beneath, Directories
from .index import Row
from .look import signature

_MOST = 10_000
"""Paths that are held, of some kilobytes a ten; older commits' go first."""


class Unchanged(NamedTuple):
    """What need not be compared with the index."""

    paths: set[TreePath]
    inside: set[TreePath]
    """Directories of which the attributes alone are to be compared, touched themselves or not."""


class Placed:
    """Signatures of what the last commits have placed, and the names in directories that they have made."""

    def __init__(self) -> None:
        self._signatures: dict[TreePath, bytes] = {}
        self._names: dict[TreePath, set[bytes]] = {}
        """All that should stand in a directory: it was made by a commit, and no look has found anything else since."""
        self._folders: set[TreePath] = set()
        """What of all that is a directory: that it looks the same tells nothing of what is in it."""
        self._commits: deque[list[TreePath]] = deque()
        self._held = 0

    def __len__(self) -> int:
        return len(self._signatures)

    def note(self, records: Iterable[tuple[Entry, bytes]], known: Mapping[TreePath, Row]) -> None:
        """A commit has written these entries with their signatures; ``known``: what the index held before."""
        records = list(records)
        for entry, _ in records:
            self._forget(entry.path)
            row = known.get(entry.path)
            if entry.kind is Kind.DIR and (row is None or not row.alive):
                self._names[entry.path] = set()
        for entry, sig in records:
            above, name = split_path(entry.path)
            siblings = self._names.get(above)
            if siblings is not None:
                (siblings.discard if entry.deleted else siblings.add)(name)
            if not entry.deleted:
                self._signatures[entry.path] = sig
                if entry.kind is Kind.DIR:
                    self._folders.add(entry.path)
        paths = [entry.path for entry, _ in records if not entry.deleted]
        self._commits.append(paths)
        self._held += len(paths)
        while self._held > _MOST:
            gone = self._commits.popleft()
            self._held -= len(gone)
            for path in gone:
                self._forget(path)

    def clear(self) -> None:
        """The whole tree is looked at: the index may know of more than commits have put there."""
        self._signatures.clear()
        self._names.clear()
        self._folders.clear()
        self._commits.clear()
        self._held = 0

    def looked_at(self, paths: Iterable[TreePath]) -> None:
        """These are compared with the index: what is found there, the names that are held do not tell."""
        for path in paths:
            self._names.pop(path, None)
            if path:
                self._names.pop(parent(path), None)

    def unchanged(self, paths: set[TreePath], beneath: Beneath) -> Unchanged:
        """What of the paths stands as it was placed."""
        found, tops = Unchanged(set(), set()), set[TreePath]()
        if not len(self) or not beneath.plain:
            return found
        with Directories(beneath) as directories:
            for path in self._names.keys() & paths:
                if (inside := self._all_in(path, directories)) is not None:
                    found.paths.update(inside)
                    (found.paths if self._same(path, directories) else found.inside).add(path)
            for path in self._signatures.keys() & paths - found.paths - self._folders:
                if self._same(path, directories):
                    found.paths.add(path)
                    tops.add(parent(path))  # whoever has been in it has left a trace there, too
            found.inside.update(top for top in tops - paths if not self._same(top, directories))
        return found

    def _all_in(self, directory: TreePath, directories: Directories) -> list[TreePath] | None:
        """Files and the like right in a directory; None if not all in it is as it was placed."""
        found, names, signatures = list[TreePath](), self._names[directory], self._signatures
        prefix = directory + b"/"
        try:
            with os.scandir(directories.get(directory)) as listing:
                for item in listing:
                    name = os.fsencode(item.name)
                    path = TreePath(prefix + name)
                    if name not in names or signatures.get(path) != signature(item.stat(follow_symlinks=False)):
                        return None
                    found.append(path)
        except OSError:
            return None
        return [path for path in found if path not in self._folders] if len(found) == len(names) else None

    def _same(self, path: TreePath, directories: Directories) -> bool:
        sig = self._signatures.get(path)
        if not sig:
            return False
        try:
            status = directories.stat(path)
        except OSError:
            return False
        return status is not None and signature(status) == sig

    def _forget(self, path: TreePath) -> None:
        self._signatures.pop(path, None)
        self._names.pop(path, None)
        self._folders.discard(path)
